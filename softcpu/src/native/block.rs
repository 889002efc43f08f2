//! Host code for one block.

use iced_x86::{
    Code, ConditionCode, IcedError, Instruction, InstructionInfoFactory, MemoryOperand, Register,
};

use super::emit::{Emitter, Jump, field};
use super::flags::{Need, Recipe, SAVED, effect, needs, recipe};
use super::memory::context;
use super::registers::{ACCUMULATOR, SCRATCH, host, sized_bytes};
use super::routines::never;
use super::select::{Effect, Kind, has_memory, kind};
use crate::cpu::Op;
use crate::generated::{Routines, Side, Site};
use crate::model::Model;

/// The taken side of a direct branch, as an index.
pub(crate) const TAKEN: usize = 0;
/// The other one.
pub(crate) const FALL: usize = 1;

/// What a block is translated from.
pub(crate) struct Source<'a> {
    /// Its instructions, decoded as if its page began at address zero.
    pub instructions: &'a [Instruction],
    /// What runs each in the interpreter, at places that stay.
    pub ops: &'a [Op],
    /// The address of the block.
    pub block: u64,
    /// What the CPU has.
    pub model: Model,
}

/// What became of it.
pub(crate) struct Made {
    pub code: Vec<u8>,
    /// Where a block enters that has not saved the flags; zero if this one needs them.
    pub quick: u64,
    /// Its direct jumps.
    pub sides: [Option<Side>; 2],
}

/// Where the guest's flags are.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    /// In the host's.
    pub host: bool,
    /// In memory.
    pub saved: bool,
    /// They can be made again.
    pub recipe: Option<Recipe>,
}

pub(super) const IN_MEMORY: Flags = Flags { host: false, saved: true, recipe: None };
pub(super) const NOWHERE: Flags = Flags { host: false, saved: false, recipe: None };

/// An instruction's way through its handler, which follows behind the block.
struct Slow {
    jumps: Vec<Jump>,
    nth: usize,
    flags: Flags,
    /// Where it comes back, and whether it brings the flags.
    back: Option<(usize, bool)>,
}

/// A jump, and the offset that it leads to until it is linked.
type JumpAt = (Jump, usize);

/// [`Side`], by offsets.
#[derive(Clone, Copy)]
struct SideAt {
    saved: JumpAt,
    quick: Option<JumpAt>,
}

pub(super) struct Translator<'a> {
    pub e: Emitter,
    pub(super) source: &'a Source<'a>,
    routines: &'a Routines,
    pub(super) info: InstructionInfoFactory,
    pub flags: Flags,
    /// It is known that SSE can be used.
    pub simd: bool,
    slow: Vec<Slow>,
    sides: [Option<SideAt>; 2],
    /// Loads of the second scratch register with the address of code that saves the block's last flags, and those flags.
    keepers: Vec<(Jump, Flags)>,
}

/// Translates a block for code that will be executed at `start`.
pub(crate) fn translate(source: &Source<'_>, routines: &Routines, start: u64) -> Result<Made, IcedError> {
    let info = InstructionInfoFactory::new();
    let mut t = Translator {
        e: Emitter::new(start),
        source,
        routines,
        info,
        flags: IN_MEMORY,
        simd: false,
        slow: Vec::new(),
        sides: [None; 2],
        keepers: Vec::new(),
    };
    let quick = t.block();
    let sides = t.sides.map(|side| {
        let site = |(jump, stub): JumpAt| Site { at: start + jump.0 as u64, unlinked: start + stub as u64 };
        side.map(|side| Side { saved: site(side.saved), quick: side.quick.map(site) })
    });
    Ok(Made { code: t.e.finish()?, quick: quick.map_or(0, |at| start + at as u64), sides })
}

impl Translator<'_> {
    /// The whole block. Gives the offset where a block enters that has not saved the flags, if this one does not need them.
    fn block(&mut self) -> Option<usize> {
        let count = self.source.instructions.len();
        let kinds: Vec<(Kind, bool)> =
            self.source.instructions.iter().map(|instr| (self.kind(instr), self.may_leave(instr))).collect();
        let (after, first) = needs(&kinds);
        let quick = (!first.any()).then(|| {
            self.e.known_address_to_r14(self.routines.nothing);
            self.e.here()
        });
        self.e.mi(Code::Sub_rm64_imm32, field(context!(left)), count as i32);
        let limited = self.e.jump_if(ConditionCode::b);
        for nth in 0..count {
            let before = if nth == 0 { first } else { after[nth - 1] };
            self.instruction(nth, kinds[nth].0, before, after[nth]);
        }
        let last = kinds.last().map(|(kind, _)| *kind);
        if !last.is_some_and(Kind::ends) {
            self.side(FALL);
        }
        self.slow_ways();
        self.e.bind(limited);
        self.e.mi(Code::Add_rm64_imm32, field(context!(left)), count as i32);
        if quick.is_some() {
            self.e.r(Code::Call_rm64, SCRATCH[1]);
        }
        self.e.constant(SCRATCH[0], self.source.block);
        self.e.call(self.routines.limit);
        never(&mut self.e);
        quick
    }

    pub(super) fn routines(&self) -> &Routines {
        self.routines
    }

    /// What is done with an instruction.
    fn kind(&self, instr: &Instruction) -> Kind {
        if self.source.model.has(instr) { kind(instr) } else { Kind::Handler { flags: true } }
    }

    /// Whether the guest may see the flags at an instruction: it accesses memory, or may be the handler's.
    fn may_leave(&self, instr: &Instruction) -> bool {
        let kind = self.kind(instr);
        (has_memory(instr) && kind != Kind::Address) || kind.may_be_handled()
    }

    fn instruction(&mut self, nth: usize, kind: Kind, before: Need, after: Need) {
        let instr = self.source.instructions[nth];
        self.before_writes(&instr, kind, after);
        match kind {
            Kind::Handler { flags } => self.by_handler(nth, flags),
            Kind::Nothing => {}
            Kind::Same(effect) => {
                let slow = self.same(nth, &instr, effect, before, after);
                self.slow_back(slow);
            }
            Kind::Vector { effect, float } => {
                let slow = self.vector(nth, &instr, (effect, float), before, after);
                self.slow_back(slow);
            }
            Kind::Multiply => self.multiply(nth, &instr, before, after),
            Kind::MultiplyWide => self.multiply_wide(nth, &instr, before, after),
            Kind::Divide => self.divide(nth, &instr, before),
            Kind::Exchange => self.compare_exchange(nth, &instr, before, after),
            Kind::Scan => self.scan(nth, &instr, before, after),
            Kind::Leave => self.leave_frame(nth, before),
            Kind::CallTo => self.call_to(nth, &instr),
            Kind::Address => self.load_address(&instr),
            Kind::Sign => self.sign(&instr),
            Kind::Push => self.push(nth, &instr, before),
            Kind::Pop => self.pop(nth, &instr, before),
            Kind::Jump => self.side(TAKEN),
            Kind::Branch => self.branch(&instr),
            Kind::Call => self.call(nth, &instr),
            Kind::Return => self.ret(nth, &instr),
            Kind::JumpTo => self.jump_to(nth, &instr),
        }
    }

    fn by_handler(&mut self, nth: usize, flags: bool) {
        self.save();
        self.call_handler(nth, flags);
        self.flags = IN_MEMORY;
        self.simd = false;
    }

    fn call_handler(&mut self, nth: usize, flags: bool) {
        let op = (&raw const self.source.ops[nth]).expose_provenance();
        self.e.constant(SCRATCH[0], op as u64);
        self.e.constant(SCRATCH[1], self.source.block);
        let routines = self.routines;
        self.e.call(if flags { routines.handler_with_flags } else { routines.handler });
    }

    /// Sends an instruction through its handler at some jumps, from here. [`slow_back`](Self::slow_back) says where it comes back.
    pub(super) fn slow(&mut self, nth: usize, jumps: impl IntoIterator<Item = Jump>) -> usize {
        self.slow.push(Slow { jumps: jumps.into_iter().collect(), nth, flags: self.flags, back: None });
        self.slow.len() - 1
    }

    /// The instruction comes back here from its handler.
    pub(super) fn slow_back(&mut self, slow: Option<usize>) {
        if let Some(slow) = slow.and_then(|slow| self.slow.get_mut(slow)) {
            slow.back = Some((self.e.here(), self.flags.host));
        }
    }

    fn slow_ways(&mut self) {
        for (address, flags) in std::mem::take(&mut self.keepers) {
            self.e.bind(address);
            self.flags = flags;
            self.save();
            self.e.bare(Code::Retnq);
        }
        for slow in std::mem::take(&mut self.slow) {
            slow.jumps.iter().for_each(|jump| self.e.bind(*jump));
            self.flags = slow.flags;
            self.save();
            let kind = self.kind(&self.source.instructions[slow.nth]);
            self.call_handler(slow.nth, effect(kind) != Effect::None);
            match slow.back {
                None => never(&mut self.e),
                Some((back, flags)) => {
                    if flags {
                        self.e.restore_flags();
                    }
                    let jump = self.e.jump();
                    self.e.lead(jump, back);
                }
            }
        }
    }

    /// Goes on at a side of the block's end.
    pub(super) fn side(&mut self, side: usize) {
        let jump = self.may_be_quick().then(|| {
            self.name_keeper();
            self.e.jump()
        });
        self.side_by(side, jump);
    }

    /// Whether the next block may be entered without saving the flags.
    fn may_be_quick(&self) -> bool {
        !self.flags.saved && self.flags.recipe.is_some()
    }

    /// The second scratch register says who saves the flags.
    fn name_keeper(&mut self) {
        let address = self.e.address_to_r14();
        self.keepers.push((address, Flags { host: false, ..self.flags }));
    }

    /// The same, with the jump that leads here, which may lead to the next block without saving the flags.
    fn side_by(&mut self, side: usize, jump: Option<Jump>) {
        let quick = jump.filter(|_| self.may_be_quick()).map(|jump| (jump, self.e.here()));
        jump.into_iter().for_each(|jump| self.e.bind(jump));
        self.save();
        let last = self.source.instructions.last();
        let target = match side {
            TAKEN => last.map_or(0, Instruction::near_branch_target),
            _ => last.map_or(0, Instruction::next_ip),
        };
        if target < 4096 {
            let jump = self.e.jump();
            self.e.bind(jump);
            self.sides[side] = Some(SideAt { saved: (jump, self.e.here()), quick });
            self.leave_by(side);
            return;
        }
        self.e.load(SCRATCH[0], context!(page));
        self.add(SCRATCH[0], target as i64);
        let missed = self.e.look_up_code();
        self.e.jump_to_code();
        missed.into_iter().for_each(|jump| self.e.bind(jump));
        self.leave_by(side);
    }

    fn leave_by(&mut self, side: usize) {
        self.e.constant(SCRATCH[0], self.source.block);
        self.e.constant(SCRATCH[1], side as u64);
        self.e.call(self.routines.side);
        never(&mut self.e);
    }

    /// Adds a constant that the displacement of an address can be, flags unchanged.
    pub(super) fn add(&mut self, register: Register, value: i64) {
        self.e.rm(Code::Lea_r64_m, register, MemoryOperand::with_base_displ(register, value));
    }

    fn branch(&mut self, instr: &Instruction) {
        let condition = instr.condition_code();
        let taken = match condition_in_memory(condition) {
            Some((offset, mask, set)) if !self.flags.host && self.flags.saved => {
                self.e.mi(Code::Test_rm8_imm8, field(offset), mask);
                self.e.jump_if(if set { ConditionCode::ne } else { ConditionCode::e })
            }
            _ => {
                self.want_host();
                if self.may_be_quick() {
                    self.name_keeper();
                }
                self.e.jump_if(condition)
            }
        };
        let flags = self.flags;
        let fall = self.may_be_quick().then(|| self.e.jump());
        self.side_by(FALL, fall);
        self.flags = flags;
        self.side_by(TAKEN, Some(taken));
    }

    fn sign(&mut self, instr: &Instruction) {
        let [eax, ax] = [4, 2].map(|bytes| sized_bytes(ACCUMULATOR, bytes));
        match instr.code() {
            Code::Cwde => self.e.rr(Code::Movsx_r32_rm16, eax, ax),
            Code::Cdqe => self.e.rr(Code::Movsxd_r64_rm32, ACCUMULATOR, eax),
            Code::Cdq => {
                self.e.mov(SCRATCH[0], ACCUMULATOR);
                self.e.bare(Code::Cdq);
            }
            _ => {
                self.e.mov(SCRATCH[0], ACCUMULATOR);
                self.e.bare(Code::Cqo);
            }
        }
    }

    fn load_address(&mut self, instr: &Instruction) {
        let to = instr.op0_register();
        let host = host(to.number()).filter(|_| to.size() == 8);
        let register = host.unwrap_or(SCRATCH[0]);
        self.e.offset_of_operand(instr, register);
        if to.size() == 4 {
            self.e.rr(Code::Mov_r32_rm32, Register::EAX, Register::EAX);
        }
        if host.is_none() {
            self.e.set_guest(to.number(), SCRATCH[0]);
        }
    }

    fn multiply(&mut self, nth: usize, instr: &Instruction, before: Need, after: Need) {
        let slow = self.same(nth, instr, Effect::None, before, Need::default());
        self.flags = match after {
            Need { read: false, seen: false } => NOWHERE,
            // (Its handler keeps no carry.)
            Need { read: false, .. } if slow.is_none() => {
                self.e.keep_carry();
                Flags { host: false, saved: false, recipe: recipe(instr) }
            }
            _ => {
                self.save_product_flags(instr.op0_register());
                IN_MEMORY
            }
        };
        self.slow_back(slow);
    }
}

/// Where a condition can be tested in the saved flags: the byte, a mask, and whether any bit of that must be set.
fn condition_in_memory(condition: ConditionCode) -> Option<(usize, i32, bool)> {
    use ConditionCode as C;
    Some(match condition {
        C::o => (SAVED, 1, true),
        C::no => (SAVED, 1, false),
        C::b => (SAVED + 1, 0x01, true),
        C::ae => (SAVED + 1, 0x01, false),
        C::e => (SAVED + 1, 0x40, true),
        C::ne => (SAVED + 1, 0x40, false),
        C::be => (SAVED + 1, 0x41, true),
        C::a => (SAVED + 1, 0x41, false),
        C::s => (SAVED + 1, 0x80, true),
        C::ns => (SAVED + 1, 0x80, false),
        C::p => (SAVED + 1, 0x04, true),
        C::np => (SAVED + 1, 0x04, false),
        _ => return None,
    })
}
