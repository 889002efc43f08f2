//! Instructions that the interpreter's handlers run: those that always do, and the ways of others when a lookup misses.

use iced_x86::Code;

use super::block::{Flags, IN_MEMORY, Translator};
use super::emit::Jump;
use super::flags::effect;
use super::registers::SCRATCH;
use super::routines::never;
use super::select::{Effect, Kind};

/// Instructions of a block that their handlers run, one after another.
#[derive(Clone, Copy)]
pub(crate) struct Handled {
    /// The first one.
    pub nth: usize,
    /// How many.
    pub count: usize,
}

impl Handled {
    /// As one number.
    fn packed(self) -> u64 {
        (self.count << 16 | self.nth) as u64
    }

    /// What [`packed`](Self::packed) has made.
    pub fn unpacked(number: u64) -> Handled {
        Handled { nth: number as usize & 0xffff, count: number as usize >> 16 }
    }
}

/// An instruction's way through its handler, which follows behind the block.
pub(super) struct Slow {
    jumps: Vec<Jump>,
    nth: usize,
    flags: Flags,
    back: Option<Back>,
}

/// Where an instruction comes back from its handler, and what it brings.
#[derive(Clone, Copy)]
pub(super) struct Back {
    at: usize,
    /// The flags.
    flags: bool,
    /// XMM registers, as bits.
    xmm: u16,
}

impl Translator<'_> {
    /// Instructions one after another that their handlers run.
    pub(super) fn by_handlers(&mut self, nth: usize, kinds: &[(Kind, bool)]) {
        self.save();
        let flags = kinds.iter().any(|(kind, _)| *kind == Kind::Handler { flags: true });
        self.call_handlers(nth, kinds.len(), flags);
        self.flags = IN_MEMORY;
        self.simd = false;
        self.xmm = 0;
    }

    fn call_handlers(&mut self, nth: usize, count: usize, flags: bool) {
        self.e.constant(SCRATCH[0], Handled { nth, count }.packed());
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
            slow.back = Some(Back { at: self.e.here(), flags: self.flags.host, xmm: self.xmm });
        }
    }

    pub(super) fn slow_ways(&mut self) {
        for (address, flags) in std::mem::take(&mut self.keepers) {
            self.e.bind(address);
            self.e.reached(true);
            self.flags = flags;
            self.save();
            self.e.bare(Code::Retnq);
        }
        for slow in std::mem::take(&mut self.slow) {
            slow.jumps.iter().for_each(|jump| self.e.bind(*jump));
            self.e.reached(false);
            self.flags = slow.flags;
            self.save();
            self.e.go_home();
            let kind = self.kind(&self.source.instructions[slow.nth]);
            self.call_handlers(slow.nth, 1, effect(kind) != Effect::None);
            match slow.back {
                None => never(&mut self.e),
                Some(back) => {
                    self.e.move_in();
                    self.load_xmm(back.xmm);
                    if back.flags {
                        self.e.restore_flags();
                    }
                    let jump = self.e.jump();
                    self.e.lead(jump, back.at);
                }
            }
        }
    }
}

/// How many instructions from the first on are their handlers'.
pub(super) fn handled(kinds: &[(Kind, bool)]) -> usize {
    kinds.iter().take_while(|(kind, _)| matches!(kind, Kind::Handler { .. })).count()
}
