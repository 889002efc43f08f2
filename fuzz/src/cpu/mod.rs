//! A CPU in a machine of 256 KiB: an input gives it mode, state, memory and code.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the mode ([`Mode`]) |
//! | 2 | what the general registers hold: two bits for each of eight kinds of values |
//! | 1 | when the CPU is looked at on the way |
//! | 1 | how many fields of the state differ from the mode's usual ones; for each its number and a value (`set`) |
//! | 1 | how many places of memory are written; for each an address of 3 bytes, a length and the bytes |
//! | the rest | code, behind which the CPU waits in a jump to itself |

mod bus;
mod tables;

use std::sync::Arc;

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::mem::saved::TlbState;
use fencepost_softcpu::state::{CpuState, PendingException, reg};
use fencepost_softcpu::{Config, Cpu, Translate};
use fencepost_time::Cycles;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use crate::bytes::Bytes;
use bus::World;

pub use tables::{CODE, DATA, Mode, RAM_BYTES};

/// Instructions that an input is run for.
const LIFE: u64 = 3000;
/// How often the CPU may stop on the way, for what its bus says.
const STOPS_MAX: u32 = 200;

/// What an input says.
pub struct Setup {
    state: CpuState,
    memory: Vec<u8>,
    /// When the CPU is looked at.
    halfway: Cycles,
}

/// All that an instruction can change.
#[derive(Debug, PartialEq)]
pub struct Left {
    state: CpuState,
    translations: TlbState,
    exit: Exit,
    bus: World,
}

impl Setup {
    /// Reads an input.
    pub fn of(data: &[u8]) -> Self {
        let mut from = Bytes::new(data);
        let mode = Mode::of(from.u8());
        let mut memory = tables::memory(mode);
        let mut state = tables::state(mode);
        registers(&mut state, from.u16());
        let halfway = Cycles(u64::from(from.u8()) * 8 + 1);
        for _ in 0..from.u8() & 15 {
            set(&mut state, from.u8(), from.u64());
        }
        for _ in 0..from.u8() & 15 {
            let (at, len) = (from.number(3) as usize % memory.len(), from.u8());
            memory[at..].iter_mut().zip(from.take(len.into())).for_each(|(to, from)| *to = *from);
        }
        let code = from.rest();
        let code = &code[..code.len().min(DATA - CODE)];
        let (begin, beyond) = memory[CODE..].split_at_mut(code.len());
        begin.copy_from_slice(code);
        wait_in(beyond);
        Setup { state, memory, halfway }
    }

    /// When the CPU is looked at.
    pub fn halfway(&self) -> Cycles {
        self.halfway
    }
}

/// Fills what is empty of the code's pages with jumps to themselves. To decode the nothing behind an input's code would take a hundred
/// times as long as to run the input.
fn wait_in(memory: &mut [u8]) {
    const JUMP: [u8; 2] = [0xeb, 0xfe];
    let length = memory.len() - (RAM_BYTES - DATA);
    for pair in memory[..length].chunks_exact_mut(2).filter(|pair| **pair == [0, 0]) {
        pair.copy_from_slice(&JUMP);
    }
}

/// A CPU in its memory.
pub struct Machine {
    cpu: Cpu,
    memory: GuestMemoryMmap,
    code: Arc<CodePages>,
    translate: Translate,
    bus: World,
    exit: Exit,
    /// How often it has stopped for its bus.
    stops: u32,
}

fn cpu(memory: &GuestMemoryMmap, code: &Arc<CodePages>, translate: Translate) -> Cpu {
    let config = Config { translate, ..Config::default() };
    // SAFETY: there is one thread, which accesses the memory between runs.
    unsafe { Cpu::new(memory.clone(), Arc::clone(code), Arc::default(), config) }
}

impl Machine {
    /// One that is set up.
    pub fn new(setup: &Setup, translate: Translate) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM_BYTES)]).expect("mapped");
        memory.write_slice(&setup.memory, GuestAddress(0)).expect("inside");
        let code = Arc::new(CodePages::new(RAM_BYTES as u64));
        let mut cpu = cpu(&memory, &code, translate);
        cpu.set_state(&setup.state);
        Machine { cpu, memory, code, translate, bus: World::default(), exit: Exit::Deadline, stops: 0 }
    }

    /// Runs until then, or until it can do nothing more by itself.
    pub fn run(&mut self, until: Cycles) {
        while matches!(self.exit, Exit::Deadline | Exit::Yield | Exit::Paused) && self.stops < STOPS_MAX {
            self.exit = self.cpu.run(&mut self.bus, until);
            assert!(self.cpu.cycles() <= until, "it runs beyond its deadline");
            if self.exit == Exit::Deadline {
                return;
            }
            self.stops += 1;
        }
    }

    /// Runs to the end.
    pub fn end(&mut self) {
        self.run(Cycles(LIFE));
    }

    /// In the CPU's place another one with its state and translations.
    pub fn replace(&mut self) {
        let (state, translations) = (self.cpu.state(), self.cpu.translations());
        let mut other = cpu(&self.memory, &self.code, self.translate);
        other.set_state(&state);
        assert!(other.set_translations(&translations), "its own translations are refused");
        assert_eq!(other.state(), state, "in a new CPU it is another state");
        self.cpu = other;
    }

    /// What is there now.
    pub fn left(&self) -> Left {
        let translations = self.cpu.translations();
        Left { state: self.cpu.state(), translations, exit: self.exit, bus: self.bus.clone() }
    }

    /// All of memory.
    pub fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; RAM_BYTES];
        self.memory.read_slice(&mut bytes, GuestAddress(0)).expect("inside");
        bytes
    }
}

/// Two machines of the same input are the same.
pub fn compare(one: &Machine, other: &Machine, what: &str) {
    let (left, right) = (one.left(), other.left());
    assert_eq!(left.state, right.state, "{what}: state");
    assert_eq!(left, right, "{what}");
    assert!(one.memory() == other.memory(), "{what}: memory");
}

/// Values that instructions treat in ways of their own.
fn registers(state: &mut CpuState, kinds: u16) {
    const VALUES: [[u64; 4]; 4] = [
        [DATA as u64, DATA as u64 + 0xffc, 1, 0x8000_0000_0000_0000],
        [DATA as u64 + 8, 0, u64::MAX, 0x7fff_ffff],
        [3, 0x8000_0000, 0x10, DATA as u64 + 0x1000],
        [0xffff_8000_0000_0000, 0x0123_4567_89ab_cdef, 0x3f, 0x80],
    ];
    for (at, register) in state.gpr.iter_mut().enumerate().filter(|(at, _)| *at != reg::RSP) {
        *register = VALUES[usize::from(kinds >> (2 * (at % 8)) & 3)][at % 4];
    }
    for (at, register) in (1u64..).zip(&mut state.fpu.xmm) {
        *register = u128::from(at.wrapping_mul(0x4010_0000_3f80_0001)) << 64 | u128::from(at << 52);
    }
}

/// Gives a field of the state a value, whether that makes sense or not: a snapshot may hold any.
fn set(state: &mut CpuState, field: u8, value: u64) {
    let segment = usize::from(field % 6);
    match field % 64 {
        at @ 0..16 => state.gpr[usize::from(at)] = value,
        16 => state.rflags = value,
        17 => state.cr0 = value,
        18 => state.cr3 = value,
        19 => state.cr4 = value,
        20 => state.efer = value,
        21 => state.rip = value,
        22..28 => state.seg[segment].base = value,
        28..34 => state.seg[segment].attributes = value as u16,
        34..40 => state.seg[segment].limit = value as u32,
        40 => (state.idtr.base, state.idtr.limit) = (value >> 16, value as u16),
        41 => (state.gdtr.base, state.gdtr.limit) = (value >> 16, value as u16),
        42 => (state.tr.base, state.tr.limit) = (value >> 16, u32::from(value as u16)),
        43 => state.tr.attributes = value as u16,
        44 => (state.ldtr.base, state.ldtr.limit) = (value >> 16, u32::from(value as u16)),
        at @ 45..49 => state.dr[usize::from(at - 45)] = value,
        49 => state.dr[7] = value,
        50 => {
            (state.fpu.fcw, state.fpu.fsw, state.fpu.ftw) =
                (value as u16, (value >> 16) as u16, (value >> 32) as u8)
        }
        51 => state.fpu.mxcsr = value as u32,
        52 => state.fpu.r[usize::from(value as u8 & 7)] = u128::from(value) << 16,
        53 => state.fpu.xmm[usize::from(value as u8 & 15)] = u128::from(value) << 3,
        54 => {
            let error_code = (value & 0x100 != 0).then_some((value >> 16) as u32);
            state.pending_exception = Some(PendingException { vector: value as u8 & 31, error_code });
        }
        55 => (state.interrupt_shadow, state.debug_held) = (value & 1 != 0, value & 2 != 0),
        56 => (state.nmi_pending, state.nmi_blocked) = (value & 1 != 0, value & 2 != 0),
        57 => state.halted = value & 1 != 0,
        58 => state.msr.star = value,
        59 => state.msr.lstar = value,
        60 => (state.msr.sysenter_cs, state.msr.sysenter_eip) = (value & 0xffff, value >> 16),
        61 => state.msr.apic_base = value,
        62 => state.msr.tsc_deadline = value,
        _ => state.debug_hits = value as u16,
    }
}
