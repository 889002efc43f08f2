//! The firmware's entry registers as a whole CPU state.

use fencepost_firmware::{Entry, EntrySegment};
use fencepost_softcpu::state::{CpuState, Segment, Table, reg, seg};

fn segment(from: &EntrySegment) -> Segment {
    Segment { selector: from.selector, base: from.base, limit: from.limit, attributes: from.attributes }
}

/// Puts the entry registers into `state`, which is the CPU's after reset; what they do not name stays.
pub fn apply(entry: &Entry, state: &mut CpuState) {
    state.gpr = [0; 16];
    state.gpr[reg::RSI] = entry.rsi;
    state.gpr[reg::RSP] = entry.rsp;
    state.rip = entry.rip;
    state.rflags = entry.rflags;
    state.seg = [segment(&entry.data); 6];
    state.seg[seg::CS] = segment(&entry.cs);
    state.tr = segment(&entry.tr);
    state.ldtr = Segment { attributes: LDT_PRESENT, ..Segment::default() };
    state.gdtr = Table { base: entry.gdt_base, limit: entry.gdt_limit };
    state.idtr = Table { base: entry.idt_base, limit: entry.idt_limit };
    state.cr0 = entry.cr0;
    state.cr3 = entry.cr3;
    state.cr4 = entry.cr4;
    state.efer = entry.efer;
}

/// Type 2 (LDT), present.
const LDT_PRESENT: u16 = 0x82;
