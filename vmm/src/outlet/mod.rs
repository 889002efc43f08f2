//! The ways out to the host: what is to be written goes to a thread of its own, with a bound in bytes between.
//!
//! A reader that takes nothing (a pipe that nobody empties, a FIFO that nobody opens) holds up that one thread. Whoever hands
//! something out when the bound is reached waits in host time or has it dropped and counted; a reason to stop the machine
//! ends every wait here, that of a run's end for what is not yet written too.

pub mod bytes;
pub mod open;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fencepost_softcpu::stop_flag::Done;

use crate::control::Control;
use crate::sandbox::{self, Role};

/// The longest wait without a look at the reasons to stop.
const LOOK_AROUND: Duration = Duration::from_millis(10);
/// When there is a reason to stop, an outlet that takes nothing for so long is given up.
const STALL: Duration = Duration::from_secs(1);
/// When there is a reason to stop, an outlet that is not empty after so long is given up, even if it takes a little at a time.
const LONGEST: Duration = Duration::from_secs(10);

/// What happens to that for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The machine waits, in host time: nothing is lost, and the guest sees nothing of it.
    Wait,
    /// It is dropped and counted.
    Drop,
}

/// How much something is: what it takes of the bound, and how it is counted for the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of memory.
    pub bytes: usize,
    /// Bytes, pictures or lines, as the outlet's user counts them.
    pub units: u64,
}

struct State {
    /// Handed out and not yet written, what the thread has in hand included.
    waiting: Load,
    /// Units for which there was no room.
    dropped: u64,
    /// Units that may come yet, and those that have come beyond.
    left: u64,
    beyond: u64,
    /// Since when there is something to write, without a break.
    busy_since: Instant,
    /// When something was written last.
    progress_at: Instant,
    /// It took nothing for too long after a reason to stop: nothing is taken any more.
    given_up: bool,
    /// The thread has ended.
    ended: bool,
}

/// The bound of an outlet. The lock here is taken before that of [`Control`].
pub struct Gate {
    control: Arc<Control>,
    bound_bytes: usize,
    deferred: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// A gate that lets `bound_bytes` wait, and one thing at least.
    pub fn new(control: &Arc<Control>, bound_bytes: usize) -> Arc<Gate> {
        let now = Instant::now();
        let state = State {
            waiting: Load::default(),
            dropped: 0,
            left: u64::MAX,
            beyond: 0,
            busy_since: now,
            progress_at: now,
            given_up: false,
            ended: false,
        };
        Arc::new(Gate {
            control: Arc::clone(control),
            bound_bytes,
            deferred: AtomicBool::new(false),
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state =
            self.changed.wait_timeout(state, LOOK_AROUND).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        // That was no work of the guest's.
        self.control.is_wanted(Done::Nothing);
        state
    }

    /// From now on nobody waits in here where waiting is wanted (true): whoever runs the machine has it wait by
    /// [`settle`](Self::settle), where it holds no lock.
    pub fn defer(&self, deferred: bool) {
        self.deferred.store(deferred, Ordering::SeqCst);
    }

    /// Lets so many units through and no more, in all.
    pub fn end_after(&self, units: u64) {
        self.state().left = units;
    }

    /// How many of so many units may come yet.
    fn allowed(&self, units: u64) -> u64 {
        self.state().left.min(units)
    }

    /// Units that have come when it had ended.
    pub fn beyond(&self) -> u64 {
        self.state().beyond
    }

    /// What was let through does not leave after all.
    fn leave_out(&self, units: u64) {
        let mut state = self.state();
        state.beyond = state.beyond.saturating_add(units);
    }

    /// Waits until there is room, or a reason to stop.
    pub fn settle(&self) {
        let mut state = self.state();
        while state.waiting.bytes > self.bound_bytes
            && !state.ended
            && !state.given_up
            && self.control.stop_reason().is_none()
        {
            state = self.wait(state);
        }
    }

    /// Asks for room for `load`; false if it is to be dropped, which is counted.
    fn admit(&self, load: Load, full: Full) -> bool {
        let mut state = self.state();
        if load.units > state.left {
            // Nothing follows a gap.
            (state.left, state.beyond) = (0, state.beyond.saturating_add(load.units));
            return false;
        }
        loop {
            let fits = state.waiting.bytes == 0
                || state.waiting.bytes.saturating_add(load.bytes) <= self.bound_bytes
                // What a thread that is gone is given disappears: it says why at the end.
                || state.ended;
            if !state.given_up && (fits || full == Full::Wait && self.deferred.load(Ordering::SeqCst)) {
                if state.waiting.bytes == 0 {
                    state.busy_since = Instant::now();
                }
                state.waiting.bytes = state.waiting.bytes.saturating_add(load.bytes);
                state.waiting.units = state.waiting.units.saturating_add(load.units);
                state.left = state.left.saturating_sub(load.units);
                return true;
            }
            if full == Full::Drop || self.gives_up(&mut state) {
                state.dropped = state.dropped.saturating_add(load.units);
                return false;
            }
            state = self.wait(state);
        }
    }

    /// Whether there is a reason to stop, and the outlet has had its time since.
    fn gives_up(&self, state: &mut State) -> bool {
        if let Some(stopped_at) = self.control.stopped_at() {
            let from = stopped_at.max(state.busy_since);
            let stalled = from.max(state.progress_at).elapsed() >= STALL;
            state.given_up |= stalled || from.elapsed() >= LONGEST;
        }
        state.given_up
    }

    /// The thread has written `load`.
    fn wrote(&self, load: Load) {
        let mut state = self.state();
        state.waiting.bytes = state.waiting.bytes.saturating_sub(load.bytes);
        state.waiting.units = state.waiting.units.saturating_sub(load.units);
        state.progress_at = Instant::now();
        self.changed.notify_all();
    }

    fn thread_ended(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the end of the thread; false if it was given up.
    fn wait_for_end(&self) -> bool {
        let mut state = self.state();
        while !state.ended {
            if self.gives_up(&mut state) {
                return false;
            }
            state = self.wait(state);
        }
        true
    }

    /// Units that were not handed to the thread.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }
}

/// Hands things to an outlet's thread.
pub struct Handle<T> {
    gate: Arc<Gate>,
    /// Nothing is the end.
    sender: Sender<Option<(T, Load)>>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Handle { gate: Arc::clone(&self.gate), sender: self.sender.clone() }
    }
}

impl<T> Handle<T> {
    /// Hands `item` out, or gives it back when it is dropped.
    pub fn put(&self, item: T, load: Load, full: Full) -> Result<(), T> {
        if !self.gate.admit(load, full) {
            return Err(item);
        }
        // A thread that is gone says why at the end.
        let _ = self.sender.send(Some((item, load)));
        Ok(())
    }
}

/// What the thread is given, one after the other, until the outlet is finished or all handles are gone.
pub struct Items<T> {
    receiver: Receiver<Option<(T, Load)>>,
    gate: Arc<Gate>,
    /// What is left of the item in hand.
    in_hand: Load,
}

impl<T> Items<T> {
    /// Says that this much of the item in hand is written; its end need not be said.
    pub fn wrote(&mut self, part: Load) {
        self.in_hand.bytes = self.in_hand.bytes.saturating_sub(part.bytes);
        self.in_hand.units = self.in_hand.units.saturating_sub(part.units);
        self.gate.wrote(part);
    }

    /// Says that so much of the item in hand is left out, because the user wanted no more.
    pub fn leave_out(&mut self, units: u64) {
        self.gate.leave_out(units);
    }
}

impl<T> Iterator for Items<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let written = std::mem::take(&mut self.in_hand);
        self.gate.wrote(written);
        let (item, load) = self.receiver.recv().ok()??;
        self.in_hand = load;
        Some(item)
    }
}

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        self.gate.thread_ended();
    }
}

/// What is reported of an output that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The output, as the user knows it.
    pub name: String,
    /// What is counted.
    pub unit: &'static str,
    /// Why it was not written.
    pub error: Option<String>,
    /// Units that are not there because of `error`, or because the run was stopped before they were taken.
    pub unwritten: u64,
    /// Units for which there was no room.
    pub dropped: u64,
    /// Units that were left out because the user wanted no more.
    pub beyond: u64,
    /// It took nothing when the run was to end.
    pub given_up: bool,
    /// Its reader went away, which is its right.
    pub closed: bool,
}

impl Delivery {
    /// What there is to say of it: nothing if all was written.
    pub fn lines(&self) -> Vec<String> {
        let Delivery { name, unit, unwritten, dropped, beyond, .. } = self;
        let why = match (&self.error, self.given_up) {
            (_, true) => Some("nobody takes it".to_string()),
            (Some(error), false) => Some(error.clone()),
            (None, false) => None,
        };
        let mut lines = Vec::new();
        lines.extend(why.map(|why| format!("fencepost: {name}: {why}; {unwritten} {unit} were not written")));
        if *dropped > 0 {
            lines.push(format!(
                "fencepost: {name}: {dropped} {unit} were dropped: it was not taken fast enough"
            ));
        }
        if *beyond > 0 {
            lines.push(format!("fencepost: {name}: {beyond} {unit} came beyond its bound and were left out"));
        }
        lines
    }

    /// Whether the host failed here.
    pub fn failed(&self) -> bool {
        self.error.is_some() && !self.closed
    }
}

/// What became of an outlet.
#[derive(Debug)]
pub enum Finished<R> {
    /// Its thread came to its end, with this.
    Ended(R),
    /// There was a reason to stop, and it took nothing: so many units are not written.
    GivenUp(u64),
}

/// A thread that writes, and the way to it.
pub struct Outlet<T, R> {
    handle: Handle<T>,
    thread: JoinHandle<R>,
}

impl<T: Send + 'static, R: Send + 'static> Outlet<T, R> {
    /// Starts the thread `name`, which does `work` with what is handed out through `gate`: by its role it may make files or only write
    /// what is open.
    pub fn start(
        (role, name): (Role, &str),
        gate: Arc<Gate>,
        work: impl FnOnce(&mut Items<T>) -> R + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let mut items = Items { receiver, gate: Arc::clone(&gate), in_hand: Load::default() };
        let thread = sandbox::start(role, name, move || work(&mut items))?;
        Ok(Outlet { handle: Handle { gate, sender }, thread })
    }

    /// The way to the thread.
    pub fn handle(&self) -> &Handle<T> {
        &self.handle
    }

    /// Its bound.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.handle.gate
    }

    /// Waits until all that was handed out is written, or there is a reason to stop and nothing gets on: then the thread is left to
    /// itself. Nothing may be handed out any more.
    pub fn finish(self) -> Finished<Result<R, io::Error>> {
        let Outlet { handle: Handle { gate, sender }, thread } = self;
        // A thread that is gone needs no word.
        let _ = sender.send(None);
        if !gate.wait_for_end() {
            return Finished::GivenUp(gate.state().waiting.units);
        }
        Finished::Ended(thread.join().map_err(|_| io::Error::other("its writer crashed")))
    }
}

#[cfg(test)]
mod tests;
