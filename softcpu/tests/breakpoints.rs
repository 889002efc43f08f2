//! The guest's debug registers (Intel SDM vol. 3, chapter 19): what they stop, when, and what the handler finds.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::reg;
use iced_x86::code_asm::*;
use machine::*;

const DATA: u64 = 0x20_0ff8;
/// Where the handler writes DR6 and the saved RIP and flags, 32 bytes an entry; R15 is the next.
const LOG: u64 = 0x22_0000;
const RF: u64 = 1 << 16;
const TF: u64 = 1 << 8;
const DR6_FIXED: u64 = 0xffff_0ff0;

/// One debug exception: DR6's set bits, the saved RIP, and whether RF was in the saved flags.
type Hit = (u64, u64, bool);

/// R/W and LEN fields of DR7.
#[derive(Clone, Copy)]
enum On {
    Execution = 0,
    Write = 1,
    Port = 2,
    Access = 3,
}

fn control(number: u64, on: On, bytes: u64) -> u64 {
    let length = [(1, 0u64), (2, 1), (8, 2), (4, 3)].iter().find(|one| one.0 == bytes).unwrap().1;
    2 << (2 * number) | (on as u64) << (16 + 4 * number) | length << (18 + 4 * number)
}

/// A machine whose handler of #DB logs, clears DR6, sets RF in the saved flags if `resume`, and returns.
fn machine(resume: bool, program: impl FnOnce(&mut CodeAssembler)) -> Machine {
    let mut m = Machine::new();
    m.set_gate(1, CODE + 0x800, 0x8e00);
    m.assemble(CODE + 0x800, |a| {
        a.push(rax).unwrap();
        a.mov(rax, dr6).unwrap();
        a.mov(qword_ptr(r15), rax).unwrap();
        a.xor(eax, eax).unwrap();
        a.mov(dr6, rax).unwrap();
        a.mov(rax, qword_ptr(rsp + 8)).unwrap();
        a.mov(qword_ptr(r15 + 8), rax).unwrap();
        a.mov(rax, qword_ptr(rsp + 24)).unwrap();
        a.mov(qword_ptr(r15 + 16), rax).unwrap();
        if resume {
            a.bts(qword_ptr(rsp + 24), 16).unwrap();
        }
        a.add(r15, 32).unwrap();
        a.pop(rax).unwrap();
        a.iretq().unwrap();
    });
    m.assemble(CODE, program);
    m.with_state(|s| {
        s.gpr[reg::RSI] = DATA;
        s.gpr[reg::RDI] = DATA;
        s.gpr[15] = LOG;
        s.cr4 |= 8;
    });
    m
}

/// Sets breakpoint `number`.
fn arm(m: &mut Machine, number: usize, address: u64, on: On, bytes: u64) {
    m.with_state(|s| {
        s.dr[number] = address;
        s.dr[7] |= control(number as u64, on, bytes);
    });
}

fn hits(m: &mut Machine) -> Vec<Hit> {
    assert_eq!(m.run(), Exit::Halted);
    let end = m.cpu.state().gpr[15];
    let entry = |at| {
        let flags: u64 = m.read(at + 16);
        (m.read::<u64>(at) & !DR6_FIXED, m.read(at + 8), flags & RF != 0)
    };
    (LOG..end).step_by(32).map(entry).collect()
}

#[test]
fn an_instruction_is_stopped_before_and_resumed_by_rf() {
    let mut m = machine(true, |a| {
        let mut top = a.create_label();
        a.mov(ecx, 3u32).unwrap(); // 5 bytes
        a.set_label(&mut top).unwrap();
        a.inc(rbx).unwrap(); // 3
        a.dec(ecx).unwrap(); // 2
        a.jnz(top).unwrap();
        a.hlt().unwrap();
    });
    arm(&mut m, 2, CODE + 8, On::Execution, 1);
    // Of all faults this one does not push RF.
    assert_eq!(hits(&mut m), [(4, CODE + 8, false); 3]);
    assert_eq!(m.cpu.state().gpr[reg::RBX], 3);
}

#[test]
fn without_rf_the_instruction_is_met_again() {
    let mut m = machine(false, |a| {
        a.nop().unwrap();
        a.hlt().unwrap();
    });
    arm(&mut m, 0, CODE + 1, On::Execution, 1);
    let until = m.cpu.cycles() + 200;
    assert_eq!(m.cpu.run(&mut m.bus, until), Exit::Deadline);
    let met = (m.cpu.state().gpr[15] - LOG) / 32;
    assert!(met > 5 && !m.cpu.state().halted, "{met}");
}

#[test]
fn rf_covers_one_instruction_even_if_that_faults_first() {
    // The breakpoint's instruction faults after it was resumed: RF is pushed for it, and IRET takes it back.
    let mut m = machine(true, |a| {
        a.nop().unwrap();
        a.mov(rax, qword_ptr(0x30_0000u64)).unwrap(); // 8 bytes
        a.inc(rbx).unwrap();
        a.hlt().unwrap();
    });
    m.set_gate(14, CODE + 0xa00, 0x8e00);
    let entry = m.leaf(0x30_0000);
    m.map(0x30_0000, 0x30_0000, 0);
    m.assemble(CODE + 0xa00, |a| {
        a.mov(r14, qword_ptr(rsp + 24)).unwrap();
        a.add(rsp, 8).unwrap();
        a.mov(dword_ptr(entry), 0x30_0003u32).unwrap();
        a.iretq().unwrap();
    });
    arm(&mut m, 0, CODE + 1, On::Execution, 1);
    assert_eq!(hits(&mut m), [(1, CODE + 1, false)]);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RBX], s.gpr[14] & RF, s.rflags & RF), (1, RF, 0));
}

/// A load of `DATA`, a store to it, and stores around it.
fn accesses(a: &mut CodeAssembler) {
    a.mov(rax, qword_ptr(rsi)).unwrap(); // ends at 3
    a.mov(qword_ptr(rsi), rax).unwrap(); // 6
    a.mov(byte_ptr(rsi + 4), al).unwrap(); // 9
    a.mov(qword_ptr(rsi - 8), rax).unwrap(); // 13
    a.mov(qword_ptr(rsi + 8), rax).unwrap(); // 17
    a.mov(qword_ptr(rsi - 4), rax).unwrap(); // 21
    a.hlt().unwrap();
}

#[test]
fn data_is_trapped_after_by_kind_and_length() {
    let found = |address: u64, on, bytes| {
        let mut m = machine(true, accesses);
        arm(&mut m, 1, address, on, bytes);
        let hits = hits(&mut m);
        assert!(hits.iter().all(|hit| hit.0 == 2 && !hit.2), "{hits:x?}");
        hits.iter().map(|hit| hit.1 - CODE).collect::<Vec<_>>()
    };
    assert_eq!(found(DATA, On::Write, 8), [6, 9, 21]);
    assert_eq!(found(DATA, On::Access, 8), [3, 6, 9, 21]);
    assert_eq!(found(DATA, On::Write, 4), [6, 21]);
    assert_eq!(found(DATA, On::Write, 1), [6, 21]);
    assert_eq!(found(DATA + 4, On::Write, 1), [6, 9]);
    assert_eq!(found(DATA + 8, On::Write, 2), [17]);
    // The address's bits within the length count as zero.
    assert_eq!(found(DATA + 7, On::Write, 8), [6, 9, 21]);
    assert_eq!(found(DATA + 5, On::Write, 2), [6, 9]);
    assert!(found(DATA + 8, On::Execution, 1).is_empty());
}

#[test]
fn several_hits_and_a_step_are_one_exception() {
    let mut m = machine(true, |a| {
        a.pushfq().unwrap();
        a.bts(qword_ptr(rsp), 8).unwrap();
        a.popfq().unwrap(); // 1 + 6 + 1
        a.mov(qword_ptr(rsi), rax).unwrap();
        a.pushfq().unwrap();
        a.btr(qword_ptr(rsp), 8).unwrap();
        a.popfq().unwrap();
        a.hlt().unwrap();
    });
    arm(&mut m, 0, DATA, On::Write, 1);
    arm(&mut m, 3, DATA + 4, On::Access, 4);
    let hits = hits(&mut m);
    let step = 1 << 14;
    assert_eq!(hits[0], (step | 9, CODE + 11, false));
    assert!(hits[1..].iter().all(|hit| hit.0 == step));
}

#[test]
fn a_repeated_store_traps_after_the_iteration_that_meets() {
    let mut m = machine(true, |a| {
        a.mov(ecx, 5u32).unwrap(); // 5 bytes
        a.rep().stosq().unwrap(); // 3
        a.hlt().unwrap();
    });
    arm(&mut m, 0, DATA + 16, On::Write, 8);
    arm(&mut m, 1, DATA + 32, On::Write, 8);
    assert_eq!(hits(&mut m), [(1, CODE + 5, false), (2, CODE + 8, false)]);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RDI], s.gpr[reg::RCX]), (DATA + 40, 0));
}

#[test]
fn a_breakpoint_on_a_repeated_instruction_is_met_once() {
    let mut m = machine(true, |a| {
        a.mov(ecx, 5u32).unwrap();
        a.rep().stosq().unwrap();
        a.hlt().unwrap();
    });
    arm(&mut m, 0, CODE + 5, On::Execution, 1);
    arm(&mut m, 1, DATA, On::Write, 8);
    assert_eq!(hits(&mut m), [(1, CODE + 5, false), (2, CODE + 5, false)]);
}

#[test]
fn ports_are_trapped_with_debugging_extensions_alone() {
    for extensions in [true, false] {
        let mut m = machine(true, |a| {
            a.mov(edx, 0x3fau32).unwrap(); // 5
            a.out(dx, al).unwrap(); // 6
            a.in_(al, dx).unwrap(); // 7
            a.out(dx, eax).unwrap(); // 8: up to 3fdh
            a.mov(edx, 0x3fcu32).unwrap();
            a.out(dx, al).unwrap();
            a.hlt().unwrap();
        });
        arm(&mut m, 0, 0x3fb, On::Port, 2);
        let expected = [6, 7, 8].map(|at| (1, CODE + at, false));
        if extensions {
            assert_eq!(hits(&mut m), expected);
        } else {
            m.with_state(|s| s.cr4 &= !8);
            assert_eq!(hits(&mut m), []);
        }
        assert_eq!(m.bus.ports.len(), 3);
    }
}

#[test]
fn a_load_of_ss_holds_traps_and_breakpoints_for_one_instruction() {
    let mut m = machine(true, |a| {
        a.mov(ss, word_ptr(rsi)).unwrap(); // 2 bytes
        a.inc(rbx).unwrap(); // 5
        a.inc(rbx).unwrap();
        a.hlt().unwrap();
    });
    m.write(DATA, 0x10u16);
    arm(&mut m, 0, DATA, On::Access, 2);
    arm(&mut m, 1, CODE + 2, On::Execution, 1);
    assert_eq!(hits(&mut m), [(1, CODE + 5, false)]);
}

#[test]
fn sti_holds_no_breakpoint() {
    let mut m = machine(true, |a| {
        a.sti().unwrap();
        a.nop().unwrap();
        a.hlt().unwrap();
    });
    arm(&mut m, 0, CODE + 1, On::Execution, 1);
    assert_eq!(hits(&mut m), [(1, CODE + 1, false)]);
}

#[test]
fn general_detect_keeps_the_guest_from_its_debug_registers_once() {
    let mut m = machine(false, |a| {
        a.mov(eax, 0x2400u32).unwrap(); // 5
        a.mov(dr7, rax).unwrap(); // 8
        a.mov(rbx, dr3).unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| s.dr[3] = 77);
    // A fault before the access, by which BD is set, and GD cleared for the handler.
    assert_eq!(hits(&mut m), [(1 << 13, CODE + 8, true)]);
    assert_eq!((m.cpu.state().gpr[reg::RBX], m.cpu.state().dr[7] & 0x2000), (77, 0));
}

#[test]
fn int1_sets_nothing_in_dr6() {
    let mut m = machine(false, |a| {
        a.int1().unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(hits(&mut m), [(0, CODE + 1, false)]);
}

#[test]
fn what_an_exception_pushes_is_trapped_at_its_handler() {
    let mut m = machine(true, |a| a.int3().unwrap());
    m.set_gate(3, CODE + 0xa00, 0x8e00);
    m.assemble(CODE + 0xa00, |a| a.hlt().unwrap());
    arm(&mut m, 0, STACK - 8, On::Write, 8);
    assert_eq!(hits(&mut m), [(1, CODE + 0xa00, false)]);
}

#[test]
fn what_an_nmi_pushes_is_trapped_at_its_handler() {
    let mut m = machine(true, |a| {
        a.nop().unwrap();
        a.hlt().unwrap();
    });
    m.set_gate(2, CODE + 0xa00, 0x8e00);
    m.assemble(CODE + 0xa00, |a| a.hlt().unwrap());
    arm(&mut m, 0, STACK - 8, On::Write, 8);
    m.with_state(|s| s.nmi_pending = true);
    assert_eq!(hits(&mut m), [(1, CODE + 0xa00, false)]);
}

#[test]
fn a_step_over_hlt_ends_it() {
    let mut m = machine(true, |a| {
        a.hlt().unwrap();
        a.pushfq().unwrap();
        a.btr(qword_ptr(rsp), 8).unwrap();
        a.popfq().unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| s.rflags |= TF);
    assert_eq!(hits(&mut m)[0], (1 << 14, CODE + 1, false));
}

#[test]
fn syscall_is_stepped_over_unless_its_mask_clears_tf() {
    const ENTRY: u64 = CODE + 0xa00;
    for mask in [0, TF] {
        let mut m = machine(true, |a| a.syscall().unwrap());
        m.assemble(ENTRY, |a| {
            a.pushfq().unwrap();
            a.btr(qword_ptr(rsp), 8).unwrap();
            a.popfq().unwrap();
            a.hlt().unwrap();
        });
        m.with_state(|s| {
            (s.msr.lstar, s.msr.fmask, s.msr.star) = (ENTRY, mask, 8 << 32);
            s.rflags |= TF;
        });
        let first = hits(&mut m).first().copied();
        assert_eq!(first, (mask == 0).then_some((1 << 14, ENTRY, false)));
    }
}

#[test]
fn registers_take_effect_at_once_and_dr6_is_sticky() {
    let mut m = Machine::new();
    m.set_gate(1, CODE + 0x800, 0x8e00);
    m.assemble(CODE + 0x800, |a| a.iretq().unwrap());
    m.assemble(CODE, |a| {
        a.mov(qword_ptr(rsi), rax).unwrap();
        a.mov(dr0, rsi).unwrap();
        a.mov(eax, control(0, On::Write, 8) as u32).unwrap();
        a.mov(dr7, rax).unwrap();
        a.mov(qword_ptr(rsi), rax).unwrap();
        a.mov(rbx, dr6).unwrap();
        a.mov(rcx, dr6).unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| s.gpr[reg::RSI] = DATA);
    assert_eq!(m.run(), Exit::Halted);
    let s = m.cpu.state();
    assert_eq!((s.gpr[reg::RBX], s.gpr[reg::RCX]), (DR6_FIXED | 1, DR6_FIXED | 1));
}
