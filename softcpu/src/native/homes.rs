//! Where a block keeps the guest's registers. Usually those that [`registers`](super::registers) says are in the host's. A block that works with
//! others more, a loop above all, changes some for them at its start and back where it is left.

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, Register};

use super::emit::Emitter;
use super::memory::context;
use super::registers::{held, slot, usual};
use super::select::Kind;

/// The guest's RAX, RCX, RDX and RSP: some instructions mean them without naming them, and generated code has them at fixed places then.
const NAMED_BY_MEANING: [usize; 4] = [0, 1, 2, 4];
/// RBP, which LEAVE alone means.
const FRAME: usize = 5;

/// What the counter of instructions that are left counts as: it is read and written once a turn, and each turn waits for that of the one before.
const COUNTER_WEIGHT: u32 = 4;
/// What a change costs a block that is run once: two loads and two stores.
const CHANGE_WEIGHT: u32 = 4;

/// A host's register that holds something else than usual.
#[derive(Clone, Copy)]
struct Change {
    register: Register,
    /// The place in memory of what it holds usually.
    usual: usize,
    /// The place of what it holds here.
    here: usize,
}

/// The registers of one block.
pub(crate) struct Homes {
    hosts: [Option<Register>; 16],
    /// Holds the counter of instructions that are left.
    counter: Option<Register>,
    changes: Vec<Change>,
    /// Those that are usual are in force.
    usual: bool,
}

impl Default for Homes {
    fn default() -> Homes {
        Homes { hosts: std::array::from_fn(usual), counter: None, changes: Vec::new(), usual: true }
    }
}

impl Homes {
    /// The best ones for a block, which is a loop if it `turns` back to its own start.
    pub fn choose(
        instructions: &[Instruction],
        kinds: &[(Kind, bool)],
        turns: bool,
        info: &mut InstructionInfoFactory,
    ) -> Homes {
        let mut homes = Homes::default();
        // A handler wants all of them where they are usually.
        if kinds.iter().any(|(kind, _)| matches!(kind, Kind::Handler { .. })) {
            return homes;
        }
        let uses = uses(instructions, info);
        let leaves = kinds.iter().any(|(kind, _)| *kind == Kind::Leave);
        let mut given: Vec<(u32, usize, Register)> = held()
            .map(|(guest, register)| (uses[guest], guest, register))
            .filter(|&(uses, guest, _)| {
                uses == 0 || !(NAMED_BY_MEANING.contains(&guest) || leaves && guest == FRAME)
            })
            .collect();
        given.sort_unstable_by_key(|&(uses, guest, _)| (uses, guest));
        let others = (0..16).filter(|&guest| usual(guest).is_none());
        let mut wanted: Vec<(u32, Option<usize>)> = others.map(|guest| (uses[guest], Some(guest))).collect();
        wanted.extend(turns.then_some((COUNTER_WEIGHT, None)));
        wanted.sort_unstable_by_key(|&(uses, guest)| (std::cmp::Reverse(uses), guest));
        let cost = if turns { 1 } else { CHANGE_WEIGHT };
        for ((lost, old, register), (gained, new)) in given.into_iter().zip(wanted) {
            if gained <= lost + cost {
                break;
            }
            homes.change(old, register, new);
        }
        homes
    }

    /// Whether all are where they are usually.
    pub fn are_usual(&self) -> bool {
        self.changes.is_empty()
    }

    /// Gives a guest's register's place to another one, or to the counter.
    fn change(&mut self, old: usize, register: Register, new: Option<usize>) {
        self.hosts[old] = None;
        match new {
            Some(guest) => self.hosts[guest] = Some(register),
            None => self.counter = Some(register),
        }
        self.changes.push(Change { register, usual: slot(old), here: new.map_or(context!(left), slot) });
    }
}

/// How often instructions read and write each of the guest's registers.
fn uses(instructions: &[Instruction], info: &mut InstructionInfoFactory) -> [u32; 16] {
    let mut uses = [0; 16];
    for instr in instructions {
        for used in info.info(instr).used_registers().iter().filter(|used| used.register().is_gpr()) {
            uses[used.register().full_register().number()] += match used.access() {
                OpAccess::None => 0,
                OpAccess::ReadWrite | OpAccess::ReadCondWrite => 2,
                _ => 1,
            };
        }
    }
    uses
}

impl Emitter {
    /// The host's register of a guest's, by number; none if it is in memory.
    pub fn host(&self, number: usize) -> Option<Register> {
        if self.homes.usual { usual(number) } else { self.homes.hosts.get(number).copied().flatten() }
    }

    /// The host's register of the counter of instructions that are left; none if it is in memory.
    pub fn counter(&self) -> Option<Register> {
        self.homes.counter.filter(|_| !self.homes.usual)
    }

    /// From the usual registers to the block's own. Flags and scratch registers stay.
    pub fn move_in(&mut self) {
        for n in 0..self.homes.changes.len() {
            let change = self.homes.changes[n];
            self.store(change.usual, change.register);
            self.load(change.register, change.here);
        }
        self.homes.usual = false;
    }

    /// From the block's own registers to the usual ones, if they are not those already. Flags and scratch registers stay.
    pub fn go_home(&mut self) {
        if self.homes.usual {
            return;
        }
        for n in 0..self.homes.changes.len() {
            let change = self.homes.changes[n];
            self.store(change.here, change.register);
            self.load(change.register, change.usual);
        }
        self.homes.usual = true;
    }

    /// What follows is reached with the block's own registers, or with the usual ones.
    pub fn reached(&mut self, at_home: bool) {
        self.homes.usual = at_home;
    }
}
