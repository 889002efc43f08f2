//! KVM's register structures, from the firmware's entry and to the project's own [`CpuState`].

use fencepost_firmware::{Entry, EntrySegment};
use fencepost_softcpu::state::{CpuState, Segment, Table};
use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};

fn to_kvm(from: &EntrySegment) -> kvm_segment {
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
        ..kvm_segment::default()
    }
}

fn from_kvm(from: &kvm_segment) -> Segment {
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

/// Puts the entry's system registers into those that the CPU has after reset.
pub fn entry_sregs(entry: &Entry, sregs: &mut kvm_sregs) {
    let data = to_kvm(&entry.data);
    sregs.cs = to_kvm(&entry.cs);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = to_kvm(&entry.tr);
    sregs.gdt.base = entry.gdt_base;
    sregs.gdt.limit = entry.gdt_limit;
    sregs.idt.base = entry.idt_base;
    sregs.idt.limit = entry.idt_limit;
    sregs.cr0 = entry.cr0;
    sregs.cr3 = entry.cr3;
    sregs.cr4 = entry.cr4;
    sregs.efer = entry.efer;
}

/// The entry's general registers.
pub fn entry_regs(entry: &Entry) -> kvm_regs {
    kvm_regs { rip: entry.rip, rsi: entry.rsi, rsp: entry.rsp, rflags: entry.rflags, ..kvm_regs::default() }
}

/// The registers that KVM keeps in these two structures; the rest is as after reset.
pub fn to_cpu_state(regs: &kvm_regs, sregs: &kvm_sregs) -> CpuState {
    CpuState {
        gpr: [
            regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8, regs.r9,
            regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
        ],
        rip: regs.rip,
        rflags: regs.rflags,
        seg: [sregs.es, sregs.cs, sregs.ss, sregs.ds, sregs.fs, sregs.gs].map(|segment| from_kvm(&segment)),
        ldtr: from_kvm(&sregs.ldt),
        tr: from_kvm(&sregs.tr),
        gdtr: Table { base: sregs.gdt.base, limit: sregs.gdt.limit },
        idtr: Table { base: sregs.idt.base, limit: sregs.idt.limit },
        cr0: sregs.cr0,
        cr2: sregs.cr2,
        cr3: sregs.cr3,
        cr4: sregs.cr4,
        efer: sregs.efer,
        ..CpuState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry;

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
        soft.ldtr = Segment::default();
        let mut sregs = kvm_sregs::default();
        entry_sregs(&from, &mut sregs);
        assert_eq!(to_cpu_state(&entry_regs(&from), &sregs), soft);
    }
}
