//! INIT, the startup message, and real-address mode (Intel SDM vol. 3, 10.1, 11.4.4 and chapter 21; vol. 2 for the forms).

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{Segment, Table, reg, seg};
use machine::*;
use vm_memory::{Bytes, GuestAddress};

/// The page of the startup message, and what that makes of it.
const PAGE: u8 = 0x30;
const BASE: u64 = 0x3_0000;
/// Where vectors of the interrupt table lead: `hlt` at `HANDLER + vector`.
const HANDLER: u64 = 0x4_0000;
/// Real-mode stack: SS:SP.
const SS: u16 = 0x5000;
const SP: u64 = 0x1000;
const BOOTSTRAP: u64 = 1 << 8;

/// A CPU that waits for a startup message, in a machine whose interrupt table is set.
fn waiting() -> Machine {
    let mut m = Machine::new();
    m.with_state(|s| s.msr.apic_base &= !BOOTSTRAP);
    for vector in 0..32u64 {
        m.write(4 * vector, (HANDLER as u32 >> 4) << 16 | vector as u32);
        m.memory.write_obj(0xf4u8, GuestAddress(HANDLER + vector)).unwrap();
    }
    m.cpu.init();
    m
}

/// The same, started, with this code at CS:0 and a stack.
fn started(code: &[u8]) -> Machine {
    let mut m = waiting();
    m.memory.write_slice(code, GuestAddress(BASE)).unwrap();
    m.cpu.start_up(PAGE);
    m.with_state(|s| {
        (s.seg[seg::SS].selector, s.seg[seg::SS].base) = (SS, u64::from(SS) << 4);
        s.gpr[reg::RSP] = SP;
    });
    m
}

/// Runs to a handler; its vector, and IP, CS and FLAGS from the stack.
fn interrupted(m: &mut Machine) -> (u64, [u16; 3]) {
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!(s.seg[seg::CS].base, HANDLER);
    let at = s.seg[seg::SS].base + (s.gpr[reg::RSP] & 0xffff);
    (s.rip - 1, [0, 2, 4].map(|n| m.read(at + n)))
}

#[test]
fn init_leaves_what_the_manual_says_and_waits() {
    let mut m = Machine::new();
    m.with_state(|s| {
        s.msr.apic_base &= !BOOTSTRAP;
        s.fpu.mxcsr = 0x1fa0;
        s.msr.lstar = 77;
        s.rflags |= 0x200;
        s.nmi_pending = true;
    });
    m.cpu.init();
    let s = m.cpu.state();
    assert_eq!((s.rip, s.rflags, s.cr0, s.cr3, s.cr4, s.efer), (0xfff0, 2, 0x6000_0010, 0, 0, 0));
    assert_eq!((s.seg[seg::CS].selector, s.seg[seg::CS].base), (0xf000, 0xffff_0000));
    assert_eq!((s.seg[seg::DS].base, s.seg[seg::DS].limit), (0, 0xffff));
    assert_eq!((s.gdtr, s.idtr), (Table { base: 0, limit: 0xffff }, Table { base: 0, limit: 0xffff }));
    assert_eq!((s.dr[6], s.dr[7]), (0xffff_0ff0, 0x400));
    // What stays.
    assert_eq!((s.fpu.mxcsr, s.msr.lstar), (0x1fa0, 77));
    assert!(s.waits_for_startup);
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.cpu.state().rip, 0xfff0);
}

#[test]
fn a_startup_message_starts_a_cpu_that_waits_and_no_other() {
    let mut m = started(&[0xb8, 0x34, 0x12, 0xf4]); // mov ax, 0x1234; hlt
    let s = m.cpu.state();
    assert_eq!((s.rip, s.seg[seg::CS].selector, s.seg[seg::CS].base), (0, 0x3000, BASE));
    m.cpu.start_up(0x77);
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.rip, s.seg[seg::CS].base), (0x1234, 4, BASE));
}

#[test]
fn segments_are_selectors_times_sixteen() {
    let mut m = started(&[
        0xb8, 0x45, 0x23, // mov ax, 0x2345
        0x8e, 0xd8, // mov ds, ax
        0xc7, 0x06, 0x10, 0x00, 0xef, 0xbe, // mov word [0x10], 0xbeef
        0x0e, 0x07, // push cs; pop es
        0x26, 0x66, 0xa1, 0x00, 0x00, // mov eax, [es:0]
        0xf4, // hlt
    ]);
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.read::<u16>(0x2_3460), 0xbeef);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.seg[seg::ES].base), (0x8e23_45b8, BASE));
}

#[test]
fn interrupts_go_through_the_table_and_return() {
    // sti; int 0x10; hlt
    let mut m = started(&[0xf9, 0xcd, 0x10, 0xf4]);
    assert_eq!(interrupted(&mut m), (0x10, [3, 0x3000, 3]));
    // The same with a handler that returns.
    let mut m = started(&[0xf9, 0xfb, 0xcd, 0x10, 0xf4]);
    // clc; mov bx, 9; iret
    m.memory.write_slice(&[0xf8, 0xbb, 9, 0, 0xcf], GuestAddress(HANDLER + 0x10)).unwrap();
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.rip, s.gpr[reg::RBX], s.gpr[reg::RSP], s.rflags), (5, 9, SP, 0x203));
}

#[test]
fn exceptions_push_no_error_code() {
    // Divide by zero: xor cx, cx; div cx.
    assert_eq!(interrupted(&mut started(&[0x31, 0xc9, 0xf7, 0xf1])).1[..2], [2, 0x3000]);
    // A word at the segment's end: mov ax, [0xffff].
    let (vector, frame) = interrupted(&mut started(&[0xa1, 0xff, 0xff]));
    assert_eq!((vector, frame[0]), (13, 0));
    // The same by SS: mov bp, 0xffff; mov ax, [bp].
    let (vector, frame) = interrupted(&mut started(&[0xbd, 0xff, 0xff, 0x8b, 0x46, 0x00]));
    assert_eq!((vector, frame[0]), (12, 3));
    // What real-address mode does not recognize: str ax.
    let (vector, frame) = interrupted(&mut started(&[0x0f, 0x00, 0xc8]));
    assert_eq!((vector, frame[0]), (6, 0));
}

#[test]
fn a_vector_behind_the_table_is_a_general_protection() {
    let mut m = started(&[0xcd, 0x20, 0xf4]);
    m.with_state(|s| s.idtr.limit = 4 * 0x20 + 2);
    assert_eq!(interrupted(&mut m).0, 13);
    // Without room for the faults behind it the CPU shuts down.
    let mut m = started(&[0xcd, 0x20, 0xf4]);
    m.with_state(|s| s.idtr.limit = 3);
    assert_eq!(m.run(), Exit::TripleFault);
}

#[test]
fn far_transfers_keep_limits_and_push_both_words() {
    let mut m = started(&[
        0x9a, 0x05, 0x00, 0x00, 0x31, // call 0x3100:5
        0xf4, // hlt
    ]);
    // mov bp, sp; mov ax, [bp]; mov dx, [bp + 2]; retf
    let function = [0x89, 0xe5, 0x8b, 0x46, 0x00, 0x8b, 0x56, 0x02, 0xcb];
    m.memory.write_slice(&function, GuestAddress(0x3_1005)).unwrap();
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.gpr[reg::RDX] & 0xffff, s.gpr[reg::RSP]), (5, 0x3000, SP));
    assert_eq!((s.rip, s.seg[seg::CS].base), (6, BASE));
    // jmp 0x4000:0x1f is a handler's hlt.
    let mut m = started(&[0xea, 0x1f, 0x00, 0x00, 0x40]);
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!((m.cpu.state().rip, m.cpu.state().seg[seg::CS].base), (0x20, HANDLER));
}

#[test]
fn a_limit_of_protected_mode_stays_in_real_mode() {
    // mov eax, [dword 0x200000] by a 32-bit address ("unreal" mode), with a load of DS that keeps the limit.
    let mut m = started(&[
        0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
        0x67, 0x66, 0xa1, 0x00, 0x00, 0x20, 0x00, 0xf4,
    ]);
    m.write(0x20_0000, 0x1234_5678u32);
    let plain = interrupted(&mut m).0;
    assert_eq!(plain, 13);
    m.cpu.init();
    m.cpu.start_up(PAGE);
    m.with_state(|s| s.seg[seg::DS].limit = u32::MAX);
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.cpu.state().gpr[reg::RAX], 0x1234_5678);
}

/// A trampoline as kernels have it: real mode, protected mode, long mode.
#[test]
fn a_trampoline_goes_from_real_to_long_mode_and_back() {
    const TABLES: u64 = BASE + 0x100;
    const PROTECTED: u64 = BASE + 0x200;
    const LONG: u64 = BASE + 0x300;
    let mut m = started(&[
        0x8c, 0xc8, 0x8e, 0xd8, // mov ax, cs; mov ds, ax
        0x66, 0x0f, 0x01, 0x16, 0x00, 0x01, // lgdtl [0x100]
        0xb8, 0x01, 0x00, // mov ax, 1
        0x0f, 0x01, 0xf0, // lmsw ax
        0x66, 0xea, 0x00, 0x02, 0x03, 0x00, 0x08, 0x00, // ljmpl $8, PROTECTED
    ]);
    m.write(TABLES, 39u16);
    m.write(TABLES + 2, TABLES as u32 + 8);
    // 32-bit code, data, 64-bit code, 16-bit code.
    let gdt =
        [0u64, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff, 0x0000_9b03_0000_ffff];
    for (n, entry) in gdt.into_iter().enumerate() {
        m.write(TABLES + 8 + 8 * n as u64, entry);
    }
    let protected = [
        0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd0, 0x8e, 0xd8, // mov ax, 16; mov ss, ax; mov ds, ax
        0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0, // mov eax, 0x20; mov cr4, eax
        0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, // mov eax, PML4; mov cr3, eax
        0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, // mov ecx, 0xc0000080; rdmsr
        0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30, // or eax, 0x100; wrmsr
        0xb8, 0x11, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, // mov eax, 0x80000011; mov cr0, eax
        0xea, 0x00, 0x03, 0x03, 0x00, 0x18, 0x00, // ljmp $0x18, LONG
    ];
    m.memory.write_slice(&protected, GuestAddress(PROTECTED)).unwrap();
    // mov rax, 0x1122334455667788; hlt
    let long = [0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xf4];
    m.memory.write_slice(&long, GuestAddress(LONG)).unwrap();
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.rip), (0x1122_3344_5566_7788, LONG + 11));
    assert_eq!((s.efer & 0x500, s.cr0 & 0x8000_0001), (0x500, 0x8000_0001));
    assert_eq!((s.seg[seg::CS].selector, s.seg[seg::CS].attributes & 0x2000), (0x18, 0x2000));
    // Back: a 16-bit segment, paging and protection off, and a far jump by a selector of real mode.
    let back = [
        0x0f, 0x20, 0xc0, // mov eax, cr0
        0x66, 0x25, 0xfe, 0xff, 0xff, 0x7f, // and eax, ~(PG | PE)
        0x0f, 0x22, 0xc0, // mov cr0, eax
        0xea, 0x1f, 0x00, 0x00, 0x40, // jmp 0x4000:0x1f
    ];
    m.memory.write_slice(&back, GuestAddress(BASE + 0x400)).unwrap();
    m.with_state(|s| {
        s.seg[seg::CS] = Segment { selector: 0x20, base: BASE, limit: 0xffff, attributes: 0x9b };
        (s.rip, s.halted) = (0x400, false);
    });
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.rip, s.seg[seg::CS].selector, s.seg[seg::CS].base), (0x20, 0x4000, HANDLER));
    assert_eq!((s.cr0 & 0x8000_0001, s.efer & 0x400), (0, 0));
}
