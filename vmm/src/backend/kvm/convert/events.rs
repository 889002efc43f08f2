//! What waits for delivery: exceptions, NMIs, interrupts on their way; and the interrupt shadow and HLT.

use fencepost_softcpu::apic::regs::{IRR, ISR};
use fencepost_softcpu::flags::IF;
use fencepost_softcpu::state::{CpuState, PendingException};
use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED,
    KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW, KVM_X86_SHADOW_INT_MOV_SS,
    KVM_X86_SHADOW_INT_STI, kvm_mp_state, kvm_vcpu_events,
};

pub(super) fn to_events(state: &CpuState) -> kvm_vcpu_events {
    let mut events = kvm_vcpu_events {
        flags: KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
        ..kvm_vcpu_events::default()
    };
    if let Some(waiting) = state.pending_exception {
        events.exception.injected = 1;
        events.exception.nr = waiting.vector;
        events.exception.has_error_code = u8::from(waiting.error_code.is_some());
        events.exception.error_code = waiting.error_code.unwrap_or(0);
    }
    events.nmi.pending = u8::from(state.nmi_pending);
    events.nmi.masked = u8::from(state.nmi_blocked);
    if state.interrupt_shadow {
        // VMX refuses to enter a guest in STI's shadow while interrupts are off.
        let shadow = if state.rflags & IF != 0 { KVM_X86_SHADOW_INT_STI } else { KVM_X86_SHADOW_INT_MOV_SS };
        events.interrupt.shadow = shadow as u8;
    }
    events
}

/// Call it when the APIC's registers are in `state`: an interrupt that KVM has taken from the APIC but not delivered
/// goes back there.
pub(super) fn from_events(events: &kvm_vcpu_events, state: &mut CpuState) {
    let exception = &events.exception;
    // KVM reports no INT3 and INTO here: RIP is still at the instruction, which will raise it again.
    state.pending_exception = (exception.injected != 0 || exception.pending != 0).then(|| PendingException {
        vector: exception.nr,
        error_code: (exception.has_error_code != 0).then_some(exception.error_code),
    });
    let on_its_way = events.nmi.injected != 0;
    state.nmi_pending = events.nmi.pending != 0 || on_its_way;
    state.nmi_blocked = events.nmi.masked != 0 && !on_its_way;
    state.interrupt_shadow = events.interrupt.shadow != 0;
    if events.interrupt.injected != 0 && events.interrupt.soft == 0 {
        let (word, bit) = (usize::from(events.interrupt.nr / 32), 1 << (events.interrupt.nr % 32));
        state.apic.regs[ISR + word] &= !bit;
        state.apic.regs[IRR + word] |= bit;
    }
}

pub(super) fn to_run_state(state: &CpuState) -> kvm_mp_state {
    let mp_state = match (state.waits_for_startup, state.halted) {
        // A startup message means nothing to one that KVM has as uninitialized.
        (true, _) => KVM_MP_STATE_INIT_RECEIVED,
        (false, true) => KVM_MP_STATE_HALTED,
        (false, false) => KVM_MP_STATE_RUNNABLE,
    };
    kvm_mp_state { mp_state }
}

pub(super) fn from_run_state(run_state: &kvm_mp_state, state: &mut CpuState) {
    let waits = [KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED].contains(&run_state.mp_state);
    (state.halted, state.waits_for_startup) = (waits || run_state.mp_state == KVM_MP_STATE_HALTED, waits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_that_was_taken_but_not_delivered_is_requested_again() {
        let mut events = kvm_vcpu_events::default();
        (events.interrupt.injected, events.interrupt.nr) = (1, 0x41);
        let mut state = CpuState::default();
        state.apic.regs[ISR + 2] = 0b10;
        from_events(&events, &mut state);
        assert_eq!((state.apic.regs[ISR + 2], state.apic.regs[IRR + 2]), (0, 0b10));
    }

    #[test]
    fn an_nmi_on_its_way_still_waits() {
        let mut events = kvm_vcpu_events::default();
        (events.nmi.injected, events.nmi.masked) = (1, 1);
        let mut state = CpuState::default();
        from_events(&events, &mut state);
        assert_eq!((state.nmi_pending, state.nmi_blocked), (true, false));
    }

    #[test]
    fn the_shadows_kind_is_one_that_the_flags_allow() {
        let mut state = CpuState { interrupt_shadow: true, rflags: 2, ..CpuState::default() };
        assert_eq!(u32::from(to_events(&state).interrupt.shadow), KVM_X86_SHADOW_INT_MOV_SS);
        state.rflags |= IF;
        assert_eq!(u32::from(to_events(&state).interrupt.shadow), KVM_X86_SHADOW_INT_STI);
    }
}
