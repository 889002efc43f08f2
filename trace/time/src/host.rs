//! The host's counter, from which a machine under KVM has its time.

use crate::{Cycles, Tsc, TscOffset};

/// What the host's time-stamp counter reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTsc(pub u64);

/// What another counter reads more than the host's, modulo 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostOffset(pub u64);

impl HostTsc {
    /// Now.
    pub fn now() -> Self {
        // SAFETY: RDTSC reads a counter and touches no memory; every x86-64 processor has it.
        HostTsc(unsafe { core::arch::x86_64::_rdtsc() })
    }

    /// What the guest's counter reads then, if that is `offset` ahead.
    pub const fn tsc(self, offset: HostOffset) -> Tsc {
        Tsc(self.0.wrapping_add(offset.0))
    }

    /// What the machine's counter reads then, if that is `offset` ahead.
    pub const fn cycles(self, offset: HostOffset) -> Cycles {
        Cycles(self.0.wrapping_add(offset.0))
    }
}

impl HostOffset {
    /// From the host's counter to the guest's, which reads `tsc` at `host`.
    pub const fn to_tsc(host: HostTsc, tsc: Tsc) -> Self {
        HostOffset(tsc.0.wrapping_sub(host.0))
    }

    /// From the host's counter to the machine's, which reads `cycles` at `host`.
    pub const fn to_cycles(host: HostTsc, cycles: Cycles) -> Self {
        HostOffset(cycles.0.wrapping_sub(host.0))
    }

    /// This is from the host's counter to the guest's, and the guest's is `offset` ahead of the machine's: from the host's to
    /// the machine's.
    pub const fn without(self, offset: TscOffset) -> Self {
        HostOffset(self.0.wrapping_sub(offset.0))
    }

    /// This is from the host's counter to the guest's, `cycles` from the host's to the machine's: from the machine's to the
    /// guest's.
    pub const fn beyond(self, cycles: HostOffset) -> TscOffset {
        TscOffset(self.0.wrapping_sub(cycles.0))
    }

    /// How far two offsets are apart.
    pub const fn distance(self, other: HostOffset) -> u64 {
        (self.0.wrapping_sub(other.0) as i64).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_counters_agree() {
        let host = HostTsc(1 << 60);
        let to_cycles = HostOffset::to_cycles(host, Cycles(1000));
        let to_tsc = HostOffset::to_tsc(host, Tsc(7));
        assert_eq!((host.cycles(to_cycles), host.tsc(to_tsc)), (Cycles(1000), Tsc(7)));
        let offset = to_tsc.beyond(to_cycles);
        assert_eq!(Cycles(1000).tsc(offset), Tsc(7));
        assert_eq!(to_tsc.without(offset), to_cycles);
        assert_eq!(to_tsc.distance(to_cycles), 993);
        assert!(HostTsc::now().0 < HostTsc::now().0);
    }
}
