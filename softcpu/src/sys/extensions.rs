//! System instructions that came after the first x86-64 processors: FSGSBASE, RDPID, RDRAND and RDSEED, STAC and CLAC (SMAP), INVPCID.

use iced_x86::{Code, Instruction};

use super::registers::PCID;
use crate::control::Cr4;
use crate::cpu::{Cpu, Handler, Op};
use crate::flags;
use crate::lower::LowerCtx;
use crate::mem::access::canonical;
use crate::state::seg;
use crate::step::Step;
use crate::tri;
use crate::value::Int;
use crate::vector;

/// The instructions of this module.
pub(crate) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Code as C;
    let run: Handler = match instr.code() {
        C::Rdfsbase_r32 => read_base::<{ seg::FS }, u32>,
        C::Rdfsbase_r64 => read_base::<{ seg::FS }, u64>,
        C::Rdgsbase_r32 => read_base::<{ seg::GS }, u32>,
        C::Rdgsbase_r64 => read_base::<{ seg::GS }, u64>,
        C::Wrfsbase_r32 => write_base::<{ seg::FS }, u32>,
        C::Wrfsbase_r64 => write_base::<{ seg::FS }, u64>,
        C::Wrgsbase_r32 => write_base::<{ seg::GS }, u32>,
        C::Wrgsbase_r64 => write_base::<{ seg::GS }, u64>,
        C::Rdpid_r32 => rdpid::<u32>,
        C::Rdpid_r64 => rdpid::<u64>,
        C::Rdrand_r16 | C::Rdseed_r16 => random::<u16>,
        C::Rdrand_r32 | C::Rdseed_r32 => random::<u32>,
        C::Rdrand_r64 | C::Rdseed_r64 => random::<u64>,
        C::Invpcid_r32_m128 => invpcid::<u32>,
        C::Invpcid_r64_m128 => invpcid::<u64>,
        C::Stac => set_ac::<true>,
        C::Clac => set_ac::<false>,
        _ => return None,
    };
    Some(ctx.op(instr, run))
}

/// RDFSBASE and RDGSBASE.
fn read_base<const SEGMENT: usize, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.sys.has_cr4(Cr4::FSGSBASE) {
        return cpu.raise(vector::UD, None);
    }
    cpu.set_reg(op.reg1, T::cut(cpu.sys.seg[SEGMENT].base));
    Step::Next
}

/// WRFSBASE and WRGSBASE.
fn write_base<const SEGMENT: usize, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.sys.has_cr4(Cr4::FSGSBASE) {
        return cpu.raise(vector::UD, None);
    }
    let base = cpu.reg::<T>(op.reg1).wide();
    if !canonical(base) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.set_base(SEGMENT, base);
    Step::Next
}

/// RDPID: what RDTSCP gives in ECX, to the user too whatever CR4.TSD says.
fn rdpid<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.set_reg(op.reg1, T::cut(cpu.sys.msr.tsc_aux));
    Step::Next
}

/// RDRAND and RDSEED, which always have a number.
fn random<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    let number = cpu.bus().random();
    cpu.set_reg(op.reg1, T::cut(number));
    cpu.flags = flags::Flags::from_bits(flags::CF);
    Step::Next
}

/// STAC and CLAC. (They are invalid, not refused, outside the kernel.)
fn set_ac<const ON: bool>(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::UD, None);
    }
    if ON {
        cpu.control |= flags::AC;
    } else {
        cpu.control &= !flags::AC;
    }
    cpu.rights_changed();
    Step::Next
}

/// The types of INVPCID.
const ADDRESS: u64 = 0;
const CONTEXT: u64 = 1;
const ALL: u64 = 2;
const ALL_BUT_GLOBAL: u64 = 3;

/// What INVPCID drops (Intel SDM vol. 2A, INVPCID): a linear address of a context, a context, everything, or all but global pages.
fn invpcid<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let kind = cpu.reg::<T>(op.reg1).wide();
    let descriptor = tri!(cpu.load::<u128>(op, cpu.ea(op)));
    let (identifier, address) = (descriptor as u64, (descriptor >> 64) as u64);
    let names_context = matches!(kind, ADDRESS | CONTEXT);
    let bad = kind > ALL_BUT_GLOBAL
        || identifier & !PCID != 0
        || (names_context && identifier != 0 && !cpu.sys.has_cr4(Cr4::PCIDE))
        || (kind == ADDRESS && !canonical(address));
    if bad {
        return cpu.raise(vector::GP, Some(0));
    }
    match kind {
        // No translation of another context is held.
        ADDRESS if identifier == cpu.sys.cr3 & PCID => cpu.tlb.flush_page(address),
        ADDRESS => {}
        ALL => cpu.tlb.flush_all(),
        _ => cpu.tlb.flush_local(),
    }
    // The page may be the running one.
    Step::Stop
}
