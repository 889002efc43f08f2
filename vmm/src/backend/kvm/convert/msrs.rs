//! Model-specific registers, among them time.

use fencepost_softcpu::apic::IA32_TSC_DEADLINE;
use fencepost_softcpu::state::{CpuState, Msrs};
use fencepost_time::{Cycles, TscOffset};
use kvm_bindings::kvm_msr_entry;

/// The time stamp counter, as the guest reads it.
pub const IA32_TSC: u32 = 0x10;
/// What the guest's writes to its counter added up to.
const IA32_TSC_ADJUST: u32 = 0x3b;
/// MISC_ENABLE's fast-string bit: set on every processor, kept clear in [`Msrs`] until the guest writes it.
const FAST_STRINGS: u64 = 1;
const IA32_MISC_ENABLE: u32 = 0x1a0;

/// One of [`Msrs`], and its number (Intel SDM vol. 4, table 2-2).
struct Stored {
    index: u32,
    field: fn(&mut Msrs) -> &mut u64,
}

const STORED: [Stored; 13] = [
    Stored { index: 0x174, field: |m| &mut m.sysenter_cs },
    Stored { index: 0x175, field: |m| &mut m.sysenter_esp },
    Stored { index: 0x176, field: |m| &mut m.sysenter_eip },
    Stored { index: IA32_MISC_ENABLE, field: |m| &mut m.misc_enable },
    Stored { index: 0x277, field: |m| &mut m.pat },
    Stored { index: 0x2ff, field: |m| &mut m.mtrr_def_type },
    Stored { index: 0xc000_0081, field: |m| &mut m.star },
    Stored { index: 0xc000_0082, field: |m| &mut m.lstar },
    Stored { index: 0xc000_0083, field: |m| &mut m.cstar },
    Stored { index: 0xc000_0084, field: |m| &mut m.fmask },
    Stored { index: 0xc000_0102, field: |m| &mut m.kernel_gs_base },
    Stored { index: 0xc000_0103, field: |m| &mut m.tsc_aux },
    // Last: it means something only when APIC and TSC are there already.
    Stored { index: IA32_TSC_DEADLINE, field: |m| &mut m.tsc_deadline },
];

/// The numbers of all MSRs that are part of the state, in the order in which they must be set.
pub(super) fn indices() -> impl Iterator<Item = u32> {
    [IA32_TSC, IA32_TSC_ADJUST].into_iter().chain(STORED.iter().map(|msr| msr.index))
}

/// Whether it is the counter, or what the guest added to it.
pub(super) fn is_time(entry: &kvm_msr_entry) -> bool {
    matches!(entry.index, IA32_TSC | IA32_TSC_ADJUST)
}

/// Whether it is the APIC timer's deadline.
pub(super) fn is_deadline(entry: &kvm_msr_entry) -> bool {
    entry.index == IA32_TSC_DEADLINE
}

fn entry(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry { index, data, ..kvm_msr_entry::default() }
}

pub(super) fn to_entries(state: &CpuState) -> Vec<kvm_msr_entry> {
    let mut msrs = state.msr.clone();
    msrs.misc_enable |= FAST_STRINGS;
    let time = [entry(IA32_TSC, state.tsc().0), entry(IA32_TSC_ADJUST, msrs.tsc_adjust)];
    time.into_iter().chain(STORED.iter().map(|msr| entry(msr.index, *(msr.field)(&mut msrs)))).collect()
}

pub(super) fn from_entries(entries: &[kvm_msr_entry], state: &mut CpuState) {
    let value = |index| entries.iter().find(|each| each.index == index).map_or(0, |each| each.data);
    for msr in &STORED {
        *(msr.field)(&mut state.msr) = value(msr.index);
    }
    state.msr.tsc_adjust = value(IA32_TSC_ADJUST);
    // The machine's own counter is not KVM's business: whoever knows it tells the two apart.
    (state.cycles, state.tsc_offset) = (Cycles(value(IA32_TSC)), TscOffset(0));
}

#[cfg(test)]
mod tests {
    use fencepost_time::Tsc;

    use super::*;

    #[test]
    fn the_guests_counter_is_the_machines_and_its_offset() {
        let (cycles, tsc_offset) = (Cycles(1000), TscOffset(70));
        let mut state = CpuState { cycles, tsc_offset, ..CpuState::default() };
        state.msr.tsc_adjust = 50;
        let entries = to_entries(&state);
        assert_eq!((entries[0].index, entries[0].data), (0x10, 1070));
        let mut back = CpuState::default();
        from_entries(&entries, &mut back);
        assert_eq!((back.tsc(), back.msr.tsc_adjust), (Tsc(1070), 50));
    }

    #[test]
    fn the_deadline_is_set_last() {
        assert_eq!(indices().last(), Some(0x6e0));
    }
}
