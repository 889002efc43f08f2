//! Code that was decoded is never run after it was written, whoever wrote it.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::reg;
use iced_x86::code_asm::*;
use machine::*;
use vm_memory::{Bytes, GuestAddress};

const FUNCTION: u64 = 0x20_0000;

/// `mov eax, value; ret` at a physical address, written by the host.
fn write_function(m: &Machine, at: u64, value: u32) {
    let mut bytes = vec![0xb8];
    bytes.extend(value.to_le_bytes());
    bytes.push(0xc3);
    m.memory.write_slice(&bytes, GuestAddress(at)).unwrap();
}

fn call_function(m: &mut Machine) {
    m.assemble(CODE, |a| {
        a.mov(rbx, FUNCTION).unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
}

fn result(m: &mut Machine) -> u64 {
    m.with_state(|s| {
        s.rip = CODE;
        s.halted = false;
    });
    assert_eq!(m.run(), Exit::Halted);
    m.cpu.state().gpr[reg::RAX]
}

#[test]
fn writes_by_devices_are_seen() {
    let mut m = Machine::new();
    call_function(&mut m);
    for value in 0..300 {
        write_function(&m, FUNCTION, value);
        m.code.written(FUNCTION, 6);
        assert_eq!(result(&mut m), u64::from(value));
    }
    assert!(m.cpu.counters().pages_dropped >= 299);
}

#[test]
fn writes_through_an_alias_are_seen() {
    let mut m = Machine::new();
    let alias = 0x60_0000;
    m.map(alias, FUNCTION, PRESENT | WRITE);
    write_function(&m, FUNCTION, 0);
    // Adds one to the function's constant 300 times, and to what it returns.
    m.assemble(CODE, |a| {
        let mut top = a.create_label();
        a.mov(rbx, FUNCTION).unwrap();
        a.xor(esi, esi).unwrap();
        a.mov(ebp, 300).unwrap();
        a.set_label(&mut top).unwrap();
        a.call(rbx).unwrap();
        a.add(esi, eax).unwrap();
        a.inc(dword_ptr(alias + 1)).unwrap();
        a.dec(ebp).unwrap();
        a.jnz(top).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.cpu.state().gpr[reg::RSI], 299 * 300 / 2);
}

#[test]
fn a_string_write_over_code_is_seen() {
    let mut m = Machine::new();
    let source = 0x21_0000;
    write_function(&m, FUNCTION, 1);
    write_function(&m, source, 2);
    m.assemble(CODE, |a| {
        a.mov(rbx, FUNCTION).unwrap();
        a.call(rbx).unwrap();
        a.mov(r8d, eax).unwrap();
        a.mov(rsi, source).unwrap();
        a.mov(rdi, FUNCTION).unwrap();
        a.mov(ecx, 6).unwrap();
        a.rep().movsb().unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!((m.cpu.state().gpr[8], m.cpu.state().gpr[reg::RAX]), (1, 2));
}

#[test]
fn a_block_that_rewrites_itself_runs_what_it_wrote() {
    let mut m = Machine::new();
    // `mov byte [next + 1], 7` overwrites the constant of the following `mov eax, 1`.
    m.assemble(CODE, |a| {
        a.mov(byte_ptr(CODE + 9), 7).unwrap();
        a.mov(eax, 1).unwrap();
        a.hlt().unwrap();
    });
    let store_bytes = 8;
    assert_eq!(m.read::<u8>(CODE + store_bytes), 0xb8, "the store is as long as the test assumes");
    for round in 0..3 {
        m.write(CODE + 9, 1u8);
        m.code.written(CODE + 9, 1);
        assert_eq!(result(&mut m), 7, "round {round}");
    }
}

#[test]
fn an_instruction_across_two_pages_belongs_to_both() {
    let mut m = Machine::new();
    let at = FUNCTION + 0xffd;
    m.assemble(CODE, |a| {
        a.mov(rbx, at).unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
    for value in 1..50u32 {
        write_function(&m, at, value << 24 | value);
        // Report only one of the pages in turn: the constant's ends lie in either.
        m.code.written(if value % 2 == 0 { FUNCTION + 0xffd } else { FUNCTION + 0x1000 }, 1);
        assert_eq!(result(&mut m), u64::from(value << 24 | value));
    }
}

#[test]
fn the_second_page_of_a_straddling_instruction_may_be_remapped() {
    let mut m = Machine::new();
    let linear = 0x60_0000u64;
    m.map(linear, FUNCTION, PRESENT | WRITE);
    write_function(&m, FUNCTION + 0xffd, 0x1111_1111);
    // Another second page, with another tail.
    let other = 0x22_0000;
    m.write(other, [0x22u8, 0x22, 0xc3]);
    m.map(linear + 0x1000, FUNCTION + 0x1000, PRESENT | WRITE);
    m.assemble(CODE, |a| {
        a.mov(rbx, linear + 0xffd).unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(result(&mut m), 0x1111_1111);
    m.map(linear + 0x1000, other, PRESENT | WRITE);
    // with_state() flushes the TLB, as the INVLPG of a guest would.
    assert_eq!(result(&mut m), 0x2222_1111);
}

#[test]
fn invlpg_and_cr3_forget_translations() {
    let mut m = Machine::new();
    let page = 0x60_0000u64;
    m.map(page, 0x20_0000, PRESENT | WRITE);
    m.write(0x20_0000, 1u64);
    m.write(0x21_0000, 2u64);
    let entry = m.leaf(page);
    m.assemble(CODE, |a| {
        a.mov(rax, qword_ptr(page)).unwrap();
        a.mov(rcx, 0x21_0003u64).unwrap();
        a.mov(qword_ptr(entry), rcx).unwrap();
        a.mov(rbx, qword_ptr(page)).unwrap();
        a.invlpg(byte_ptr(page)).unwrap();
        a.mov(rdx, qword_ptr(page)).unwrap();
        a.mov(rcx, 0x20_0003u64).unwrap();
        a.mov(qword_ptr(entry), rcx).unwrap();
        a.mov(rcx, cr3).unwrap();
        a.mov(cr3, rcx).unwrap();
        a.mov(rsi, qword_ptr(page)).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    let gpr = m.cpu.state().gpr;
    assert_eq!((gpr[reg::RAX], gpr[reg::RDX], gpr[reg::RSI]), (1, 2, 1));
    assert_eq!(gpr[reg::RBX], 1, "a TLB holds a translation until it is told to drop it");
}

#[test]
fn a_jump_to_a_straddling_instruction_looks_at_its_second_page_each_time() {
    let mut m = Machine::new();
    let linear = 0x60_0000u64;
    m.map(linear, FUNCTION, PRESENT | WRITE);
    m.map(linear + 0x1000, FUNCTION + 0x1000, PRESENT | WRITE);
    write_function(&m, FUNCTION + 0xffd, 0x1111_1111);
    let other = 0x22_0000;
    m.write(other, [0x22u8, 0x22, 0xc3]);
    let entry = m.leaf(linear + 0x1000);
    // A jump within the page, so that the two blocks are linked.
    m.write(FUNCTION + 0xff0, [0xebu8, 0x0b]);
    m.assemble(CODE, |a| {
        let mut top = a.create_label();
        a.mov(rbx, linear + 0xff0).unwrap();
        a.mov(ebp, 3).unwrap();
        a.set_label(&mut top).unwrap();
        a.call(rbx).unwrap();
        a.mov(r8d, eax).unwrap();
        a.dec(ebp).unwrap();
        a.jnz(top).unwrap();
        a.mov(rcx, other | PRESENT | WRITE).unwrap();
        a.mov(qword_ptr(entry), rcx).unwrap();
        a.invlpg(byte_ptr(linear + 0x1000)).unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!((m.cpu.state().gpr[8], m.cpu.state().gpr[reg::RAX]), (0x1111_1111, 0x2222_1111));
}
