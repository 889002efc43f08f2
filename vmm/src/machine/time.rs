//! The machine's time: virtual cycles under `soft`, the host's TSC under `kvm`.

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
        /// A moment at which both are known.
        base: Stamp,
    },
    /// The host's TSC, which the guest sees with an offset. Nanoseconds are worked out from it, by the frequency that
    /// the guest is told: one clock, so that nothing the guest reads can drift against the machine's.
    Host {
        /// What the guest's TSC reads more than the host's, modulo 2^64.
        offset: u64,
        /// TSC cycles per second.
        hz: u64,
        /// A moment at which both are known.
        base: Stamp,
    },
}

const NS_PER_SECOND: u128 = 1_000_000_000;

impl TimeBase {
    /// Virtual time from zero.
    pub fn virtual_from_zero() -> Self {
        TimeBase::virtual_from(SOFT_TSC_HZ, Stamp { cycles: 0, ns: 0 })
    }

    /// Virtual time from `base` on, at `hz` cycles a second.
    pub fn virtual_from(hz: u64, base: Stamp) -> Self {
        TimeBase::Virtual { cycles: base.cycles, hz, base }
    }

    /// The host's time: the guest's TSC reads `offset` more than the host's and counts `hz` cycles a second. At `base`,
    /// which is not after now, nanoseconds are the given ones; after power-on that is zero at zero.
    pub fn host(hz: u64, offset: u64, base: Stamp) -> Self {
        TimeBase::Host { offset, hz, base }
    }

    /// Has cycles follow a guest that set its counter: `offset` as in [`host`](Self::host). Nanoseconds go on.
    /// An offset that is known only to `within` so many cycles is taken for the same one when it is as near as two such
    /// readings can be.
    pub fn set_offset(&mut self, now_offset: u64, within: u64) {
        let ns = self.now().ns;
        if let TimeBase::Host { offset, base, .. } = self {
            let distance = (now_offset.wrapping_sub(*offset) as i64).unsigned_abs();
            if distance > within.saturating_mul(4) {
                *offset = now_offset;
                *base = Stamp { cycles: host_tsc().wrapping_add(now_offset), ns };
            }
        }
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
            TimeBase::Virtual { cycles, base, .. } => {
                let since = cycles.saturating_sub(base.cycles);
                Stamp { cycles, ns: base.ns.saturating_add(self.cycles_to_ns_floor(since)) }
            }
            TimeBase::Host { offset, base, .. } => {
                let cycles = host_tsc().wrapping_add(offset);
                // Another processor's counter may be a few cycles behind; the distance is never negative.
                let since = (cycles.wrapping_sub(base.cycles) as i64).max(0) as u64;
                Stamp { cycles, ns: base.ns.saturating_add(self.cycles_to_ns_floor(since)) }
            }
        }
    }

    /// The nanoseconds at the guest's cycle `cycles`, which is not after now.
    pub fn ns_at(&self, cycles: u64) -> u64 {
        let base = self.base();
        match base.cycles.checked_sub(cycles) {
            Some(before) => base.ns.saturating_sub(self.cycles_to_ns(before)),
            None => base.ns.saturating_add(self.cycles_to_ns_floor(cycles.wrapping_sub(base.cycles))),
        }
    }

    fn base(&self) -> Stamp {
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
        let ns = u128::from(cycles) * NS_PER_SECOND / u128::from(self.hz());
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The length of `cycles` in nanoseconds, rounded up.
    pub fn cycles_to_ns(&self, cycles: u64) -> u64 {
        let ns = (u128::from(cycles) * NS_PER_SECOND).div_ceil(u128::from(self.hz()));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The first cycle at which the clock reads at least `ns`, not before the moment from which it counts.
    pub fn cycle_at(&self, ns: u64) -> u64 {
        let base = self.base();
        let since = u128::from(ns.saturating_sub(base.ns));
        let cycles = (since * u128::from(self.hz())).div_ceil(NS_PER_SECOND);
        u64::try_from(cycles).unwrap_or(u64::MAX).saturating_add(base.cycles)
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
    fn host_time_counts_both_from_one_counter() {
        let hz = 2_000_000_000;
        let from = host_tsc();
        let time = TimeBase::host(hz, from.wrapping_neg(), Stamp { cycles: 0, ns: 0 });
        let (before, now, after) = (host_tsc(), time.now(), host_tsc());
        assert!((before - from..=after - from).contains(&now.cycles), "{now:?}");
        assert_eq!(now.ns, now.cycles / 2);
    }

    #[test]
    fn nanoseconds_go_on_when_the_guest_sets_its_counter() {
        let mut time = TimeBase::host(1_000_000_000, host_tsc().wrapping_neg(), Stamp { cycles: 0, ns: 0 });
        let before = time.now();
        time.set_offset(5_000_000_000_000u64.wrapping_sub(host_tsc()), 0);
        let after = time.now();
        assert!(after.cycles >= 5_000_000_000_000 && after.ns >= before.ns);
        assert!(after.ns - before.ns < 1_000_000_000, "{before:?} {after:?}");
    }

    #[test]
    fn conversions_round_so_that_a_deadline_is_never_early() {
        let time = TimeBase::virtual_from(3_000_000_000, Stamp { cycles: 0, ns: 0 });
        for ns in [0, 1, 2, 3, 999, 1_000_000_007] {
            let cycles = time.cycle_at(ns);
            let mut at = time;
            at.set_cycles(cycles);
            assert!(at.now().ns >= ns, "{ns}");
        }
        assert_eq!(time.cycles_to_ns(1), 1);
        assert_eq!(time.cycles_to_ns(6), 2);
        assert_eq!(time.cycles_to_ns(u64::MAX), 6_148_914_691_236_517_205);
    }
}
