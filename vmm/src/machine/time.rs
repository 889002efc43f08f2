//! The machine's time: virtual cycles under `soft`, cycles of the host's TSC under `kvm`. No guest can set it: what its own
//! counter reads more is the machine's [`OffsetHistory`](fencepost_time::OffsetHistory).

use fencepost_time::{Cycles, HostOffset, HostTsc};
use fencepost_trace::Stamp;
use serde::{Deserialize, Serialize};

/// The nominal TSC frequency of the virtual clock.
pub const SOFT_TSC_HZ: u64 = 1_000_000_000;

/// Where "now" comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBase {
    /// The CPU says what time it is: one retired instruction is one cycle.
    Virtual {
        /// Cycles so far.
        cycles: Cycles,
        /// Cycles per second.
        hz: u64,
        /// A moment at which both are known.
        base: Base,
    },
    /// The host's TSC with an offset that never changes. Nanoseconds are worked out from it, by the frequency that the guest
    /// is told: one clock, so that nothing the guest reads can drift against the machine's.
    Host {
        /// From the host's counter to the machine's.
        offset: HostOffset,
        /// TSC cycles per second.
        hz: u64,
        /// A moment at which both are known.
        base: Base,
    },
}

/// A moment in cycles and in nanoseconds, which go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The machine's counter.
    pub cycles: Cycles,
    /// Nanoseconds since the machine started.
    pub ns: u64,
}

/// Time in a saved machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTime {
    cycles: Cycles,
    /// Cycles per second.
    pub hz: u64,
    base: Base,
}

const NS_PER_SECOND: u64 = 1_000_000_000;

impl TimeBase {
    /// Virtual time from zero.
    pub fn virtual_from_zero() -> Self {
        TimeBase::virtual_from(SOFT_TSC_HZ, Base::default())
    }

    /// Virtual time from `base` on, at `hz` cycles a second.
    pub fn virtual_from(hz: u64, base: Base) -> Self {
        TimeBase::Virtual { cycles: base.cycles, hz, base }
    }

    /// The host's time: `offset` is from the host's counter to the machine's, which counts `hz` cycles a second. At `base`,
    /// which is not after now, nanoseconds are the given ones; after power-on that is zero at zero.
    pub fn host(hz: u64, offset: HostOffset, base: Base) -> Self {
        TimeBase::Host { offset, hz, base }
    }

    /// Time as it is now.
    pub fn save(&self) -> SavedTime {
        match *self {
            TimeBase::Virtual { cycles, hz, base } => SavedTime { cycles, hz, base },
            TimeBase::Host { hz, .. } => {
                let Stamp { cycles, ns } = self.now();
                let base = Base { cycles: Cycles(cycles), ns };
                SavedTime { cycles: base.cycles, hz, base }
            }
        }
    }

    /// Virtual time that goes on where `saved` ended; none for a time that cannot be.
    pub fn resume(saved: &SavedTime) -> Option<Self> {
        let SavedTime { cycles, hz, base } = *saved;
        (hz != 0 && base.cycles <= cycles).then_some(TimeBase::Virtual { cycles, hz, base })
    }

    /// From the host's counter to the machine's, if that is where time comes from.
    pub fn from_host(&self) -> Option<HostOffset> {
        match *self {
            TimeBase::Virtual { .. } => None,
            TimeBase::Host { offset, .. } => Some(offset),
        }
    }

    /// Tells virtual time what the CPU's counter is. It never goes back. Host time ignores it.
    pub fn set_cycles(&mut self, now: Cycles) {
        if let TimeBase::Virtual { cycles, .. } = self {
            *cycles = now.max(*cycles);
        }
    }

    /// The machine's counter now. (Another processor's may be a few cycles behind.)
    pub fn cycles(&self) -> Cycles {
        match *self {
            TimeBase::Virtual { cycles, .. } => cycles,
            TimeBase::Host { offset, base, .. } => {
                let cycles = HostTsc::now().cycles(offset);
                if (cycles.0.wrapping_sub(base.cycles.0) as i64) < 0 { base.cycles } else { cycles }
            }
        }
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Stamp {
        self.stamp(self.cycles())
    }

    /// The stamp of the cycle `cycles`, which is not after now.
    #[inline]
    pub fn stamp(&self, cycles: Cycles) -> Stamp {
        let base = self.base();
        let ns = match base.cycles.0.checked_sub(cycles.0) {
            Some(before) => base.ns.saturating_sub(self.cycles_to_ns(before)),
            None => base.ns.saturating_add(self.cycles_to_ns_floor(cycles - base.cycles)),
        };
        Stamp { cycles: cycles.0, ns }
    }

    fn base(&self) -> Base {
        match *self {
            TimeBase::Virtual { base, .. } | TimeBase::Host { base, .. } => base,
        }
    }

    /// Cycles per second.
    pub fn hz(&self) -> u64 {
        match *self {
            TimeBase::Virtual { hz, .. } | TimeBase::Host { hz, .. } => hz,
        }
    }

    fn cycles_to_ns_floor(&self, cycles: u64) -> u64 {
        scaled(cycles, NS_PER_SECOND, self.hz(), |product, hz| product / hz)
    }

    /// The length of `cycles` in nanoseconds, rounded up.
    pub fn cycles_to_ns(&self, cycles: u64) -> u64 {
        scaled(cycles, NS_PER_SECOND, self.hz(), u128::div_ceil)
    }

    /// The first cycle at which the clock reads at least `ns`, not before the moment from which it counts.
    pub fn cycle_at(&self, ns: u64) -> Cycles {
        let base = self.base();
        base.cycles + scaled(ns.saturating_sub(base.ns), self.hz(), NS_PER_SECOND, u128::div_ceil)
    }
}

/// `value * times / over`, with the rounding of `divide`; the largest number there is, if it is larger. A cycle of virtual time is a
/// nanosecond: there is nothing to divide, and every access asks for the time several times.
fn scaled(value: u64, times: u64, over: u64, divide: fn(u128, u128) -> u128) -> u64 {
    if times == over {
        return value;
    }
    u64::try_from(divide(u128::from(value) * u128::from(times), over.into())).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_never_goes_back() {
        let mut time = TimeBase::virtual_from_zero();
        time.set_cycles(Cycles(500));
        time.set_cycles(Cycles(400));
        assert_eq!(time.now(), Stamp { cycles: 500, ns: 500 });
    }

    #[test]
    fn host_time_counts_both_from_one_counter() {
        let hz = 2_000_000_000;
        let from = HostTsc::now();
        let time = TimeBase::host(hz, HostOffset::to_cycles(from, Cycles(0)), Base::default());
        let (before, now, after) = (HostTsc::now(), time.now(), HostTsc::now());
        assert!((before.0 - from.0..=after.0 - from.0).contains(&now.cycles), "{now:?}");
        assert_eq!(now.ns, now.cycles / 2);
    }

    #[test]
    fn a_stamp_from_before_the_base_has_its_own_nanoseconds() {
        let base = Base { cycles: Cycles(3000), ns: 5000 };
        let time = TimeBase::virtual_from(2_000_000_000, base);
        assert_eq!(time.stamp(Cycles(1000)), Stamp { cycles: 1000, ns: 4000 });
        assert_eq!(time.stamp(Cycles(3000)), Stamp { cycles: 3000, ns: 5000 });
        assert_eq!(time.stamp(Cycles(5001)), Stamp { cycles: 5001, ns: 6000 });
    }

    #[test]
    fn conversions_round_so_that_a_deadline_is_never_early() {
        let time = TimeBase::virtual_from(3_000_000_000, Base::default());
        for ns in [0, 1, 2, 3, 999, 1_000_000_007] {
            let mut at = time;
            at.set_cycles(time.cycle_at(ns));
            assert!(at.now().ns >= ns, "{ns}");
        }
        assert_eq!(time.cycles_to_ns(1), 1);
        assert_eq!(time.cycles_to_ns(6), 2);
        assert_eq!(time.cycles_to_ns(u64::MAX), 6_148_914_691_236_517_205);
    }
}
