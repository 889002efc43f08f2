//! Where a machine under a debugger goes: on, or to a moment of its past.

use fencepost_softcpu::stops::Access;
use fencepost_time::Cycles;

use super::past::Past;
use super::soft::Processor;
use crate::debug::Why;

/// How many instructions before a moment of the past that is looked for another one is kept on the way: who has gone there goes on
/// looking near it.
const NEAR: [u64; 2] = [1 << 20, 1 << 14];

/// A moment that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// When a CPU has retired so many instructions.
    Retired(usize, u64),
    /// When the counter reads this.
    Cycles(Cycles),
}

impl Goal {
    /// How far it is at least, in instructions.
    pub fn left(self, processor: &impl Processor) -> u64 {
        match self {
            Goal::Retired(cpu, retired) => retired.saturating_sub(processor.retired_by(cpu)),
            Goal::Cycles(cycles) => cycles.0.saturating_sub(processor.cycles().0),
        }
    }
}

/// A stop of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// When it is.
    pub goal: Goal,
    /// What it is.
    pub why: Why,
    /// Of which CPU.
    pub cpu: usize,
}

/// A part of the past, from a moment that is kept to the next, in which the last stop is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The moment.
    pub from: usize,
    /// Where the part ends: a stop there is none of it.
    pub end: Cycles,
    /// The last stop so far.
    pub found: Option<Found>,
}

impl Part {
    /// The CPU stands before an instruction to stop at.
    pub fn meets(&mut self, now: Cycles, cpu: usize) {
        if now < self.end {
            self.found = Some(Found { goal: Goal::Cycles(now), why: Why::Breakpoint, cpu });
        }
    }

    /// The last instruction has accessed what is watched. Who goes back stops before it.
    pub fn accesses(&mut self, now: Cycles, cpu: usize, access: Access) {
        let before = Cycles(now.0.saturating_sub(1));
        self.found = Some(Found { goal: Goal::Cycles(before), why: Why::Accessed(access), cpu });
    }
}

/// What the machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// It goes on as the debugger has ordered.
    #[default]
    Forward,
    /// It goes to a moment of its past.
    Seek(Found),
    /// It is there, and stops at the breakpoint that it is at.
    Meet(usize),
    /// It is as far as it ever was, but that an interrupt was delivered then: it goes to the instruction at this address.
    Arrive(u64),
    /// It looks for the last stop.
    Scan(Part),
}

/// What is to be done between two turns of the loop, where a machine can be kept and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The machine goes to a moment that is kept.
    Go(usize),
    /// This moment is kept.
    Keep {
        /// Something from outside has changed the machine at it.
        pinned: bool,
    },
}

/// How a machine goes back.
pub type Plan = (Option<Between>, Doing);

/// To the beginning of what is known, or nowhere if that is now.
pub fn to_beginning(past: Option<&Past>, now: Cycles, cpu: usize) -> Plan {
    let first = past.map(|past| past.cycles(0)).filter(|first| *first < now);
    let goal = Goal::Cycles(first.unwrap_or(now));
    (first.map(|_| Between::Go(0)), Doing::Seek(Found { goal, why: Why::Began, cpu }))
}

/// To before the last instruction of a CPU that has retired so many.
pub fn step_back(past: Option<&Past>, now: Cycles, cpu: usize, retired: u64) -> Plan {
    let before = retired.checked_sub(1);
    let from = past.zip(before).and_then(|(past, before)| Some((past.before_retired(cpu, before)?, before)));
    match from {
        Some((moment, before)) => {
            let goal = Goal::Retired(cpu, before);
            (Some(Between::Go(moment)), Doing::Seek(Found { goal, why: Why::Stepped, cpu }))
        }
        None => to_beginning(past, now, cpu),
    }
}

/// To the last stop before `end`.
pub fn run_back(past: Option<&Past>, end: Cycles, cpu: usize) -> Plan {
    let before = end.0.checked_sub(1).map(Cycles);
    match past.zip(before).and_then(|(past, before)| past.before_cycles(before)) {
        Some(from) => (Some(Between::Go(from)), Doing::Scan(Part { from, end, found: None })),
        None => to_beginning(past, end, cpu),
    }
}

/// A part was looked through, at whose end the machine is now: to the stop in it, or to the part before.
pub fn looked_through(past: &Past, part: Part, (now, cpu): (Cycles, usize)) -> Plan {
    let Some(found) = part.found else {
        return match part.from.checked_sub(1) {
            Some(_) => run_back(Some(past), past.cycles(part.from), cpu),
            None => to_beginning(Some(past), now, cpu),
        };
    };
    let from = match found.goal {
        Goal::Cycles(cycles) => past.before_cycles(cycles),
        Goal::Retired(cpu, retired) => past.before_retired(cpu, retired),
    };
    (Some(Between::Go(from.unwrap_or(part.from))), Doing::Seek(found))
}

/// How far a machine that goes to `goal` goes at a time, and whether this moment is to be kept.
pub fn nearer(past: &Past, goal: Goal, processor: &impl Processor) -> (u64, bool) {
    let left = goal.left(processor);
    let run = processor.cycles().0.saturating_sub(past.here().1.0);
    let keep = NEAR.iter().any(|near| left <= *near && *near < left.saturating_add(run) && run > *near);
    let next = NEAR.iter().filter(|near| **near < left).max().copied().unwrap_or(0);
    (left - next, keep)
}
