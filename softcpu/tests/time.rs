//! Deadlines, timers and interrupts fall on exact instruction boundaries; state can be taken and given anywhere.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{CpuState, reg};
use iced_x86::code_asm::*;
use machine::*;

/// A loop with arithmetic, memory, calls and a repeated store; never ends.
fn busy(m: &mut Machine) {
    m.assemble(CODE, |a| {
        let mut top = a.create_label();
        let mut function = a.create_label();
        let mut skip = a.create_label();
        a.set_label(&mut top).unwrap();
        a.add(rax, 3).unwrap();
        a.imul_2(rdx, rax).unwrap();
        a.add(rdx, rcx).unwrap();
        a.call(function).unwrap();
        a.test(al, 4).unwrap();
        a.jz(skip).unwrap();
        a.mov(rdi, 0x30_0000u64).unwrap();
        a.mov(ecx, 100).unwrap();
        a.rep().stosb().unwrap();
        a.set_label(&mut skip).unwrap();
        a.rdtsc().unwrap();
        a.jmp(top).unwrap();
        a.set_label(&mut function).unwrap();
        a.xor(qword_ptr(0x30_1000u64), rdx).unwrap();
        a.adc(rbx, qword_ptr(0x30_1000u64)).unwrap();
        a.ret().unwrap();
    });
}

fn run_in_pieces(pieces: &[u64]) -> CpuState {
    let mut m = Machine::new();
    busy(&mut m);
    for until in pieces {
        assert_eq!(m.cpu.run(&mut m.bus, *until), Exit::Deadline);
        assert_eq!(m.cpu.tsc(), *until, "a deadline is met exactly");
        assert_eq!(m.cpu.retired(), *until);
    }
    m.cpu.state()
}

#[test]
fn pieces_of_any_size_come_to_the_same() {
    let whole = run_in_pieces(&[5000]);
    let ones: Vec<u64> = (1..=5000).collect();
    assert_eq!(run_in_pieces(&ones), whole);
    let mut odd: Vec<u64> = (1..5000)
        .scan(1u64, |at, n| {
            *at += n * 7 % 31 + 1;
            Some(*at)
        })
        .collect();
    odd.retain(|at| *at < 5000);
    odd.push(5000);
    assert_eq!(run_in_pieces(&odd), whole);
}

#[test]
fn a_state_given_to_another_cpu_goes_on_the_same() {
    let whole = run_in_pieces(&[5000]);
    let mut m = Machine::new();
    busy(&mut m);
    for until in (100..=5000).step_by(100) {
        assert_eq!(m.cpu.run(&mut m.bus, until), Exit::Deadline);
        let state = m.cpu.state();
        m.cpu = m.another_cpu();
        m.cpu.set_state(&state);
        assert_eq!(m.cpu.state(), state);
    }
    assert_eq!(m.cpu.state(), whole);
}

/// Arms the APIC timer in TSC-deadline mode, then counts.
fn timer_program(m: &mut Machine, at: u64) {
    m.assemble(CODE, |a| {
        let mut top = a.create_label();
        for (msr, value) in [(0x1b, 0xfee0_0d00u64), (0x80f, 0x1ff), (0x832, 0x4_0030), (0x6e0, at)] {
            a.mov(ecx, msr).unwrap();
            a.mov(eax, value as u32).unwrap();
            a.xor(edx, edx).unwrap();
            a.wrmsr().unwrap();
        }
        a.xor(ebx, ebx).unwrap();
        a.sti().unwrap();
        a.set_label(&mut top).unwrap();
        a.inc(rbx).unwrap();
        a.inc(rbx).unwrap();
        a.inc(rbx).unwrap();
        a.jmp(top).unwrap();
    });
}

#[test]
fn the_timer_interrupts_at_its_very_instruction() {
    for at in [30, 31, 32, 33, 34, 1000, 1001, 300_001] {
        let mut m = Machine::new();
        timer_program(&mut m, at);
        let (vector, frame) = m.run_to_handler(false);
        assert_eq!(vector, 48);
        assert_eq!(m.bus.interrupts, [(at, 48)]);
        // 18 instructions before the loop, 4 in each round of which 3 count.
        let looped = at - 18;
        let into = looped % 4;
        assert_eq!(m.cpu.state().gpr[reg::RBX], looped / 4 * 3 + into, "at {at}");
        assert_ne!(frame.rflags & 0x200, 0);
        assert_eq!(m.cpu.state().rflags & 0x200, 0, "an interrupt gate shuts the door");
    }
}

#[test]
fn a_halted_cpu_wakes_for_its_timer() {
    let mut m = Machine::new();
    timer_program(&mut m, 5000);
    // HLT over the loop's first instruction.
    let is_inc = |at: &u64| m.read::<[u8; 3]>(*at) == [0x48, 0xff, 0xc3];
    let first = (CODE..CODE + 80).find(is_inc).expect("the loop counts");
    m.assemble(first, |a| a.hlt().unwrap());
    assert_eq!(m.run(), Exit::Halted);
    assert!(m.cpu.tsc() < 100);
    assert_eq!(m.cpu.next_timer(), Some(5000));
    m.cpu.skip_to(5000);
    let (vector, _) = m.run_to_handler(false);
    assert_eq!((vector, m.bus.interrupts.clone()), (48, vec![(5000, 48)]));
    assert!(m.cpu.retired() < 100, "idle time is no work");
}

#[test]
fn a_bus_access_that_yields_ends_the_run_after_its_instruction() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        a.nop().unwrap();
        a.mov(edx, i32::from(ATTENTION)).unwrap();
        a.out(dx, al).unwrap();
        a.inc(rbx).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Yield);
    assert_eq!((m.cpu.tsc(), m.cpu.state().rip), (3, CODE + 7));
    assert_eq!(m.bus.ports, [(2, ATTENTION, 0)]);
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!(m.cpu.state().gpr[reg::RBX], 1);
}

#[test]
fn sti_holds_interrupts_for_one_instruction() {
    let mut m = Machine::new();
    timer_program(&mut m, 3);
    // The timer has long fired when STI comes: one more instruction runs.
    let (vector, _) = m.run_to_handler(false);
    assert_eq!((vector, m.cpu.state().gpr[reg::RBX]), (48, 1));
}

#[test]
fn unaligned_device_accesses_are_the_devices_to_split() {
    let mut m = Machine::new();
    m.map(0x50_0000, 0xd000_0000, PRESENT | WRITE);
    m.assemble(CODE, |a| {
        a.mov(rax, 0x1122_3344_5566_7788u64).unwrap();
        a.mov(qword_ptr(0x50_0004u64), rax).unwrap();
        a.mov(qword_ptr(0x50_0010u64), rax).unwrap();
        a.mov(rbx, qword_ptr(0x50_0004u64)).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    let writes: Vec<_> = m.bus.mmio.iter().map(|(_, gpa, data)| (*gpa, data.clone())).collect();
    assert_eq!(
        writes,
        [
            (0xd000_0004, vec![0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]),
            (0xd000_0010, vec![0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]),
        ]
    );
    assert_eq!(m.cpu.state().gpr[reg::RBX], 0x0b0a_0908_0706_0504);
}

#[test]
fn time_may_come_to_its_end() {
    let mut m = Machine::new();
    busy(&mut m);
    m.cpu.skip_to(u64::MAX - 100);
    assert_eq!(m.cpu.run(&mut m.bus, u64::MAX), Exit::Deadline);
    assert_eq!((m.cpu.tsc(), m.cpu.retired()), (u64::MAX, 100));
    assert_eq!(m.cpu.run(&mut m.bus, u64::MAX), Exit::Deadline);
}

/// A read beyond the APIC's registers raises the error interrupt: right after the instruction, wherever a slice ends.
#[test]
fn an_apic_read_interrupts_at_once() {
    for first in [1, 4, 5, 6, 7, 1_000_000] {
        let mut m = Machine::new();
        m.map(0x50_0000, 0xfee0_0000, PRESENT | WRITE);
        m.assemble(CODE, |a| {
            // Spurious-vector register: on; the error entry: vector 49.
            a.mov(dword_ptr(0x50_00f0u64), 0x1ff).unwrap();
            a.mov(dword_ptr(0x50_0370u64), 49).unwrap();
            a.sti().unwrap();
            a.inc(rbx).unwrap();
            a.mov(eax, dword_ptr(0x50_0400u64)).unwrap();
            a.inc(rbx).unwrap();
            a.inc(rbx).unwrap();
            a.hlt().unwrap();
        });
        m.with_state(|s| s.gpr[reg::RAX] = 99);
        m.cpu.run(&mut m.bus, first);
        let (vector, frame) = m.run_to_handler(false);
        assert_eq!((vector, m.bus.interrupts.clone()), (49, vec![(5, 49)]), "slice {first}");
        let gpr = m.cpu.state().gpr;
        assert_eq!((gpr[reg::RAX], gpr[reg::RBX]), (0, 1));
        assert_eq!(m.read::<[u8; 3]>(frame.rip), [0x48, 0xff, 0xc3], "the second INC is next");
        assert_eq!(m.cpu.retired(), 6);
    }
}

/// So does a read that flushes a device's interrupt message: the machine has the CPU back right after it.
#[test]
fn a_device_read_that_brings_an_interrupt_ends_the_run_after_its_instruction() {
    for first in [1, 2, 3, 1_000_000] {
        let mut m = Machine::new();
        m.map(0x50_0000, BRINGS_INTERRUPTS, PRESENT | WRITE);
        m.assemble(CODE, |a| {
            a.inc(rbx).unwrap();
            a.mov(eax, dword_ptr(0x50_0004u64)).unwrap();
            a.mov(eax, dword_ptr(0x50_0000u64)).unwrap();
            a.inc(rbx).unwrap();
            a.hlt().unwrap();
        });
        let (exit, count) = loop {
            let exit = m.cpu.run(&mut m.bus, first.max(m.cpu.tsc() + 1));
            if exit != Exit::Deadline {
                break (exit, m.cpu.state().gpr[reg::RBX]);
            }
        };
        assert_eq!((exit, count, m.cpu.tsc()), (Exit::Yield, 1, 3), "slice {first}");
        assert_eq!((m.run(), m.cpu.state().gpr[reg::RBX]), (Exit::Halted, 2));
    }
}
