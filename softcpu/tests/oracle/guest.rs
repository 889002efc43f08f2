//! Runs one instruction on the software CPU, in user mode, at the same linear addresses as the host.

use fencepost_time::{Cycles, TscOffset};
use std::sync::Arc;

use fencepost_softcpu::bus::{Bus, Flow, Waiting};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::{CpuState, FpuState, Segment, Table, seg};
use fencepost_softcpu::stop_flag::StopFlag;
use fencepost_softcpu::{Config, Cpu};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::layout::{CODE, CODE_BYTES, DATA, DATA_BYTES, Machine, Outcome, PAGE, START};
use super::which::translate;

/// Physical places. Linear and physical address are the same for the system's pages.
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const DIRECTORY: u64 = 0x3000;
const SYSTEM_TABLE: u64 = 0x4000;
const CODE_TABLE: u64 = 0x5000;
const DATA_TABLE: u64 = 0x6000;
const IDT: u64 = 0x8000;
const TSS: u64 = 0x9000;
const HANDLERS: u64 = 0xa000;
const STACK_TOP: u64 = 0xc000;
const CODE_PHYSICAL: u64 = 0x10000;
const DATA_PHYSICAL: u64 = 0x20000;
const GDT: u64 = 0x7000;
const RAM: u64 = 0x40000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
/// Present, writable, user: the upper levels allow everything.
const OPEN: u64 = PRESENT | WRITABLE | USER;
/// Data is data, as on the host.
const NO_EXECUTE: u64 = 1 << 63;
const KERNEL_CS: u64 = 0x10;
const HANDLER_BYTES: u64 = 16;
const HLT: u8 = 0xf4;
const BREAKPOINT: u8 = 3;
/// Exceptions that push an error code.
const WITH_ERROR: u32 = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17;

struct NoDevices;

impl Bus for NoDevices {
    fn mmio_read(&mut self, _: Cycles, gpa: u64, _: &mut [u8]) {
        panic!("device address {gpa:#x} reached");
    }
    fn read_interrupts(&mut self, gpa: u64) -> bool {
        panic!("device address {gpa:#x} reached");
    }
    fn mmio_write(&mut self, _: Cycles, gpa: u64, _: &[u8]) -> Flow {
        panic!("device address {gpa:#x} reached");
    }
    fn port_read(&mut self, _: Cycles, port: u16, _: &mut [u8]) -> Flow {
        panic!("port {port:#x} reached from user mode");
    }
    fn port_write(&mut self, _: Cycles, port: u16, _: &[u8]) -> Flow {
        panic!("port {port:#x} reached from user mode");
    }
    fn end_of_interrupt(&mut self, _: Cycles, _: u8, _: bool) -> Flow {
        Flow::Continue
    }
    fn runs(&mut self, _: u32) {}
    fn turn(&mut self) -> u64 {
        1
    }
    fn random(&mut self) -> u64 {
        0
    }
    fn waiting(&mut self, _: Cycles) -> Waiting {
        Waiting::Machine
    }
    fn interrupt_delivered(&mut self, _: Cycles, _: u8) {}
    fn counter_set(&mut self, _: Cycles, _: TscOffset) {}
}

/// The software CPU with its memory.
pub struct Guest {
    cpu: Cpu,
    memory: GuestMemoryMmap<()>,
    code: Arc<CodePages>,
    base: CpuState,
}

fn segment(selector: u16, attributes: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attributes }
}

impl Guest {
    /// A machine in long mode at CPL 3, whose code has 64 or 32 bits, with all that there is.
    pub fn new(bits: u32) -> Guest {
        Guest::of_model(bits, Model::V2)
    }

    /// The same with another model.
    pub fn of_model(bits: u32, model: Model) -> Guest {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM as usize)]).expect("guest memory");
        let code = Arc::new(CodePages::new(RAM));
        let stop = Arc::new(StopFlag::default());
        let cpuid = CpuidConfig { model, ..CpuidConfig::default() };
        // SAFETY: a test has one thread, and accesses the memory between runs.
        let cpu =
            unsafe { Cpu::new(memory.clone(), code.clone(), stop, Config { cpuid, translate: translate() }) };
        let mut guest = Guest { cpu, memory, code, base: CpuState::default() };
        guest.page_tables();
        guest.interrupt_tables();
        guest.base = guest.long_mode();
        if bits == 32 {
            guest.base.seg[seg::CS] = segment(0x23, 0xc0fb);
            for data in [seg::DS, seg::ES] {
                guest.base.seg[data] = segment(0x2b, 0xc0f3);
            }
        }
        guest.put(CODE_PHYSICAL, &[0xcc; CODE_BYTES]);
        guest
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).expect("inside guest memory");
        self.code.written(at, bytes.len() as u64);
    }

    fn put_u64(&self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn get_u64(&self, at: u64) -> u64 {
        self.memory.read_obj(GuestAddress(at)).expect("inside guest memory")
    }

    fn page_tables(&self) {
        let table_entry = |address: u64| DIRECTORY + 8 * (address >> 21);
        self.put_u64(PML4, PDPT | OPEN);
        self.put_u64(PDPT, DIRECTORY | OPEN);
        for (address, table) in [(0, SYSTEM_TABLE), (CODE, CODE_TABLE), (DATA, DATA_TABLE)] {
            self.put_u64(table_entry(address), table | OPEN);
        }
        for page in 0..16 {
            self.put_u64(SYSTEM_TABLE + 8 * page, (page * PAGE) | PRESENT | WRITABLE);
        }
        for page in 0..CODE_BYTES as u64 / PAGE {
            self.put_u64(CODE_TABLE + 8 * page, (CODE_PHYSICAL + page * PAGE) | OPEN);
        }
        for page in 0..DATA_BYTES as u64 / PAGE {
            self.put_u64(DATA_TABLE + 8 * page, (DATA_PHYSICAL + page * PAGE) | OPEN | NO_EXECUTE);
        }
    }

    /// A gate for each exception, to a HLT of its own; they all switch to the stack of the TSS. The breakpoint may be
    /// raised by user mode.
    fn interrupt_tables(&self) {
        self.put_u64(GDT + KERNEL_CS, 0x00af_9b00_0000_ffff);
        for vector in 0..32 {
            let handler = HANDLERS + HANDLER_BYTES * vector;
            let gate = handler & 0xffff | KERNEL_CS << 16 | 0xee << 40 | (handler >> 16 & 0xffff) << 48;
            self.put_u64(IDT + 16 * vector, gate);
            self.put_u64(IDT + 16 * vector + 8, handler >> 32);
            self.put(handler, &[HLT]);
        }
        self.put_u64(TSS + 4, STACK_TOP);
        // No I/O permission bitmap: it would begin beyond the limit.
        self.put(TSS + 102, &[0x68, 0]);
    }

    fn long_mode(&self) -> CpuState {
        let mut state =
            CpuState { cr0: 0x8001_0033, cr3: PML4, cr4: 0x620, efer: 0xd00, ..CpuState::default() };
        state.seg[seg::CS] = segment(0x33, 0xa0fb);
        state.seg[seg::SS] = segment(0x2b, 0xc0f3);
        for data in [seg::DS, seg::ES, seg::FS, seg::GS] {
            state.seg[data] = segment(0, 0xc0f3);
        }
        state.tr = Segment { selector: 0x40, base: TSS, limit: 0x67, attributes: 0x8b };
        state.gdtr = Table { base: GDT, limit: 0x7f };
        state.idtr = Table { base: IDT, limit: 0x1ff };
        state
    }

    /// The data pages, copied.
    pub fn read_data(&self, bytes: &mut [u8]) {
        self.memory.read_slice(bytes, GuestAddress(DATA_PHYSICAL)).expect("inside guest memory");
    }

    /// Replaces the data pages.
    pub fn write_data(&self, bytes: &[u8]) {
        self.put(DATA_PHYSICAL, bytes);
    }

    /// Instructions met that the CPU does not implement.
    pub fn unknown(&self) -> u64 {
        self.cpu.counters().unknown.values().sum()
    }

    /// Runs the instruction `code`.
    pub fn run(&mut self, before: &Machine, code: &[u8]) -> Outcome {
        // The instruction, the INT3 it leads to, and the handler's HLT.
        self.run_for(before, code, std::iter::once(4))
    }

    /// Runs the program `code` for some stretches one after the other, in instructions.
    pub fn run_for(
        &mut self,
        before: &Machine,
        code: &[u8],
        stretches: impl IntoIterator<Item = u64>,
    ) -> Outcome {
        let at = CODE_PHYSICAL + (START - CODE);
        self.put(at, code);
        let mut state = self.base.clone();
        state.gpr = before.gpr;
        state.rip = before.rip;
        state.rflags = before.rflags | 0x200;
        state.fpu = fpu_of(&before.fx);
        self.cpu.set_state(&state);
        for stretch in stretches {
            let deadline = self.cpu.cycles() + stretch;
            self.cpu.run(&mut NoDevices, deadline);
        }
        self.put(at, &vec![0xcc; code.len()]);
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let state = self.cpu.state();
        let mut after =
            Machine { gpr: state.gpr, rip: state.rip, rflags: state.rflags, fx: image_of(&state.fpu) };
        if !(HANDLERS..HANDLERS + PAGE).contains(&state.rip) {
            return Outcome { exception: None, after };
        }
        let vector = ((state.rip - HANDLERS) / HANDLER_BYTES) as u8;
        let frame = state.gpr[4] + if WITH_ERROR >> vector & 1 != 0 { 8 } else { 0 };
        after.rip = self.get_u64(frame);
        after.rflags = self.get_u64(frame + 16);
        after.gpr[4] = self.get_u64(frame + 24);
        if vector == BREAKPOINT {
            // The INT3 that every way out of the instruction meets, not an exception of its own.
            after.rip -= 1;
            return Outcome { exception: None, after };
        }
        Outcome { exception: Some(vector), after }
    }
}

fn u16_at(image: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([image[at], image[at + 1]])
}

fn u128_at(image: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(std::array::from_fn(|i| image[at + i]))
}

/// The FPU state of an FXSAVE64 image (Intel SDM vol. 1, 10.5.1), written apart from the CPU's own FXRSTOR.
fn fpu_of(image: &[u8; 512]) -> FpuState {
    let fsw = u16_at(image, 2);
    let top = usize::from(fsw >> 11 & 7);
    let mut fpu = FpuState { fcw: u16_at(image, 0), fsw, ftw: image[4], ..FpuState::default() };
    fpu.mxcsr = u32::from(u16_at(image, 24)) | u32::from(u16_at(image, 26)) << 16;
    for i in 0..8 {
        fpu.r[(top + i) % 8] = u128_at(image, 32 + 16 * i) & ((1 << 80) - 1);
    }
    for i in 0..16 {
        fpu.xmm[i] = u128_at(image, 160 + 16 * i);
    }
    fpu
}

/// The inverse of [`fpu_of`].
fn image_of(fpu: &FpuState) -> [u8; 512] {
    let mut image = [0; 512];
    image[0..2].copy_from_slice(&fpu.fcw.to_le_bytes());
    image[2..4].copy_from_slice(&fpu.fsw.to_le_bytes());
    image[4] = fpu.ftw;
    image[24..28].copy_from_slice(&fpu.mxcsr.to_le_bytes());
    let top = usize::from(fpu.fsw >> 11 & 7);
    for i in 0..8 {
        image[32 + 16 * i..48 + 16 * i]
            .copy_from_slice(&(fpu.r[(top + i) % 8] & ((1 << 80) - 1)).to_le_bytes());
    }
    for i in 0..16 {
        image[160 + 16 * i..176 + 16 * i].copy_from_slice(&fpu.xmm[i].to_le_bytes());
    }
    image
}
