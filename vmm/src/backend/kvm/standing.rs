//! How all vCPUs stand still for a debugger.
//!
//! One of their threads *leads*: the one that has a reason. It has the others stop, each of which puts its CPU's state on the table and
//! waits; lets the debugger work on all of them; and says who goes on: all, or the one that makes a step. Each takes its state back as the
//! debugger has left it. Another one that has a reason meanwhile leads next, if its reason still holds.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::Stops;

use crate::debug::{Order, Stopped, Why};
use crate::paging::linear_rip;

/// What is on the table.
struct Table {
    /// The one whose thread works with the debugger.
    leader: Option<usize>,
    /// All are to stand still, but for the one that makes a step.
    held: bool,
    /// What the debugger said last.
    order: Order,
    /// Where they are to stop.
    stops: Stops,
    /// Those that stand still.
    cpus: Vec<Option<CpuState>>,
}

impl Table {
    fn steps(&self, cpu: usize) -> bool {
        self.order == Order::Step(cpu)
    }

    fn must_stand(&self, cpu: usize) -> bool {
        self.held && (self.leader.is_some() || !self.steps(cpu))
    }

    /// All of them, if all stand still.
    fn all(&self) -> Option<Vec<CpuState>> {
        self.cpus.iter().cloned().collect()
    }

    /// Whether there is still something to say, now that others may have led meanwhile.
    fn holds(&self, why: Why, cpu: usize) -> bool {
        match why {
            Why::Stepped => self.steps(cpu),
            Why::Breakpoint => {
                self.cpus[cpu].as_ref().is_some_and(|state| self.stops.before(linear_rip(state)))
            }
            _ => true,
        }
    }
}

/// What a thread that leads can do.
pub trait Desk {
    /// Makes a vCPU's thread look at what is wanted of it.
    fn kick(&self, cpu: usize);

    /// Lets the debugger work on all CPUs; how it goes on, and where they are to stop.
    fn attend(&self, why: Why, cpus: &mut Stopped) -> (Order, Stops);

    /// Whether that is still so; asked with the table's lock.
    fn holds(&self, why: Why) -> bool;

    /// Whether the run is over: then nobody stands any more.
    fn is_over(&self) -> bool;
}

/// How one goes on.
pub struct GoesOn {
    /// Its state from now on.
    pub state: CpuState,
    /// Where it stops.
    pub stops: Stops,
    /// After one instruction.
    pub step: bool,
}

/// Where they stand.
pub struct Standing {
    table: Mutex<Table>,
    changed: Condvar,
}

impl Standing {
    /// A place for `cpus` vCPUs; with `held` they stand still from the start.
    pub fn new(cpus: usize, held: bool) -> Self {
        let table =
            Table { leader: None, held, order: Order::Run, stops: Stops::default(), cpus: vec![None; cpus] };
        Standing { table: Mutex::new(table), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, table: MutexGuard<'a, Table>) -> MutexGuard<'a, Table> {
        self.changed.wait(table).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one is to stand still.
    pub fn is_wanted(&self, cpu: usize) -> bool {
        self.lock().must_stand(cpu)
    }

    /// Has those that wait look whether the run is over.
    pub fn wake(&self) {
        let _table = self.lock();
        self.changed.notify_all();
    }

    /// Stands still, in `state`, until it is to go on; with a reason of one's own, leads.
    pub fn stand(&self, cpu: usize, why: Option<Why>, state: CpuState, desk: &impl Desk) -> GoesOn {
        let (mut table, mut why) = (self.lock(), why);
        table.cpus[cpu] = Some(state.clone());
        self.changed.notify_all();
        while !desk.is_over() {
            if table.leader.is_none()
                && let Some(reason) = why.take()
            {
                if table.holds(reason, cpu) && desk.holds(reason) {
                    table = self.lead(table, cpu, reason, desk);
                }
            } else if why.is_none() && !table.must_stand(cpu) {
                break;
            } else {
                table = self.wait(table);
            }
        }
        let state = table.cpus[cpu].take().unwrap_or(state);
        GoesOn { state, stops: table.stops.clone(), step: table.steps(cpu) }
    }

    fn lead<'a>(
        &'a self,
        mut table: MutexGuard<'a, Table>,
        cpu: usize,
        why: Why,
        desk: &impl Desk,
    ) -> MutexGuard<'a, Table> {
        (table.leader, table.held) = (Some(cpu), true);
        let still_run = table.cpus.iter().enumerate().filter(|(_, state)| state.is_none());
        still_run.for_each(|(other, _)| desk.kick(other));
        let cpus = loop {
            match table.all() {
                Some(cpus) => break cpus,
                None if desk.is_over() => {
                    table.leader = None;
                    return table;
                }
                None => table = self.wait(table),
            }
        };
        drop(table);
        let mut stopped = Stopped { cpus, current: cpu, ..Stopped::default() };
        let (order, stops) = desk.attend(why, &mut stopped);
        let mut table = self.lock();
        // One that sleeps goes on only when others wake it.
        table.held = matches!(order, Order::Step(it) if stopped.cpus.get(it).is_some_and(|it| !it.halted));
        table.cpus = stopped.cpus.into_iter().map(Some).collect();
        (table.leader, table.order, table.stops) = (None, order, stops);
        self.changed.notify_all();
        table
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
