//! Host code for one block.

use iced_x86::{
    Code, ConditionCode, IcedError, Instruction, InstructionInfoFactory, MemoryOperand, OpAccess, Register,
};

use super::emit::{Emitter, Jump, field};
use super::ends::{FALL, JumpAt, SideAt, TAKEN, Turn};
use super::flags::{Need, Recipe, needs};
use super::handlers::{Slow, handled};
use super::homes::Homes;
use super::memory::context;
use super::registers::SCRATCH;
use super::routines::never;
use super::select::{Kind, has_memory, kind};
use crate::generated::{Routines, Side, Site};
use crate::model::Model;

/// What a block is translated from.
pub(crate) struct Source<'a> {
    /// Its instructions, decoded as if its page began at address zero.
    pub instructions: &'a [Instruction],
    /// The address of the block.
    pub block: u64,
    /// The physical page that its only instruction reaches into, if it does.
    pub second: Option<u64>,
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

pub(super) struct Translator<'a> {
    pub e: Emitter,
    pub(super) source: &'a Source<'a>,
    pub(super) routines: &'a Routines,
    pub(super) info: InstructionInfoFactory,
    pub flags: Flags,
    /// It is known that SSE can be used.
    pub simd: bool,
    /// The XMM registers, as bits, that the host's ones of the same numbers have too.
    pub(super) xmm: u16,
    /// If the block can go on at its own start: where, once its registers are its own.
    pub(super) turn: Option<Turn>,
    pub(super) slow: Vec<Slow>,
    pub(super) sides: [Option<SideAt>; 2],
    /// Loads of the second scratch register with the address of code that saves the block's last flags, and those flags.
    pub(super) keepers: Vec<(Jump, Flags)>,
}

/// Translates a block for code that will be executed at `start`. It is made in `buffer`, whatever that holds.
pub(crate) fn translate(
    source: &Source<'_>,
    routines: &Routines,
    start: u64,
    buffer: Vec<u8>,
) -> Result<Made, IcedError> {
    let info = InstructionInfoFactory::new();
    let mut t = Translator {
        e: Emitter::in_buffer(start, buffer),
        source,
        routines,
        info,
        flags: IN_MEMORY,
        simd: false,
        xmm: 0,
        turn: None,
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
        let mut kinds: Vec<(Kind, bool)> =
            self.source.instructions.iter().map(|instr| (self.kind(instr), self.may_leave(instr))).collect();
        // The instruction behind STI must be certain to run before an interrupt can come.
        if let Some((kind @ Kind::Sti, _)) = kinds.last_mut() {
            *kind = Kind::Handler { flags: false };
        }
        let (after, first) = needs(&kinds);
        let elsewhere = self.source.second.map(|second| self.e.unless_next_page_is(second));
        let quick = (!first.any() && elsewhere.is_none()).then(|| {
            self.e.known_address_to_r14(self.routines.nothing);
            self.e.here()
        });
        let turns = self.turns();
        self.e.homes = Homes::choose(self.source.instructions, &kinds, turns, &mut self.info);
        self.e.move_in();
        if turns {
            self.bring_what_stays(&kinds);
        }
        self.turn = turns.then_some(Turn { at: self.e.here(), quick: quick.is_some() });
        self.count(Code::Sub_rm64_imm32);
        let limited = self.e.jump_if(ConditionCode::b);
        let mut nth = 0;
        while nth < count {
            let handled = handled(&kinds[nth..]);
            if handled != 0 {
                self.by_handlers(nth, &kinds[nth..nth + handled]);
                nth += handled;
                continue;
            }
            let before = if nth == 0 { first } else { after[nth - 1] };
            self.instruction(nth, kinds[nth].0, before, after[nth]);
            nth += 1;
        }
        let last = kinds.last().map(|(kind, _)| *kind);
        if !last.is_some_and(Kind::ends) {
            self.side(FALL);
        }
        self.slow_ways();
        self.e.bind(limited);
        self.e.reached(false);
        self.count(Code::Add_rm64_imm32);
        self.e.go_home();
        if quick.is_some() {
            self.e.r(Code::Call_rm64, SCRATCH[1]);
        }
        // Nothing of the block has been run: the run loop goes on.
        elsewhere.into_iter().flatten().for_each(|jump| self.e.bind(jump));
        self.e.constant(SCRATCH[0], self.source.block);
        self.e.call(self.routines.limit);
        never(&mut self.e);
        quick
    }

    /// Before a block that goes on at its own start: brings the XMM registers that it reads, which it then finds each time.
    fn bring_what_stays(&mut self, kinds: &[(Kind, bool)]) {
        if kinds.iter().any(|(kind, _)| matches!(kind, Kind::Handler { .. })) {
            return;
        }
        for instr in self.source.instructions {
            for used in self.info.info(instr).used_registers() {
                let register = used.register();
                if register.is_xmm() && used.access() != OpAccess::Write {
                    self.xmm |= 1 << register.number();
                }
            }
        }
        self.load_xmm(self.xmm);
    }

    /// Takes the block's instructions off what is left, or puts them back.
    fn count(&mut self, code: Code) {
        let count = self.source.instructions.len() as i32;
        match self.e.counter() {
            Some(register) => self.e.ri(code, register, count),
            None => self.e.mi(code, field(context!(left)), count),
        }
    }

    /// What is done with an instruction.
    pub(super) fn kind(&self, instr: &Instruction) -> Kind {
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
            Kind::Handler { .. } | Kind::Nothing => {}
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
            Kind::Cli => self.cli(nth, before),
            Kind::Sti => self.sti(nth, before),
            Kind::SwapGs => self.swapgs(nth, before),
            Kind::High(effect) => self.high(&instr, effect, after),
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

    /// Adds a constant that the displacement of an address can be, flags unchanged.
    pub(super) fn add(&mut self, register: Register, value: i64) {
        self.e.rm(Code::Lea_r64_m, register, MemoryOperand::with_base_displ(register, value));
    }
}
