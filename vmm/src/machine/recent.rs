//! The last events between the CPU and the machine, for whoever has to understand a guest's death.

use std::fmt;

use fencepost_trace::Stamp;

/// How many are kept.
pub const KEPT: usize = 16;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// The CPU read a port. Of a string instruction, the last element is recorded.
    PortRead,
    /// The CPU wrote a port.
    PortWrite,
    /// The CPU read a memory-mapped register.
    MmioRead,
    /// The CPU wrote a memory-mapped register.
    MmioWrite,
    /// The CPU wrote a doorbell without leaving the guest; heard at this time.
    Doorbell,
    /// The CPU took an interrupt: the address is its vector. Under `kvm` that is not seen.
    Interrupt,
    /// The CPU ended a level-triggered interrupt: the address is its vector.
    EndOfInterrupt,
    /// KVM gave up on an instruction and the software CPU executed it: the address is its RIP.
    Assist,
    /// KVM stopped for good.
    Stop,
}

impl ExitKind {
    fn name(self) -> &'static str {
        match self {
            ExitKind::PortRead => "port read",
            ExitKind::PortWrite => "port write",
            ExitKind::MmioRead => "mmio read",
            ExitKind::MmioWrite => "mmio write",
            ExitKind::Doorbell => "doorbell",
            ExitKind::Interrupt => "interrupt",
            ExitKind::EndOfInterrupt => "end of interrupt",
            ExitKind::Assist => "assist",
            ExitKind::Stop => "stop",
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// When.
    pub stamp: Stamp,
    /// Of which CPU; of a doorbell, of the one that was at work when it was heard.
    pub cpu: u32,
    /// What.
    pub kind: ExitKind,
    /// Port, guest-physical address, vector or RIP.
    pub address: u64,
    /// Bytes of an access, 0 for anything else.
    pub width: u8,
    /// What was read or written, little-endian.
    pub value: u64,
}

impl fmt::Display for Exit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exit { stamp, kind, address, width, value, .. } = self;
        write!(to, "{:>16} cycles  {:<16}  {address:#x}", stamp.cycles, kind.name())?;
        if *width > 0 {
            write!(to, "  {width} bytes  {value:#x}")?;
        }
        Ok(())
    }
}

/// The newest [`KEPT`] of them, and how many there were.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The one with number n has place n modulo [`KEPT`].
    ring: [Exit; KEPT],
    count: u64,
}

/// What stands where there was none yet.
const NONE: Exit =
    Exit { stamp: Stamp { cycles: 0, ns: 0 }, cpu: 0, kind: ExitKind::Stop, address: 0, width: 0, value: 0 };

impl Default for Recent {
    fn default() -> Self {
        Recent { ring: [NONE; KEPT], count: 0 }
    }
}

impl Recent {
    /// Adds one.
    pub fn push(&mut self, exit: Exit) {
        self.ring[self.count as usize % KEPT] = exit;
        self.count = self.count.wrapping_add(1);
    }

    /// How many there were in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Those that are kept, oldest first.
    pub fn exits(&self) -> impl Iterator<Item = &Exit> {
        let first = self.count.saturating_sub(KEPT as u64);
        (first..self.count).map(|number| &self.ring[number as usize % KEPT])
    }
}

/// The bytes of an access as a number; of a longer one the last eight.
pub fn value_of(data: &[u8]) -> u64 {
    match *data {
        // Nearly all.
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
        _ => data.iter().rev().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(address: u64) -> Exit {
        Exit {
            stamp: Stamp { cycles: 7, ns: 7 },
            cpu: 0,
            kind: ExitKind::PortRead,
            address,
            width: 1,
            value: 0x60,
        }
    }

    #[test]
    fn the_newest_are_kept_in_order() {
        let mut recent = Recent::default();
        (0..40).for_each(|address| recent.push(exit(address)));
        assert!(recent.exits().map(|exit| exit.address).eq(24..40));
        assert_eq!(recent.count(), 40);
    }

    #[test]
    fn a_line_says_when_what_where_how_wide_and_which_value() {
        assert_eq!(
            exit(0x3fd).to_string(),
            "               7 cycles  port read         0x3fd  1 bytes  0x60"
        );
        assert_eq!(value_of(&[0x34, 0x12]), 0x1234);
    }
}
