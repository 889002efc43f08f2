//! The software CPU under a debugger. It stops between two instructions and goes on to the deadline that it had, so that the run is the
//! one without a debugger.

use fencepost_softcpu::bus::Exit;
use fencepost_time::Cycles;

use super::End;
use super::soft::Processor;
use crate::debug::{Attached, Most, Order, Why};
use crate::machine::Machine;

/// Most breakpoints and watchpoints at a time.
const STOPS_MAX: usize = 4096;

/// A debugger and what it has ordered.
pub struct Debugged {
    debugger: Attached,
    begun: bool,
    /// The CPU that makes a step, and its count of retired instructions at which that is done.
    goal: Option<(usize, u64)>,
    /// It was attended to because the guest's kernel had failed.
    failed: bool,
    /// The machine has stood still since this was last taken.
    pub stood: bool,
}

impl Debugged {
    /// With `debugger`.
    pub fn new(debugger: Attached) -> Self {
        Debugged { debugger, begun: false, goal: None, failed: false, stood: false }
    }

    /// Lets the debugger work on the machine; the end, if that is what it wants.
    pub fn attend(
        &mut self,
        why: Why,
        processor: &mut impl Processor,
        machine: &mut Machine,
    ) -> Result<(), End> {
        machine.set_cycles(processor.cycles());
        self.stood = true;
        let before = processor.stopped();
        let mut cpus = before.clone();
        let mut debugger = self.debugger.get();
        debugger.limit(Most { stops: STOPS_MAX, watches: true, any_range: true });
        let order = debugger.attend(why, &mut cpus, machine);
        for (number, (now, then)) in cpus.cpus.iter().zip(&before.cpus).enumerate() {
            if now != then {
                processor.change_state(number, now);
            }
        }
        processor.set_stops(debugger.stops());
        drop(debugger);
        // A call that stopped nothing leaves a step as it was.
        match order {
            Order::Run => self.goal = None,
            Order::Step(_) if why == Why::Called && self.goal.is_some() => {}
            Order::Step(cpu) => {
                self.goal = Some((cpu, processor.retired_by(cpu).saturating_add(1)));
                processor.pass_stop(cpu);
            }
            Order::End(reason) => return Err(End::Host(reason)),
        }
        Ok(())
    }

    /// Before the first instruction.
    pub fn begin(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Result<(), End> {
        if std::mem::replace(&mut self.begun, true) {
            Ok(())
        } else {
            self.attend(Why::Start, processor, machine)
        }
    }

    /// The guest's kernel has failed. Whether the guest goes on: where nobody waits for that, or it has panicked and the debugger has
    /// left it, it does not.
    pub fn fail(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Result<bool, End> {
        let left = self.failed && machine.has_panicked() && !self.debugger.get().is_there();
        if left || !self.debugger.waits_for_failures() {
            return Ok(false);
        }
        self.failed = true;
        self.attend(Why::Failed, processor, machine).map(|()| true)
    }

    /// Runs to `until`, or to a reason for the machine to look at; what the debugger wants is done on the way.
    pub fn run(
        &mut self,
        processor: &mut impl Processor,
        machine: &mut Machine,
        until: Cycles,
    ) -> Result<Exit, End> {
        loop {
            // While another CPU has its turn that is looked at after each of its instructions.
            let left = self.goal.map(|(cpu, goal)| goal.saturating_sub(processor.retired_by(cpu)));
            let limit = left.map_or(until, |left| until.min(processor.cycles() + left));
            let exit = processor.run(machine, limit);
            let done = self.goal.is_some_and(|(cpu, goal)| processor.retired_by(cpu) >= goal);
            let why = match exit {
                Exit::Breakpoint => Some(Why::Breakpoint),
                Exit::Accessed(access) => Some(Why::Accessed(access)),
                Exit::TripleFault => Some(Why::Dying),
                _ if done => Some(Why::Stepped),
                _ => self.debugger.calls().then_some(Why::Called),
            };
            if let Some(why) = why {
                self.attend(why, processor, machine)?;
            }
            // What only concerned the debugger is no reason to look at anything else.
            let ours = matches!(exit, Exit::Breakpoint | Exit::Accessed(_))
                || (exit == Exit::Deadline && processor.cycles() < until);
            if !ours {
                return Ok(exit);
            }
        }
    }
}
