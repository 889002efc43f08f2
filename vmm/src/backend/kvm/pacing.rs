//! A timer that leaves a slow CPU time to work.
//!
//! Where KVM emulates kernel code, a tick of a kernel's 250 Hz can cost more instructions than there are until the next: the
//! guest then does nothing but ticks. Its timer's deadlines are taken from it there, and one that follows another too
//! closely is set later. A timer may always be late, and the counter it is compared with stays true; a kernel skips the
//! ticks that it has missed. A single deadline is kept to the cycle. Real hardware never comes here.

use std::sync::OnceLock;

use fencepost_softcpu::apic::IA32_TSC_DEADLINE;
use fencepost_time::{HostTsc, Tsc};
use kvm_bindings::{KVM_CAP_X86_USER_SPACE_MSR, kvm_enable_cap, kvm_msr_entry};
use kvm_ioctls::{MsrExitReason, MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VcpuFd, VmFd};

use super::convert::set_msrs;
use super::{host_error, tsc};
use crate::error::HostError;
use crate::speed;

/// Timer interrupts a second, at most: a tick of 5,000 instructions at half a million a second is a tenth of the time.
const INTERRUPTS_PER_SECOND: u64 = 10;

/// Whether this host's KVM emulates kernel code; measured once.
pub fn needed() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| speed::measure().is_ok_and(|mips| mips < speed::KVM_WORTH_MIPS))
}

/// Has KVM hand the guest's deadlines to its vCPUs' threads.
pub fn take_deadlines(vm: &VmFd) -> Result<(), HostError> {
    let refused = |e| host_error("it does not hand over the timer's deadlines", e);
    let capability = kvm_enable_cap {
        cap: KVM_CAP_X86_USER_SPACE_MSR,
        args: [MsrExitReason::Filter.bits().into(), 0, 0, 0],
        ..kvm_enable_cap::default()
    };
    vm.enable_cap(&capability).map_err(refused)?;
    // A clear bit denies: the access is handed over.
    let range = MsrFilterRange {
        flags: MsrFilterRangeFlags::WRITE,
        base: IA32_TSC_DEADLINE,
        msr_count: 1,
        bitmap: &[0],
    };
    vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &[range]).map_err(refused)
}

/// The deadlines of one vCPU, in its TSC's cycles.
#[derive(Debug, Default)]
pub struct Pacing {
    /// What the timer was set to last; zero when it was disarmed.
    set: Tsc,
    /// When it went off last; zero when it never did.
    fired: Tsc,
}

impl Pacing {
    /// What the timer is set to when, at `now`, the guest asks for `deadline`: 0 disarms it.
    fn pace(&mut self, deadline: Tsc, now: Tsc, tsc_hz: u64) -> Tsc {
        if (Tsc(1)..=now).contains(&self.set) {
            self.fired = self.set;
        }
        // A guest that has set its counter back since does not wait for what it once read.
        let earliest = match self.fired {
            Tsc(0) => Tsc(0),
            fired if fired > now => Tsc(0),
            Tsc(fired) => Tsc(fired.saturating_add(tsc_hz / INTERRUPTS_PER_SECOND)),
        };
        self.set = if deadline == Tsc(0) { Tsc(0) } else { deadline.max(earliest) };
        self.set
    }

    /// The guest writes its deadline.
    pub fn on_deadline(&mut self, fd: &VcpuFd, deadline: Tsc, tsc_hz: u64) -> Result<(), HostError> {
        let now = HostTsc::now().tsc(tsc::offset(fd)?);
        let Tsc(data) = self.pace(deadline, now, tsc_hz);
        set_msrs(fd, &[kvm_msr_entry { index: IA32_TSC_DEADLINE, data, ..kvm_msr_entry::default() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u64 = 1000;

    #[test]
    fn a_single_deadline_is_kept() {
        let mut pacing = Pacing::default();
        assert_eq!(pacing.pace(Tsc(5), Tsc(1), HZ), Tsc(5));
        assert_eq!(pacing.pace(Tsc(2000), Tsc(6), HZ), Tsc(2000), "long after the last");
        assert_eq!(pacing.pace(Tsc(0), Tsc(7), HZ), Tsc(0));
    }

    #[test]
    fn one_too_soon_after_another_is_late() {
        let mut pacing = Pacing::default();
        pacing.pace(Tsc(500), Tsc(496), HZ);
        assert_eq!(pacing.pace(Tsc(504), Tsc(501), HZ), Tsc(600));
        // It has not gone off yet: still a tenth of a second after the one that did.
        assert_eq!(pacing.pace(Tsc(508), Tsc(502), HZ), Tsc(600));
        assert_eq!(pacing.pace(Tsc(604), Tsc(601), HZ), Tsc(700));
    }

    #[test]
    fn one_that_never_went_off_does_not_count() {
        let mut pacing = Pacing::default();
        pacing.pace(Tsc(500), Tsc(1), HZ);
        assert_eq!(pacing.pace(Tsc(7), Tsc(2), HZ), Tsc(7));
    }

    #[test]
    fn a_guest_that_sets_its_counter_back_is_not_paced_by_what_it_read_before() {
        let mut pacing = Pacing::default();
        pacing.pace(Tsc(1 << 50), Tsc((1 << 50) - 1), HZ);
        pacing.pace(Tsc((1 << 50) + 9), Tsc((1 << 50) + 1), HZ);
        assert_eq!(pacing.pace(Tsc(30), Tsc(20), HZ), Tsc(30));
    }
}
