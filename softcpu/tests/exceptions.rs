//! Exceptions and interrupts: frames, error codes, stacks, privileges.

mod machine;

use fencepost_softcpu::MSRS_NAMED;
use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{PendingException, reg, seg};
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use machine::*;

const UNMAPPED: u64 = 0x70_0000;

#[test]
fn a_page_fault_reports_address_cause_and_instruction() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.nop().unwrap();
        a.mov(qword_ptr(rdi), rax).unwrap();
    });
    m.with_state(|s| s.gpr[reg::RDI] = UNMAPPED + 8);
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error, frame.rip), (14, Some(2), CODE + 1));
    assert_eq!((frame.cs, frame.rsp, frame.ss), (u64::from(KERNEL_CS), STACK, 0x10));
    assert_eq!(m.cpu.state().cr2, UNMAPPED + 8);
    // One instruction retired before, one cycle for the exception, one for HLT.
    assert_eq!((m.cpu.cycles().0, m.cpu.retired()), (3, 2));
}

#[test]
fn a_store_that_straddles_pages_faults_on_the_second_and_writes_nothing() {
    let mut m = Machine::new();
    let last = 0x3f_f000;
    m.assemble(CODE, |a| a.mov(qword_ptr(rdi), rax).unwrap());
    m.with_state(|s| {
        s.gpr[reg::RDI] = last + 0xffc;
        s.gpr[reg::RAX] = !0;
    });
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error), (14, Some(2)));
    assert_eq!(m.cpu.state().cr2, last + 0x1000);
    assert_eq!(m.read::<u32>(last + 0xffc), 0);
}

#[test]
fn a_fetch_from_a_no_execute_page_is_reported_as_a_fetch() {
    let mut m = Machine::new();
    let page = 0x50_0000;
    m.map(page, 0x20_0000, PRESENT | 1 << 63);
    m.assemble(CODE, |a| a.jmp(rdi).unwrap());
    m.with_state(|s| s.gpr[reg::RDI] = page + 0x123);
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error, frame.rip), (14, Some(0x11), page + 0x123));
    assert_eq!(m.cpu.state().cr2, page + 0x123);
}

/// The fuzz target `cpu` found that a state taken after this could not be restored: the TLB keeps the page that was asked for.
#[test]
fn a_jump_to_a_device_raises_ud_and_the_state_is_taken_and_restored() {
    let device = RAM_BYTES + 0x5000;
    let mut m = Machine::new();
    m.map(device, device, PRESENT | WRITE | USER);
    m.assemble(CODE, |a| a.jmp(rdi).unwrap());
    m.with_state(|s| s.gpr[reg::RDI] = device);
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip), (6, device));
    let (state, translations) = (m.cpu.state(), m.cpu.translations());
    let mut other = m.another_cpu();
    other.set_state(&state);
    assert!(other.set_translations(&translations));
    assert_eq!((other.state(), other.translations()), (state, translations));
    m.cpu = other;
    m.with_state(|s| (s.rip, s.halted) = (device, false));
    assert_eq!(m.run_to_handler(false).0, 6, "a page that is known, and still no code");
}

#[test]
fn an_exception_in_user_code_takes_its_stack_from_the_tss() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.hlt().unwrap());
    m.enter_user();
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error, frame.rip), (13, Some(0), CODE));
    assert_eq!((frame.cs, frame.ss, frame.rsp), (u64::from(USER_CS), u64::from(USER_SS), STACK));
    let state = m.cpu.state();
    assert_eq!(state.gpr[reg::RSP], KERNEL_STACK - 48);
    assert_eq!(state.seg[2].selector, 0, "the stack segment is null");
}

#[test]
fn an_interrupt_stack_is_used_at_any_privilege() {
    let mut m = Machine::new();
    m.set_gate(6, HANDLERS + 6 * 16, 0x8e01);
    m.assemble(CODE, |a| a.ud2().unwrap());
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip, frame.rsp), (6, CODE, STACK));
    assert_eq!(m.cpu.state().gpr[reg::RSP], IST1 - 40);
}

#[test]
fn software_interrupts_respect_the_gate() {
    for (attributes, expected) in [(0xee00, (48, None)), (0x8e00, (13, Some(48 * 8 + 2)))] {
        let mut m = Machine::new();
        m.set_gate(48, HANDLERS + 48 * 16, attributes);
        m.assemble(CODE, |a| a.int(48).unwrap());
        m.enter_user();
        let (vector, frame) = m.run_to_handler(expected.1.is_some());
        assert_eq!((vector, frame.error), expected);
        // A fault is at the instruction, a software interrupt after it.
        assert_eq!(frame.rip, if expected.1.is_some() { CODE } else { CODE + 2 });
    }
}

#[test]
fn a_division_by_zero_keeps_the_registers() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.mov(eax, 7).unwrap();
        a.xor(ecx, ecx).unwrap();
        a.div(ecx).unwrap();
    });
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip), (0, CODE + 7));
    assert_eq!(m.cpu.state().gpr[reg::RAX], 7);
}

#[test]
fn iret_returns_to_user_code_with_its_flags() {
    let mut m = Machine::new();
    let user = CODE + 0x1000;
    m.assemble(CODE, |a| {
        a.push(i32::from(USER_SS)).unwrap();
        a.push(0x7000).unwrap();
        a.push(0x246).unwrap();
        a.push(i32::from(USER_CS)).unwrap();
        a.push(user as i32).unwrap();
        a.iretq().unwrap();
    });
    m.assemble(user, |a| a.int3().unwrap());
    m.set_gate(3, HANDLERS + 48, 0xee00);
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip, frame.rsp), (3, user + 1, 0x7000));
    assert_eq!((frame.cs, frame.rflags), (u64::from(USER_CS), 0x246));
}

#[test]
fn a_missing_stack_makes_a_double_fault_and_a_missing_gate_a_triple_fault() {
    let mut m = Machine::new();
    m.set_gate(8, HANDLERS + 8 * 16, 0x8e01);
    m.assemble(CODE, |a| a.push(rax).unwrap());
    m.with_state(|s| s.gpr[reg::RSP] = UNMAPPED);
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error, frame.rip), (8, Some(0), CODE));

    let mut m = Machine::new();
    m.set_gate(8, HANDLERS + 8 * 16, 0x0e01);
    m.assemble(CODE, |a| a.push(rax).unwrap());
    m.with_state(|s| s.gpr[reg::RSP] = UNMAPPED);
    assert_eq!(m.run(), Exit::TripleFault);
}

#[test]
fn endless_faults_advance_time() {
    let mut m = Machine::new();
    // The handler of the page fault is itself not mapped, but has a stack.
    m.set_gate(14, UNMAPPED, 0x8e01);
    m.assemble(CODE, |a| a.mov(rax, qword_ptr(rdi)).unwrap());
    m.with_state(|s| s.gpr[reg::RDI] = UNMAPPED);
    assert_eq!(m.cpu.run(&mut m.bus, Cycles(5000)), Exit::Deadline);
    assert_eq!((m.cpu.cycles().0, m.cpu.retired()), (5000, 0));
}

#[test]
fn an_injected_exception_comes_first() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.nop().unwrap());
    m.with_state(|s| s.pending_exception = Some(PendingException { vector: 13, error_code: Some(0x18) }));
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error, frame.rip), (13, Some(0x18), CODE));
}

#[test]
fn syscall_enters_the_kernel_and_sysret_returns() {
    let mut m = Machine::new();
    let user = CODE + 0x1000;
    let entry = CODE + 0x2000;
    m.assemble(CODE, |a| {
        a.mov(rcx, user).unwrap();
        a.mov(r11d, 0x202).unwrap();
        a.sysretq().unwrap();
    });
    m.assemble(user, |a| a.syscall().unwrap());
    m.assemble(entry, |a| a.hlt().unwrap());
    m.with_state(|s| {
        s.msr.star = 0x0008 << 32 | 0x000b << 48;
        s.msr.lstar = entry;
        s.msr.fmask = 0x200;
    });
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.rip, s.gpr[reg::RCX], s.gpr[11]), (entry + 1, user + 2, 0x202));
    assert_eq!((s.seg[1].selector, s.seg[2].selector, s.rflags & 0x200), (0x08, 0x10, 0));
}

#[test]
fn an_unknown_instruction_raises_ud_and_is_counted_by_name() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.vaddps(ymm0, ymm1, ymm2).unwrap());
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip), (6, CODE));
    let unknown = m.cpu.counters().unknown;
    assert_eq!(unknown.into_iter().collect::<Vec<_>>(), [("VEX_Vaddps_ymm_ymm_ymmm256".to_string(), 1)]);
}

#[test]
fn single_stepping_traps_after_each_instruction() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.inc(rax).unwrap();
        a.inc(rax).unwrap();
    });
    m.with_state(|s| s.rflags |= 0x100);
    let (vector, frame) = m.run_to_handler(false);
    assert_eq!((vector, frame.rip, m.cpu.state().gpr[reg::RAX]), (1, CODE + 3, 1));
    assert_eq!(m.cpu.state().dr[6] & 0x4000, 0x4000);
}

/// RF is pushed as one by faults alone (Intel SDM vol. 3, 19.3.1.1).
const RF: u64 = 1 << 16;
const TF: u64 = 1 << 8;

#[test]
fn a_software_interrupt_is_not_stepped_into() {
    for stepping in [0, TF] {
        let mut m = Machine::new();
        m.assemble(CODE, |a| {
            a.int3().unwrap();
            a.nop().unwrap();
        });
        m.with_state(|s| s.rflags |= stepping | RF);
        let (vector, frame) = m.run_to_handler(false);
        assert_eq!((vector, frame.rip), (3, CODE + 1));
        assert_eq!(frame.rflags & (TF | RF), stepping);
    }
}

/// The host's processor is no judge here: hypervisors are known to report INT1 as a fault.
#[test]
fn int1_from_user_code_ignores_the_gates_privilege() {
    for bits in [64, 32] {
        let mut m = Machine::new();
        m.write(CODE, [0xf1u8, 0x90]);
        m.enter_user();
        if bits == 32 {
            m.with_state(|s| s.seg[seg::CS].attributes = 0xc0fb);
        }
        let (vector, frame) = m.run_to_handler(false);
        assert_eq!((vector, frame.rip, frame.rflags & RF), (1, CODE + 1, 0), "{bits} bits");
        assert_eq!(m.cpu.state().dr[6] & 0x4000, 0, "no single step");
        assert_eq!(m.cpu.counters().unknown.len(), 0);
    }
}

#[test]
fn port_access_needs_permission() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.out(0x80, al).unwrap());
    m.enter_user();
    let (vector, frame) = m.run_to_handler(true);
    assert_eq!((vector, frame.error), (13, Some(0)));
    assert!(m.bus.ports.is_empty());
}

#[test]
fn a_guest_that_tries_every_msr_does_not_fill_host_memory() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| a.rdmsr().unwrap());
    let tried = MSRS_NAMED as u64 + 44;
    for msr in (0..tried).chain([0, 1]) {
        m.with_state(|s| {
            s.rip = CODE;
            s.halted = false;
            s.gpr[reg::RCX] = 0x5000_0000 + msr;
        });
        assert_eq!(m.run(), Exit::Halted);
    }
    let counters = m.cpu.counters();
    assert_eq!(counters.unknown_msrs.len(), MSRS_NAMED);
    assert_eq!(counters.unknown_msrs[&0x5000_0001], 2, "known names go on counting");
    assert_eq!(counters.other_msrs, 44);
}

/// What is decoded once is counted each time that it is met.
#[test]
fn unknown_instructions_are_counted_by_execution() {
    let mut m = Machine::new();
    // ADCX eax, eax (ADX); the handler goes on behind it.
    m.write(CODE, [0x66u8, 0x0f, 0x38, 0xf6, 0xc0]);
    m.assemble(CODE + 5, |a| {
        a.dec(ecx).unwrap();
        a.jnz(CODE).unwrap();
        a.hlt().unwrap();
    });
    m.assemble(HANDLERS + 16 * 6, |a| {
        a.add(qword_ptr(rsp), 5).unwrap();
        a.iretq().unwrap();
    });
    m.with_state(|s| s.gpr[reg::RCX] = 50);
    assert_eq!(m.run(), Exit::Halted);
    let counters = m.cpu.counters();
    assert_eq!(counters.unknown.into_iter().collect::<Vec<_>>(), [("Adcx_r32_rm32".to_string(), 50)]);
    assert_eq!(counters.exceptions[6], 50);
    assert!(counters.blocks_decoded < 20, "it is decoded once");
}
