//! Signals, taken by a thread of their own, so that nothing happens in a signal handler.

use std::sync::Arc;
use std::thread::JoinHandle;

use signal_hook::consts::{
    SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH, SIGXCPU,
};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;

use crate::console_size::ConsoleSize;
use crate::control::{Control, StopReason};
use crate::sandbox::{self, Role};
use crate::terminal;

/// What others send to end a process.
const STOPS: [i32; 8] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGUSR1, SIGUSR2];

/// The thread that waits for the signals; joined when this is dropped. The signals do nothing from then on.
pub struct Watch(Option<(Handle, JoinHandle<()>)>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.0.take() {
            handle.close();
            // Nothing in it can panic, and there is nothing to be told.
            let _ = thread.join();
        }
    }
}

fn ignore(signal: i32) {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// From now on a file that grows beyond the process's limit (RLIMIT_FSIZE) is an error of the write, not the process's end.
pub fn outlive_file_limits() {
    ignore(libc::SIGXFSZ);
}

/// Whether the process was started with `signal` ignored, as `nohup` does. Not known where there is no /proc.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 != 0
}

/// Starts the thread that waits for the signals.
///
/// The first asks the machine to end, or ends the process where there is none yet; a second ends the process at once.
/// SIGUSR1 has a machine saved that can be, and is one of these otherwise. SIGWINCH tells it the size of its terminal. SIGTSTP stops it with the terminal as it was before, and with SIGCONT it takes the terminal up again. A terminal that
/// belongs to others stops nobody: a process in the background could not keep its time limit.
pub fn watch(control: Arc<Control>) -> Watch {
    ignore(libc::SIGTTIN);
    ignore(libc::SIGTTOU);
    let hangup_matters = !is_ignored(SIGHUP);
    let taken =
        STOPS.into_iter().chain([SIGTSTP, SIGCONT, SIGWINCH]).filter(|one| *one != SIGHUP || hangup_matters);
    // Without pipe or thread the signals have their usual effect; a machine for which there is neither does not get far.
    let Ok(mut signals) = Signals::new(taken) else { return Watch(None) };
    let handle = signals.handle();
    let waiter = move || {
        let mut seen = false;
        for signal in signals.forever() {
            match signal {
                // An error leaves it running.
                SIGTSTP => terminal::while_stopped(|| drop(emulate_default_handler(SIGTSTP))),
                SIGCONT => terminal::take_up(),
                SIGWINCH => ConsoleSize::of_terminal().iter().for_each(|size| control.follow_terminal(*size)),
                SIGUSR1 if control.request_pause() => {}
                _ if seen || !control.begun() => {
                    terminal::restore();
                    std::process::exit(128 + signal);
                }
                _ => {
                    seen = true;
                    control.stop(StopReason::Signal(signal));
                }
            }
        }
    };
    let thread = sandbox::start(Role::Signals, "signals", waiter);
    Watch(thread.ok().map(|thread| (handle, thread)))
}
