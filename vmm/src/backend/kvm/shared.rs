//! The machine under its lock, and what has to happen whenever somebody enters it or leaves it.
//!
//! Lock order: guest memory for oneself ([`Shared::alone`]) or the table of [`Standing`], the machine, then one of the leaves: the end
//! ([`Ending`]), the notes in [`Control`].

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fencepost_softcpu::bus::Bus;
use kvm_ioctls::VmFd;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::timerfd::TimerFd;

use super::debugged::Debugged;
use super::doorbells::Doorbells;
use super::host_error;
use super::standing::Standing;
use super::threads::Link;
use super::turnstile::{Alone, Turnstile};
use crate::backend::End;
use crate::control::Control;
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};
use crate::outlet::Gate;

/// An unfinished line of the console (a prompt) is shown when it is this old.
const PROMPT_NS: u64 = 20_000_000;

/// What the lock protects.
struct Inside {
    machine: Machine,
    doorbells: Doorbells,
    timer: TimerFd,
    /// What the timer is set to, in the machine's nanoseconds.
    armed_ns: Option<u64>,
    /// When the console's unfinished line is to be shown.
    prompt_ns: Option<u64>,
}

/// Shared by the event loop and the vCPUs' threads.
pub struct Shared<'a> {
    inside: Mutex<Inside>,
    /// The outside world's notes.
    pub control: &'a Control,
    /// Whether it is over, and why.
    pub ending: Ending,
    /// Written by a vCPU's thread that has looked at its vCPU.
    pub looked: EventFd,
    /// The outlets that whoever ran the machine waits for when it has left it: nobody waits for the host under its lock.
    gates: Vec<Arc<Gate>>,
    /// The vCPUs' threads, by their vCPUs' numbers.
    pub links: Vec<Link>,
    /// The vCPUs' way into the guest.
    pub turnstile: Turnstile,
    /// A debugger, and where they stand still for it.
    pub debugged: Option<&'a Debugged>,
    pub standing: Standing,
    /// The vCPU whose kernel has failed and waits for the debugger, or [`NOBODY`].
    failed: AtomicU32,
}

/// No vCPU.
const NOBODY: u32 = u32::MAX;

impl<'a> Shared<'a> {
    /// Takes `machine` to run on `vm`, with as many vCPUs as there are links.
    pub fn new(
        vm: Arc<VmFd>,
        machine: Machine,
        control: &'a Control,
        (links, debugged): (Vec<Link>, Option<&'a Debugged>),
    ) -> Result<Self, HostError> {
        let timer = TimerFd::new().map_err(|e| host_error("no timer", e))?;
        let doorbells = Doorbells::new(vm, &machine)?;
        let gates = machine.gates().to_vec();
        gates.iter().for_each(|gate| gate.defer(true));
        let inside = Inside { machine, doorbells, timer, armed_ns: None, prompt_ns: None };
        let looked = EventFd::new(EFD_NONBLOCK).map_err(|e| host_error("no eventfd", e))?;
        Ok(Shared {
            inside: Mutex::new(inside),
            control,
            ending: Ending::new()?,
            looked,
            gates,
            turnstile: Turnstile::default(),
            debugged,
            standing: Standing::new(links.len(), debugged.is_some_and(|it| !it.has_begun())),
            failed: AtomicU32::new(NOBODY),
            links,
        })
    }

    /// Whether a debugger wants the machine to stand still.
    pub fn is_called(&self) -> bool {
        self.debugged.is_some_and(|it| it.debugger.calls())
    }

    /// Whether this vCPU's kernel has failed and waits for the debugger.
    pub fn failure_is_of(&self, cpu: u32) -> bool {
        self.failed.load(Ordering::SeqCst) == cpu
    }

    /// The same; from then on it does not.
    pub fn has_failed(&self, cpu: u32) -> bool {
        self.failed.compare_exchange(cpu, NOBODY, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Nobody waits any more.
    pub fn pass_failure(&self) {
        self.failed.store(NOBODY, Ordering::SeqCst);
    }

    /// Guest memory for the calling vCPU's thread: no vCPU is in the guest for as long as the result lives. To be had before the machine.
    pub fn alone(&self) -> Alone<'_> {
        self.turnstile.alone(|cpu| self.links[cpu as usize].kick.send())
    }

    /// Has every vCPU's thread leave the guest and look at what is wanted of it.
    pub fn kick_all(&self) {
        self.links.iter().for_each(|link| link.kick.send());
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Works on the machine for a vCPU, of which the records are then.
    pub fn on<R>(&self, cpu: u32, work: impl FnOnce(&mut Machine) -> R) -> R {
        self.with(|machine| {
            machine.runs(cpu);
            work(machine)
        })
    }

    /// Works on the machine. If it ends, the vCPU that accessed it last counts as the one that ended it: a panic is recognised
    /// when its last character leaves the serial line, and the vCPU that wrote the character has gone on by then.
    ///
    /// The doorbells that were rung before are handled first, so that a vCPU that rang one finds it heard at its next
    /// access. Afterwards KVM is told where the doorbells are now, and the timer of the next event; and if the guest has
    /// ended, everybody stops.
    pub fn with<R>(&self, work: impl FnOnce(&mut Machine) -> R) -> R {
        let mut inside = self.lock();
        let inside = &mut *inside;
        inside.doorbells.ring(&mut inside.machine);
        let result = work(&mut inside.machine);
        inside.doorbells.follow(&inside.machine);
        inside.arm();
        let cpu = inside.machine.last_cpu();
        if let Some(end) = inside.machine.end() {
            let waits = || self.debugged.is_some_and(|it| it.debugger.waits_for_failures());
            if *end == GuestEnd::Panicked && waits() {
                let _ = self.failed.compare_exchange(NOBODY, cpu, Ordering::SeqCst, Ordering::SeqCst);
            } else {
                self.ending.finish_by(cpu, Ok(End::Guest(end.clone())));
            }
        }
        result
    }

    /// Waits, without the machine, until there is room for more output.
    pub fn settle(&self) {
        self.gates.iter().for_each(|gate| gate.settle());
    }

    /// The timer has fired: does what is due.
    pub fn on_time(&self) {
        self.lock().disarm();
        self.with(|machine| {
            if !machine.is_pausing() {
                machine.run_due();
            }
        });
        self.settle();
        let mut inside = self.lock();
        let now_ns = inside.machine.now().ns;
        if inside.prompt_ns.is_some_and(|at_ns| at_ns <= now_ns) {
            inside.prompt_ns = None;
            inside.machine.flush_console();
        }
    }

    /// Descriptors of the timer and of the doorbells, for the event loop to wait for.
    pub fn descriptors(&self) -> Result<(i32, Vec<EventFd>), HostError> {
        use std::os::fd::AsRawFd;
        let inside = self.lock();
        Ok((inside.timer.as_raw_fd(), inside.doorbells.events()?))
    }

    /// The machine, when nobody works on it any more.
    pub fn into_machine(self) -> Machine {
        self.gates.iter().for_each(|gate| gate.defer(false));
        self.inside.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).machine
    }
}

impl Inside {
    /// Sets the timer to whatever comes next, if that is not what it is set to already.
    fn arm(&mut self) {
        let now_ns = self.machine.now().ns;
        if self.machine.console_unfinished() {
            self.prompt_ns.get_or_insert(now_ns.saturating_add(PROMPT_NS));
        } else {
            self.prompt_ns = None;
        }
        let machine = [self.machine.next_event_ns(), self.machine.next_pause_ns()];
        let next = machine.into_iter().flatten().chain(self.prompt_ns).min();
        if next == self.armed_ns {
            return;
        }
        self.armed_ns = next;
        match next {
            // Zero would disarm it.
            Some(at_ns) => {
                let wait = Duration::from_nanos(at_ns.saturating_sub(now_ns).max(1));
                self.timer.reset(wait, None).expect("any time to come can be set")
            }
            None => self.timer.clear().expect("a timer can be cleared"),
        }
    }

    /// Forgets what the timer was set to. Setting or clearing it also takes back its being readable, which is why nobody
    /// reads it: somebody else may have set it anew since it fired, and the read would block.
    fn disarm(&mut self) {
        self.armed_ns = None;
        self.timer.clear().expect("a timer can be cleared");
    }
}

/// How the run ends: the first reason counts.
pub struct Ending {
    /// And by which vCPU.
    first: Mutex<Option<(Result<End, HostError>, u32)>>,
    over: AtomicBool,
    /// Readable when it is over.
    event: EventFd,
}

impl Ending {
    fn new() -> Result<Self, HostError> {
        let event = EventFd::new(EFD_NONBLOCK).map_err(|e| host_error("no eventfd", e))?;
        Ok(Ending { first: Mutex::new(None), over: AtomicBool::new(false), event })
    }

    /// Ends the run: the event loop and, by it, every vCPU.
    pub fn finish(&self, how: Result<End, HostError>) {
        self.finish_by(0, how);
    }

    /// Ends the run for what this vCPU did.
    pub fn finish_by(&self, cpu: u32, how: Result<End, HostError>) {
        let mut first = self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if first.is_none() {
            *first = Some((how, cpu));
            self.over.store(true, Ordering::SeqCst);
            // The count is zero, so there is room for one.
            let _ = self.event.write(1);
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Readable when it is over.
    pub fn event(&self) -> &EventFd {
        &self.event
    }

    /// Why it is over.
    pub fn take(&self) -> Option<(Result<End, HostError>, u32)> {
        self.first.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}
