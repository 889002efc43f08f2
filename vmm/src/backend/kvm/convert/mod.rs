//! A CPU's whole state as KVM's structures, and back: [`CpuState`] to [`VcpuState`] and to a vCPU.
//!
//! What KVM has no place for: [`CpuState::retired`] (it counts no instructions), the local APIC's unlatched errors and
//! the phase of its divided timer. The first is carried beside KVM's structures, the other two are lost.

mod apic;
mod events;
mod fpu;
pub mod ioapic;
mod msrs;
mod registers;
#[cfg(test)]
mod tests;
mod vcpu;
#[cfg(test)]
pub mod vcpu_tests;

use fencepost_softcpu::state::CpuState;
use kvm_bindings::{
    kvm_debugregs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events,
};

pub use fpu::XsaveArea;
pub use msrs::IA32_TSC;
pub use registers::{entry_regs, entry_sregs};
pub use vcpu::{get_msrs, set_msrs};

/// The state of one vCPU that `KVM_GET_*` returns and `KVM_SET_*` takes.
#[derive(Clone, Debug, PartialEq)]
pub struct VcpuState {
    /// General registers, RIP and RFLAGS.
    pub regs: kvm_regs,
    /// Segment, control and table registers, EFER, CR8 and IA32_APIC_BASE.
    pub sregs: kvm_sregs,
    /// DR0 to DR3, DR6, DR7.
    pub debug: kvm_debugregs,
    /// The XSAVE area: x87 and SSE, and (kept, not understood) whatever else the host saves.
    pub xsave: XsaveArea,
    /// The MSRs of `msrs::indices`, time stamp counter and APIC deadline included, in that order.
    pub msrs: Vec<kvm_msr_entry>,
    /// The local APIC's page.
    pub lapic: kvm_lapic_state,
    /// What waits for delivery, and what holds it back.
    pub events: kvm_vcpu_events,
    /// Running or halted.
    pub run_state: kvm_mp_state,
    /// Instructions retired so far: not KVM's, carried along.
    pub retired: u64,
}

impl VcpuState {
    /// KVM's view of `state`.
    pub fn from_cpu(state: &CpuState) -> Self {
        VcpuState {
            regs: registers::to_regs(state),
            sregs: registers::to_sregs(state),
            debug: registers::to_debug(state),
            xsave: XsaveArea::of(&state.fpu),
            msrs: msrs::to_entries(state),
            lapic: apic::to_lapic(state),
            events: events::to_events(state),
            run_state: events::to_run_state(state),
            retired: state.retired,
        }
    }

    /// The same CPU as the project's own state.
    pub fn to_cpu(&self) -> CpuState {
        let mut state = CpuState { retired: self.retired, ..CpuState::default() };
        registers::from_regs(&self.regs, &mut state);
        registers::from_sregs(&self.sregs, &mut state);
        registers::from_debug(&self.debug, &mut state);
        state.fpu = self.xsave.fpu();
        msrs::from_entries(&self.msrs, &mut state);
        apic::from_lapic(&self.lapic, &mut state);
        events::from_events(&self.events, &mut state);
        events::from_run_state(&self.run_state, &mut state);
        state
    }
}
