//! The software CPU under a debugger. It stops between two instructions and goes on to the deadline that it had, so that the run is the
//! one without a debugger. It goes back by going to an earlier moment that was kept, and on from there.

use fencepost_softcpu::bus::Exit;
use fencepost_softcpu::stops::Stops;
use fencepost_time::Cycles;

use super::End;
use super::going::{self, Between, Doing, Found, Goal, Plan};
use super::past::{Past, next_instruction};
use super::soft::{Processor, Watch};
use crate::control::{Control, StopReason};
use crate::debug::{Attached, Most, Order, Why};
use crate::error::HostError;
use crate::machine::Machine;
use crate::say;

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
    /// A debugger was there when it was last attended to.
    there: bool,
    doing: Doing,
    next: Option<Between>,
    past: Option<Past>,
    /// The past could not be kept: that was said.
    lost: bool,
    /// How the machine ended: it goes no farther.
    over: Option<End>,
}

impl Debugged {
    /// With `debugger`.
    pub fn new(debugger: Attached) -> Self {
        Debugged {
            debugger,
            begun: false,
            goal: None,
            failed: false,
            stood: false,
            there: false,
            doing: Doing::Forward,
            next: None,
            past: None,
            lost: false,
            over: None,
        }
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
        if why != Why::Called {
            self.arrive(processor, machine);
        }
        let before = processor.stopped();
        let mut cpus = before.clone();
        cpus.past = self.is_past();
        if let Doing::Seek(found) = self.doing {
            cpus.current = found.cpu;
        }
        let mut debugger = self.debugger.get();
        let back = machine.can_go_back() && !self.lost;
        debugger.limit(Most { stops: STOPS_MAX, watches: true, any_range: true, back });
        let order = debugger.attend(why, &mut cpus, machine);
        let (ordered, there) = (debugger.has_ordered(), debugger.is_there());
        drop(debugger);
        self.there = there;
        let mut changed = cpus.changed;
        for (number, (now, then)) in cpus.cpus.iter().zip(&before.cpus).enumerate() {
            if now != then {
                processor.change_state(number, now);
                changed = true;
            }
        }
        if changed || !(there || self.is_past() || self.debugger.waits_at_end()) {
            // What the debugger changes no run leads to: another past begins.
            self.end_past(machine);
        }
        // A call that stopped nothing leaves what is done as it was.
        if why == Why::Called && !ordered {
            return Ok(());
        }
        self.obey(order, processor)
    }

    fn obey(&mut self, order: Order, processor: &mut impl Processor) -> Result<(), End> {
        self.goal = None;
        let (now, past) = (processor.cycles(), self.past.as_ref());
        let plan = match order {
            Order::Run | Order::Step(_) => (None, Doing::Forward),
            Order::StepBack(cpu) => going::step_back(past, now, cpu, processor.retired_by(cpu)),
            Order::RunBack => going::run_back(past, now, processor.current()),
            Order::End(reason) => return Err(End::Host(reason)),
        };
        self.follow(plan, processor);
        if let Order::Step(cpu) = order {
            self.goal = Some((cpu, processor.retired_by(cpu).saturating_add(1)));
            processor.pass_stop(cpu);
        }
        Ok(())
    }

    fn follow(&mut self, (next, doing): Plan, processor: &mut impl Processor) {
        (self.next, self.doing) = (next, doing);
        self.set_stops(processor);
    }

    /// On the way to a moment that is known, nothing stops it.
    fn set_stops(&self, processor: &mut impl Processor) {
        let stops = match self.doing {
            Doing::Seek(_) => Stops::default(),
            Doing::Arrive(rip) => Stops::new([rip], Vec::new()),
            Doing::Forward | Doing::Meet(_) | Doing::Scan(_) => self.debugger.get().stops(),
        };
        processor.set_stops(stops);
    }

    /// Before the first instruction.
    pub fn begin(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Result<(), End> {
        if std::mem::replace(&mut self.begun, true) {
            // Somebody has had the machine, and may have changed it.
            self.next = self.past.as_ref().map(|_| Between::Keep { pinned: true });
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

    /// The machine has ended so; whether it does, where nobody is to look at it then, or has looked and gone.
    pub fn ends(
        &mut self,
        end: &End,
        (processor, machine): (&mut impl Processor, &mut Machine),
        control: &Control,
    ) -> Option<End> {
        let by_host = matches!(end, End::Host(StopReason::Signal(_) | StopReason::Debugger));
        let again = self.over.is_some() && (!self.there || matches!(end, End::Host(_)));
        if !self.debugger.waits_at_end() || by_host || again {
            return Some(end.clone());
        }
        control.stay();
        self.over.get_or_insert_with(|| end.clone());
        if let Some(past) = &mut self.past {
            past.end_here(processor);
        }
        loop {
            match self.attend(Why::Ended, processor, machine) {
                Ok(()) if self.leaves() => return None,
                Ok(()) if self.there => {}
                Ok(()) => return Some(end.clone()),
                Err(end) => return Some(end),
            }
        }
    }

    /// The machine is over and the debugger has gone.
    fn gone(&self) -> Option<End> {
        self.over.clone().filter(|_| !self.there)
    }

    /// Whether the machine is to go to another moment.
    pub fn leaves(&self) -> bool {
        self.next.is_some()
    }

    /// Whether the machine has been farther.
    pub fn is_past(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.farthest().is_some())
    }

    /// Whether [`between`](Self::between) has something to do.
    pub fn has_between(&self, machine: &Machine) -> bool {
        let wanted = self.there || self.debugger.waits_at_end();
        let begins = self.past.is_none() && wanted && !self.lost && machine.can_go_back();
        self.next.is_some() || begins
    }

    /// Does what can be done between two turns of the loop only. All messages are delivered.
    pub fn between(
        &mut self,
        processor: &mut impl Processor,
        machine: &mut Machine,
        watch: &mut Watch,
    ) -> Result<(), HostError> {
        let kept = match (self.next.take(), &mut self.past) {
            (None, None) => Past::begin(processor, machine, watch).map(|past| {
                self.past = Some(past);
                true
            }),
            (Some(Between::Keep { pinned }), Some(past)) => past.keep(processor, machine, watch, pinned),
            (Some(Between::Go(moment)), Some(past)) => {
                past.go_to(moment, processor, machine, watch)?;
                self.set_stops(processor);
                Ok(true)
            }
            _ => Ok(true),
        };
        match kept {
            Ok(true) => {}
            Ok(false) => self.end_past(machine),
            Err(error) => {
                say::in_passing(format_args!("fencepost: gdb: {error}; there is no going back"));
                self.lost = true;
                self.end_past(machine);
            }
        }
        Ok(())
    }

    fn end_past(&mut self, machine: &mut Machine) {
        if self.past.take().is_some() {
            machine.end_past();
        }
        if matches!(self.next, Some(Between::Keep { .. })) {
            self.next = None;
        }
    }

    /// Notes that the machine is where it was farthest, if it is.
    fn arrive(&mut self, processor: &impl Processor, machine: &mut Machine) {
        if self.over.is_none()
            && let Some(past) = &mut self.past
            && past.farthest().is_some_and(|farthest| farthest.cycles <= processor.cycles())
            && past.next_pinned().is_none()
        {
            past.arrive();
            machine.leave_past();
        }
    }

    /// The counter at which an idle machine must be looked at, if that is still to come.
    pub fn idles_to(&self, now: Cycles) -> Option<Cycles> {
        let boundary = match self.doing {
            Doing::Seek(Found { goal: Goal::Cycles(cycles), .. }) => Some(cycles),
            Doing::Scan(part) => Some(part.end),
            Doing::Seek(_) | Doing::Meet(_) | Doing::Arrive(_) | Doing::Forward => self.boundary(),
        };
        boundary.filter(|boundary| *boundary > now)
    }

    /// The next moment of the past behind which running on does not lead.
    fn boundary(&self) -> Option<Cycles> {
        let past = self.past.as_ref()?;
        let farthest = past.farthest()?.cycles;
        Some(past.next_pinned().map_or(farthest, |moment| past.cycles(moment).min(farthest)))
    }

    /// Looks whether the machine is where it is to stop or to be changed: a reason to attend to the debugger.
    fn look(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Option<Why> {
        let now = processor.cycles();
        match self.doing {
            Doing::Seek(found) if found.goal.left(processor) > 0 => {
                let past = self.past.as_ref()?;
                if going::nearer(past, found.goal, processor).1 {
                    self.next = Some(Between::Keep { pinned: false });
                }
                None
            }
            Doing::Seek(Found { why: Why::Breakpoint, cpu, .. }) => {
                self.follow((None, Doing::Meet(cpu)), processor);
                None
            }
            Doing::Seek(found) => Some(found.why),
            Doing::Scan(part) if now >= part.end => {
                let plan = going::looked_through(self.past.as_ref()?, part, (now, processor.current()));
                self.follow(plan, processor);
                None
            }
            Doing::Scan(_) | Doing::Meet(_) => None,
            // Not reached but where the guest has done nothing more.
            Doing::Arrive(_) => self.arrived(processor, machine),
            Doing::Forward => self.look_ahead(processor, machine),
        }
    }

    fn look_ahead(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Option<Why> {
        let past = self.past.as_ref()?;
        if !self.is_past() {
            let due = past.due_in(processor.retired()) == 0;
            self.next = due.then_some(Between::Keep { pinned: false });
            return None;
        }
        let now = processor.cycles();
        if self.boundary().is_none_or(|boundary| boundary > now) {
            return None;
        }
        if let Some(moment) = past.next_pinned() {
            self.next = Some(Between::Go(moment));
            return None;
        }
        let there = past.farthest().map(|farthest| farthest.rip);
        if let Some(rip) = there.filter(|rip| self.over.is_none() && *rip != next_instruction(processor)) {
            self.follow((None, Doing::Arrive(rip)), processor);
            return None;
        }
        self.arrived(processor, machine)
    }

    /// The machine is where it was farthest.
    fn arrived(&mut self, processor: &mut impl Processor, machine: &mut Machine) -> Option<Why> {
        self.arrive(processor, machine);
        if !self.there && self.over.is_none() {
            self.end_past(machine);
            self.follow((None, Doing::Forward), processor);
            return None;
        }
        let stops = self.debugger.get().stops();
        let meets = self.over.is_none() && stops.before(next_instruction(processor));
        Some(if meets { Why::Breakpoint } else { Why::Ended })
    }

    /// How far the machine may run.
    fn limit(&self, processor: &impl Processor, until: Cycles) -> Cycles {
        let now = processor.cycles();
        let within = match (self.doing, &self.past) {
            (Doing::Forward, past) => {
                // While another CPU has its turn that is looked at after each of its instructions.
                let step = self.goal.map(|(cpu, goal)| goal.saturating_sub(processor.retired_by(cpu)));
                let boundary = self.boundary().map(|boundary| boundary.0.saturating_sub(now.0));
                let due = past.as_ref().filter(|_| boundary.is_none());
                let due = due.map(|past| past.due_in(processor.retired()));
                step.into_iter().chain(boundary).chain(due).min()
            }
            (Doing::Seek(found), Some(past)) => Some(going::nearer(past, found.goal, processor).0),
            (Doing::Seek(_), None) => Some(0),
            (Doing::Meet(_) | Doing::Arrive(_), _) => Some(1),
            (Doing::Scan(part), _) => Some(part.end.0.saturating_sub(now.0)),
        };
        within.map_or(until, |within| until.min(now + within))
    }

    /// What the debugger is to be told of an exit.
    fn why(&mut self, exit: Exit, processor: &mut impl Processor) -> Option<Why> {
        let (now, cpu) = (processor.cycles(), processor.current());
        if let Doing::Scan(part) = &mut self.doing {
            match exit {
                Exit::Breakpoint => {
                    part.meets(now, cpu);
                    processor.pass_stop(cpu);
                    return None;
                }
                Exit::Accessed(access) => {
                    part.accesses(now, cpu, access);
                    return None;
                }
                _ => {}
            }
        }
        if matches!(self.doing, Doing::Arrive(_)) {
            // That is seen when it is looked at.
            return None;
        }
        // Before anything that is due now, as a step forward.
        if let Doing::Seek(found) = self.doing
            && found.goal.left(processor) == 0
            && found.why != Why::Breakpoint
        {
            return Some(found.why);
        }
        let done = self.goal.is_some_and(|(cpu, goal)| processor.retired_by(cpu) >= goal);
        match exit {
            Exit::Breakpoint => Some(Why::Breakpoint),
            Exit::Accessed(access) => Some(Why::Accessed(access)),
            Exit::TripleFault => Some(Why::Dying),
            _ if done => Some(Why::Stepped),
            _ => self.debugger.calls().then_some(Why::Called),
        }
    }

    /// Runs to `until`, or to a reason for the machine to look at; what the debugger wants is done on the way.
    pub fn run(
        &mut self,
        processor: &mut impl Processor,
        machine: &mut Machine,
        until: Cycles,
    ) -> Result<Exit, End> {
        loop {
            if self.leaves() {
                return Ok(Exit::Yield);
            }
            if let Some(why) = self.look(processor, machine) {
                // Nobody is waited for where the machine is over again.
                self.gone().map_or(Ok(()), Err)?;
                self.attend(why, processor, machine)?;
                self.gone().map_or(Ok(()), Err)?;
                // It may be at another moment to stop at.
                continue;
            }
            if self.leaves() {
                return Ok(Exit::Yield);
            }
            let limit = self.limit(processor, until);
            let exit = processor.run(machine, limit);
            if let Some(why) = self.why(exit, processor) {
                self.attend(why, processor, machine)?;
                self.gone().map_or(Ok(()), Err)?;
            }
            if self.leaves() {
                return Ok(Exit::Yield);
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
