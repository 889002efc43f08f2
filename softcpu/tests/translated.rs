//! Random programs, by the interpreter and by the translator: after every stretch, which ends at a random deadline, registers, flags,
//! time, translations and counts are the same, and at the end memory is.
//!
//! `FENCEPOST_FUZZ=SECONDS[,SEED]` runs on with other programs for so long.

#[path = "common/fuzz.rs"]
mod fuzz;
mod machine;
mod programs;

use fencepost_random::Random;
use fencepost_softcpu::Translate;
use fencepost_softcpu::bus::Exit;
use fencepost_time::Cycles;
use iced_x86::Code;
use iced_x86::code_asm::*;
use machine::{CODE, Machine, PRESENT, USER, WRITE};
use programs::{Style, forms, integer, listing, program};
use vm_memory::{Bytes, GuestAddress};

/// Data that programs work on: four pages, the second of which may not be written, and the last is not there.
const DATA: u64 = 0x60_0000;
const PLACE: u64 = 0x30_0000;
const DATA_BYTES: usize = 0x3000;
const STYLE: Style = Style { data: DATA, on_host: false };
/// Programs of the default run.
const PROGRAMS: u64 = 1500;

fn machine(translate: Translate, (code, start): (&[u8], u64), seed: u64) -> Machine {
    let mut random = Random::new(seed);
    let mut m = Machine::with(translate);
    m.memory.write_slice(code, GuestAddress(start)).unwrap();
    for page in 0..3 {
        let write = if page == 1 && random.once_in(2) { 0 } else { WRITE };
        m.map(DATA + 0x1000 * page, PLACE + 0x1000 * page, PRESENT | USER | write);
    }
    let data: Vec<u8> = (0..DATA_BYTES).map(|_| random.bits() as u8).collect();
    m.memory.write_slice(&data, GuestAddress(PLACE)).unwrap();
    m.with_state(|state| {
        state.gpr.iter_mut().for_each(|register| *register = integer(&mut random));
        state.rip = start;
        state.gpr[4] = machine::STACK - 0x800;
        state.gpr[11] = DATA;
        state.gpr[14] = random.below(3);
        state.rflags = 2 | random.bits() & 0x8d5;
        state.fpu.mxcsr = 0x1f80
            | if random.once_in(3) { random.bits() as u32 & 0x6000 } else { 0 }
            | if random.once_in(5) { 0x8040 } else { 0 };
        if random.once_in(8) {
            state.fpu.mxcsr &= !(1 << (7 + random.below(6)));
        }
        state.fpu.xmm = std::array::from_fn(|_| {
            u128::from(integer(&mut random)) << 64 | u128::from(integer(&mut random))
        });
    });
    m
}

/// How programs ended.
#[derive(Debug, Default)]
struct Seen {
    programs: u64,
    stops: u64,
    faults: u64,
    instructions: u64,
    /// Programs that rewrite themselves.
    rewritten: u64,
    interrupts: u64,
}

/// A machine that a program is about to run on: the program and where it is, and a seed.
type Make = fn(Translate, (&[u8], u64), u64) -> Machine;

fn compare(make: Make, seed: u64, forms: &[Code], seen: &mut Seen) {
    let mut random = Random::new(seed);
    // Mostly across the end of a page.
    let start = CODE + 0xfff - random.below(250);
    let made = program(&mut random, forms, &STYLE, start);
    let code = made.code;
    let mut both = [Translate::Never, Translate::Always].map(|which| make(which, (&code, start), seed));
    let mut until = both[0].cpu.cycles();
    let step = [3, 20, 200, 5000][random.below(4) as usize];
    for stop in 0.. {
        until += 1 + random.below(step);
        let exits = both.each_mut().map(|m| m.cpu.run(&mut m.bus, until));
        let states = both.each_ref().map(|m| m.cpu.state());
        assert_eq!(exits[0], exits[1], "program {seed}, stop {stop} at {until:?}");
        if states[0] != states[1] {
            println!("{}", listing(&code, start));
        }
        assert_eq!(states[0], states[1], "program {seed}, stop {stop} at {until:?}");
        let [a, b] = both.each_ref().map(|m| m.cpu.translations());
        assert!(a == b, "program {seed}, stop {stop} at {until:?}: other translations");
        seen.stops += 1;
        if exits[0] != Exit::Deadline || until > Cycles(20_000) {
            seen.faults += u64::from(states[0].rip < CODE);
            seen.instructions += states[0].retired;
            break;
        }
    }
    for (at, len) in [(PLACE, DATA_BYTES), (machine::STACK - 0x2000, 0x2000), (CODE, 0x2000)] {
        let [a, b] = both.each_ref().map(|m| {
            let mut bytes = vec![0u8; len];
            m.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
            bytes
        });
        assert!(a == b, "program {seed}: other memory from {at:#x} on");
    }
    let [a, b] = both.each_ref().map(|m| &m.bus.interrupts);
    assert_eq!(a, b, "program {seed}: other interrupts");
    seen.interrupts += a.len() as u64;
    seen.programs += 1;
    seen.rewritten += u64::from(made.rewrites != 0);
}

#[test]
fn random_programs_run_as_in_the_interpreter() {
    let forms = forms();
    assert!(forms.len() > 600, "{} forms", forms.len());
    let mut seen = Seen::default();
    (0..PROGRAMS).for_each(|seed| compare(machine, seed, &forms, &mut seen));
    println!("{seen:?}, of {} forms", forms.len());
    assert!(seen.rewritten >= 300, "{seen:?}");
    assert!(seen.faults > PROGRAMS / 20 && seen.faults < PROGRAMS * 19 / 20, "{seen:?}");
    fuzz::seeds().for_each(|seed| compare(machine, seed, &forms, &mut seen));
    println!("{seen:?}");
}

/// A timer that fires again and again, and its handler.
const TIMER: u64 = 0x20_0000;

/// The same with interrupts, mostly in the kernel; user code may be allowed to switch interrupts on and off.
fn interrupted(translate: Translate, program: (&[u8], u64), seed: u64) -> Machine {
    let mut random = Random::new(!seed);
    let mut m = machine(translate, program, seed);
    let state = m.cpu.state();
    m.set_gate(48, TIMER, 0x8e00);
    m.assemble(TIMER, |a| {
        a.swapgs().unwrap();
        [rax, rcx, rdx].into_iter().for_each(|register| a.push(register).unwrap());
        a.mov(ecx, 0x80b).unwrap();
        a.xor(eax, eax).unwrap();
        a.xor(edx, edx).unwrap();
        a.wrmsr().unwrap();
        [rdx, rcx, rax].into_iter().for_each(|register| a.pop(register).unwrap());
        a.swapgs().unwrap();
        a.iretq().unwrap();
    });
    let period = 5 + random.below(80) as u32;
    m.assemble(CODE - 0x800, |a| {
        let timer =
            [(0x1b, 0xfee0_0d00u32), (0x80f, 0x1ff), (0x832, 0x2_0030), (0x83e, 0xb), (0x838, period)];
        for (msr, value) in timer {
            a.mov(ecx, msr).unwrap();
            a.mov(eax, value).unwrap();
            a.xor(edx, edx).unwrap();
            a.wrmsr().unwrap();
        }
        a.hlt().unwrap();
    });
    m.with_state(|state| state.rip = CODE - 0x800);
    assert_eq!(m.run(), Exit::Halted);
    m.with_state(|now| {
        (now.gpr, now.rip, now.rflags, now.halted) = (state.gpr, state.rip, state.rflags, false);
        now.rflags |= random.below(2) << 9 | [0, 0x3000][random.below(2) as usize];
        now.msr.kernel_gs_base = 8;
    });
    if random.once_in(5) {
        m.enter_user();
    }
    m
}

#[test]
fn interrupts_come_where_the_interpreter_takes_them() {
    let mut forms = forms();
    for _ in 0..forms.len() / 12 {
        forms.extend([Code::Cli, Code::Sti, Code::Sti, Code::Swapgs]);
    }
    let mut seen = Seen::default();
    (0..PROGRAMS).for_each(|seed| compare(interrupted, seed, &forms, &mut seen));
    println!("{seen:?}");
    assert!(seen.interrupts > PROGRAMS, "{seen:?}");
    fuzz::seeds().for_each(|seed| compare(interrupted, seed, &forms, &mut seen));
    println!("{seen:?}");
}

/// A loop that rewrites the instruction behind it, again and again: all that was translated is dropped when there is no more room.
#[test]
fn code_that_rewrites_itself_is_run_as_written() {
    const TURNS: u64 = 2000;
    let results = [Translate::Never, Translate::Always].map(|which| {
        let mut m = Machine::with(which);
        m.assemble(CODE, |a| {
            let (mut top, mut patched) = (a.create_label(), a.create_label());
            a.mov(ecx, TURNS as u32).unwrap();
            a.lea(rdi, ptr(patched)).unwrap();
            a.xor(eax, eax).unwrap();
            a.set_label(&mut top).unwrap();
            a.mov(dword_ptr(rdi + 1), ecx).unwrap();
            a.set_label(&mut patched).unwrap();
            a.add(eax, 0x1234_5678).unwrap();
            // What makes much code.
            (0..50).for_each(|n| a.adc(dword_ptr(rdi + 0x1000 + 4 * n), edx).unwrap());
            a.dec(ecx).unwrap();
            a.jne(top).unwrap();
            a.hlt().unwrap();
        });
        assert_eq!(m.cpu.run(&mut m.bus, Cycles(100 * TURNS)), Exit::Halted);
        (m.cpu.state(), m.cpu.counters())
    });
    let [(by_interpreter, _), (by_translator, counters)] = &results;
    assert_eq!(by_interpreter, by_translator);
    assert_eq!(by_translator.gpr[0], (1..=TURNS).sum::<u64>() & 0xffff_ffff);
    assert!(counters.blocks_translated > TURNS && counters.translations_dropped > 0, "{counters:?}");
}
