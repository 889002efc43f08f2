//! General, segment, control, table and debug registers.

use fencepost_firmware::Entry;
use fencepost_softcpu::apic::regs::TPR;
use fencepost_softcpu::state::{CpuState, Segment, Table, seg};
use kvm_bindings::{kvm_debugregs, kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

use crate::entry;

/// Bits of DR6 that hold something, and those that always read as one (Intel SDM vol. 3, figure 19-1).
const DR6_BITS: u64 = 0xe00f;
const DR6_ONES: u64 = 0xffff_0ff0;
/// The same of DR7.
const DR7_BITS: u64 = 0xffff_2bff;
const DR7_ONES: u64 = 0x400;

fn to_segment(from: &Segment) -> kvm_segment {
    let bit = |at: u32| ((from.attributes >> at) & 1) as u8;
    kvm_segment {
        base: from.base,
        limit: from.limit,
        selector: from.selector,
        type_: (from.attributes & 0xf) as u8,
        s: bit(4),
        dpl: ((from.attributes >> 5) & 3) as u8,
        present: bit(7),
        avl: bit(12),
        l: bit(13),
        db: bit(14),
        g: bit(15),
        // VMX knows a null segment by this; SVM by the present bit.
        unusable: 1 - bit(7),
        ..kvm_segment::default()
    }
}

fn from_segment(from: &kvm_segment) -> Segment {
    let fields = [
        (from.type_, 0),
        (from.s, 4),
        (from.dpl, 5),
        (from.present, 7),
        (from.avl, 12),
        (from.l, 13),
        (from.db, 14),
        (from.g, 15),
    ];
    let attributes = fields.iter().fold(0, |all, &(value, at)| all | u16::from(value) << at);
    Segment { selector: from.selector, base: from.base, limit: from.limit, attributes }
}

fn to_table(from: &Table) -> kvm_dtable {
    kvm_dtable { base: from.base, limit: from.limit, ..kvm_dtable::default() }
}

fn from_table(from: &kvm_dtable) -> Table {
    Table { base: from.base, limit: from.limit }
}

pub(super) fn to_regs(state: &CpuState) -> kvm_regs {
    let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = state.gpr;
    kvm_regs {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip: state.rip,
        rflags: state.rflags,
    }
}

pub(super) fn from_regs(regs: &kvm_regs, state: &mut CpuState) {
    state.gpr = [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8, regs.r9,
        regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    state.rip = regs.rip;
    state.rflags = regs.rflags;
}

pub(super) fn to_sregs(state: &CpuState) -> kvm_sregs {
    kvm_sregs {
        es: to_segment(&state.seg[seg::ES]),
        cs: to_segment(&state.seg[seg::CS]),
        ss: to_segment(&state.seg[seg::SS]),
        ds: to_segment(&state.seg[seg::DS]),
        fs: to_segment(&state.seg[seg::FS]),
        gs: to_segment(&state.seg[seg::GS]),
        tr: to_segment(&state.tr),
        ldt: to_segment(&state.ldtr),
        gdt: to_table(&state.gdtr),
        idt: to_table(&state.idtr),
        cr0: state.cr0,
        cr2: state.cr2,
        cr3: state.cr3,
        cr4: state.cr4,
        cr8: u64::from(state.apic.regs.get(TPR).map_or(0, |tpr| tpr >> 4)),
        efer: state.efer,
        apic_base: state.msr.apic_base,
        ..kvm_sregs::default()
    }
}

pub(super) fn from_sregs(sregs: &kvm_sregs, state: &mut CpuState) {
    state.seg = [sregs.es, sregs.cs, sregs.ss, sregs.ds, sregs.fs, sregs.gs].map(|each| from_segment(&each));
    state.ldtr = from_segment(&sregs.ldt);
    state.tr = from_segment(&sregs.tr);
    state.gdtr = from_table(&sregs.gdt);
    state.idtr = from_table(&sregs.idt);
    state.cr0 = sregs.cr0;
    state.cr2 = sregs.cr2;
    state.cr3 = sregs.cr3;
    state.cr4 = sregs.cr4;
    state.efer = sregs.efer;
    state.msr.apic_base = sregs.apic_base;
}

pub(super) fn to_debug(state: &CpuState) -> kvm_debugregs {
    let [a, b, c, d, _, _, dr6, dr7] = state.dr;
    kvm_debugregs {
        db: [a, b, c, d],
        dr6: dr6 & DR6_BITS | DR6_ONES,
        dr7: dr7 & DR7_BITS | DR7_ONES,
        ..kvm_debugregs::default()
    }
}

pub(super) fn from_debug(debug: &kvm_debugregs, state: &mut CpuState) {
    let [a, b, c, d] = debug.db;
    state.dr = [a, b, c, d, 0, 0, debug.dr6, debug.dr7];
}

/// Puts the entry's system registers into those that the CPU has after reset.
pub fn entry_sregs(from: &Entry, sregs: &mut kvm_sregs) {
    let mut state = CpuState::default();
    from_sregs(sregs, &mut state);
    entry::apply(from, &mut state);
    *sregs = kvm_sregs { cr8: sregs.cr8, ..to_sregs(&state) };
}

/// The entry's general registers.
pub fn entry_regs(from: &Entry) -> kvm_regs {
    kvm_regs { rip: from.rip, rsi: from.rsi, rsp: from.rsp, rflags: from.rflags, ..kvm_regs::default() }
}

#[cfg(test)]
mod tests {
    use fencepost_firmware::EntrySegment;
    use fencepost_softcpu::state::reg;

    use super::*;

    #[test]
    fn entry_registers_are_the_same_on_both_back_ends() {
        let segment = |selector, attributes| EntrySegment { selector, base: 0, limit: u32::MAX, attributes };
        let from = Entry {
            rip: 0x100_0000,
            rsi: 0x7000,
            rsp: 0x6ff0,
            rflags: 2,
            cr0: 0x8000_0031,
            cr3: 0x9000,
            cr4: 0x20,
            efer: 0x500,
            cs: segment(0x10, 0xa09b),
            data: segment(0x18, 0xc093),
            tr: EntrySegment { limit: 0x67, ..segment(0x20, 0x8b) },
            gdt_base: 0x500,
            gdt_limit: 0x2f,
            idt_base: 0x1234,
            idt_limit: 7,
        };
        let mut soft = CpuState::default();
        entry::apply(&from, &mut soft);
        let mut sregs = kvm_sregs::default();
        entry_sregs(&from, &mut sregs);
        let mut state = CpuState::default();
        from_regs(&entry_regs(&from), &mut state);
        from_sregs(&sregs, &mut state);
        assert_eq!(state, soft);
    }

    // Linux' own values of a 64-bit kernel segment, as QEMU's monitor prints them: attributes 0x00af9b00.
    #[test]
    fn a_code_segment_in_kvms_fields() {
        let cs = Segment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xa09b };
        let got = to_segment(&cs);
        let fields = [got.type_, got.s, got.dpl, got.present, got.avl, got.l, got.db, got.g, got.unusable];
        assert_eq!(fields, [0xb, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(to_segment(&Segment::default()).unusable, 1);
    }

    #[test]
    fn a_general_register_is_where_its_name_says() {
        let mut state = CpuState::default();
        state.gpr[reg::RBX] = 3;
        state.gpr[reg::RSP] = 4;
        state.gpr[11] = 11;
        let regs = to_regs(&state);
        assert_eq!((regs.rbx, regs.rsp, regs.r11, regs.rcx), (3, 4, 11, 0));
    }
}
