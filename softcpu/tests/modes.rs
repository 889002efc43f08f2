//! 32-bit code in long mode's compatibility mode, and addresses with a size prefix.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{Segment, reg, seg};
use machine::*;
use vm_memory::{Bytes, GuestAddress};

/// A machine that runs these bytes as 32-bit code.
fn compatibility(bytes: &[u8]) -> Machine {
    let mut m = Machine::new();
    m.memory.write_slice(bytes, GuestAddress(CODE)).unwrap();
    m.with_state(|s| {
        s.seg[seg::CS] = Segment { selector: KERNEL_CS, base: 0, limit: !0, attributes: 0xc09b };
    });
    m
}

#[test]
fn compatibility_code_has_32_bit_stacks_calls_and_its_own_opcodes() {
    let mut m = compatibility(&[
        0xb8, 0x78, 0x56, 0x34, 0x12, // mov eax, 0x12345678
        0x50, // push eax
        0x59, // pop ecx
        0x40, // inc eax (a REX prefix in 64-bit code)
        0x68, 0x44, 0x33, 0x22, 0x11, // push 0x11223344
        0xe8, 0x01, 0x00, 0x00, 0x00, // call over the HLT
        0xf4, // hlt
        0x8b, 0x54, 0x24, 0x04, // mov edx, [esp + 4]
        0xc2, 0x04, 0x00, // ret 4
    ]);
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.gpr[reg::RCX], s.gpr[reg::RDX]), (0x1234_5679, 0x1234_5678, 0x1122_3344));
    assert_eq!((s.gpr[reg::RSP], s.rip), (STACK, CODE + 19));
    assert_eq!(m.read::<u32>(STACK - 4), 0x1122_3344);
    assert_eq!(m.read::<u32>(STACK - 8), CODE as u32 + 18);
}

#[test]
fn an_exception_in_compatibility_code_goes_through_a_64_bit_gate() {
    let mut m = compatibility(&[0x90, 0x0f, 0x0b]);
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip, frame.rsp), (6, CODE + 1, STACK));
}

#[test]
fn a_32_bit_address_wraps_and_is_zero_extended() {
    let mut m = Machine::new();
    // mov eax, [ebx + esi * 2 - 4], then lea rdx of the same.
    m.memory.write_slice(&[0x67, 0x8b, 0x44, 0x73, 0xfc], GuestAddress(CODE)).unwrap();
    m.memory.write_slice(&[0x67, 0x48, 0x8d, 0x54, 0x73, 0xfc, 0xf4], GuestAddress(CODE + 5)).unwrap();
    m.write(0x20_0000, 0xfeed_f00du32);
    m.with_state(|s| {
        s.gpr[reg::RBX] = 0xdead_0000_ffff_fff0;
        s.gpr[reg::RSI] = 0xbeef_0000_0010_000a;
    });
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RAX], s.gpr[reg::RDX]), (0xfeed_f00d, 0x20_0000));
}

/// 16-bit or 32-bit code in a segment with a base and a limit; `code` ends the segment.
fn limited(code: &[u8], big: bool) -> Machine {
    const BASE: u64 = 0x5_0000;
    let mut m = Machine::new();
    m.memory.write_slice(code, GuestAddress(BASE)).unwrap();
    let attributes = if big { 0x409b } else { 0x009b };
    m.with_state(|s| {
        s.seg[seg::CS] =
            Segment { selector: KERNEL_CS, base: BASE, limit: code.len() as u32 - 1, attributes };
        s.rip = 0;
    });
    m
}

#[test]
fn code_that_runs_off_its_segment_faults_where_it_leaves() {
    const GENERAL_PROTECTION: u64 = 13;
    for big in [false, true] {
        let mut m = limited(&[0x90, 0x40, 0x90], big);
        let (vector, frame) = m.run_to_handler(true);
        assert_eq!((vector, frame.rip, frame.error), (GENERAL_PROTECTION, 3, Some(0)), "after the last byte");
        // MOV EAX, imm that is cut off.
        let mut m = limited(&[0x90, 0xb8, 0x12], big);
        let (vector, frame) = m.run_to_handler(true);
        assert_eq!(
            (vector, frame.rip, frame.error),
            (GENERAL_PROTECTION, 1, Some(0)),
            "within an instruction"
        );
        // JMP to the first byte behind.
        let mut m = limited(&[0xeb, 0x01, 0x90], big);
        let (vector, frame) = m.run_to_handler(true);
        assert_eq!((vector, frame.rip, frame.error), (GENERAL_PROTECTION, 0, Some(0)), "by a jump");
    }
}

#[test]
fn the_segment_limit_is_checked_before_the_page() {
    let mut code = vec![0x90; 0x1000];
    code[0xfff] = 0xb8;
    let mut m = limited(&code, true);
    m.map(0x5_1000, 0, 0);
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.rip), (13, 0xfff));
}

#[test]
fn code_decoded_in_a_wide_segment_obeys_a_narrow_one() {
    let mut m = limited(&[0x90, 0x90, 0xb8, 0x12, 0, 0, 0, 0xf4], true);
    assert_eq!(m.run(), Exit::Halted);
    m.with_state(|s| {
        s.seg[seg::CS].limit = 4;
        s.rip = 0;
        s.halted = false;
    });
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.rip), (13, 2));
}

#[test]
fn a_far_pointer_fills_a_register_and_a_segment_in_64_bit_code() {
    let mut m = Machine::new();
    // lss rsp, [rbx]; lfs rax, [rbx]; lgs ecx, [rbx + 4]; hlt
    let code = [0x48, 0x0f, 0xb2, 0x23, 0x48, 0x0f, 0xb4, 0x03, 0x0f, 0xb5, 0x4b, 0x04, 0xf4];
    m.memory.write_slice(&code, GuestAddress(CODE)).unwrap();
    m.write(0x20_0000, 0x1122_3344_5566_7788u64);
    m.write(0x20_0008, 0x10u16);
    m.with_state(|s| s.gpr[reg::RBX] = 0x20_0000);
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RSP], s.gpr[reg::RAX]), (0x1122_3344_5566_7788, 0x1122_3344_5566_7788));
    assert_eq!(s.gpr[reg::RCX], 0x1122_3344);
    assert_eq!([seg::SS, seg::FS, seg::GS].map(|which| s.seg[which].selector), [0x10; 3]);
}
