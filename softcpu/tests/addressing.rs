//! Addresses of 32 bits in 64-bit code (prefix 67): the sum wraps, whatever its parts are.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::reg;
use iced_x86::code_asm::*;
use machine::*;
use vm_memory::{Bytes, GuestAddress};

const DATA: u64 = 0x20_0000;
/// The last page that 32 bits reach.
const TOP: u64 = 0xffff_f000;

#[test]
fn a_bit_offset_wraps_with_the_address() {
    let mut m = Machine::new();
    m.map(TOP, DATA, PRESENT | WRITE);
    m.assemble(CODE, |a| {
        // Down from 0x10 to the last page, up from there to the first ones.
        a.bts(dword_ptr(eax), ecx).unwrap();
        a.bt(dword_ptr(eax), ecx).unwrap();
        a.setc(r8b).unwrap();
        a.btc(qword_ptr(ebx), rdx).unwrap();
        a.setc(r9b).unwrap();
        a.hlt().unwrap();
    });
    m.write(DATA + 0x1000, 0u64);
    m.with_state(|s| {
        s.gpr[reg::RAX] = 0x10;
        s.gpr[reg::RCX] = (-8i64 * 0x1010 + 5) as u64;
        s.gpr[reg::RBX] = 0xffff_ffff_ffff_fff8;
        s.gpr[reg::RDX] = 8 * (DATA + 0x1008) + 9;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!((m.read::<u64>(DATA), m.read::<u64>(DATA + 0x1000)), (1 << 5, 1 << 9));
    let gpr = m.cpu.state().gpr;
    assert_eq!((gpr[8], gpr[9]), (1, 0));
}

#[test]
fn a_bit_offset_of_64_bits_does_not_wrap_at_32() {
    let mut m = Machine::new();
    m.map(0x1_0000_0000, DATA, PRESENT | WRITE);
    m.assemble(CODE, |a| {
        a.bts(qword_ptr(rbx), rdx).unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| {
        s.gpr[reg::RBX] = 0xffff_fff8;
        s.gpr[reg::RDX] = 64 + 3;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.read::<u64>(DATA), 1 << 3);
}

#[test]
fn masked_stores_take_32_bit_addresses() {
    let mut m = Machine::new();
    // MASKMOVDQU xmm0, xmm1; MASKMOVQ mm0, mm1; HLT.
    let code = [0x67, 0x66, 0x0f, 0xf7, 0xc1, 0x83, 0xc7, 0x20, 0x67, 0x0f, 0xf7, 0xc1, 0xf4];
    m.memory.write_slice(&code, GuestAddress(CODE)).unwrap();
    m.memory.write_slice(&[0xee; 0x30], GuestAddress(DATA)).unwrap();
    m.with_state(|s| {
        s.gpr[reg::RDI] = 0xffff_ffff_0000_0000 | DATA;
        s.fpu.xmm[0] = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
        s.fpu.xmm[1] = 0x8000_0000_0000_0000_0000_0000_00ff_7f80;
        s.fpu.r[0] = 0xffff_8877_6655_4433_2211;
        s.fpu.r[1] = 0xffff_8000_0000_0000_0080;
    });
    assert_eq!(m.run(), Exit::Halted);
    let mut expected = [0xeeu8; 0x30];
    for (at, byte) in [(0, 0), (2, 2), (15, 15), (0x20, 0x11), (0x27, 0x88)] {
        expected[at] = byte;
    }
    assert_eq!(m.read::<[u8; 0x20]>(DATA), expected[..0x20]);
    assert_eq!(m.read::<[u8; 0x10]>(DATA + 0x20), expected[0x20..]);
    assert_eq!(m.cpu.counters().unknown.len(), 0);
}

#[test]
fn the_table_of_xlat_wraps_with_the_address() {
    let mut m = Machine::new();
    m.map(0, DATA, PRESENT | WRITE);
    m.write(DATA + 0x12, 0x5au8);
    m.memory.write_slice(&[0x67, 0xd7, 0xf4], GuestAddress(CODE)).unwrap();
    m.with_state(|s| {
        s.gpr[reg::RBX] = 0xdead_0000_ffff_fff0;
        s.gpr[reg::RAX] = 0xff22;
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.cpu.state().gpr[reg::RAX], 0xff5a);
    assert_eq!(m.cpu.counters().unknown.len(), 0);
}
