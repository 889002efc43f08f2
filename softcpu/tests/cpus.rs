//! Several CPUs on one memory: one time, turns, messages between them, and code that one writes for another.

mod machine;

use fencepost_softcpu::apic::{DeliveryMode, InterruptMessage};
use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::cpus::{Cpus, Turn};
use fencepost_softcpu::state::{CpuState, reg};
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use machine::*;

const DATA: u64 = 0x30_0000;
/// The local APIC's page, which the tests map here.
const APIC: u64 = 0xfee0_0000;
const ICR_LOW: u64 = APIC + 0x300;
const ICR_HIGH: u64 = APIC + 0x310;

fn code_of(number: u64) -> u64 {
    CODE + number * 0x1000
}

fn set(cpus: &mut Cpus, number: usize, change: impl FnOnce(&mut CpuState)) {
    let cpu = &mut cpus.all_mut()[number];
    let mut state = cpu.state();
    change(&mut state);
    cpu.set_state(&state);
}

/// Each CPU draws a ticket and writes its time-stamp counter to the ticket's place, for ever.
fn draw_tickets(m: &mut Machine, count: u64) {
    for number in 0..count {
        m.assemble(code_of(number), |a| {
            let mut top = a.create_label();
            a.mov(rbx, DATA).unwrap();
            a.set_label(&mut top).unwrap();
            a.mov(esi, 1).unwrap();
            a.lock().xadd(qword_ptr(rbx), rsi).unwrap();
            a.rdtsc().unwrap();
            a.shl(rdx, 32).unwrap();
            a.or(rax, rdx).unwrap();
            a.mov(qword_ptr(rbx + rsi * 8 + 64), rax).unwrap();
            a.jmp(top).unwrap();
        });
    }
}

#[test]
fn the_counters_of_all_cpus_agree() {
    let mut m = Machine::new();
    draw_tickets(&mut m, 3);
    let mut cpus = m.several(3);
    assert_eq!(cpus.run(&mut m.bus, Cycles(50_000)), Exit::Deadline);
    assert_eq!((cpus.cycles(), cpus.retired()), (Cycles(50_000), 50_000));
    let tickets: u64 = m.read(DATA);
    assert!(tickets > 7000, "{tickets}");
    // A turn may end between ticket and counter: a ticket's time is then later than that of some after it, by turns at most.
    let times: Vec<u64> = (1..tickets - 3).map(|n| m.read(DATA + 64 + 8 * n)).collect();
    let late = times.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert!(late <= 50_000 / TURN as usize, "{late} of {tickets}");
    // Each has a third.
    for cpu in cpus.all() {
        assert!((16_000..18_000).contains(&cpu.retired()), "{}", cpu.retired());
    }
    assert_eq!(m.bus.turns[..5], [0, 1, 2, 0, 1]);
}

/// A number for what the CPUs have written.
fn digest(m: &Machine) -> u64 {
    let words = (0..4000).map(|n| m.read::<u64>(DATA + 8 * n));
    words.fold(1469, |sum, word| (sum ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(9))
}

/// All that is left of a run in pieces.
fn left(pieces: &[u64]) -> (Vec<CpuState>, Turn, u64, u64) {
    let mut m = Machine::new();
    draw_tickets(&mut m, 4);
    let mut cpus = m.several(4);
    // One sleeps until its timer fires, again and again: periodic, divided by 1.
    m.map(APIC, APIC, PRESENT | WRITE);
    m.assemble(code_of(3), |a| {
        let mut top = a.create_label();
        for (offset, value) in [(0xf0, 0x1ff), (0x3e0, 0xb), (0x320, 0x2_0030), (0x380, 777)] {
            a.mov(rax, APIC + offset).unwrap();
            a.mov(dword_ptr(rax), value).unwrap();
        }
        a.set_label(&mut top).unwrap();
        a.sti().unwrap();
        a.hlt().unwrap();
        a.jmp(top).unwrap();
    });
    handler(&mut m, 0x30, |a| {
        a.inc(qword_ptr(DATA + 8)).unwrap();
    });
    for until in pieces {
        assert_eq!(cpus.run(&mut m.bus, Cycles(*until)), Exit::Deadline);
        assert_eq!(cpus.cycles(), Cycles(*until));
    }
    let memory = digest(&m);
    (cpus.all().iter().map(|cpu| cpu.state()).collect(), cpus.turn(), memory, m.read(DATA + 8))
}

/// A handler that acknowledges its interrupt and returns.
fn handler(m: &mut Machine, vector: u8, body: impl FnOnce(&mut CodeAssembler)) {
    let at = 0x28_0000 + 0x100 * u64::from(vector);
    m.set_gate(vector, at, 0x8e00);
    m.assemble(at, |a| {
        a.push(rax).unwrap();
        body(a);
        a.mov(rax, APIC + 0xb0).unwrap();
        a.mov(dword_ptr(rax), 0).unwrap();
        a.pop(rax).unwrap();
        a.iretq().unwrap();
    });
}

#[test]
fn pieces_of_any_size_give_the_same_result() {
    let whole = left(&[20_000]);
    assert!(whole.3 > 20, "the timer has fired {} times", whole.3);
    assert!(left(&(1..=20_000).collect::<Vec<_>>()) == whole);
    let odd: Vec<u64> =
        (0..).map(|n: u64| n * 37 + n * n % 31).take_while(|at| *at < 20_000).skip(1).collect();
    assert!(left(&[odd, vec![20_000]].concat()) == whole);
}

#[test]
fn saved_cpus_go_on_as_they_would_have() {
    let mut m = Machine::new();
    draw_tickets(&mut m, 3);
    let mut cpus = m.several(3);
    assert_eq!(cpus.run(&mut m.bus, Cycles(5050)), Exit::Deadline);
    let mut others = m.several(3);
    for (number, cpu) in cpus.all().iter().enumerate() {
        let other = &mut others.all_mut()[number];
        other.set_state(&cpu.state());
        assert!(other.set_translations(&cpu.translations()));
    }
    assert!(others.set_turn(cpus.turn()));
    assert!(!others.set_turn(Turn { cpu: 3, ..Turn::default() }) && others.turn() == cpus.turn());
    m.bus.turns.clear();
    assert_eq!(others.run(&mut m.bus, Cycles(5500)), Exit::Deadline);
    let (turns, memory) = (std::mem::take(&mut m.bus.turns), digest(&m));
    // The same from the same memory: what the others have written is the tickets from 5050 on.
    let mut m = Machine::new();
    draw_tickets(&mut m, 3);
    let mut cpus = m.several(3);
    assert_eq!(cpus.run(&mut m.bus, Cycles(5050)), Exit::Deadline);
    m.bus.turns.clear();
    assert_eq!(cpus.run(&mut m.bus, Cycles(5500)), Exit::Deadline);
    assert_eq!(turns, m.bus.turns);
    assert_eq!(memory, digest(&m));
    for (one, other) in cpus.all().iter().zip(others.all()) {
        assert!(one.state() == other.state());
    }
}

/// Two CPUs take turns at a word, with or without PAUSE; how many cycles a hand-over takes.
fn cycles_of_a_hand_over(pause: bool) -> u64 {
    const ROUNDS: u64 = 200;
    let mut m = Machine::new();
    for number in 0..2u32 {
        m.assemble(code_of(number.into()), |a| {
            let mut wait = a.create_label();
            a.mov(rbx, DATA).unwrap();
            a.mov(ecx, ROUNDS as u32).unwrap();
            a.set_label(&mut wait).unwrap();
            if pause {
                a.pause().unwrap();
            }
            a.cmp(dword_ptr(rbx), number).unwrap();
            a.jne(wait).unwrap();
            a.mov(dword_ptr(rbx), 1 - number).unwrap();
            a.dec(ecx).unwrap();
            a.jnz(wait).unwrap();
            a.hlt().unwrap();
        });
    }
    let mut cpus = m.several(2);
    assert_eq!(cpus.run(&mut m.bus, Cycles(1_000_000)), Exit::Halted);
    cpus.cycles().0 / (2 * ROUNDS)
}

#[test]
fn one_that_pauses_lets_the_other_run() {
    assert!(cycles_of_a_hand_over(true) < 15);
    assert!(cycles_of_a_hand_over(false) > TURN / 2);
}

#[test]
fn a_lone_cpu_does_not_stop_at_a_pause() {
    let mut m = Machine::new();
    m.assemble(CODE, |a| {
        // F3 41 90 is XCHG R8D, EAX, whatever stands before it.
        a.mov(eax, 7).unwrap();
        a.pause().unwrap();
        a.db(&[0xf3, 0x41, 0x90]).unwrap();
        a.pause().unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(m.run(), Exit::Halted);
    assert_eq!((m.cpu.retired(), m.cpu.state().gpr[8]), (5, 7));
}

#[test]
fn an_interrupt_of_another_cpu_wakes_a_sleeper() {
    let mut m = Machine::new();
    m.map(APIC, APIC, PRESENT | WRITE);
    m.assemble(code_of(0), |a| {
        let mut wait = a.create_label();
        for (at, value) in [(ICR_HIGH, 1 << 24), (ICR_LOW, 0x31)] {
            a.mov(rax, at).unwrap();
            a.mov(dword_ptr(rax), value).unwrap();
        }
        a.mov(rbx, DATA).unwrap();
        a.set_label(&mut wait).unwrap();
        a.pause().unwrap();
        a.cmp(dword_ptr(rbx), 0).unwrap();
        a.je(wait).unwrap();
        a.hlt().unwrap();
    });
    m.assemble(code_of(1), |a| {
        a.mov(rax, APIC + 0xf0).unwrap();
        a.mov(dword_ptr(rax), 0x1ff).unwrap();
        a.sti().unwrap();
        a.hlt().unwrap();
        a.cli().unwrap();
        a.hlt().unwrap();
    });
    handler(&mut m, 0x31, |a| {
        a.mov(rax, DATA).unwrap();
        a.mov(dword_ptr(rax), 9).unwrap();
    });
    let mut cpus = m.several(2);
    // The second one has gone to sleep before the first one begins.
    assert!(cpus.set_turn(Turn { cpu: 1, ends: Cycles(50), next: None, awake: 3 }));
    let mut exits = Vec::new();
    while cpus.cycles() < Cycles(1000) && exits.last() != Some(&Exit::Halted) {
        exits.push(cpus.run(&mut m.bus, Cycles(1000)));
    }
    // Both writes to the APIC's page of the first, and the end of the interrupt, may bring the machine something.
    assert_eq!(exits.last(), Some(&Exit::Halted), "{exits:?}");
    assert_eq!(m.read::<u32>(DATA), 9);
    assert!(cpus.cycles() < Cycles(100), "{:?}", cpus.cycles());
    assert_eq!(m.bus.interrupts.len(), 1);
}

#[test]
fn a_timer_of_a_sleeper_stops_the_one_that_runs() {
    const DUE: u64 = 5000;
    let mut m = Machine::new();
    m.map(APIC, APIC, PRESENT | WRITE);
    m.assemble(code_of(0), |a| {
        let mut top = a.create_label();
        a.set_label(&mut top).unwrap();
        a.inc(rax).unwrap();
        a.jmp(top).unwrap();
    });
    m.assemble(code_of(1), |a| {
        for (offset, value) in [(0xf0, 0x1ff), (0x320, 0x4_0032)] {
            a.mov(rax, APIC + offset).unwrap();
            a.mov(dword_ptr(rax), value).unwrap();
        }
        a.mov(ecx, 0x6e0).unwrap();
        a.xor(edx, edx).unwrap();
        a.mov(eax, DUE as u32).unwrap();
        a.wrmsr().unwrap();
        a.sti().unwrap();
        a.hlt().unwrap();
    });
    let mut cpus = m.several(2);
    let mut exit = Exit::Yield;
    while exit == Exit::Yield {
        exit = cpus.run(&mut m.bus, Cycles(DUE + 50));
    }
    assert_eq!(exit, Exit::Deadline);
    assert_eq!(m.bus.interrupts, [(DUE, 0x32)], "at once, in the middle of a long turn");
}

#[test]
fn code_that_one_writes_is_seen_by_the_other() {
    const FUNCTION: u64 = 0x20_0000;
    const ROUNDS: u32 = 500;
    let mut m = Machine::new();
    // `mov eax, imm32; ret`, of which the first CPU writes the number of the round; the second calls it and adds.
    m.write(FUNCTION, [0xb8u8, 0, 0, 0, 0, 0xc3]);
    m.assemble(code_of(0), |a| {
        let (mut top, mut wait) = (a.create_label(), a.create_label());
        a.mov(rbx, DATA).unwrap();
        a.mov(rdi, FUNCTION).unwrap();
        a.xor(ecx, ecx).unwrap();
        a.set_label(&mut top).unwrap();
        a.inc(ecx).unwrap();
        a.mov(dword_ptr(rdi + 1), ecx).unwrap();
        a.mov(dword_ptr(rbx), 1).unwrap();
        a.set_label(&mut wait).unwrap();
        a.pause().unwrap();
        a.cmp(dword_ptr(rbx), 0).unwrap();
        a.jne(wait).unwrap();
        a.cmp(ecx, ROUNDS).unwrap();
        a.jne(top).unwrap();
        a.mov(dword_ptr(rbx), 2).unwrap();
        a.hlt().unwrap();
    });
    m.assemble(code_of(1), |a| {
        let (mut wait, mut done) = (a.create_label(), a.create_label());
        a.mov(rbx, DATA).unwrap();
        a.mov(rdi, FUNCTION).unwrap();
        a.xor(esi, esi).unwrap();
        a.set_label(&mut wait).unwrap();
        a.pause().unwrap();
        a.cmp(dword_ptr(rbx), 1).unwrap();
        a.jb(wait).unwrap();
        a.ja(done).unwrap();
        a.call(rdi).unwrap();
        a.add(esi, eax).unwrap();
        a.mov(dword_ptr(rbx), 0).unwrap();
        a.jmp(wait).unwrap();
        a.set_label(&mut done).unwrap();
        a.hlt().unwrap();
    });
    let mut cpus = m.several(2);
    assert_eq!(cpus.run(&mut m.bus, Cycles(1_000_000)), Exit::Halted);
    let sum = cpus.all()[1].state().gpr[reg::RSI];
    assert_eq!(sum, u64::from(ROUNDS * (ROUNDS + 1) / 2));
    let dropped: u64 = cpus.all().iter().map(|cpu| cpu.counters().pages_dropped).sum();
    assert!(dropped >= u64::from(ROUNDS) - 1, "{dropped}");
}

#[test]
fn messages_reach_those_they_name() {
    let m = Machine::new();
    let mut cpus = m.several(4);
    for number in 0..4 {
        // The APIC is enabled by software; its task priority falls with the number.
        set(&mut cpus, number, |state| {
            state.apic.regs[0xf] = 0x1ff;
            state.apic.regs[8] = 0x40 - 0x10 * number as u32;
            state.halted = true;
        });
    }
    let pending = |cpus: &Cpus| -> Vec<usize> {
        let requests =
            |cpu: usize| cpus.all()[cpu].state().apic.regs[0x20..0x28].iter().any(|word| *word != 0);
        (0..4).filter(|cpu| requests(*cpu)).collect()
    };
    let message = |destination, delivery_mode| InterruptMessage {
        destination,
        logical: false,
        delivery_mode,
        vector: 0x91,
        level: false,
    };
    cpus.deliver(message(2, DeliveryMode::Fixed));
    assert_eq!(pending(&cpus), [2]);
    cpus.deliver(message(u32::MAX, DeliveryMode::LowestPriority));
    assert_eq!(pending(&cpus), [2, 3], "of all the last one has the lowest priority");
    set(&mut cpus, 0, |state| (state.apic.regs[0xf], state.apic.regs[8]) = (0xff, 0));
    cpus.deliver(InterruptMessage { vector: 0x92, ..message(u32::MAX, DeliveryMode::LowestPriority) });
    // The request register of vectors 0x80 to 0x9f.
    assert_eq!(cpus.all()[3].state().apic.regs[0x24], 1 << 0x12 | 1 << 0x11, "the first one's APIC is off");
    set(&mut cpus, 0, |state| state.apic.regs[0xf] = 0x1ff);
    cpus.deliver(message(u32::MAX, DeliveryMode::Nmi));
    assert!(cpus.all().iter().all(|cpu| cpu.state().nmi_pending));
    cpus.deliver(message(u32::MAX, DeliveryMode::Fixed));
    assert_eq!(pending(&cpus), [0, 1, 2, 3]);
}
