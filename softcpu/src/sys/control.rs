//! Control and debug registers, descriptor-table registers, flags, time, CPUID, HLT.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::segments::word_operand;
use super::transfer::changeable;
use super::{CR0_PG, CR0_TS, CR0_WP, CR4_PGE};
use crate::cpu::Cpu;
use crate::cpuid::cpuid;
use crate::flags;
use crate::lower::LowerCtx;
use crate::op::{Op, Step, Trap, vector};
use crate::state::{Table, reg};
use crate::tri;

const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NW: u64 = 1 << 29;
const CR0_CD: u64 = 1 << 30;
/// PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG.
const CR0_KNOWN: u64 = 0x3f | CR0_WP | 1 << 18 | CR0_NW | CR0_CD | CR0_PG;
const CR4_TSD: u64 = 1 << 2;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
/// TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT: what CPUID announces, and MCE, PCE, which are harmless.
const CR4_KNOWN: u64 = 0x7fc;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// DR6 and DR7 bits that read as one.
const DR6_ONES: u64 = 0xffff_0ff0;
const DR7_ONES: u64 = 0x400;

impl Cpu {
    /// Raises #GP(0) unless CPL is 0.
    fn privileged(&mut self) -> Result<(), Trap> {
        if self.is_kernel() { Ok(()) } else { Err(self.gp(0)) }
    }

    fn write_cr0(&mut self, value: u64) -> Result<(), Trap> {
        let value = value & 0xffff_ffff | CR0_ET | value & !0xffff_ffff;
        let paging = value & CR0_PG != 0;
        let bad = value & !CR0_KNOWN != 0
            || paging && value & CR0_PE == 0
            || value & CR0_NW != 0 && value & CR0_CD == 0
            // 64-bit code cannot leave long mode, and no other code can enter it without PAE.
            || !paging && self.sys.cr0 & CR0_PG != 0 && self.in_long_code()
            || paging && self.sys.efer & EFER_LME != 0 && self.sys.cr4 & CR4_PAE == 0;
        if bad {
            return Err(self.gp(0));
        }
        if (value ^ self.sys.cr0) & (CR0_PG | CR0_WP | CR0_PE) != 0 {
            self.tlb.flush_all();
        }
        self.sys.cr0 = value;
        let long = paging && self.sys.efer & EFER_LME != 0;
        self.sys.efer = self.sys.efer & !EFER_LMA | if long { EFER_LMA } else { 0 };
        Ok(())
    }

    fn in_long_code(&self) -> bool {
        self.sys.seg[crate::state::seg::CS].attributes >> 13 & 1 != 0
    }

    fn write_cr4(&mut self, value: u64) -> Result<(), Trap> {
        let leaves_pae = value & CR4_PAE == 0 && self.sys.efer & EFER_LMA != 0;
        if value & !CR4_KNOWN != 0 || leaves_pae {
            return Err(self.gp(0));
        }
        if (value ^ self.sys.cr4) & (CR4_PGE | CR4_PSE | CR4_PAE) != 0 {
            self.tlb.flush_all();
        }
        self.sys.cr4 = value;
        Ok(())
    }

    fn write_cr3(&mut self, value: u64) -> Result<(), Trap> {
        if value >> crate::cpuid::PHYSICAL_BITS != 0 {
            return Err(self.gp(0));
        }
        self.sys.cr3 = value;
        self.tlb.flush_local();
        Ok(())
    }

    /// After something that changes how code runs: the next instruction, with everything looked at anew.
    fn leave(&mut self, op: &Op) -> Step {
        self.rip = self.following(op);
        Step::Leave
    }
}

/// MOV from a control register (`aux`); general registers always have 64 bits.
fn read_cr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let value = match op.aux {
        0 => cpu.sys.cr0,
        2 => cpu.sys.cr2,
        3 => cpu.sys.cr3,
        4 => cpu.sys.cr4,
        8 => cpu.apic.cr8(),
        _ => return cpu.raise(vector::UD, None),
    };
    cpu.set_reg(op.dst, value);
    Step::Next
}

fn write_cr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let value = cpu.reg::<u64>(op.src);
    match op.aux {
        0 => tri!(cpu.write_cr0(value)),
        2 => cpu.sys.cr2 = value,
        3 => tri!(cpu.write_cr3(value)),
        4 => tri!(cpu.write_cr4(value)),
        8 if value < 16 => cpu.apic.set_cr8(value),
        8 => return cpu.raise(vector::GP, Some(0)),
        _ => return cpu.raise(vector::UD, None),
    }
    cpu.leave(op)
}

/// Debug registers are stored; no breakpoint in them ever fires.
fn read_dr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let value = match op.aux {
        6 => cpu.sys.dr[6] | DR6_ONES,
        7 => cpu.sys.dr[7] | DR7_ONES,
        n => cpu.sys.dr[usize::from(n & 7)],
    };
    cpu.set_reg(op.dst, value);
    Step::Next
}

fn write_dr(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let value = cpu.reg::<u64>(op.src);
    if op.aux >= 6 && value >> 32 != 0 {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.sys.dr[usize::from(op.aux & 7)] = value;
    Step::Next
}

fn clts(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    cpu.sys.cr0 &= !CR0_TS;
    cpu.leave(op)
}

/// LMSW: PE can be set but not cleared.
fn lmsw(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let word = u64::from(tri!(word_operand(cpu, op)));
    let value = cpu.sys.cr0 & !0xe | word & 0xf;
    tri!(cpu.write_cr0(value));
    cpu.leave(op)
}

/// SMSW: result size in `imm`, to memory when `aux` is 1.
fn smsw(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.sys.cr0;
    if op.aux == 1 {
        return cpu.store(op, cpu.ea(op), value as u16);
    }
    match op.imm {
        2 => cpu.set_reg(op.dst, value as u16),
        4 => cpu.set_reg(op.dst, value as u32),
        _ => cpu.set_reg(op.dst, value),
    }
    Step::Next
}

/// LGDT, LIDT (`aux` 1).
fn load_table(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let at = cpu.ea(op);
    let limit = tri!(cpu.load::<u16>(op, at));
    let base = tri!(cpu.load::<u64>(op, at.wrapping_add(2)));
    if !crate::mem::access::canonical(base) {
        return cpu.raise(vector::GP, Some(0));
    }
    let table = Table { base, limit };
    if op.aux == 1 { cpu.sys.idtr = table } else { cpu.sys.gdtr = table }
    Step::Next
}

/// SGDT, SIDT (`aux` 1).
fn store_table(cpu: &mut Cpu, op: &Op) -> Step {
    let table = if op.aux == 1 { cpu.sys.idtr } else { cpu.sys.gdtr };
    let at = cpu.ea(op);
    // The base first: both stores are to one or two pages, and the second word is the one that reaches further.
    let base = cpu.store(op, at.wrapping_add(2), table.base);
    if base == Step::Trap {
        return base;
    }
    match cpu.store(op, at, table.limit) {
        Step::Next => base,
        step => step,
    }
}

fn invlpg(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    let at = cpu.ea(op);
    cpu.tlb.flush_page(at);
    Step::Stop
}

/// WBINVD, INVD: there is no cache.
fn cache(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(cpu.privileged());
    Step::Next
}

fn hlt(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.privileged());
    cpu.sys.halted = true;
    cpu.leave(op)
}

fn iopl(cpu: &Cpu) -> u8 {
    ((cpu.control & flags::IOPL) >> 12) as u8
}

fn cli(cpu: &mut Cpu, _: &Op) -> Step {
    if cpu.cpl() > iopl(cpu) {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.control &= !flags::IF;
    Step::Next
}

fn sti(cpu: &mut Cpu, op: &Op) -> Step {
    if cpu.cpl() > iopl(cpu) {
        return cpu.raise(vector::GP, Some(0));
    }
    if cpu.control & flags::IF != 0 {
        return Step::Next;
    }
    cpu.control |= flags::IF;
    cpu.sys.interrupt_shadow = true;
    cpu.leave(op)
}

/// PUSHF: `imm` bytes.
fn pushf(cpu: &mut Cpu, op: &Op) -> Step {
    let value = cpu.rflags() & !(flags::RF | flags::VM);
    let at = cpu.gpr[reg::RSP].wrapping_sub(op.imm);
    let step = if op.imm == 2 { cpu.store(op, at, value as u16) } else { cpu.store(op, at, value) };
    if step != Step::Trap {
        cpu.gpr[reg::RSP] = at;
    }
    step
}

fn popf(cpu: &mut Cpu, op: &Op) -> Step {
    let at = cpu.gpr[reg::RSP];
    let (value, size) = match op.imm {
        2 => (u64::from(tri!(cpu.load::<u16>(op, at))), 0xffff),
        _ => (tri!(cpu.load::<u64>(op, at)), u64::MAX),
    };
    cpu.gpr[reg::RSP] = at.wrapping_add(op.imm);
    let mask = changeable(cpu.cpl(), cpu.control) & size;
    // POPF clears RF.
    let old = cpu.rflags() & !(flags::RF & size);
    let new = old & !mask | value & mask;
    cpu.set_rflags(new);
    let opened = new & !old & (flags::IF | flags::TF) != 0;
    if opened { cpu.leave(op) } else { Step::Next }
}

fn time(cpu: &mut Cpu, op: &Op) -> Result<u64, Trap> {
    if cpu.sys.cr4 & CR4_TSD != 0 && !cpu.is_kernel() {
        return Err(cpu.gp(0));
    }
    Ok(cpu.now(op).wrapping_add(cpu.sys.msr.tsc_adjust))
}

fn rdtsc(cpu: &mut Cpu, op: &Op) -> Step {
    let now = tri!(time(cpu, op));
    cpu.gpr[reg::RAX] = now & 0xffff_ffff;
    cpu.gpr[reg::RDX] = now >> 32;
    Step::Next
}

fn rdtscp(cpu: &mut Cpu, op: &Op) -> Step {
    let step = rdtsc(cpu, op);
    if step == Step::Next {
        cpu.gpr[reg::RCX] = cpu.sys.msr.tsc_aux & 0xffff_ffff;
    }
    step
}

fn cpuid_op(cpu: &mut Cpu, _: &Op) -> Step {
    let (leaf, subleaf) = (cpu.gpr[reg::RAX] as u32, cpu.gpr[reg::RCX] as u32);
    let [eax, ebx, ecx, edx] = cpuid(leaf, subleaf, &cpu.config.cpuid);
    cpu.gpr[reg::RAX] = eax.into();
    cpu.gpr[reg::RBX] = ebx.into();
    cpu.gpr[reg::RCX] = ecx.into();
    cpu.gpr[reg::RDX] = edx.into();
    Step::Next
}

/// The number of a control or debug register.
fn number(register: Register) -> u16 {
    register.number() as u16
}

fn lower_mov(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    let (to, from) = (instr.op0_register(), instr.op1_register());
    let (run, which): (crate::op::Handler, Register) = match (to, from) {
        (cr, _) if cr.is_cr() => (write_cr, cr),
        (_, cr) if cr.is_cr() => (read_cr, cr),
        (dr, _) if dr.is_dr() => (write_dr, dr),
        (_, dr) if dr.is_dr() => (read_dr, dr),
        _ => return None,
    };
    let mut op = ctx.op(instr, run);
    op.aux = number(which);
    // `LowerCtx::op` numbers the register operands as they come.
    Some(op)
}

pub(super) fn lower(instr: &Instruction, ctx: &LowerCtx) -> Option<Op> {
    use Mnemonic as M;
    let memory = (0..instr.op_count()).any(|n| instr.op_kind(n) == OpKind::Memory);
    let with = |run, imm: u64, aux: u16| {
        let mut op = ctx.op(instr, run);
        (op.imm, op.aux) = (imm, aux);
        Some(op)
    };
    let moved = instr.stack_pointer_increment().unsigned_abs().into();
    let register_bytes = if memory { 2 } else { instr.op0_register().size() as u64 };
    match instr.mnemonic() {
        M::Mov => lower_mov(instr, ctx),
        M::Clts => with(clts, 0, 0),
        M::Lmsw => with(lmsw, 0, memory.into()),
        M::Smsw => with(smsw, register_bytes, memory.into()),
        M::Lgdt => with(load_table, 0, 0),
        M::Lidt => with(load_table, 0, 1),
        M::Sgdt => with(store_table, 0, 0),
        M::Sidt => with(store_table, 0, 1),
        M::Invlpg => with(invlpg, 0, 0),
        M::Wbinvd | M::Invd => with(cache, 0, 0),
        M::Hlt => with(hlt, 0, 0),
        M::Cli => with(cli, 0, 0),
        M::Sti => with(sti, 0, 0),
        M::Pushf | M::Pushfd | M::Pushfq => with(pushf, moved, 0),
        M::Popf | M::Popfd | M::Popfq => with(popf, moved, 0),
        M::Rdtsc => with(rdtsc, 0, 0),
        M::Rdtscp => with(rdtscp, 0, 0),
        M::Cpuid => with(cpuid_op, 0, 0),
        _ => None,
    }
}
