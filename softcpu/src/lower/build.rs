//! Resolving operands.

use std::cell::{Cell, RefCell};

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};

use crate::cpu::{Cpu, Extended, Handler, Op};
use crate::file::{self, RIP_BASE, TEMP, ZERO};
use crate::model::Model;
use crate::op::{NO_SEG, Pool};
use crate::pinned::Pinned;
use crate::state::reg;
use crate::step::Step;
use crate::vector;

/// What the lowering knows besides the instruction.
pub struct LowerCtx {
    /// Instruction pointer at the block's first instruction.
    pub start: u64,
    /// 16, 32 or 64.
    pub bits: u32,
    /// What the CPU has.
    pub model: Model,
    /// Position of the instruction in its block.
    pub nth: u8,
    /// Set when the memory operand being lowered does not fit an [`Op`]: its displacement, and the mask of its address.
    odd: Cell<Option<(u64, u64)>>,
    /// The instruction wants the offset in the segment, not the linear address.
    bare_offset: Cell<bool>,
    /// Bytes that the instruction pops before it uses the stack pointer for its address.
    popped: Cell<u64>,
    /// Where such operands go: operations point into these.
    extended: RefCell<Pool<Cpu>>,
}

/// The offset of an extended operand in its segment.
#[inline(always)]
fn extended_offset(extended: &Extended, cpu: &Cpu) -> u64 {
    let mut sum = cpu.offset(&extended.address).wrapping_add(extended.disp);
    if extended.popped != 0 {
        let sp = cpu.gpr[reg::RSP];
        sum = sum.wrapping_add(cpu.moved_stack(sp.wrapping_add(extended.popped))).wrapping_sub(sp);
    }
    sum & extended.mask
}

/// Offset of a general register, of any size, in the register file.
pub fn gpr_offset(register: Register) -> u8 {
    match register {
        Register::AH | Register::CH | Register::DH | Register::BH => {
            file::AH + file::offset((register as u32 - Register::AH as u32) as usize)
        }
        _ => file::offset(register.full_register().number()),
    }
}

/// How an operation names a register: a general one by its offset in the register file, any other by its number.
fn place(register: Register) -> u8 {
    if register.is_gpr() { gpr_offset(register) } else { register.number() as u8 }
}

impl LowerCtx {
    /// For a block that starts at instruction pointer `start` and is decoded as `bits` (16, 32, 64) bit code, by a CPU of a model.
    pub fn new(start: u64, bits: u32, model: Model) -> LowerCtx {
        let (odd, bare_offset, popped) = (Cell::new(None), Cell::new(false), Cell::new(0));
        LowerCtx { start, bits, model, nth: 0, odd, bare_offset, popped, extended: RefCell::default() }
    }

    /// What the operations made so far point into.
    pub(crate) fn into_extended(self) -> Pool<Cpu> {
        self.extended.into_inner()
    }

    /// An operation without operands.
    pub fn bare(&self, instr: &Instruction, run: Handler) -> Op {
        Op {
            run,
            imm: 0,
            disp: 0,
            off: instr.ip().wrapping_sub(self.start) as u16,
            len: instr.len() as u8,
            nth: self.nth,
            reg1: 0,
            reg2: 0,
            base: ZERO,
            index: ZERO,
            scale: 0,
            seg: NO_SEG,
            aux: 0,
        }
    }

    /// An operation with the instruction's memory operand and immediate, if it has them, and its first two register
    /// operands.
    pub fn op(&self, instr: &Instruction, run: Handler) -> Op {
        let mut op = self.bare(instr, run);
        let mut registers = 0;
        let mut memory = None;
        for n in 0..instr.op_count() {
            match instr.op_kind(n) {
                OpKind::Register => {
                    match registers {
                        0 => op.reg1 = place(instr.op_register(n)),
                        1 => op.reg2 = place(instr.op_register(n)),
                        _ => {}
                    }
                    registers += 1;
                }
                OpKind::Memory => memory = Some(()),
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                    op.imm = instr.near_branch_target().wrapping_sub(self.start);
                }
                kind if is_immediate(kind) => op.imm = instr.immediate(n),
                _ => {}
            }
        }
        if memory.is_some() { self.with_memory(instr, op) } else { op }
    }

    /// Segment whose base is added. In 64-bit mode only FS and GS have one.
    pub fn segment(&self, register: Register) -> u8 {
        match register {
            Register::FS | Register::GS => register.number() as u8,
            _ if self.bits == 64 => NO_SEG,
            _ => register.number() as u8,
        }
    }

    fn with_memory(&self, instr: &Instruction, mut op: Op) -> Op {
        let base = instr.memory_base();
        let index = instr.memory_index();
        let seg = self.segment(instr.memory_segment());
        let relative = instr.is_ip_rel_memory_operand();
        let wide = match base {
            Register::EIP => false,
            Register::RIP => true,
            Register::None if index == Register::None => self.bits == 64 && instr.memory_displ_size() == 8,
            Register::None => index.size() == 8,
            _ => base.size() == 8,
        };
        let mut disp = instr.memory_displacement64();
        if relative {
            disp = disp.wrapping_sub(self.start);
        }
        op.scale = instr.memory_index_scale().trailing_zeros() as u8;
        op.base = match base {
            Register::None => ZERO,
            _ if relative => RIP_BASE,
            _ => gpr_offset(base),
        };
        op.index = if index == Register::None { ZERO } else { gpr_offset(index) };
        op.seg = seg;
        // Without registers a 32-bit displacement is sign-extended, or with an address-size prefix is not.
        let mask = self.address_mask(instr, wide);
        if mask == !0 && disp as i64 == i64::from(disp as i32) {
            op.disp = disp as i32;
            return op;
        }
        self.odd.set(Some((disp, mask)));
        op
    }

    fn address_mask(&self, instr: &Instruction, wide: bool) -> u64 {
        let bare = instr.memory_base() == Register::None && instr.memory_index() == Register::None;
        let size = match instr.memory_base() {
            _ if wide => 8,
            // iced gives the size of a bare displacement after extension to the address size.
            _ if bare => instr.memory_displ_size(),
            Register::None => instr.memory_index().size() as u32,
            Register::EIP => 4,
            base => base.size() as u32,
        };
        match size {
            2 => 0xffff,
            4 => 0xffff_ffff,
            _ => !0,
        }
    }

    /// Mask of the address of the memory operand just lowered.
    pub(crate) fn operand_mask(&self) -> u64 {
        self.odd.get().map_or(!0, |(_, mask)| mask)
    }

    /// Sets the mask of the address of the operation being lowered, for one of fewer than 64 bits.
    pub(crate) fn narrow_address(&self, mask: u64) {
        self.odd.set(Some((0, mask)));
    }

    /// Lets the handler of the operation being lowered add the segment's base itself: it adds more to the offset first,
    /// or needs no linear address.
    pub(crate) fn want_offset(&self) {
        self.bare_offset.set(true);
    }

    /// Leaves it to the handler to read the memory operand in parts, by
    /// [`Cpu::part_address`](crate::cpu::Cpu::part_address): each is an access of its own.
    pub(crate) fn in_parts(&self, op: &mut Op) {
        op.imm = self.operand_mask();
        self.want_offset();
    }

    /// Computes an operand whose base is the stack pointer with the pointer's value after a pop.
    pub(crate) fn after_pop(&self, bytes: u64) {
        self.popped.set(bytes);
    }

    /// Adds a separate address computation before the instruction if [`op`](Self::op) found that it needs one. Every
    /// memory operand outside 64-bit code does: offsets are cut to the address size, linear addresses to 32 bits.
    pub(crate) fn finish(&self, instr: &Instruction, op: Op) -> Op {
        let (bare_offset, popped) = (self.bare_offset.take(), self.popped.take());
        let Some((disp, mask)) = self.odd.take() else { return op };
        let mut inner = op;
        (inner.base, inner.index, inner.disp, inner.scale) = (TEMP, ZERO, 0, 0);
        let mut address = op;
        address.disp = 0;
        let linear = self.bits != 64 && !bare_offset;
        if linear {
            inner.seg = NO_SEG;
        }
        let access = if linear { access(instr) } else { (0, false) };
        let pinned = Pinned::new(Extended { disp, mask, address, popped, access, inner });
        let mut outer = op;
        outer.run = match access {
            _ if !linear => extended,
            (0, _) => extended_linear,
            _ => extended_checked,
        };
        outer.imm = pinned.at().as_ptr().expose_provenance() as u64;
        self.extended.borrow_mut().push(pinned);
        outer
    }

    /// An instruction that is not implemented: it is counted by name and raises #UD.
    pub fn unknown(&self, instr: &Instruction) -> Op {
        let mut op = self.bare(instr, unknown);
        op.imm = instr.code() as u64;
        op
    }
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate8_2nd
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

fn extended(cpu: &mut Cpu, op: &Op) -> Step {
    // SAFETY: only `finish` makes operations that this runs. It put the address of a value here that the operation's
    // block owns and that nobody writes, and a block that may be running is not freed.
    let extended = unsafe { &*std::ptr::with_exposed_provenance::<Extended>(op.imm as usize) };
    cpu.gpr[file::word(TEMP)] = extended_offset(extended, cpu);
    (extended.inner.run)(cpu, &extended.inner)
}

/// As [`extended`], with a linear address of 32 bits if the segment allows the access.
fn extended_checked(cpu: &mut Cpu, op: &Op) -> Step {
    // SAFETY: as in `extended`.
    let extended = unsafe { &*std::ptr::with_exposed_provenance::<Extended>(op.imm as usize) };
    let offset = extended_offset(extended, cpu);
    let (bytes, write) = extended.access;
    let segment = extended.address.seg;
    cpu.gpr[file::word(TEMP)] = cpu.checked_address(segment, offset, u64::from(bytes), write);
    (extended.inner.run)(cpu, &extended.inner)
}

/// Bytes that an instruction accesses at its memory operand, and whether it writes them.
fn access(instr: &Instruction) -> (u16, bool) {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instr);
    let register = |n| instr.op_kind(n) == OpKind::Register || is_immediate(instr.op_kind(n));
    let operand = (0..instr.op_count()).find(|&n| !register(n));
    match operand.map(|n| info.op_access(n)) {
        None | Some(OpAccess::None | OpAccess::NoMemAccess) => (0, false),
        Some(OpAccess::Read | OpAccess::CondRead) => (instr.memory_size().size() as u16, false),
        Some(_) => (instr.memory_size().size() as u16, true),
    }
}

/// As [`extended_checked`], for an instruction that accesses nothing there.
fn extended_linear(cpu: &mut Cpu, op: &Op) -> Step {
    // SAFETY: as in `extended`.
    let extended = unsafe { &*std::ptr::with_exposed_provenance::<Extended>(op.imm as usize) };
    let offset = extended_offset(extended, cpu);
    cpu.gpr[file::word(TEMP)] = cpu.linear(extended.address.seg, offset);
    (extended.inner.run)(cpu, &extended.inner)
}

fn unknown(cpu: &mut Cpu, op: &Op) -> Step {
    let name = iced_x86::Code::try_from(op.imm as usize)
        .map_or_else(|_| "?".to_string(), |code| format!("{code:?}"));
    cpu.count_unknown(&name);
    cpu.raise(vector::UD, None)
}
