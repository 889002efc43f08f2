//! The local APIC's page of 64 registers, each in 16 bytes.

use fencepost_softcpu::apic::processor_priority;
use fencepost_softcpu::apic::regs::{COUNT, ID, PPR, SAVED_ERRORS, SAVED_TIMER_PHASE};
use fencepost_softcpu::state::CpuState;
use kvm_bindings::kvm_lapic_state;

/// IA32_APIC_BASE: the APIC is in x2APIC mode.
const BASE_X2APIC: u64 = 1 << 10;
/// Bytes from one register to the next.
const STRIDE: usize = 16;
/// Without KVM_CAP_X2APIC_API, KVM's page has the id in xAPIC's place in either mode.
const ID_SHIFT: u32 = 24;

pub(super) fn to_lapic(state: &CpuState) -> kvm_lapic_state {
    let mut page = kvm_lapic_state::default();
    for (index, &value) in state.apic.regs.iter().enumerate().take(COUNT) {
        let value = match index {
            // KVM has neither; it would give them back for ever.
            SAVED_ERRORS | SAVED_TIMER_PHASE => 0,
            ID if state.msr.apic_base & BASE_X2APIC != 0 => value << ID_SHIFT,
            _ => value,
        };
        set(&mut page, index, value);
    }
    page
}

pub(super) fn from_lapic(page: &kvm_lapic_state, state: &mut CpuState) {
    state.apic.regs = (0..COUNT).map(|index| get(page, index)).collect();
    if state.msr.apic_base & BASE_X2APIC != 0 {
        state.apic.regs[ID] >>= ID_SHIFT;
    }
    // KVM's copy may be older than what it follows from.
    state.apic.regs[PPR] = processor_priority(&state.apic.regs);
}

/// A register by its number.
pub(super) fn get(page: &kvm_lapic_state, index: usize) -> u32 {
    let bytes = page.regs[index * STRIDE..].first_chunk::<4>().copied().unwrap_or_default();
    u32::from_le_bytes(bytes.map(|byte| byte as u8))
}

fn set(page: &mut kvm_lapic_state, index: usize, value: u32) {
    for (to, from) in page.regs[index * STRIDE..].iter_mut().zip(value.to_le_bytes()) {
        *to = from as std::os::raw::c_char;
    }
}

/// Whether two pages differ in what an instruction can change, the processor priority (which follows from the rest) and
/// the timer's running count apart.
pub(super) fn differ(one: &kvm_lapic_state, other: &kvm_lapic_state) -> bool {
    use fencepost_softcpu::apic::regs::CURRENT_COUNT;
    (0..COUNT)
        .filter(|index| ![PPR, CURRENT_COUNT, SAVED_TIMER_PHASE].contains(index))
        .any(|index| get(one, index) != get(other, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_at_sixteen_times_its_number() {
        let mut state = CpuState::default();
        state.apic.regs[0x32] = 0x0004_00ec;
        let page = to_lapic(&state);
        assert_eq!(page.regs[0x320..0x324].iter().map(|b| *b as u8).collect::<Vec<_>>(), [0xec, 0, 4, 0]);
    }

    #[test]
    fn the_id_moves_between_the_modes_places() {
        let mut state = CpuState::default();
        state.apic.regs[ID] = 3;
        state.msr.apic_base = 0xfee0_0000 | BASE_X2APIC | 1 << 11;
        let page = to_lapic(&state);
        assert_eq!(get(&page, ID), 3 << 24);
        let mut back = CpuState::default();
        back.msr.apic_base = state.msr.apic_base;
        from_lapic(&page, &mut back);
        assert_eq!(back.apic.regs[ID], 3);
    }
}
