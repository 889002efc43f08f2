//! A bare machine for tests: RAM, page tables, descriptor tables, and a bus that remembers.

#![allow(dead_code)]

use fencepost_time::{Cycles, TscOffset};
use std::sync::Arc;

use fencepost_softcpu::bus::{Bus, Exit, Flow, Waiting};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::cpus::Cpus;
use fencepost_softcpu::state::{CpuState, Segment, Table, reg, seg};
use fencepost_softcpu::stop_flag::StopFlag;
use fencepost_softcpu::{Config, Cpu, Translate};
use iced_x86::code_asm::CodeAssembler;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use which::translate;

#[path = "../which/mod.rs"]
pub mod which;

pub const RAM_BYTES: u64 = 16 << 20;
const PML4: u64 = 0x1000;
const GDT: u64 = 0x6000;
const TSS: u64 = 0x6800;
const IDT: u64 = 0x7000;
/// Every vector's gate leads here, 16 bytes apart: `hlt`, so that a run ends in its handler.
pub const HANDLERS: u64 = 0x8000;
pub const CODE: u64 = 0x10000;
pub const STACK: u64 = 0x80000;
/// Loaded on the way from CPL 3.
pub const KERNEL_STACK: u64 = 0x90000;
/// Interrupt stack 1.
pub const IST1: u64 = 0xa0000;
/// Page tables that [`Machine::map`] makes.
const TABLES: u64 = 0x10_0000;

pub const KERNEL_CS: u16 = 0x08;
pub const USER_CS: u16 = 0x1b;
pub const USER_SS: u16 = 0x23;

pub const PRESENT: u64 = 1;
pub const WRITE: u64 = 2;
pub const USER: u64 = 4;

/// A port that asks for the machine's attention.
pub const ATTENTION: u16 = 0xf4;

/// A device address that brings an interrupt in when it is read.
pub const BRINGS_INTERRUPTS: u64 = 0xc000_0000;

/// How long a turn is, of several CPUs.
pub const TURN: u64 = 100;

/// A port that raises the stop flag, as another thread of the host may at any time.
pub const STOP: u16 = 0xf5;

/// A port at which a device observes the page whose number is written to it.
pub const OBSERVE: u16 = 0xf6;

/// What the CPU said to the bus.
#[derive(Default)]
pub struct Devices {
    stop: Arc<StopFlag>,
    pub ports: Vec<(u64, u16, u32)>,
    pub mmio: Vec<(u64, u64, Vec<u8>)>,
    pub interrupts: Vec<(u64, u8)>,
    pub offsets: Vec<(Cycles, TscOffset)>,
    /// What pages are observed in.
    code: Option<Arc<CodePages>>,
    pub observed: Vec<Option<u32>>,
    /// Which CPUs had turns, of several.
    pub turns: Vec<u32>,
    /// How many random numbers were given.
    numbers: u32,
}

impl Bus for Devices {
    fn mmio_read(&mut self, _: Cycles, gpa: u64, data: &mut [u8]) {
        for (n, byte) in data.iter_mut().enumerate() {
            *byte = (gpa as u8).wrapping_add(n as u8);
        }
    }
    fn read_interrupts(&mut self, gpa: u64) -> bool {
        gpa == BRINGS_INTERRUPTS
    }
    fn mmio_write(&mut self, now: Cycles, gpa: u64, data: &[u8]) -> Flow {
        self.mmio.push((now.0, gpa, data.to_vec()));
        Flow::Continue
    }
    fn port_read(&mut self, _: Cycles, port: u16, data: &mut [u8]) -> Flow {
        data.fill(port as u8);
        Flow::Continue
    }
    fn port_write(&mut self, now: Cycles, port: u16, data: &[u8]) -> Flow {
        let mut word = [0; 4];
        word[..data.len()].copy_from_slice(data);
        self.ports.push((now.0, port, u32::from_le_bytes(word)));
        if port == STOP {
            self.stop.raise();
        }
        if let (OBSERVE, Some(code)) = (port, &self.code) {
            self.observed.push(code.observe(u32::from_le_bytes(word).into()));
        }
        if port == ATTENTION { Flow::Yield } else { Flow::Continue }
    }
    fn end_of_interrupt(&mut self, _: Cycles, _: u8, _: bool) -> Flow {
        Flow::Continue
    }
    fn runs(&mut self, cpu: u32) {
        self.turns.push(cpu);
    }
    fn turn(&mut self) -> u64 {
        TURN
    }
    fn random(&mut self) -> u64 {
        self.numbers += 1;
        0x0123_4567_89ab_cdef_u64.rotate_left(self.numbers)
    }
    fn waiting(&mut self, _: Cycles) -> Waiting {
        Waiting::Machine
    }
    fn interrupt_delivered(&mut self, now: Cycles, vector: u8) {
        self.interrupts.push((now.0, vector));
    }
    fn counter_set(&mut self, now: Cycles, offset: TscOffset) {
        self.offsets.push((now, offset));
    }
}

pub struct Machine {
    pub cpu: Cpu,
    pub memory: GuestMemoryMmap<()>,
    pub code: Arc<CodePages>,
    pub bus: Devices,
    next_table: u64,
}

fn cpu(
    memory: &GuestMemoryMmap<()>,
    code: &Arc<CodePages>,
    stop: &Arc<StopFlag>,
    translate: Translate,
) -> Cpu {
    let config = Config { translate, ..Config::default() };
    // SAFETY: a test has one thread, and accesses the memory between runs.
    unsafe { Cpu::new(memory.clone(), Arc::clone(code), Arc::clone(stop), config) }
}

impl Machine {
    /// Long mode at CPL 0, the first 4 MiB mapped onto themselves in 4 KiB pages (user pages from `STACK - 64 KiB`
    /// on), RIP at [`CODE`], every gate at its handler.
    pub fn new() -> Machine {
        Machine::with(translate())
    }

    /// The same, by the interpreter or the translator.
    pub fn with(translate: Translate) -> Machine {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM_BYTES as usize)]).unwrap();
        let code = Arc::new(CodePages::new(RAM_BYTES));
        let bus = Devices { code: Some(Arc::clone(&code)), ..Devices::default() };
        let cpu = cpu(&memory, &code, &bus.stop, translate);
        let mut machine = Machine { cpu, memory, code, bus, next_table: TABLES };
        for page in (0..0x40_0000).step_by(4096) {
            machine.map(page, page, PRESENT | WRITE | USER);
        }
        machine.tables();
        let state = machine.start_state();
        machine.cpu.set_state(&state);
        machine
    }

    fn tables(&mut self) {
        let tss_descriptor = 0x0000_8b00_0000_0067 | (TSS & 0xff_ffff) << 16;
        let gdt =
            [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_fb00_0000_ffff, 0x00cf_f300_0000_ffff];
        for (n, entry) in gdt.into_iter().chain([tss_descriptor, 0]).enumerate() {
            self.write(GDT + 8 * n as u64, entry);
        }
        self.write(TSS + 4, KERNEL_STACK);
        self.write(TSS + 36, IST1);
        // No I/O permission bitmap: it would begin beyond the limit.
        self.write(TSS + 102, 0x68u16);
        for vector in 0..64u64 {
            self.set_gate(vector as u8, HANDLERS + 16 * vector, 0x8e00);
            self.memory.write_obj(0xf4u8, GuestAddress(HANDLERS + 16 * vector)).unwrap();
        }
    }

    /// `attributes` is the gate's second 16-bit word from offset 4: IST, type, DPL, P.
    pub fn set_gate(&mut self, vector: u8, target: u64, attributes: u64) {
        let low =
            target & 0xffff | u64::from(KERNEL_CS) << 16 | attributes << 32 | (target >> 16 & 0xffff) << 48;
        self.write(IDT + 16 * u64::from(vector), low);
        self.write(IDT + 16 * u64::from(vector) + 8, target >> 32);
    }

    fn start_state(&self) -> CpuState {
        let mut state = self.cpu.state();
        let data = Segment { selector: 0x10, base: 0, limit: !0, attributes: 0xc093 };
        state.seg = [data; 6];
        state.seg[seg::CS] = Segment { selector: KERNEL_CS, base: 0, limit: !0, attributes: 0xa09b };
        state.gdtr = Table { base: GDT, limit: 7 * 8 - 1 };
        state.idtr = Table { base: IDT, limit: 64 * 16 - 1 };
        state.tr = Segment { selector: 0x28, base: TSS, limit: 0x67, attributes: 0x8b };
        state.cr0 = 0x8001_0033;
        state.cr3 = PML4;
        state.cr4 = 0x6a0;
        state.efer = 0xd01;
        state.rflags = 2;
        state.rip = CODE;
        state.gpr[reg::RSP] = STACK;
        state
    }

    /// Maps one 4 KiB page in the page tables.
    pub fn map(&mut self, linear: u64, gpa: u64, flags: u64) {
        let entry = self.leaf(linear);
        self.write(entry, gpa | flags);
    }

    /// Where the entry of a page lies.
    pub fn leaf(&mut self, linear: u64) -> u64 {
        let mut table = PML4;
        for shift in [39, 30, 21] {
            let at = table + 8 * (linear >> shift & 511);
            let mut entry: u64 = self.read(at);
            if entry & PRESENT == 0 {
                entry = self.next_table | PRESENT | WRITE | USER;
                self.next_table += 4096;
                self.write(at, entry);
            }
            table = entry & !0xfff;
        }
        table + 8 * (linear >> 12 & 511)
    }

    pub fn read<T: vm_memory::ByteValued>(&self, gpa: u64) -> T {
        self.memory.read_obj(GuestAddress(gpa)).unwrap()
    }

    pub fn write<T: vm_memory::ByteValued>(&self, gpa: u64, value: T) {
        self.memory.write_obj(value, GuestAddress(gpa)).unwrap();
    }

    /// Puts a program at a linear address that is mapped onto itself; its length.
    pub fn assemble(&mut self, at: u64, program: impl FnOnce(&mut CodeAssembler)) -> u64 {
        let mut assembler = CodeAssembler::new(64).unwrap();
        program(&mut assembler);
        let bytes = assembler.assemble(at).unwrap();
        self.memory.write_slice(&bytes, GuestAddress(at)).unwrap();
        self.code.written(at, bytes.len() as u64);
        bytes.len() as u64
    }

    /// Changes the state from outside.
    pub fn with_state(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.cpu.state();
        change(&mut state);
        self.cpu.set_state(&state);
    }

    /// CPL 3 from here on.
    pub fn enter_user(&mut self) {
        self.with_state(|s| {
            s.seg[seg::CS] = Segment { selector: USER_CS, base: 0, limit: !0, attributes: 0xa0fb };
            s.seg[seg::SS] = Segment { selector: USER_SS, base: 0, limit: !0, attributes: 0xc0f3 };
        });
    }

    /// Runs until a HLT, a yield or another end, a million cycles at most.
    pub fn run(&mut self) -> Exit {
        let until = self.cpu.cycles() + 1_000_000;
        self.cpu.run(&mut self.bus, until)
    }

    /// Runs to a handler's HLT; which vector's it is, and the frame on the stack (error code excluded).
    pub fn run_to_handler(&mut self, error_code: bool) -> (u64, Frame) {
        assert_eq!(self.run(), Exit::Halted);
        let state = self.cpu.state();
        let vector = (state.rip - 1 - HANDLERS) / 16;
        let mut sp = state.gpr[reg::RSP];
        let error = error_code.then(|| {
            sp += 8;
            self.read::<u64>(sp - 8)
        });
        let word = |n: u64| self.read::<u64>(sp + 8 * n);
        let frame = Frame { error, rip: word(0), cs: word(1), rflags: word(2), rsp: word(3), ss: word(4) };
        (vector, frame)
    }

    /// Several CPUs on this memory, each at its own code `CODE + number * 0x1000` with its own stack.
    pub fn several(&self, count: u32) -> Cpus {
        let made = (0..count).map(|number| {
            let cpuid = CpuidConfig { apic_id: number, cpus: count, ..CpuidConfig::default() };
            let (code, stop) = (Arc::clone(&self.code), Arc::clone(&self.bus.stop));
            // SAFETY: a test has one thread, and accesses the memory between runs.
            let mut cpu = unsafe {
                Cpu::new(self.memory.clone(), code, stop, Config { cpuid, translate: translate() })
            };
            let mut state = CpuState { apic: cpu.state().apic, msr: cpu.state().msr, ..self.start_state() };
            state.rip += u64::from(number) * 0x1000;
            state.gpr[reg::RSP] -= u64::from(number) * 0x1000;
            cpu.set_state(&state);
            cpu
        });
        Cpus::new(made.collect())
    }

    /// A second CPU on the same memory.
    pub fn another_cpu(&self) -> Cpu {
        cpu(&self.memory, &self.code, &self.bus.stop, translate())
    }
}

/// What an interrupt pushed.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub error: Option<u64>,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
