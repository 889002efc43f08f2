//! MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS, alone and repeated.
//!
//! A repeated instruction retires once for every [`PASS`] elements begun, and for each that reaches a device. RCX, RSI and RDI are brought up to date after
//! every element or stretch, so a fault in the middle restarts where it stopped. MOVS and STOS work through host memory
//! a page at a time.

use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::bus::Flow;
use crate::cpu::{Cpu, Handler, Op};
use crate::file::{self, RIP_BASE};
use crate::flags::{self, DF, TF};
use crate::lower::LowerCtx;
use crate::state::{reg, seg};
use crate::step::Step;
use crate::tri;
use crate::value::Int;

const ONCE: u8 = 0;
const REP: u8 = 1;
const REPNE: u8 = 2;

/// Elements after which a repeated instruction returns to the run loop with RIP still on it: a count of 2^47 must not
/// keep the host from looking at its stop flag, nor an interrupt from being taken. Each such pass retires as one
/// instruction, so that time advances. It depends on the count alone, never on deadlines: every run has the same passes.
const PASS: u64 = 1 << 16;

/// Register width of addresses and counter: 64, 32 or 16 bits, in [`Op::aux`].
#[inline(always)]
fn address_mask(op: &Op) -> u64 {
    match op.aux {
        8 => !0,
        4 => 0xffff_ffff,
        _ => 0xffff,
    }
}

impl Cpu {
    #[inline(always)]
    fn string_step<T: Int>(&self) -> u64 {
        if self.control & DF == 0 { T::SIZE as u64 } else { (T::SIZE as u64).wrapping_neg() }
    }

    #[inline(always)]
    fn source<T: Int>(&self, op: &Op) -> u64 {
        self.segment_address(op.seg, self.gpr[reg::RSI] & address_mask(op), T::SIZE as u64, false)
    }

    #[inline(always)]
    fn destination<T: Int>(&self, op: &Op, write: bool) -> u64 {
        self.segment_address(op.index, self.gpr[reg::RDI] & address_mask(op), T::SIZE as u64, write)
    }

    /// Advances RSI, RDI or RCX; 32-bit addressing clears the upper half, 16-bit keeps it.
    #[inline(always)]
    fn advance(&mut self, op: &Op, register: usize, by: u64) {
        let old = self.gpr[register];
        let new = old.wrapping_add(by);
        self.gpr[register] = match op.aux {
            8 => new,
            4 => new & 0xffff_ffff,
            _ => old & !0xffff | new & 0xffff,
        };
    }

    #[inline(always)]
    fn counter(&self, op: &Op) -> u64 {
        self.gpr[reg::RCX] & address_mask(op)
    }
}

/// One element of a string instruction.
trait Element {
    /// Whether ZF can end a repetition.
    const COMPARES: bool = false;
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step;
    /// Processes up to `count` elements in one go. Returns how many, which may be 0.
    #[inline(always)]
    fn bulk<T: Int>(_cpu: &mut Cpu, _op: &Op, _count: u64) -> u64 {
        0
    }
}

fn string<O: Element, const HOW: u8, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    if HOW == ONCE {
        return O::element::<T>(cpu, op);
    }
    let mut end = Step::Next;
    // A single step is an iteration, not the whole.
    let mut left = if cpu.control & TF == 0 { PASS } else { 1 };
    loop {
        let count = cpu.counter(op);
        if count == 0 {
            return end;
        }
        if left == 0 {
            return again(cpu, op);
        }
        let done = O::bulk::<T>(cpu, op, count.min(left));
        if done != 0 {
            cpu.advance(op, reg::RCX, done.wrapping_neg());
            left -= done;
            continue;
        }
        left -= 1;
        let accesses = cpu.device_accesses;
        let step = O::element::<T>(cpu, op);
        if step == Step::Trap {
            return step;
        }
        cpu.advance(op, reg::RCX, 1u64.wrapping_neg());
        if cpu.sys.debug_hits != 0 {
            // The guest's breakpoint traps after this iteration.
            left = 0;
        }
        if cpu.device_accesses != accesses {
            // A device may do much for one access, and the CPU look at its interrupts then, as real ones do.
            left = 0;
        }
        if step != Step::Next {
            end = step;
        }
        if O::COMPARES && cpu.flags.zf() != (HOW == REP) {
            return end;
        }
    }
}

/// The end of a pass that is not the last: the same instruction is next.
#[cold]
fn again(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.rip = cpu.reg::<u64>(RIP_BASE).wrapping_add(u64::from(op.off));
    // It has been begun: a breakpoint on it is behind us, and an interrupt in between says so (Intel SDM vol. 3, 19.3.1.1).
    cpu.control |= flags::RF;
    Step::Leave
}

/// Bytes from `addr` to the end of its page.
fn to_page_end(addr: u64) -> u64 {
    4096 - (addr & 4095)
}

struct Movs;
impl Element for Movs {
    #[inline(always)]
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let value = tri!(cpu.load::<T>(op, cpu.source::<T>(op)));
        let end = cpu.store(op, cpu.destination::<T>(op, true), value);
        if end != Step::Trap {
            let by = cpu.string_step::<T>();
            cpu.advance(op, reg::RSI, by);
            cpu.advance(op, reg::RDI, by);
        }
        end
    }

    fn bulk<T: Int>(cpu: &mut Cpu, op: &Op, count: u64) -> u64 {
        if cpu.control & DF != 0 || op.aux != 8 {
            return 0;
        }
        let (from, to) = (cpu.source::<T>(op), cpu.destination::<T>(op, true));
        let bytes = (count.saturating_mul(T::SIZE as u64)).min(to_page_end(from)).min(to_page_end(to));
        let elements = bytes / T::SIZE as u64;
        let bytes = elements * T::SIZE as u64;
        let (Some(source), Some(target)) = (cpu.readable(from), cpu.writable(to)) else { return 0 };
        // Copying upwards into an overlap repeats a pattern element by element: not a plain move.
        let distance = (target as u64).wrapping_sub(source as u64);
        if elements == 0 || (distance != 0 && distance < bytes) {
            return 0;
        }
        // SAFETY: both pointers are into mapped guest pages, the stretch ends before either page does, and nobody else
        // accesses the memory now (`Ram`). They may overlap.
        unsafe { std::ptr::copy(source, target, bytes as usize) };
        cpu.gpr[reg::RSI] = cpu.gpr[reg::RSI].wrapping_add(bytes);
        cpu.gpr[reg::RDI] = cpu.gpr[reg::RDI].wrapping_add(bytes);
        elements
    }
}

struct Stos;
impl Element for Stos {
    #[inline(always)]
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let value = cpu.reg::<T>(file::RAX);
        let end = cpu.store(op, cpu.destination::<T>(op, true), value);
        if end != Step::Trap {
            let by = cpu.string_step::<T>();
            cpu.advance(op, reg::RDI, by);
        }
        end
    }

    fn bulk<T: Int>(cpu: &mut Cpu, op: &Op, count: u64) -> u64 {
        if cpu.control & DF != 0 || op.aux != 8 {
            return 0;
        }
        let to = cpu.destination::<T>(op, true);
        let elements = count.saturating_mul(T::SIZE as u64).min(to_page_end(to)) / T::SIZE as u64;
        let Some(target) = cpu.writable(to) else { return 0 };
        let value = cpu.reg::<T>(file::RAX);
        for n in 0..elements as usize {
            // SAFETY: the pointer is into a mapped guest page, the stretch ends before the page does, and nobody else
            // accesses the memory now (`Ram`).
            unsafe { target.cast::<T>().add(n).write_unaligned(value) };
        }
        cpu.gpr[reg::RDI] = cpu.gpr[reg::RDI].wrapping_add(elements * T::SIZE as u64);
        elements
    }
}

struct Lods;
impl Element for Lods {
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let value = tri!(cpu.load::<T>(op, cpu.source::<T>(op)));
        cpu.set_reg(file::RAX, value);
        let by = cpu.string_step::<T>();
        cpu.advance(op, reg::RSI, by);
        Step::Next
    }
}

struct Scas;
impl Element for Scas {
    const COMPARES: bool = true;
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let value = tri!(cpu.load::<T>(op, cpu.destination::<T>(op, false)));
        let accumulator = cpu.reg::<T>(file::RAX);
        cpu.flags.sub(accumulator, value, false);
        let by = cpu.string_step::<T>();
        cpu.advance(op, reg::RDI, by);
        Step::Next
    }
}

struct Cmps;
impl Element for Cmps {
    const COMPARES: bool = true;
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let first = tri!(cpu.load::<T>(op, cpu.source::<T>(op)));
        let second = tri!(cpu.load::<T>(op, cpu.destination::<T>(op, false)));
        cpu.flags.sub(first, second, false);
        let by = cpu.string_step::<T>();
        cpu.advance(op, reg::RSI, by);
        cpu.advance(op, reg::RDI, by);
        Step::Next
    }
}

struct Ins;
impl Element for Ins {
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let port = cpu.reg::<u16>(file::RDX);
        tri!(cpu.check_port(port, T::SIZE as u16));
        let at = cpu.destination::<T>(op, true);
        tri!(cpu.load_to_write::<T>(op, at));
        let (value, flow) = cpu.read_port(cpu.now(op), port, T::SIZE);
        let step = cpu.store(op, at, T::cut(u64::from(value)));
        if step == Step::Trap {
            return step;
        }
        let by = cpu.string_step::<T>();
        cpu.advance(op, reg::RDI, by);
        if flow == Flow::Yield { Step::Stop } else { step }
    }
}

struct Outs;
impl Element for Outs {
    fn element<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
        let port = cpu.reg::<u16>(file::RDX);
        tri!(cpu.check_port(port, T::SIZE as u16));
        let value = tri!(cpu.load::<T>(op, cpu.source::<T>(op)));
        let flow = cpu.write_port(cpu.now(op), port, value.wide() as u32, T::SIZE);
        let by = cpu.string_step::<T>();
        cpu.advance(op, reg::RSI, by);
        if flow == Flow::Yield { Step::Stop } else { Step::Next }
    }
}

fn pick<O: Element>(instr: &Instruction, bytes: usize) -> Handler {
    let how = if instr.has_repne_prefix() {
        REPNE
    } else if instr.has_rep_prefix() {
        REP
    } else {
        ONCE
    };
    macro_rules! sized {
        ($how:ident) => {
            match bytes {
                1 => string::<O, $how, u8> as Handler,
                2 => string::<O, $how, u16>,
                4 => string::<O, $how, u32>,
                _ => string::<O, $how, u64>,
            }
        };
    }
    match how {
        ONCE => sized!(ONCE),
        REP => sized!(REP),
        _ => sized!(REPNE),
    }
}

/// The operation of a string instruction, if it is one.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    if !instr.is_string_instruction() {
        return None;
    }
    let bytes = instr.memory_size().size();
    let run = match instr.mnemonic() {
        M::Movsb | M::Movsw | M::Movsd | M::Movsq => pick::<Movs>(instr, bytes),
        M::Stosb | M::Stosw | M::Stosd | M::Stosq => pick::<Stos>(instr, bytes),
        M::Lodsb | M::Lodsw | M::Lodsd | M::Lodsq => pick::<Lods>(instr, bytes),
        M::Scasb | M::Scasw | M::Scasd | M::Scasq => pick::<Scas>(instr, bytes),
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq => pick::<Cmps>(instr, bytes),
        M::Insb | M::Insw | M::Insd => pick::<Ins>(instr, bytes),
        M::Outsb | M::Outsw | M::Outsd => pick::<Outs>(instr, bytes),
        _ => return None,
    };
    let mut op = ctx.bare(instr, run);
    // `seg` is the source's segment, `index` the destination's, which no prefix changes.
    op.index = if ctx.bits == 64 { crate::op::NO_SEG } else { seg::ES as u8 };
    op.aux = 2;
    for n in 0..instr.op_count() {
        match instr.op_kind(n) {
            OpKind::MemorySegSI | OpKind::MemorySegESI | OpKind::MemorySegRSI => {
                op.seg = ctx.segment(instr.memory_segment());
            }
            _ => {}
        }
        match instr.op_kind(n) {
            OpKind::MemorySegRSI | OpKind::MemoryESRDI => op.aux = 8,
            OpKind::MemorySegESI | OpKind::MemoryESEDI => op.aux = 4,
            _ => {}
        }
    }
    Some(op)
}
