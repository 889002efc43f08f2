//! Base address registers (PCI Local Bus Specification 3.0, 6.2.5.1): their bits, their places, and what they decode.

use std::ops::Range;

use crate::function::{BARS, Bar};
use crate::registers::{Register, RegisterFile, read_only, read_write};

/// Offset of the first base address register.
const BAR0: usize = 0x10;
const NAMES: [&str; BARS] = ["BAR 0", "BAR 1", "BAR 2", "BAR 3", "BAR 4", "BAR 5"];

/// Bit 0: ports.
const PORTS: u64 = 1;
/// Bits 1 and 2: a pair of registers that can hold any 64-bit address.
const ANYWHERE: u64 = 2 << 1;
/// Bit 3: reads have no side effects.
const PREFETCHABLE: u64 = 1 << 3;
/// The bits of a memory BAR that are no address.
const MEMORY_FLAGS: u64 = 0xf;
const PORT_FLAGS: u64 = 3;

/// Smallest BARs.
const MEMORY_BYTES_MIN: u64 = 16;
const PORT_BYTES_MIN: u64 = 4;
/// The specification's limit for ports of one BAR.
const PORT_BYTES_MAX: u64 = 256;
/// Memory BARs do not share a page, so that a kernel can give one of them away.
const PAGE: u64 = 4096;

/// The two address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Guest-physical memory addresses.
    Memory,
    /// I/O ports.
    Ports,
}

impl Bar {
    /// Its address space and size in bytes; none when there is no register.
    fn extent(&self) -> Option<(Space, u64)> {
        match *self {
            Bar::None => None,
            Bar::Memory32 { bytes, .. } => Some((Space::Memory, bytes.into())),
            Bar::Memory64 { bytes, .. } => Some((Space::Memory, bytes)),
            Bar::Port { bytes } => Some((Space::Ports, bytes.into())),
        }
    }

    fn flags(&self) -> u64 {
        let prefetch = |yes| if yes { PREFETCHABLE } else { 0 };
        match *self {
            Bar::None => 0,
            Bar::Memory32 { prefetchable, .. } => prefetch(prefetchable),
            Bar::Memory64 { prefetchable, .. } => ANYWHERE | prefetch(prefetchable),
            Bar::Port { .. } => PORTS,
        }
    }
}

/// Free address space, from which firmware gives every BAR its place. Ends are exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Guest-physical, below 4 GiB.
    pub memory: Range<u64>,
    /// Guest-physical, for 64-bit BARs that find no room below 4 GiB.
    pub high_memory: Range<u64>,
    /// I/O ports.
    pub ports: Range<u64>,
}

impl Windows {
    fn take(&mut self, bar: Bar) -> Option<u64> {
        let (space, bytes) = bar.extent()?;
        match space {
            Space::Ports => take(&mut self.ports, bytes, bytes),
            Space::Memory => {
                let align = bytes.max(PAGE);
                let low = take(&mut self.memory, bytes, align);
                let anywhere = matches!(bar, Bar::Memory64 { .. });
                low.or_else(|| anywhere.then(|| take(&mut self.high_memory, bytes, align))?)
            }
        }
    }
}

/// The first `bytes` of `free` from a multiple of `align` on.
fn take(free: &mut Range<u64>, bytes: u64, align: u64) -> Option<u64> {
    let base = free.start.checked_next_multiple_of(align)?;
    let next = base.checked_add(bytes).filter(|&next| next <= free.end)?;
    free.start = next;
    Some(base)
}

/// The base address registers of one function: what configuration space holds of them is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bars([Bar; BARS]);

impl Bars {
    /// Those of `bars`, or which of them cannot be, and why.
    pub fn new(bars: [Bar; BARS]) -> Result<Self, (u8, &'static str)> {
        let mut upper_half = false;
        for (index, bar) in (0u8..).zip(&bars) {
            possible(index, bar, upper_half).map_err(|why| (index, why))?;
            upper_half = matches!(bar, Bar::Memory64 { .. });
        }
        Ok(Bars(bars))
    }

    /// The registers, as the guest sees them: bits below the size read as zero, which is how software sizes a BAR.
    pub fn registers(&self) -> Vec<Register> {
        let mut registers = Vec::new();
        for (index, bar) in self.0.iter().enumerate() {
            let Some((space, bytes)) = bar.extent() else { continue };
            let flags = if space == Space::Ports { PORT_FLAGS } else { MEMORY_FLAGS };
            let writable = !bytes.saturating_sub(1) & !flags;
            registers.push(register(index, bar.flags(), writable & u64::from(u32::MAX)));
            if matches!(bar, Bar::Memory64 { .. }) {
                registers.push(register(index.saturating_add(1), 0, writable >> 32));
            }
        }
        registers
    }

    /// Whether any is of this address space.
    pub fn any_in(&self, space: Space) -> bool {
        self.0.iter().any(|bar| bar.extent().is_some_and(|(of, _)| of == space))
    }

    /// The size of BAR `index` if it is memory.
    pub fn memory_bytes(&self, index: u8) -> Option<u64> {
        let (space, bytes) = self.0.get(usize::from(index))?.extent()?;
        (space == Space::Memory).then_some(bytes)
    }

    /// The size of BAR `index`; zero when there is no register.
    pub fn bytes(&self, index: u8) -> u64 {
        self.0.get(usize::from(index)).and_then(Bar::extent).map_or(0, |(_, bytes)| bytes)
    }

    /// Where `config` puts BAR `index`; none while it is unprogrammed (0).
    pub fn base(&self, config: &RegisterFile, index: u8) -> Option<u64> {
        let at = offset(index.into());
        let base = match self.0.get(usize::from(index))? {
            Bar::None => 0,
            Bar::Memory32 { .. } => u64::from(config.word(at)) & !MEMORY_FLAGS,
            Bar::Memory64 { .. } => config.word64(at) & !MEMORY_FLAGS,
            Bar::Port { .. } => u64::from(config.word(at)) & !PORT_FLAGS,
        };
        (base != 0).then_some(base)
    }

    /// The lowest BAR that decodes `address`, and the offset in it.
    pub fn decode(&self, config: &RegisterFile, space: Space, address: u64) -> Option<(u8, u64)> {
        (0u8..).zip(&self.0).find_map(|(index, bar)| {
            let (_, bytes) = bar.extent().filter(|(of, _)| *of == space)?;
            let offset = address.checked_sub(self.base(config, index)?)?;
            (offset < bytes).then_some((index, offset))
        })
    }

    /// Programs every BAR with a place in `windows`; none when there is no room.
    pub fn assign(&self, config: &mut RegisterFile, windows: &mut Windows) -> Option<()> {
        for (index, bar) in self.0.iter().enumerate().filter(|(_, bar)| bar.extent().is_some()) {
            let base = windows.take(*bar)?.to_le_bytes();
            let wide = matches!(bar, Bar::Memory64 { .. });
            config.write(offset(index), base.get(..if wide { 8 } else { 4 })?);
        }
        Some(())
    }
}

fn offset(index: usize) -> usize {
    BAR0.saturating_add(index.saturating_mul(4))
}

fn register(index: usize, reset: u64, writable: u64) -> Register {
    let (name, offset) = (NAMES.get(index).copied().unwrap_or_default(), offset(index));
    match writable {
        // The lower half of a BAR of 4 GiB or more.
        0 => read_only(name, offset, 4, reset),
        _ => read_write(name, offset, 4, reset, writable),
    }
}

/// Why `bar` cannot be BAR `index`, if it cannot.
fn possible(index: u8, bar: &Bar, upper_half: bool) -> Result<(), &'static str> {
    let Some((space, bytes)) = bar.extent() else { return Ok(()) };
    let (least, most) = match space {
        Space::Memory => (MEMORY_BYTES_MIN, u64::MAX),
        Space::Ports => (PORT_BYTES_MIN, PORT_BYTES_MAX),
    };
    if upper_half {
        return Err("it is the upper half of the one before it");
    }
    if !bytes.is_power_of_two() || !(least..=most).contains(&bytes) {
        return Err("its size is not a power of two from 16 up (ports: 4 to 256)");
    }
    if matches!(bar, Bar::Memory64 { .. }) && usize::from(index).saturating_add(1) == BARS {
        return Err("there is no register for its upper half");
    }
    Ok(())
}
