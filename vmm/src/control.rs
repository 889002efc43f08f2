//! How the outside world reaches a running machine: console input, and reasons to stop.
//!
//! The CPU polls one flag, [`Control::stop_flag`]. Whoever wants the machine's attention leaves a note here and
//! raises the flag; the back end lowers it, reads the notes and goes on. Lock order: the one lock here is a leaf.

mod cpus;
mod lines;
mod look;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fencepost_devices::faults::FaultSpec;
use fencepost_softcpu::Translate;
use fencepost_softcpu::stop_flag::{Done, Longest, Spent, StopFlag};
use vmm_sys_util::eventfd::EventFd;

use crate::console_size::ConsoleSize;
use crate::state_log::StateLog;
use lines::Lines;
pub use lines::{Received, SERIAL_PORTS_MAX};
pub use look::Look;

/// Console input kept for a guest that does not read it: more is refused, and the reader waits.
const INPUT_MAX_BYTES: usize = 64 * 1024;
/// What is kept for devices until the machine takes it: beyond it whoever brings more waits.
const DELIVERIES_MAX_BYTES: usize = 256 * 1024;
/// The longest part of routed console input.
const ROUTED_MAX_BYTES: usize = 4096;

/// Why the host wants the machine to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A signal, by number.
    Signal(i32),
    /// The console's escape key.
    Quit,
    /// The time limit passed.
    Timeout,
    /// Standard input has ended, which was to end the machine.
    InputEnded,
    /// A debugger's user.
    Debugger,
}

impl StopReason {
    /// The exit status that it stands for.
    pub fn status(self) -> i32 {
        match self {
            StopReason::Quit | StopReason::InputEnded | StopReason::Debugger => 0,
            StopReason::Timeout => 124,
            StopReason::Signal(signal) => 128 + signal,
        }
    }
}

/// Whether the machine is to pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pause {
    /// It cannot.
    #[default]
    Never,
    /// It can, and nobody wants it to.
    No,
    /// Somebody wants it to.
    Wanted,
}

/// A device that is the console, instead of the serial line.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its slot.
    pub slot: u8,
    /// The delivery that at most 4096 characters are.
    pub characters: fn(&[u8]) -> Vec<u8>,
    /// The delivery that a size is.
    pub size: fn(ConsoleSize) -> Vec<u8>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Why the machine is to end, and since when.
    stop: Option<(StopReason, Instant)>,
    /// When the time is over.
    limit: Option<Instant>,
    /// It has no limit any more.
    unlimited: bool,
    lines: Lines,
    /// Console input may come.
    input_open: bool,
    /// What the host brings is nobody's: a record has what the guest gets.
    host_ignored: bool,
    /// Input never keeps anybody waiting: what there is can be had at once.
    input_steady: bool,
    /// Others than the console's reader may bring something: a guest that waits is not dead.
    others: usize,
    /// Where the input goes, if not over the serial line: the slot of a device, and what its deliveries are made by.
    route: Option<Route>,
    /// The input's reader is wanted elsewhere.
    input_closed: bool,
    /// What devices are to get, by slot, in the order in which it came.
    deliveries: VecDeque<(u8, Vec<u8>)>,
    /// Its length in bytes.
    delivery_bytes: usize,
    /// Where the states of the CPUs go.
    states: Option<StateLog>,
    /// Faults that the machine is to have, in the order in which they came.
    faults: VecDeque<FaultSpec>,
    watchdog: Option<Duration>,
    /// The console's size.
    console_size: Option<ConsoleSize>,
    /// The console has the size of the terminal.
    sized_by_terminal: bool,
    /// An idle guest's clock goes as the host's.
    paced: bool,
    /// Whether the machine can pause, and whether it shall.
    pause: Pause,
    /// How the software CPU runs code.
    soft_cpu: Translate,
    /// Written for every note, for a back end that waits for descriptors.
    event: Option<EventFd>,
}

impl Notes {
    fn bring(&mut self, slot: u8, data: Vec<u8>) {
        if !self.host_ignored {
            self.delivery_bytes += data.len();
            self.deliveries.push_back((slot, data));
        }
    }

    fn may_come(&self) -> bool {
        !self.host_ignored && (self.input_open || self.others > 0)
    }

    /// Why the machine is to end; looks at the clock too, so that the time is over even where nobody says so.
    fn over(&mut self) -> Option<(StopReason, Instant)> {
        if self.stop.is_none() {
            self.stop =
                self.limit.filter(|limit| *limit <= Instant::now()).map(|at| (StopReason::Timeout, at));
        }
        self.stop
    }
}

/// Shared between the machine's thread and the threads that watch the host.
#[derive(Debug, Default)]
pub struct Control {
    attention: Arc<StopFlag>,
    begun: AtomicBool,
    notes: Mutex<Notes>,
    changed: Condvar,
}

impl Control {
    /// The flag a CPU watches between blocks.
    pub fn stop_flag(&self) -> Arc<StopFlag> {
        Arc::clone(&self.attention)
    }

    /// Measures from now on how long the machine's thread takes from one look at the flag to the next.
    pub fn measure_looks(&self) {
        self.attention.measure();
    }

    /// Where the time between looks went, if they are measured.
    pub fn spent(&self) -> Option<Spent> {
        self.attention.spent()
    }

    /// The longest time between two looks, if they are measured.
    pub fn longest_without_look(&self) -> Option<Longest> {
        self.attention.longest()
    }

    /// Whether somebody wants the attention of the machine's thread, which has `done` this since it looked last.
    pub(crate) fn is_wanted(&self, done: Done) -> bool {
        self.attention.look(done)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn raise(&self) {
        self.attention.raise();
        // Whoever is about to wait has looked at the flag under the lock: it must not miss this.
        if let Some(event) = &self.notes().event {
            // Fails only when the count is full: then it is readable all the same.
            let _ = event.write(1);
        }
        self.changed.notify_all();
    }

    /// From now on has every note written to `event` too, which must not block; with none, no longer.
    pub fn set_event(&self, event: Option<EventFd>) {
        self.notes().event = event;
    }

    /// Whether anything may still come from the host: console input, or what others bring.
    pub fn input_open(&self) -> bool {
        self.notes().may_come()
    }

    /// Asks the machine to end. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        let mut notes = self.notes();
        if reason != StopReason::Timeout || !notes.unlimited {
            notes.stop.get_or_insert_with(|| (reason, Instant::now()));
        }
        drop(notes);
        self.raise();
    }

    /// The machine was to end and does not yet: somebody looks at it, for as long as that takes.
    pub fn stay(&self) {
        let mut notes = self.notes();
        (notes.stop, notes.limit, notes.unlimited) = (None, None, true);
    }

    /// From now on the machine pauses when it is asked to.
    pub fn allow_pauses(&self) {
        self.notes().pause = Pause::No;
    }

    /// Whether the machine can pause, for somebody who saves it.
    pub fn can_pause(&self) -> bool {
        self.notes().pause != Pause::Never
    }

    /// Asks the machine to pause; false if it cannot.
    pub fn request_pause(&self) -> bool {
        let mut notes = self.notes();
        let can = notes.pause != Pause::Never;
        if can {
            notes.pause = Pause::Wanted;
            drop(notes);
            self.raise();
        }
        can
    }

    /// Whether somebody has asked the machine to pause since this was last called.
    pub fn take_pause_request(&self) -> bool {
        let mut notes = self.notes();
        let wanted = notes.pause == Pause::Wanted;
        if wanted {
            notes.pause = Pause::No;
        }
        wanted
    }

    /// From now on somebody attends to reasons to stop.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Whether somebody attends to reasons to stop. Before, the process is still preparing the machine.
    pub fn begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// The time is over at `limit`.
    pub fn set_limit(&self, limit: Instant) {
        self.notes().limit = Some(limit);
    }

    /// Lowers the flag, and says whether the machine must end.
    pub fn attend(&self) -> Option<StopReason> {
        self.attention.lower();
        self.notes().stop.map(|(reason, _)| reason)
    }

    /// Whether the machine must end.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.notes().over().map(|(reason, _)| reason)
    }

    /// Since when the machine must end.
    pub fn stopped_at(&self) -> Option<Instant> {
        self.notes().over().map(|(_, at)| at)
    }

    /// Says that console input may come (true) or has ended (false).
    pub fn set_input_open(&self, open: bool) {
        self.notes().input_open = open;
        self.raise();
    }

    /// Says that input comes from a file, which never keeps its reader waiting: then [`has_input`](Self::has_input) waits for that, so
    /// that what the guest gets does not depend on how fast it is read.
    pub fn set_input_steady(&self) {
        self.notes().input_steady = true;
    }

    /// Has [`push_input`](Self::push_input) wait for nothing any more: the guest is gone.
    pub fn close_input(&self) {
        self.notes().input_closed = true;
        self.raise();
    }

    /// The console has this size from now on.
    pub fn set_console_size(&self, size: ConsoleSize) {
        let mut notes = self.notes();
        if notes.console_size.replace(size) != Some(size) {
            let route = notes.route;
            drop(notes);
            self.raise();
            if let Some(route) = route {
                self.try_deliver(route.slot, (route.size)(size));
            }
        }
    }

    /// From now on the console has the size of the terminal, which [`follow_terminal`](Self::follow_terminal) tells.
    pub fn size_by_terminal(&self) {
        self.notes().sized_by_terminal = true;
    }

    /// The terminal has this size now, and the console if it has that of the terminal.
    pub fn follow_terminal(&self, size: ConsoleSize) {
        let follows = self.notes().sized_by_terminal;
        if follows {
            self.set_console_size(size);
        }
    }

    /// The console's size, where it has one.
    pub fn console_size(&self) -> Option<ConsoleSize> {
        self.notes().console_size
    }

    /// Sets how long a CPU may keep interrupts off without an access to the machine: of the host's time under `kvm`, of
    /// the guest's under `soft`.
    pub fn set_watchdog(&self, limit: Option<Duration>) {
        self.notes().watchdog = limit;
    }

    /// How long a CPU may keep interrupts off without an access to the machine.
    pub fn watchdog(&self) -> Option<Duration> {
        self.notes().watchdog
    }

    /// Whether an idle guest's clock goes as the host's under `soft`, or skips what is idle.
    pub fn set_paced(&self, paced: bool) {
        self.notes().paced = paced;
    }

    /// Whether an idle guest's clock goes as the host's.
    pub fn is_paced(&self) -> bool {
        self.notes().paced
    }

    /// Whether something waits for the guest that the host's time brought: console input from elsewhere than a file, or data for a device.
    pub fn has_news(&self) -> bool {
        let notes = self.notes();
        !notes.lines.held && (!notes.deliveries.is_empty() || notes.has_typed())
    }

    /// Console input, and the console's size now and whenever it changes, go to a device from now on.
    /// What was typed before goes there too.
    pub fn route_console(&self, route: Route) {
        let size = {
            let mut notes = self.notes();
            notes.route = Some(route);
            let typed = notes.lines.take_characters(0);
            typed.chunks(ROUTED_MAX_BYTES).for_each(|part| notes.bring(route.slot, (route.characters)(part)));
            notes.console_size
        };
        // Whoever waited for room on the line goes on.
        self.raise();
        size.into_iter().for_each(|size| self.deliver(route.slot, (route.size)(size)));
    }

    /// Says that another than the console's reader may bring something from now on (true), or no longer.
    pub fn set_others(&self, more: bool) {
        let mut notes = self.notes();
        notes.others = if more { notes.others + 1 } else { notes.others.saturating_sub(1) };
        drop(notes);
        self.raise();
    }

    /// Adds console input; waits while the guest is far behind.
    pub fn push_input(&self, bytes: &[u8]) {
        let mut notes = self.notes();
        loop {
            if let Some(Route { slot, characters, .. }) = notes.route {
                drop(notes);
                return bytes.chunks(ROUTED_MAX_BYTES).for_each(|part| self.deliver(slot, characters(part)));
            }
            let full = notes.lines.waiting(0) >= INPUT_MAX_BYTES;
            if !full || notes.stop.is_some() || notes.input_closed {
                break;
            }
            notes = self.changed.wait(notes).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if !notes.host_ignored {
            notes.lines.push(0, bytes.iter().copied().map(Received::Character));
        }
        drop(notes);
        self.raise();
    }

    /// Brings `data` for the device in `slot`; waits while the machine is far behind. Devices whose data are messages get each call's
    /// as one.
    pub fn deliver(&self, slot: u8, data: Vec<u8>) {
        let mut notes = self.notes();
        while notes.delivery_bytes >= DELIVERIES_MAX_BYTES && notes.stop.is_none() && !notes.input_closed {
            notes = self.changed.wait(notes).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        notes.bring(slot, data);
        drop(notes);
        self.raise();
    }

    /// As [`Self::deliver`], but never waits: drops `data` where that would; whether it was taken.
    pub fn try_deliver(&self, slot: u8, data: Vec<u8>) -> bool {
        let mut notes = self.notes();
        if notes.delivery_bytes >= DELIVERIES_MAX_BYTES {
            return false;
        }
        notes.bring(slot, data);
        drop(notes);
        self.raise();
        true
    }

    /// Whether something was brought for a device.
    pub fn has_delivery(&self) -> bool {
        let notes = self.notes();
        !notes.lines.held && !notes.deliveries.is_empty()
    }

    /// Takes what was brought first for a device.
    pub fn take_delivery(&self) -> Option<(u8, Vec<u8>)> {
        let mut notes = self.notes();
        if notes.lines.held {
            return None;
        }
        let (slot, data) = notes.deliveries.pop_front()?;
        notes.delivery_bytes -= data.len();
        drop(notes);
        self.changed.notify_all();
        Some((slot, data))
    }

    /// Tells the machine to have a fault (docs/faults.md). Its occasions count from the host's now on: where each run is to be the
    /// same, it names a time or a mark of the guest's that is still to come. What the machine refuses it says at the end.
    pub fn fault(&self, spec: FaultSpec) {
        self.notes().faults.push_back(spec);
        self.raise();
    }

    /// Takes the fault that came first.
    pub fn take_fault(&self) -> Option<FaultSpec> {
        self.notes().faults.pop_front()
    }

    /// Waits until something is to be attended to, or `limit` passes. Without a limit it also ends when input has
    /// ended; it returns false then, since nothing will ever come.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let more = self.wait_quietly(limit);
        self.is_wanted(Done::Nothing);
        more
    }

    fn wait_quietly(&self, limit: Option<Duration>) -> bool {
        let notes = self.notes();
        let quiet = |notes: &Notes| notes.stop.is_none() && !self.attention.is_raised();
        match limit {
            Some(limit) => {
                let _ = self.changed.wait_timeout_while(notes, limit, |notes| quiet(notes));
                true
            }
            None => {
                let notes = self
                    .changed
                    .wait_while(notes, |notes| notes.may_come() && quiet(notes))
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                notes.may_come() || !quiet(&notes)
            }
        }
    }

    /// Wakes whoever waits here to look again.
    pub fn nudge(&self) {
        self.raise();
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
