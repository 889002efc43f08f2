//! SIGINT, SIGTERM and SIGHUP, taken by a thread of their own, so that nothing happens in a signal handler.

use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::console;
use crate::control::{Control, StopReason};

const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Blocks the signals in this thread and those started from now on, and starts the thread that waits for them.
///
/// The first asks the machine to end; a second ends the process at once.
pub fn watch(control: Arc<Control>) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it; sigaddset and pthread_sigmask then get
    // pointers to that one set, which outlives the calls.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in SIGNALS {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    let waiter = move || {
        let mut seen = false;
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are to live locals.
            if unsafe { libc::sigwait(&set, &mut signal) } != 0 {
                return;
            }
            if seen {
                console::restore();
                std::process::exit(128 + signal);
            }
            seen = true;
            control.stop(StopReason::Signal(signal));
        }
    };
    // Without the thread the signals stay blocked; a machine that cannot start a thread does not get far anyway.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(waiter);
}
