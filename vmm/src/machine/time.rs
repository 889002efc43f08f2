//! The machine's time: virtual cycles under `soft`, the host's clocks under `kvm`.

use std::time::Instant;

use fencepost_trace::Stamp;

/// The nominal TSC frequency of the virtual clock.
pub const SOFT_TSC_HZ: u64 = 1_000_000_000;

/// Where "now" comes from.
#[derive(Clone, Copy, Debug)]
pub enum TimeBase {
    /// The CPU says what time it is: one retired instruction is one cycle.
    Virtual {
        /// Cycles so far.
        cycles: u64,
        /// Cycles per second.
        hz: u64,
    },
    /// The host's monotonic clock, and its TSC, which the guest sees with an offset.
    Host {
        /// When the machine started.
        start: Instant,
        /// What the host's TSC read when the guest's was zero.
        tsc_start: u64,
        /// TSC cycles per second.
        hz: u64,
    },
}

const NS_PER_SECOND: u128 = 1_000_000_000;

impl TimeBase {
    /// Virtual time from zero.
    pub fn virtual_from_zero() -> Self {
        TimeBase::Virtual { cycles: 0, hz: SOFT_TSC_HZ }
    }

    /// The host's time from now on; `hz` is the TSC's frequency, `guest_tsc` what the guest's counter reads now.
    pub fn host(hz: u64, guest_tsc: u64) -> Self {
        TimeBase::Host { start: Instant::now(), tsc_start: host_tsc().wrapping_sub(guest_tsc), hz }
    }

    /// Tells virtual time what the CPU's counter is. It never goes back. Host time ignores it.
    pub fn set_cycles(&mut self, now: u64) {
        if let TimeBase::Virtual { cycles, .. } = self {
            *cycles = now.max(*cycles);
        }
    }

    /// Now.
    pub fn now(&self) -> Stamp {
        match *self {
            TimeBase::Virtual { cycles, .. } => Stamp { cycles, ns: self.cycles_to_ns_floor(cycles) },
            TimeBase::Host { start, tsc_start, .. } => Stamp {
                cycles: host_tsc().wrapping_sub(tsc_start),
                ns: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            },
        }
    }

    fn hz(&self) -> u64 {
        match *self {
            TimeBase::Virtual { hz, .. } | TimeBase::Host { hz, .. } => hz,
        }
    }

    fn cycles_to_ns_floor(&self, cycles: u64) -> u64 {
        let ns = u128::from(cycles) * NS_PER_SECOND / u128::from(self.hz());
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The length of `cycles` in nanoseconds, rounded up.
    pub fn cycles_to_ns(&self, cycles: u64) -> u64 {
        let ns = (u128::from(cycles) * NS_PER_SECOND).div_ceil(u128::from(self.hz()));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The first cycle at which the clock reads at least `ns`.
    pub fn ns_to_cycles(&self, ns: u64) -> u64 {
        let cycles = (u128::from(ns) * u128::from(self.hz())).div_ceil(NS_PER_SECOND);
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }
}

/// The host's time stamp counter.
pub fn host_tsc() -> u64 {
    // SAFETY: RDTSC reads a counter and touches no memory; every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_never_goes_back() {
        let mut time = TimeBase::virtual_from_zero();
        time.set_cycles(500);
        time.set_cycles(400);
        assert_eq!(time.now(), Stamp { cycles: 500, ns: 500 });
    }

    #[test]
    fn conversions_round_so_that_a_deadline_is_never_early() {
        let time = TimeBase::Virtual { cycles: 0, hz: 3_000_000_000 };
        for ns in [0, 1, 2, 3, 999, 1_000_000_007] {
            let cycles = time.ns_to_cycles(ns);
            let mut at = time;
            at.set_cycles(cycles);
            assert!(at.now().ns >= ns, "{ns}");
        }
        assert_eq!(time.cycles_to_ns(1), 1);
        assert_eq!(time.cycles_to_ns(6), 2);
        assert_eq!(time.cycles_to_ns(u64::MAX), 6_148_914_691_236_517_205);
    }
}
