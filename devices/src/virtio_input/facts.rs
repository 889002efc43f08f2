//! What an input device says of itself, as its configuration shows it (5.8.4, 5.8.5).

/// A kind of input device.
pub trait Kind: Send + std::fmt::Debug + 'static {
    /// As [`Device::KIND`](crate::virtio::Device::KIND).
    const KIND: &'static str;
    /// As [`Device::ABOUT`](crate::virtio::Device::ABOUT).
    const ABOUT: &'static str;
    /// As [`Device::CLASS`](crate::virtio::Device::CLASS).
    const CLASS: u32;
    /// What it says of itself.
    const FACTS: Facts;
}

/// Codes of one type of event, as ranges with both ends.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// The type (EV_*).
    pub kind: u8,
    /// The codes.
    pub codes: &'static [(u16, u16)],
}

/// An axis with absolute coordinates from 0.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The axis (ABS_*).
    pub code: u8,
    /// The largest coordinate.
    pub max: u32,
}

/// All of it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its name.
    pub name: &'static str,
    /// Its product number: the vendor and the bus are the same for all.
    pub product: u16,
    /// Properties (INPUT_PROP_*), as ranges.
    pub properties: &'static [(u16, u16)],
    /// What events it sends and takes.
    pub events: &'static [Bits],
    /// Its axes.
    pub axes: &'static [Axis],
}

/// Values of `select` (5.8.5).
const ID_NAME: u8 = 0x01;
const ID_SERIAL: u8 = 0x02;
const ID_DEVIDS: u8 = 0x03;
const PROP_BITS: u8 = 0x10;
const EV_BITS: u8 = 0x11;
const ABS_INFO: u8 = 0x12;

/// `BUS_VIRTUAL` of Linux's `input.h`.
const BUS_VIRTUAL: u16 = 6;
const VERSION: u16 = 1;

impl Facts {
    /// What `select` and `subsel` choose; nothing where there is nothing.
    pub fn answer(&self, select: u8, subsel: u8, serial: u32) -> Vec<u8> {
        match (select, subsel) {
            (ID_NAME, 0) => self.name.as_bytes().to_vec(),
            (ID_SERIAL, 0) => serial.to_string().into_bytes(),
            (ID_DEVIDS, 0) => [BUS_VIRTUAL, crate::function::VENDOR_ID, self.product, VERSION]
                .iter()
                .flat_map(|id| id.to_le_bytes())
                .collect(),
            (PROP_BITS, 0) => bitmap(self.properties),
            (EV_BITS, kind) => {
                let bits = self.events.iter().find(|bits| bits.kind == kind);
                bits.map(|bits| bitmap(bits.codes)).unwrap_or_default()
            }
            (ABS_INFO, code) => {
                let axis = self.axes.iter().find(|axis| axis.code == code);
                // Minimum, maximum, fuzz, flat, resolution: the last is not known.
                axis.map(|axis| [0, axis.max, 0, 0, 0].iter().flat_map(|it: &u32| it.to_le_bytes()).collect())
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// A bit for each number, without the zero bytes at the end.
fn bitmap(ranges: &[(u16, u16)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for bit in ranges.iter().flat_map(|&(first, last)| first..=last) {
        let at = usize::from(bit >> 3);
        if bytes.len() <= at {
            bytes.resize(at.saturating_add(1), 0u8);
        }
        if let Some(byte) = bytes.get_mut(at) {
            *byte |= 1 << (bit & 7);
        }
    }
    bytes
}
