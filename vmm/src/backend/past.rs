//! The past of a machine under a debugger: what it was at moments of its run, from which any other moment is reached by running on.

use std::io;

use fencepost_time::Cycles;

use super::SavedCpus;
use super::soft::{Processor, Watch};
use crate::error::{HostError, plain};
use crate::machine::Machine;
use crate::machine::past::Remembered;
use crate::pages::Pages;
use crate::paging;

/// Instructions between two moments that are kept as the machine goes on.
const APART: u64 = 1 << 24;
/// Most moments, beside those that must stay.
const MOMENTS_MAX: usize = 48;
/// What memory's pages at these moments may take, beside those of the first: beyond it fewer moments are kept.
const BYTES_MAX: u64 = 1 << 30;
/// Most moments that must stay: beyond them a new past begins.
const PINNED_MAX: usize = 4096;

/// A moment.
struct Moment {
    cycles: Cycles,
    /// Instructions that all CPUs had retired.
    retired: u64,
    cpus: SavedCpus,
    machine: Remembered,
    watch: Watch,
    /// Something from outside changed the machine here, which running on from an earlier moment does not.
    pinned: bool,
}

/// The moments that are kept, in the order of the guest's time.
pub struct Past {
    moments: Vec<Moment>,
    pages: Pages,
    first_bytes: u64,
    /// How far the machine has ever come, while it is not there.
    farthest: Option<Farthest>,
}

/// How far a machine has ever come.
#[derive(Clone, Copy, Debug)]
pub struct Farthest {
    /// What the counter read.
    pub cycles: Cycles,
    /// The linear address of the next instruction of the CPU that had the turn.
    pub rip: u64,
}

impl Farthest {
    /// It is here.
    fn here(processor: &impl Processor) -> Self {
        Farthest { cycles: processor.cycles(), rip: next_instruction(processor) }
    }
}

/// The linear address of the next instruction of the CPU that has the turn.
pub fn next_instruction(processor: &impl Processor) -> u64 {
    let stopped = processor.stopped();
    stopped.cpus.get(stopped.current).map_or(0, paging::linear_rip)
}

fn no_room(error: &io::Error) -> HostError {
    HostError::Host(format!("the guest's past: {}", plain(error)))
}

impl Past {
    /// The past of a machine that begins now, between two turns of the loop.
    ///
    /// # Errors
    ///
    /// There is no room on the host.
    pub fn begin(
        processor: &mut impl Processor,
        machine: &mut Machine,
        watch: &Watch,
    ) -> Result<Self, HostError> {
        let pages = machine.file_of_past();
        let pages = pages.and_then(|file| Pages::begin(file, machine.memory(), &machine.shared_code()));
        let pages = pages.map_err(|error| no_room(&error))?;
        machine.begin_past();
        let first = Moment::now(processor, machine, watch, true)?;
        let first_bytes = pages.bytes();
        Ok(Past { moments: vec![first], pages, first_bytes, farthest: None })
    }

    /// Keeps the moment that is now, between two turns of the loop. With `pinned`, what came from outside at it is in no other one.
    /// False if there are too many of those.
    ///
    /// # Errors
    ///
    /// There is no room on the host.
    pub fn keep(
        &mut self,
        processor: &mut impl Processor,
        machine: &mut Machine,
        watch: &Watch,
        pinned: bool,
    ) -> Result<bool, HostError> {
        // First, so that the translations that are made anew find each page closed.
        self.pages.keep().map_err(|error| no_room(&error))?;
        let now = Moment::now(processor, machine, watch, pinned)?;
        self.moments.insert(self.pages.at(), now);
        while self.thin() {}
        Ok(self.moments.iter().filter(|moment| moment.pinned).count() <= PINNED_MAX)
    }

    /// Forgets a moment where there are too many; whether it did. The farther away, the fewer stay.
    fn thin(&mut self) -> bool {
        let spare = self.moments.iter().filter(|moment| !moment.pinned).count();
        let bytes = self.pages.bytes().saturating_sub(self.first_bytes);
        if spare <= MOMENTS_MAX && bytes <= BYTES_MAX {
            return false;
        }
        let here = self.moments[self.pages.at()].cycles.0;
        let gap = |at: usize| self.moments[at + 1].cycles.0 - self.moments[at - 1].cycles.0;
        let away = |at: usize| self.moments[at].cycles.0.abs_diff(here).max(1);
        let candidates = (1..self.moments.len().saturating_sub(1))
            .filter(|&at| !self.moments[at].pinned && at != self.pages.at());
        // As a fraction, which has an order.
        let dear = |at: &usize| u128::from(gap(*at)) * (1 << 64) / u128::from(away(*at));
        let Some(at) = candidates.min_by_key(dear) else { return false };
        self.pages.forget(at);
        self.moments.remove(at);
        true
    }

    /// Makes the machine what it was at a moment.
    ///
    /// # Errors
    ///
    /// Those of the host. The machine is not to be used then.
    pub fn go_to(
        &mut self,
        moment: usize,
        processor: &mut impl Processor,
        machine: &mut Machine,
        watch: &mut Watch,
    ) -> Result<(), HostError> {
        self.farthest.get_or_insert_with(|| Farthest::here(processor));
        self.pages.go_to(moment).map_err(|error| no_room(&error))?;
        let to = &self.moments[moment];
        machine.go_back(&to.machine)?;
        *watch = to.watch.clone();
        match processor.restore(&to.cpus) {
            true => Ok(()),
            false => Err(HostError::Host("the CPUs cannot be what they were".into())),
        }
    }

    /// The last moment at which `test` holds; it holds at all before.
    fn last(&self, test: impl Fn(&Moment) -> bool) -> Option<usize> {
        self.moments.partition_point(test).checked_sub(1)
    }

    /// The last moment at which a CPU had retired at most so many instructions.
    pub fn before_retired(&self, cpu: usize, retired: u64) -> Option<usize> {
        self.last(|moment| moment.cpus.cpus[cpu].state.retired <= retired)
    }

    /// The last moment at which the counter read at most this.
    pub fn before_cycles(&self, cycles: Cycles) -> Option<usize> {
        self.last(|moment| moment.cycles <= cycles)
    }

    /// What the counter read at a moment.
    pub fn cycles(&self, moment: usize) -> Cycles {
        self.moments[moment].cycles
    }

    /// The moment that the machine goes on from, and what the counter read then.
    pub fn here(&self) -> (usize, Cycles) {
        (self.pages.at(), self.moments[self.pages.at()].cycles)
    }

    /// The next moment that is not reached by running on.
    pub fn next_pinned(&self) -> Option<usize> {
        let behind = self.pages.at() + 1;
        self.moments[behind..].iter().position(|moment| moment.pinned).map(|at| behind + at)
    }

    /// How far the machine has ever come, while it is not there.
    pub fn farthest(&self) -> Option<Farthest> {
        self.farthest
    }

    /// It has come as far as now, and goes no farther.
    pub fn end_here(&mut self, processor: &impl Processor) {
        self.farthest = Some(Farthest::here(processor));
    }

    /// It is there.
    pub fn arrive(&mut self) {
        self.farthest = None;
    }

    /// How many instructions may be retired until another moment is to be kept, as the machine goes on.
    pub fn due_in(&self, retired: u64) -> u64 {
        (self.moments[self.pages.at()].retired + APART).saturating_sub(retired)
    }
}

impl Moment {
    fn now(
        processor: &mut impl Processor,
        machine: &mut Machine,
        watch: &Watch,
        pinned: bool,
    ) -> Result<Self, HostError> {
        let cpus = processor.save();
        let moment = Moment {
            cycles: processor.cycles(),
            retired: cpus.retired(),
            machine: machine.remember()?,
            watch: watch.clone(),
            pinned,
            cpus,
        };
        // Its translations are made anew, so that each page's next store is seen.
        match processor.restore(&moment.cpus) {
            true => Ok(moment),
            false => Err(HostError::Host("the CPUs cannot be what they are".into())),
        }
    }
}
