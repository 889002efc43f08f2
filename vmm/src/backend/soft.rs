//! The loop of the software CPU: one thread, virtual time, and nothing else that the guest could see.

use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::bus::{Bus, Exit};
use fencepost_softcpu::cpus::Cpus;
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stop_flag::Done;
use fencepost_softcpu::stops::Stops;
use fencepost_time::Cycles;

use super::debugged::Debugged;
use super::kvm::assist::Assists;
use super::moves::Moves;
use super::pace::Pace;
use super::{BackEnd, End, Ran, SavedCpus, cpu};
use crate::control::{Control, Look, StopReason};
use crate::debug::{Attached, Stopped, Why};
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};
use crate::state_log::StateLog;

/// A time (three centuries after the start) that counts as never: a guest that sets its timer to the end of time
/// and halts is as dead as one without a timer, and the counter stays far from wrapping.
const NEVER: Cycles = Cycles(1 << 63);

/// What the loop needs of the CPUs. One of them is the current one, which runs or ran last.
pub trait Processor {
    /// Has memory for the code that it makes.
    fn prepare(&mut self);
    /// Runs until the machine's counter reaches `until`, or for another of the reasons in [`Exit`].
    fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit;
    /// The machine's counter.
    fn cycles(&self) -> Cycles;
    /// Lets idle time pass up to `until`.
    fn skip_to(&mut self, until: Cycles);
    /// When the first timer fires that wakes one, while none has anything to do.
    fn next_timer(&mut self) -> Option<Cycles>;
    /// Whether one of them takes interrupts.
    fn takes_interrupts(&self) -> bool;
    /// Those that go on with their interrupts off, a bit for each; all that take none if none does.
    fn deaf(&self) -> u64;
    /// Gives the local APICs a message.
    fn deliver(&mut self, message: InterruptMessage);
    /// The number of the current one.
    fn current(&self) -> usize;
    /// Instructions retired by one.
    fn retired_by(&self, cpu: usize) -> u64;
    /// Instructions retired by all.
    fn retired(&self) -> u64;
    /// One is in `state` from now on, which somebody has changed from outside; its translations stay.
    fn change_state(&mut self, cpu: usize, state: &CpuState);
    /// Stops there from now on.
    fn set_stops(&mut self, stops: Stops);
    /// One does not stop before its next instruction.
    fn pass_stop(&mut self, cpu: usize);
    /// Their states, and which is the current one.
    fn stopped(&self) -> Stopped;
    /// All of them.
    fn save(&self) -> SavedCpus;
    /// They are as they were when they were saved, with their translations made anew; false if they cannot have been.
    fn restore(&mut self, saved: &SavedCpus) -> bool;
    /// Instructions that were not known, by name.
    fn unknown(&self) -> Vec<(String, u64)>;
    /// Exceptions delivered, by name: those that there were.
    fn exceptions(&self) -> Vec<(&'static str, u64)>;
    /// What became of the guest's code, by name.
    fn code(&self) -> Vec<(&'static str, u64)>;
}

/// The back end around one processor.
pub struct Soft<P> {
    processor: P,
    watch: Watch,
    pace: Pace,
    /// The last look at what the host wants, in this part of the run.
    look: Option<Look>,
    debugged: Option<Debugged>,
    /// What the CPUs are now and then.
    states: Option<StateLog>,
    /// Why the machine is no more, if the host has failed in the middle of a change of it.
    error: Option<HostError>,
}

/// A watchdog has so many looks in its time.
const LOOKS: u64 = 8;

/// What the watchdog saw: in the guest's time, so that it ends the same guest at the same instruction.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Since when every look found a CPU with its interrupts off.
    since_ns: Option<u64>,
    /// Which CPUs these are, a bit for each.
    deaf: u64,
    /// How many events there had been between CPU and machine by then.
    recorded: u64,
    /// The next look: a multiple of the time between two, however often the CPU stops for something else.
    next_ns: u64,
}

impl Watch {
    /// Looks, if it is time to; true when a CPU has had its interrupts off for this long, and, if all have, no event was recorded.
    fn is_stuck(&mut self, processor: &impl Processor, machine: &Machine, limit_ns: u64) -> bool {
        let now_ns = machine.now().ns;
        if now_ns < self.next_ns {
            return false;
        }
        let step_ns = (limit_ns / LOOKS).max(1);
        self.next_ns = (now_ns - now_ns % step_ns).saturating_add(step_ns);
        let recorded = machine.recent().count();
        let (deaf, all) = (processor.deaf(), !processor.takes_interrupts());
        let still = if self.since_ns.is_some() { self.deaf & deaf } else { deaf };
        if still == 0 || all && recorded != self.recorded {
            (self.since_ns, self.recorded) = (None, recorded);
            return false;
        }
        (self.deaf, self.recorded) = (still, recorded);
        now_ns.saturating_sub(*self.since_ns.get_or_insert(now_ns)) >= limit_ns
    }
}

impl<P: Processor> Soft<P> {
    /// The back end for a processor that is ready for its first instruction.
    pub fn new(processor: P) -> Self {
        Soft {
            processor,
            watch: Watch::default(),
            pace: Pace::default(),
            look: None,
            debugged: None,
            states: None,
            error: None,
        }
    }

    /// The processors, while they do not run.
    pub fn processor(&mut self) -> &mut P {
        &mut self.processor
    }

    /// Instructions that were not known, by name.
    pub fn unknown(&self) -> Vec<(String, u64)> {
        self.processor.unknown()
    }

    /// What a debugger wants between two turns. Whether the machine is in its past.
    fn between(&mut self, machine: &mut Machine) -> Result<bool, HostError> {
        if self.debugged.as_ref().is_some_and(|debugged| debugged.has_between(machine)) {
            self.deliver(machine);
            if let Some(debugged) = &mut self.debugged {
                debugged.between(&mut self.processor, machine, &mut self.watch)?;
                machine.set_cycles(self.processor.cycles());
            }
        }
        Ok(self.debugged.as_ref().is_some_and(Debugged::is_past))
    }

    fn turn(&mut self, machine: &mut Machine, control: &Control) -> Option<End> {
        // A debugger may change what the flag does not tell.
        let look = control.look(self.look.filter(|_| self.debugged.is_none()));
        self.look = Some(look);
        if let Some(reason) = look.stop {
            return Some(End::Host(reason));
        }
        machine.set_cycles(self.processor.cycles());
        let past = match self.between(machine) {
            Ok(past) => past,
            Err(error) => {
                self.error = Some(error);
                return Some(End::Host(StopReason::Debugger));
            }
        };
        // The past is as it was.
        if !past && look.pause && control.take_pause_request() {
            machine.set_end(GuestEnd::Pause);
        }
        // Before anything else is done, so that a run that pauses here is the one that does not.
        if !past && machine.is_pausing() {
            self.deliver(machine);
            return Some(End::Guest(GuestEnd::Pause));
        }
        if look.brought || self.debugged.is_some() {
            machine.attend_console();
            machine.attend_deliveries();
        }
        machine.run_due();
        self.deliver(machine);
        if let Some(end) = machine.end().cloned() {
            return self.end(end, machine);
        }
        let mut until = machine.cpu_deadline();
        if let Some(look) = machine.flush_silent_trace() {
            until = until.min(look).max(self.processor.cycles() + 1);
        }
        if let Some(limit) = look.watchdog {
            let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            if self.watch.is_stuck(&self.processor, machine, limit_ns) {
                return self.dies(GuestEnd::Stuck, machine);
            }
            let look = machine.cycles_at(self.watch.next_ns);
            until = until.min(look).max(self.processor.cycles() + 1);
        }
        if let Some(states) = &mut self.states {
            let (now, cpu) = (self.processor.cycles(), self.processor.current());
            states.look(now, cpu, || postcard::to_allocvec(&self.processor.save()).unwrap_or_default());
            until = states.limit(until);
        }
        machine.let_messages_be_taken(look.is_quiet() && self.debugged.is_none() && self.states.is_none());
        let exit = match &mut self.debugged {
            None => self.processor.run(machine, until),
            Some(debugged) => match debugged.run(&mut self.processor, machine, until) {
                Ok(exit) => {
                    if std::mem::take(&mut debugged.stood) {
                        // That was no lag of the guest's.
                        self.pace = Pace::default();
                    }
                    exit
                }
                Err(end) => return Some(end),
            },
        };
        match exit {
            Exit::Deadline
            | Exit::Yield
            | Exit::Stopped
            | Exit::Paused
            | Exit::Breakpoint
            | Exit::Accessed(_) => None,
            Exit::Halted => self.idle(machine, control),
            Exit::TripleFault => Some(End::Guest(GuestEnd::TripleFault)),
        }
    }

    /// The guest is about to end. A kernel that has failed may wait for a debugger, and go on.
    fn end(&mut self, end: GuestEnd, machine: &mut Machine) -> Option<End> {
        if let (GuestEnd::Panicked, Some(debugged)) = (&end, &mut self.debugged) {
            match debugged.fail(&mut self.processor, machine) {
                Ok(true) => {
                    if !debugged.leaves() {
                        machine.pass_failure();
                    }
                    return None;
                }
                Ok(false) => {}
                Err(end) => return Some(end),
            }
        }
        Some(End::Guest(end))
    }

    /// The guest will never do anything again: a debugger that is there may look at it first.
    fn dies(&mut self, end: GuestEnd, machine: &mut Machine) -> Option<End> {
        if let Some(debugged) = &mut self.debugged {
            match debugged.attend(Why::Dying, &mut self.processor, machine) {
                Ok(()) if debugged.leaves() => return None,
                Ok(()) => {}
                Err(end) => return Some(end),
            }
        }
        Some(End::Guest(end))
    }

    /// The machine has ended, but for a debugger who is to look at it first.
    fn ends(&mut self, end: End, machine: &mut Machine, control: &Control) -> Option<End> {
        let goes_on = matches!(end, End::Guest(GuestEnd::Pause | GuestEnd::Mark(_)));
        match &mut self.debugged {
            Some(debugged) if !goes_on && self.error.is_none() => {
                debugged.ends(&end, (&mut self.processor, machine), control)
            }
            _ => Some(end),
        }
    }

    fn deliver(&mut self, machine: &mut Machine) {
        while let Some(message) = machine.take_message() {
            self.processor.deliver(message);
        }
    }

    /// The CPU waits: time skips to whatever comes next, or goes there as the host's does if it is paced by that.
    fn idle(&mut self, machine: &mut Machine, control: &Control) -> Option<End> {
        machine.set_cycles(self.processor.cycles());
        // What the CPU did before it halted may already have brought something.
        if machine.needs_attention() {
            return None;
        }
        machine.flush_console();
        let event = machine.next_event_ns().map(|_| machine.cpu_deadline());
        // With interrupts off only an NMI wakes it, which devices may send, but neither the APIC's timer nor the console.
        let deaf = !self.processor.takes_interrupts();
        let timer = self.processor.next_timer();
        let debugged = self.debugged.as_ref();
        let looked_at = debugged.and_then(|debugged| debugged.idles_to(self.processor.cycles()));
        // What has been takes no time of the host's.
        let paced = control.is_paced() && !debugged.is_some_and(Debugged::is_past);
        match event.into_iter().chain(timer).chain(looked_at).min().filter(|at| *at < NEVER) {
            Some(at) => {
                let to = if paced { self.pace.reach(machine, control, Some(at)) } else { Some(at) };
                to.into_iter().for_each(|to| self.processor.skip_to(to));
                None
            }
            None => {
                // It may be long until something else is recorded. The guest alone brought the machine here.
                machine.flush_trace();
                // Only the host could still wake the guest.
                if !deaf
                    && paced
                    && let Some(to) = self.pace.reach(machine, control, None)
                {
                    self.processor.skip_to(to);
                }
                if deaf || !control.wait(None) { self.dies(GuestEnd::Dead, machine) } else { None }
            }
        }
    }
}

impl Soft<Cpus> {
    /// Goes on from `saved`, as after power-on for all else; none if that is not of this memory.
    pub fn restart(&mut self, saved: &SavedCpus) -> Option<()> {
        self.watch = Watch::default();
        cpu::restore(&mut self.processor, saved).then_some(())
    }
}

impl<P: Processor> BackEnd for Soft<P> {
    fn attach(&mut self, debugger: Attached) {
        self.debugged = Some(Debugged::new(debugger));
    }

    fn prepare(&mut self) {
        self.processor.prepare();
    }

    fn run(&mut self, mut machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        // Whatever was between two parts is no lag of the guest's.
        self.pace = Pace::default();
        self.look = None;
        self.states = self.states.take().or_else(|| control.take_state_log());
        control.is_wanted(Done::Nothing);
        let begun = self.debugged.as_mut().map(|it| it.begin(&mut self.processor, &mut machine));
        let end = loop {
            if let Some(Err(end)) = begun {
                break end;
            }
            if let Some(end) = self.turn(&mut machine, control)
                && let Some(end) = self.ends(end, &mut machine, control)
            {
                break end;
            }
        };
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        machine.set_cycles(self.processor.cycles());
        let ran = Ran {
            end,
            cpus: self.processor.save(),
            unknown: self.processor.unknown(),
            exceptions: self.processor.exceptions(),
            code: self.processor.code(),
            assists: Assists::default(),
            moves: Moves::default(),
        };
        Ok((machine, ran))
    }
}

#[cfg(test)]
#[path = "soft_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "endless_tests.rs"]
mod endless_tests;
