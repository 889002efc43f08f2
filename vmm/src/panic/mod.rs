//! A guest's kernel that fails: its reports are recognised on the console and by the device of docs/pvpanic.md, counted, and
//! end the run where they are the end of the guest (docs/panic.md).

mod ears;
mod findings;
mod lines;
mod recogniser;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fencepost_devices::pvpanic::{GuestEvent, GuestEvents};

pub use ears::{Console, Ears};
pub use fencepost_report::class::Class;
pub use findings::{Findings, Reports};
use recogniser::{Complete, Recogniser};

/// What happens when the guest's kernel has panicked or oopsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The run ends as soon as the report is whole.
    Exit,
    /// The same, and the CPU is shown; the machine is saved where there is a file for that.
    Dump,
    /// The guest stops, and waits for a debugger.
    Gdb,
}

/// Why the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The kernel has failed.
    Failed,
    /// It shuts down, and has told the host so.
    Shutdown,
}

#[derive(Debug, Default)]
struct State {
    ears: Ears,
    ending: Option<Ending>,
}

#[derive(Debug, Default)]
struct Inner {
    on_panic: Option<OnPanic>,
    /// Whether there is an ending: looked at far more often than there is one.
    ends: AtomicBool,
    state: Mutex<State>,
}

/// What hears of a guest's failures: shared by the console, the device and the machine.
#[derive(Clone, Debug, Default)]
pub struct Panics(Arc<Inner>);

impl Panics {
    /// Ends a run as `on_panic` says; with none, when a panicked kernel will never do anything again.
    pub fn new(on_panic: Option<OnPanic>) -> Self {
        Panics(Arc::new(Inner { on_panic, ..Inner::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, state: &mut State, ending: Ending) {
        state.ending.get_or_insert(ending);
        self.0.ends.store(true, Ordering::Release);
    }

    /// A console's output has gone on with `bytes`.
    fn hear(&self, console: Console, bytes: &[u8]) {
        let mut state = self.state();
        let ends = match state.ears.at(console).push(bytes) {
            None => false,
            Some(Complete::Oops | Complete::Panic) => self.0.on_panic.is_some(),
            Some(Complete::Panicked) => true,
        };
        if ends {
            self.end(&mut state, Ending::Failed);
        }
    }

    /// The output `out` of a console, with an ear on it.
    pub fn console(&self, console: Console, out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        Box::new(Heard { console, out, panics: self.clone() })
    }

    /// Who the device tells.
    pub fn listener(&self) -> Box<dyn GuestEvents> {
        Box::new(self.clone())
    }

    /// Why the machine is to end, once.
    pub fn take_ending(&self) -> Option<Ending> {
        if !self.0.ends.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        self.0.ends.store(false, Ordering::Release);
        state.ending.take()
    }

    /// What was found so far.
    pub fn findings(&self) -> Findings {
        self.state().ears.findings()
    }

    /// What was heard so far.
    pub fn save(&self) -> Ears {
        self.state().ears.clone()
    }

    /// Goes on behind what was heard by another.
    pub fn restore(&self, heard: Ears) {
        let mut state = self.state();
        *state = State { ears: heard, ending: None };
        self.0.ends.store(false, Ordering::Release);
    }
}

impl GuestEvents for Panics {
    fn event(&mut self, event: GuestEvent) {
        let mut state = self.state();
        match event {
            GuestEvent::Panicked => {
                // The console has said why, if it shows the kernel's messages.
                state.ears.at(Console::Serial).findings_mut().add_panic("");
                self.end(&mut state, Ending::Failed);
            }
            GuestEvent::CrashLoaded => state.ears.at(Console::Serial).findings_mut().crash_loaded = true,
            GuestEvent::Shutdown => self.end(&mut state, Ending::Shutdown),
        }
    }
}

/// A console with an ear on it.
struct Heard {
    console: Console,
    out: Box<dyn Write + Send>,
    panics: Panics,
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All of them, and whatever becomes of the output: what the guest has said does not depend on who reads it.
        self.panics.hear(self.console, bytes);
        self.out.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
