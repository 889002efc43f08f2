//! How a block ends: at its own start once more, at another block, or in the run loop.

use iced_x86::{Code, ConditionCode, Instruction};

use super::block::{Flags, Translator};
use super::emit::{Jump, field};
use super::flags::SAVED;
use super::memory::context;
use super::registers::SCRATCH;
use super::routines::never;
use super::select::{Kind, kind};

/// The taken side of a direct branch, as an index.
pub(crate) const TAKEN: usize = 0;
/// The other one.
pub(crate) const FALL: usize = 1;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// A jump, and the offset that it leads to until it is linked.
pub(super) type JumpAt = (Jump, usize);

/// Where a block goes on at its own start.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub at: usize,
    /// It does not need the flags there, and the second scratch register says who saves them.
    pub quick: bool,
}

/// [`Side`], by offsets.
#[derive(Clone, Copy)]
pub(super) struct SideAt {
    pub saved: JumpAt,
    pub quick: Option<JumpAt>,
}

impl Translator<'_> {
    /// Whether the block, at its end, may go on at its own start. (What reaches into the next page is looked up each time.)
    pub(super) fn turns(&self) -> bool {
        let (first, last) = (self.source.instructions.first(), self.source.instructions.last());
        first.zip(last).is_some_and(|(first, last)| {
            matches!(kind(last), Kind::Jump | Kind::Branch)
                && last.near_branch_target() == first.ip()
                && last.next_ip() <= PAGE
        })
    }

    /// Goes on at a side of the block's end.
    pub(super) fn side(&mut self, side: usize) {
        if side == TAKEN && self.turn.is_some() {
            self.turn_saved();
            return;
        }
        self.e.go_home();
        let jump = self.may_be_quick().then(|| {
            self.name_keeper();
            self.e.jump()
        });
        self.side_by(side, jump);
    }

    /// Goes on at the block's own start.
    fn turn_saved(&mut self) {
        self.save();
        let Some(turn) = self.turn else { return };
        if turn.quick {
            self.e.known_address_to_r14(self.routines.nothing);
        }
        let jump = self.e.jump();
        self.e.lead(jump, turn.at);
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
        if target < PAGE {
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

    pub(super) fn branch(&mut self, instr: &Instruction) {
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
        self.e.go_home();
        let fall = self.may_be_quick().then(|| self.e.jump());
        self.side_by(FALL, fall);
        self.flags = flags;
        self.taken(taken);
    }

    /// The taken side of a conditional branch, with the jump that leads there.
    fn taken(&mut self, taken: Jump) {
        match self.turn {
            Some(turn) if turn.quick && self.may_be_quick() => self.e.lead(taken, turn.at),
            Some(_) => {
                self.e.bind(taken);
                self.e.reached(false);
                self.turn_saved();
            }
            None if self.e.homes.are_usual() => self.side_by(TAKEN, Some(taken)),
            None => {
                self.e.bind(taken);
                self.e.reached(false);
                self.e.go_home();
                let jump = self.e.jump();
                self.side_by(TAKEN, Some(jump));
            }
        }
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
