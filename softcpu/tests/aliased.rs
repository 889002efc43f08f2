//! Physical pages that are mapped more than once, with code in them that is run and written through any of the linear
//! pages: what was decoded is dropped once and never run again, and the CPU is the one that decodes everything anew.

mod machine;
#[path = "oracle/random.rs"]
#[allow(dead_code)]
mod random;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::one::Outcome;
use fencepost_softcpu::state::{CpuState, reg};
use fencepost_time::Cycles;
use iced_x86::code_asm::*;
use machine::*;
use random::Random;
use vm_memory::{Bytes, GuestAddress};

/// The physical pages.
const PHYSICAL: u64 = 0x20_0000;
const PHYSICAL_PAGES: u64 = 3;
/// The linear pages, each of which shows one of them.
const WINDOW: u64 = 0x60_0000;
const WINDOW_PAGES: u64 = 8;

/// One physical page behind two linear ones in a row, which a `mov eax, 1` straddles; the program runs it, writes the
/// page through `written_by`, and runs it again.
fn straddles_into_itself(rounds: u32, written_by: u64) {
    let mut m = Machine::new();
    m.map(WINDOW, PHYSICAL, PRESENT | WRITE | USER);
    m.map(WINDOW + 0x1000, PHYSICAL, PRESENT | WRITE | USER);
    m.write(PHYSICAL + 0xfff, 0xb8u8);
    m.write(PHYSICAL, [1u8, 0, 0, 0, 0xc3]);
    m.assemble(CODE, |a| {
        let mut top = a.create_label();
        a.mov(rbx, WINDOW + 0xfff).unwrap();
        a.mov(ebp, rounds).unwrap();
        a.set_label(&mut top).unwrap();
        a.call(rbx).unwrap();
        a.add(esi, eax).unwrap();
        a.inc(byte_ptr(written_by)).unwrap();
        a.dec(ebp).unwrap();
        a.jnz(top).unwrap();
        a.hlt().unwrap();
    });
    m.with_state(|s| s.gpr[reg::RSP] = STACK - 0x100);
    m.enter_user();
    // HLT at CPL 3 ends in the handler of #GP.
    assert_eq!(m.run_to_handler(true).0, 13);
    let rounds = u64::from(rounds);
    assert_eq!(m.cpu.state().gpr[reg::RSI], rounds * (rounds + 1) / 2);
    assert!(m.cpu.counters().pages_dropped >= rounds);
}

#[test]
fn a_user_may_straddle_two_views_of_one_page() {
    for written_by in [WINDOW, WINDOW + 0x1000, PHYSICAL] {
        straddles_into_itself(100, written_by);
    }
}

#[test]
fn a_device_may_write_a_page_that_straddles_into_itself() {
    let mut m = Machine::new();
    m.map(WINDOW, PHYSICAL, PRESENT | WRITE);
    m.map(WINDOW + 0x1000, PHYSICAL, PRESENT | WRITE);
    m.write(PHYSICAL + 0xfff, 0xb8u8);
    m.assemble(CODE, |a| {
        a.mov(rbx, WINDOW + 0xfff).unwrap();
        a.call(rbx).unwrap();
        a.hlt().unwrap();
    });
    for value in 0..50u8 {
        m.write(PHYSICAL, [value, 0, 0, 0, 0xc3]);
        m.code.written(PHYSICAL + u64::from(value), 1);
        m.with_state(|s| (s.rip, s.halted) = (CODE, false));
        assert_eq!(m.run(), Exit::Halted);
        assert_eq!(m.cpu.state().gpr[reg::RAX], u64::from(value));
    }
}

/// What a back end does that asks for one instruction at a time: all code is forgotten before each.
#[test]
fn one_instruction_may_straddle_two_views_of_one_page() {
    let mut m = Machine::new();
    m.map(WINDOW, PHYSICAL, PRESENT | WRITE);
    m.map(WINDOW + 0x1000, PHYSICAL, PRESENT | WRITE);
    m.write(PHYSICAL + 0xfff, 0xb8u8);
    for value in 0..50u8 {
        m.write(PHYSICAL, [value, 0, 0, 0]);
        m.with_state(|s| s.rip = WINDOW + 0xfff);
        assert_eq!(m.cpu.execute_one(&mut m.bus).outcome, Outcome::Retired);
        assert_eq!(m.cpu.state().gpr[reg::RAX], u64::from(value));
    }
}

/// An instruction that goes on with the next one, jumps somewhere in the window, or writes code there.
fn instruction(random: &mut Random) -> Vec<u8> {
    let linear = |random: &mut Random| WINDOW + random.below(WINDOW_PAGES << 12);
    let relative = (random.below(0x2000) as i32 - 0x1000).to_le_bytes();
    match random.below(12) {
        // mov eax, imm32; mov ebx, imm32
        0..=2 => [&[0xb8 + random.below(4) as u8][..], &(random.bits() as u32).to_le_bytes()].concat(),
        // add esi, imm32
        3 => [&[0x81, 0xc6][..], &(random.bits() as u32).to_le_bytes()].concat(),
        // jmp rel32, jnz rel32, jmp rel8
        4 => [&[0xe9][..], &relative].concat(),
        5 => [&[0x0f, 0x85][..], &relative].concat(),
        6 => vec![0xeb, random.bits() as u8],
        // mov byte [abs32], imm8: mostly an opcode of those here
        7 | 8 => {
            let opcode = random.pick(&[0xb8, 0x90, 0xeb, 0xe9, 0x81, 0xc6, 0x00, 0xff]);
            [&[0xc6, 0x04, 0x25][..], &(linear(random) as u32).to_le_bytes(), &[opcode]].concat()
        }
        // mov [abs32], eax
        9 => [&[0x89, 0x04, 0x25][..], &(linear(random) as u32).to_le_bytes()].concat(),
        // mov r8, imm64
        10 => [&[0x49, 0xb8][..], &random.bits().to_le_bytes()].concat(),
        // inc eax; dec esi
        _ => random.pick(&[[0xff, 0xc0], [0xff, 0xce]]).to_vec(),
    }
}

/// Every exception of the window's code, which runs at CPL 3, goes on somewhere in the window, by a generator in R15.
fn handle_exceptions(m: &mut Machine) {
    for vector in 0..32 {
        m.assemble(HANDLERS + 16 * vector, |a| a.jmp(CODE).unwrap());
    }
    m.assemble(CODE, |a| {
        a.mov(rax, 0x5851_f42d_4c95_7f2du64).unwrap();
        a.imul_2(r15, rax).unwrap();
        a.inc(r15).unwrap();
        a.mov(rax, r15).unwrap();
        a.shr(rax, 40).unwrap();
        a.and(eax, (WINDOW_PAGES << 12) as i32 - 1).unwrap();
        a.add(rax, WINDOW as i32).unwrap();
        for word in [i32::from(USER_SS), STACK as i32, 2, i32::from(USER_CS)] {
            a.push(word).unwrap();
        }
        a.push(rax).unwrap();
        a.iretq().unwrap();
    });
}

/// Pages of random code and random mappings; many instructions straddle.
fn fill(m: &mut Machine, seed: u64) {
    let random = &mut Random::new(seed);
    handle_exceptions(m);
    for page in 0..PHYSICAL_PAGES {
        let mut code = Vec::new();
        while code.len() < 0x1100 {
            code.extend(instruction(random));
        }
        // From a random cut on, so that an instruction's middle may begin a page.
        let cut = random.below(16) as usize;
        m.memory.write_slice(&code[cut..cut + 0x1000], GuestAddress(PHYSICAL + (page << 12))).unwrap();
    }
    for page in 0..WINDOW_PAGES {
        let gpa = PHYSICAL + (random.below(PHYSICAL_PAGES) << 12);
        m.map(WINDOW + (page << 12), gpa, PRESENT | WRITE | USER);
    }
    m.enter_user();
    let rip = WINDOW + (random.below(WINDOW_PAGES - 1) << 12) + 0xff0 + random.below(16);
    m.with_state(|s| s.rip = rip);
}

fn everything(m: &Machine) -> (CpuState, Vec<u8>) {
    let mut bytes = vec![0; (PHYSICAL_PAGES << 12) as usize];
    m.memory.read_slice(&mut bytes, GuestAddress(PHYSICAL)).unwrap();
    (m.cpu.state(), bytes)
}

/// Random code in aliased pages, run as it is run and by a CPU that forgets everything after each instruction.
#[test]
fn aliased_code_runs_as_if_nothing_were_cached() {
    const STEPS: Cycles = Cycles(3000);
    let (mut retired, mut dropped) = (0, 0);
    for seed in 0..40 {
        let (mut fast, mut naive) = (Machine::new(), Machine::new());
        fill(&mut fast, seed);
        fill(&mut naive, seed);
        let ended = fast.cpu.run(&mut fast.bus, STEPS);
        assert_eq!(ended, Exit::Deadline, "seed {seed}");
        while naive.cpu.cycles() < STEPS {
            assert_ne!(naive.cpu.execute_one(&mut naive.bus).outcome, Outcome::TripleFault, "seed {seed}");
        }
        assert_eq!(everything(&fast), everything(&naive), "seed {seed}");
        retired += fast.cpu.retired();
        dropped += fast.cpu.counters().pages_dropped;
    }
    assert!(retired > 10_000 && dropped > 500, "{retired} instructions, {dropped} pages dropped: too few");
}
