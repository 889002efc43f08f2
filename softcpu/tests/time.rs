//! Deadlines, timers and interrupts fall on exact instruction boundaries; state can be taken and given anywhere.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::{CpuState, PendingException, reg};
use fencepost_time::{Cycles, Tsc};
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
        assert_eq!(m.cpu.run(&mut m.bus, Cycles(*until)), Exit::Deadline);
        assert_eq!(m.cpu.cycles().0, *until, "a deadline is met exactly");
        assert_eq!(m.cpu.retired(), *until);
    }
    m.cpu.state()
}

/// The fuzz target `cpu` found that the trap behind an instruction took its cycle beyond the deadline.
#[test]
fn exceptions_between_instructions_meet_a_deadline_exactly() {
    let run = |pieces: &mut dyn Iterator<Item = u64>| {
        let mut m = Machine::new();
        busy(&mut m);
        // The handler of debug exceptions: IRET.
        m.write(HANDLERS + 16, 0xcf48u16);
        m.with_state(|s| {
            s.rflags |= 0x100;
            s.pending_exception = Some(PendingException { vector: 1, error_code: None });
        });
        for until in pieces {
            assert_eq!((m.cpu.run(&mut m.bus, Cycles(until)), m.cpu.cycles().0), (Exit::Deadline, until));
        }
        m.cpu.state()
    };
    let whole = run(&mut [3000].into_iter());
    assert_eq!(run(&mut (1..=3000)), whole);
    assert_eq!(run(&mut (1..=1500).map(|n| 2 * n)), whole);
    assert_eq!(run(&mut (1..=1000).map(|n| 3 * n)), whole);
}

#[test]
fn pieces_of_any_size_give_the_same_result() {
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
fn another_cpu_resumes_a_state_identically() {
    let whole = run_in_pieces(&[5000]);
    let mut m = Machine::new();
    busy(&mut m);
    for until in (100..=5000).step_by(100) {
        assert_eq!(m.cpu.run(&mut m.bus, Cycles(until)), Exit::Deadline);
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
    assert!(m.cpu.cycles().0 < 100);
    assert_eq!(m.cpu.next_timer(), Some(Cycles(5000)));
    m.cpu.skip_to(Cycles(5000));
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
    assert_eq!((m.cpu.cycles().0, m.cpu.state().rip), (3, CODE + 7));
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
fn unaligned_device_accesses_reach_the_device_whole() {
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
fn time_may_reach_its_maximum() {
    let mut m = Machine::new();
    busy(&mut m);
    m.cpu.skip_to(Cycles(u64::MAX - 100));
    assert_eq!(m.cpu.run(&mut m.bus, Cycles(u64::MAX)), Exit::Deadline);
    assert_eq!((m.cpu.cycles().0, m.cpu.retired()), (u64::MAX, 100));
    assert_eq!(m.cpu.run(&mut m.bus, Cycles(u64::MAX)), Exit::Deadline);
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
        m.cpu.run(&mut m.bus, Cycles(first));
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
            let exit = m.cpu.run(&mut m.bus, Cycles(first.max(m.cpu.cycles().0 + 1)));
            if exit != Exit::Deadline {
                break (exit, m.cpu.state().gpr[reg::RBX]);
            }
        };
        assert_eq!((exit, count, m.cpu.cycles().0), (Exit::Yield, 1, 3), "slice {first}");
        assert_eq!((m.run(), m.cpu.state().gpr[reg::RBX]), (Exit::Halted, 2));
    }
}

/// Sets the counter by one of its two MSRs, arms the timer 1000 cycles after what the guest reads then, and halts.
fn deadline_after_setting(m: &mut Machine, msr: i32, value: u64) {
    m.assemble(CODE, |a| {
        let write = |a: &mut CodeAssembler, msr: i32, value: u64| {
            a.mov(ecx, msr).unwrap();
            a.mov(eax, value as u32 as i32).unwrap();
            a.mov(edx, (value >> 32) as u32 as i32).unwrap();
            a.wrmsr().unwrap();
        };
        for (msr, value) in [(0x1b, 0xfee0_0d00u64), (0x80f, 0x1ff), (0x832, 0x4_0030)] {
            write(a, msr, value);
        }
        write(a, msr, value);
        a.rdtsc().unwrap();
        a.shl(rdx, 32).unwrap();
        a.or(rax, rdx).unwrap();
        a.mov(rbx, rax).unwrap();
        a.add(rax, 1000).unwrap();
        a.mov(rdx, rax).unwrap();
        a.shr(rdx, 32).unwrap();
        a.mov(ecx, 0x6e0).unwrap();
        a.wrmsr().unwrap();
        a.sti().unwrap();
        a.hlt().unwrap();
    });
}

#[test]
fn a_deadline_follows_a_counter_that_the_guest_has_set() {
    // The RDTSC is instruction 16, counted from zero.
    const READ_AT: u64 = 16;
    const LATE: u64 = 1 << 40;
    for begin in [0, LATE] {
        for (msr, value) in [
            (0x10, 1 << 50),
            (0x10, 5),
            (0x10, u64::MAX - 5000),
            (0x3b, 1 << 50),
            (0x3b, begin.wrapping_neg()),
        ] {
            let mut m = Machine::new();
            deadline_after_setting(&mut m, msr, value);
            m.cpu.skip_to(Cycles(begin));
            assert_eq!(m.run(), Exit::Halted);
            let read = m.cpu.state().gpr[reg::RBX];
            // The WRMSR is instruction 15.
            let expected = if msr == 0x10 { value + 1 } else { value.wrapping_add(begin + READ_AT) };
            assert_eq!(read, expected, "{msr:#x} = {value:#x}");
            let due = Cycles(begin + READ_AT + 1000);
            assert_eq!(m.cpu.next_timer(), Some(due), "{msr:#x} = {value:#x} at {begin}");
            assert_eq!(m.bus.offsets.len(), 1);
            assert_eq!(due.tsc(m.bus.offsets[0].1), Tsc(read + 1000));
            m.cpu.skip_to(due);
            let (vector, _) = m.run_to_handler(false);
            assert_eq!((vector, m.bus.interrupts.clone()), (48, vec![(due.0, 48)]));
        }
    }
}

/// A timer that is armed already goes off when the counter that the guest sets gets there, or is beyond.
#[test]
fn setting_the_counter_moves_an_armed_deadline() {
    for (set, due) in [(4990, Some(10)), (4000, Some(1000)), (6000, None)] {
        let mut m = Machine::new();
        m.assemble(CODE, |a| {
            for (msr, value) in
                [(0x1b, 0xfee0_0d00u64), (0x80f, 0x1ff), (0x832, 0x4_0030), (0x6e0, 5000), (0x10, set)]
            {
                a.mov(ecx, msr).unwrap();
                a.mov(eax, value as u32 as i32).unwrap();
                a.xor(edx, edx).unwrap();
                a.wrmsr().unwrap();
            }
            a.sti().unwrap();
            a.hlt().unwrap();
            a.hlt().unwrap();
        });
        match due {
            Some(after) => {
                assert_eq!(m.run(), Exit::Halted);
                // The last WRMSR is instruction 19.
                assert_eq!(m.cpu.next_timer(), Some(Cycles(19 + after)));
            }
            None => {
                let (vector, _) = m.run_to_handler(false);
                assert_eq!((vector, m.bus.interrupts.clone()), (48, vec![(22, 48)]), "after STI's shadow");
            }
        }
    }
}
