//! Stops find every execution and access, at the instruction where it happens, and the guest runs as without them. The oracle is the
//! same program, run one instruction at a time.

mod machine;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::{Access, Kinds, Range, Stops};
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use machine::*;

const COUNTER: u64 = 0x20_0ffc;
const TABLE: u64 = 0x21_0000;
const END: Cycles = Cycles(100_000);

/// Counts in memory, across a page's end, with calls, pushes, a repeated store and an exception in each round.
fn machine() -> Machine {
    let mut m = Machine::new();
    m.set_gate(3, CODE + 0x800, 0x8e00);
    m.assemble(CODE + 0x800, |a| {
        a.inc(r12).unwrap();
        a.iretq().unwrap();
    });
    m.assemble(CODE, |a| {
        let (mut top, mut function, mut begin) = (a.create_label(), a.create_label(), a.create_label());
        a.jmp(begin).unwrap();
        a.set_label(&mut function).unwrap();
        a.push(rbx).unwrap();
        a.mov(rax, qword_ptr(rsi)).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
        a.set_label(&mut begin).unwrap();
        a.mov(rsi, COUNTER).unwrap();
        a.mov(ebp, 40u32).unwrap();
        a.set_label(&mut top).unwrap();
        a.add(qword_ptr(rsi), 0x1_0001).unwrap();
        a.call(function).unwrap();
        a.mov(rdi, TABLE).unwrap();
        a.mov(ecx, 300u32).unwrap();
        a.rep().stosq().unwrap();
        a.int3().unwrap();
        a.cmp(dword_ptr(rsi + 4), 7).unwrap();
        a.dec(ebp).unwrap();
        a.jnz(top).unwrap();
        a.hlt().unwrap();
    });
    m
}

/// What is left of a run, and that nothing of it depends on stops.
fn remains(m: &mut Machine) -> (CpuState, u64, u64, fencepost_softcpu::mem::saved::TlbState) {
    (m.cpu.state(), m.read(COUNTER), m.read(TABLE + 8), m.cpu.translations())
}

/// RIP before each instruction, when it began, and the counter in memory after it.
fn stepped() -> Vec<(u64, Cycles, u64)> {
    let mut m = machine();
    let mut steps = Vec::new();
    loop {
        let (rip, at) = (m.cpu.state().rip, m.cpu.cycles());
        let exit = m.cpu.run(&mut m.bus, at + 1);
        // The exception's handler begins without an instruction in between.
        steps.push((rip, at, m.read(COUNTER)));
        if exit == Exit::Halted || m.cpu.state().halted {
            return steps;
        }
        assert_eq!(exit, Exit::Deadline);
    }
}

/// Runs to the end; when it stopped on the way, and why.
fn stopped(m: &mut Machine, stops: Stops) -> Vec<(Exit, Cycles, u64)> {
    let mut seen = Vec::new();
    m.cpu.set_stops(stops);
    loop {
        match m.cpu.run(&mut m.bus, END) {
            Exit::Halted => return seen,
            exit @ (Exit::Breakpoint | Exit::Accessed(_)) => {
                seen.push((exit, m.cpu.cycles(), m.cpu.state().rip));
                m.cpu.pass_stop();
            }
            other => panic!("{other:?}"),
        }
        assert!(seen.len() < 10_000, "it does not get on");
    }
}

#[test]
fn each_execution_of_each_instruction_is_stopped_before() {
    let steps = stepped();
    let mut plain = machine();
    assert_eq!(plain.cpu.run(&mut plain.bus, END), Exit::Halted);
    let expected = remains(&mut plain);
    let mut addresses: Vec<u64> = steps.iter().map(|step| step.0).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert!(addresses.len() > 15);
    for at in addresses.iter().copied().chain([CODE + 1]) {
        let mut m = machine();
        let seen = stopped(&mut m, Stops::new([at], vec![]));
        let wanted = steps.iter().filter(|step| step.0 == at).map(|step| (Exit::Breakpoint, step.1, at));
        assert_eq!(seen, wanted.collect::<Vec<_>>(), "{at:#x}");
        assert_eq!(remains(&mut m), expected, "{at:#x}");
    }
    // All at once.
    let mut m = machine();
    let seen = stopped(&mut m, Stops::new(addresses, vec![]));
    let all: Vec<_> = steps.iter().map(|step| (Exit::Breakpoint, step.1, step.0)).collect();
    assert_eq!(seen, all);
    assert_eq!(remains(&mut m), expected);
}

#[test]
fn each_write_is_stopped_after_and_leaves_no_trace() {
    let steps = stepped();
    let mut before = 0;
    let changes = steps.iter().filter(|step| std::mem::replace(&mut before, step.2) != step.2);
    let changes: Vec<Cycles> = changes.map(|step| step.1 + 1).collect();
    assert_eq!(changes.len(), 40);
    let mut plain = machine();
    plain.cpu.run(&mut plain.bus, END);
    let expected = remains(&mut plain);
    // The first byte, and the last, which is in the next page.
    for start in [COUNTER, COUNTER + 7] {
        let mut m = machine();
        let kinds = Kinds { read: false, write: true };
        let seen = stopped(&mut m, Stops::new([], vec![Range { start, bytes: 1, kinds }]));
        let exit = Exit::Accessed(Access { watched: start, write: true });
        let when: Vec<Cycles> = seen.iter().map(|stop| stop.1).collect();
        assert_eq!(when, changes);
        assert!(seen.iter().all(|stop| stop.0 == exit));
        assert_eq!(remains(&mut m), expected);
    }
}

#[test]
fn reads_are_told_from_writes() {
    let count = |start, bytes, read, write| {
        let mut m = machine();
        let range = Range { start, bytes, kinds: Kinds { read, write } };
        let seen = stopped(&mut m, Stops::new([], vec![range]));
        let wrote =
            |stop: &&(Exit, Cycles, u64)| matches!(stop.0, Exit::Accessed(Access { write: true, .. }));
        (seen.len(), seen.iter().filter(wrote).count())
    };
    // A round adds to it (a read and a write), loads it whole and compares its upper half.
    assert_eq!(count(COUNTER, 8, false, true), (40, 40));
    assert_eq!(count(COUNTER, 4, true, false).0, 80);
    assert_eq!(count(COUNTER + 4, 4, true, false).0, 120);
    assert_eq!(count(COUNTER + 4, 4, true, true).0, 120);
    // The repeated store stops once, when it is done; nobody reads the table.
    assert_eq!(count(TABLE + 800, 1, false, true), (40, 40));
    assert_eq!(count(TABLE + 800, 1, true, false), (0, 0));
    assert_eq!(count(TABLE + 2400, 8, true, true), (0, 0));
    // CALL and PUSH, and what the exception pushes.
    assert_eq!(count(STACK - 16, 8, false, true).0, 80);
    assert_eq!(count(STACK - 40, 8, false, true).0, 40);
}

#[test]
fn stops_that_are_taken_back_stop_nobody() {
    let mut m = machine();
    let kinds = Kinds { read: true, write: true };
    m.cpu.set_stops(Stops::new([CODE], vec![Range { start: COUNTER, bytes: 8, kinds }]));
    assert_eq!(m.cpu.run(&mut m.bus, END), Exit::Breakpoint);
    m.cpu.pass_stop();
    assert!(matches!(m.cpu.run(&mut m.bus, END), Exit::Accessed(_)));
    let translations = m.cpu.translations();
    assert!(m.cpu.set_translations(&translations));
    assert!(matches!(m.cpu.run(&mut m.bus, END), Exit::Accessed(_)), "the pages are still watched");
    m.cpu.set_stops(Stops::default());
    assert_eq!(m.cpu.run(&mut m.bus, END), Exit::Halted);
    let mut plain = machine();
    plain.cpu.run(&mut plain.bus, END);
    assert_eq!(remains(&mut m), remains(&mut plain));
}
