//! MSI: messages from configuration space (PCI Local Bus Specification 3.0, 6.8.1), 64-bit and with per-vector masks.

use crate::registers::{Register, RegisterFile, read_only, read_write};

use super::msix::{Gate, Outgoing};

/// Offset of the capability.
pub const MSI: usize = 0xa0;
/// Its capability id.
pub const MSI_ID: u64 = 0x05;
const CONTROL: usize = MSI + 2;
const ADDRESS: usize = MSI + 4;
const DATA: usize = MSI + 0xc;
const MASK: usize = MSI + 0x10;
/// Offset of the pending bits, which [`Msi`] keeps.
pub const PENDING: usize = MSI + 0x14;

/// Behind the capability.
pub const END: usize = PENDING + 4;

/// Message control: enabled.
const ENABLE: u32 = 1;
/// Message control, bits 1 to 3: logarithm of the number of messages; bits 4 to 6: of that which software allows.
const CAPABLE_SHIFT: u32 = 1;
const ALLOWED_SHIFT: u32 = 4;
/// Message control: 64-bit address, per-vector masks.
const WIDE_AND_MASKS: u64 = 1 << 7 | 1 << 8;

/// The registers behind the capability's header, for `messages` of them.
pub fn registers(messages: u8) -> Vec<Register> {
    let capable = u64::from(messages.trailing_zeros());
    let masks = u64::from(bits(messages.into()));
    vec![
        read_write("MSI Message Control", CONTROL, 2, WIDE_AND_MASKS | capable << CAPABLE_SHIFT, 0x71),
        read_write("MSI Message Address", ADDRESS, 4, 0, 0xffff_fffc),
        read_write("MSI Message Upper Address", ADDRESS + 4, 4, 0, 0xffff_ffff),
        read_write("MSI Message Data", DATA, 2, 0, 0xffff),
        read_write("MSI Mask Bits", MASK, 4, 0, masks),
    ]
}

/// Whether `config` has MSI enabled.
pub fn enabled(config: &RegisterFile) -> bool {
    config.word(CONTROL) & ENABLE != 0
}

/// The lowest `count` bits.
fn bits(count: u32) -> u32 {
    1u32.checked_shl(count).map_or(u32::MAX, |end| end.saturating_sub(1))
}

/// What configuration space says of a function's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether they can leave.
    pub gate: Gate,
    address: u64,
    data: u32,
    masked: u32,
    /// Logarithm of the number that software allows.
    allowed: u32,
}

impl Settings {
    /// Those that `config` holds; `gate` says whether messages can leave.
    pub fn new(config: &RegisterFile, messages: u8, gate: Gate) -> Self {
        let allowed = config.word(CONTROL) >> ALLOWED_SHIFT & 7;
        Settings {
            gate,
            address: config.word64(ADDRESS),
            data: config.word(DATA) & 0xffff,
            masked: config.word(MASK),
            // Software may not allow more than there are; what it then gets is all of them.
            allowed: allowed.min(messages.trailing_zeros()),
        }
    }

    /// The message of `vector`; none while it is held back. The function puts the vector into the data's low bits.
    fn outgoing(&self, vector: u32) -> Option<Outgoing> {
        let free = self.gate.enabled && self.gate.open && self.masked & 1u32.checked_shl(vector)? == 0;
        let low = bits(self.allowed);
        let data = self.data & !low | vector & low;
        free.then_some(Outgoing { vector: vector as u16, address: self.address, data })
    }

    fn vectors(&self) -> u32 {
        1u32.wrapping_shl(self.allowed)
    }
}

/// The pending bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Msi {
    pending: u32,
}

impl Msi {
    /// Pending bits of `messages` messages; none when there are bits of others.
    pub fn restore(messages: u8, pending: u32) -> Option<Self> {
        (pending & !bits(messages.into()) == 0).then_some(Msi { pending })
    }

    /// The pending bits.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// Raises `vector` of `messages`: where software allows fewer, one of those has several meanings. Returns the message to
    /// send now; one held back becomes pending. Without MSI enabled, and beyond the last message, nothing happens.
    pub fn raise(&mut self, vector: u16, messages: u8, settings: &Settings) -> Option<Outgoing> {
        if !settings.gate.enabled || vector >= messages.into() {
            return None;
        }
        let vector = u32::from(vector) & bits(settings.allowed);
        let outgoing = settings.outgoing(vector);
        if outgoing.is_none() {
            self.pending |= 1u32.wrapping_shl(vector);
        }
        outgoing
    }

    /// The messages of all pending vectors that are free to go, lowest first.
    pub fn release(&mut self, settings: &Settings) -> Vec<Outgoing> {
        let pending = self.pending;
        let free: Vec<_> = settings.open().filter(|out| pending >> out.vector & 1 != 0).collect();
        free.iter().for_each(|out| self.pending &= !(1u32.wrapping_shl(out.vector.into())));
        free
    }
}

impl Settings {
    /// What each vector that is not held back would send, lowest first.
    pub fn open(&self) -> impl Iterator<Item = Outgoing> + use<> {
        let settings = *self;
        (0..settings.vectors()).filter_map(move |vector| settings.outgoing(vector))
    }
}

/// The pending bits as a register.
pub fn pending_register() -> Register {
    read_only("MSI Pending Bits", PENDING, 4, 0)
}
