//! SIGINT, SIGTERM and SIGHUP, taken by a thread of their own, so that nothing happens in a signal handler.

use std::mem::MaybeUninit;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use vmm_sys_util::signal::SIGRTMIN;

use crate::console;
use crate::control::{Control, StopReason};

const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The thread that waits for the signals; joined when this is dropped. They stay blocked.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What wakes the thread at the end.
fn wake() -> libc::c_int {
    SIGRTMIN() + 1
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // SAFETY: the thread was not joined yet, so its id is its own.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), wake()) };
            // Nothing in it can panic, and there is nothing to be told.
            let _ = thread.join();
        }
    }
}

/// From now on a file that grows beyond the process's limit (RLIMIT_FSIZE) is an error of the write, not the process's end.
pub fn outlive_file_limits() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Blocks the signals in this thread and those started from now on, and starts the thread that waits for them.
///
/// The first asks the machine to end; a second ends the process at once.
pub fn watch(control: Arc<Control>) -> Watch {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it; sigaddset and pthread_sigmask then get
    // pointers to that one set, which outlives the calls.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in SIGNALS.into_iter().chain([wake()]) {
            libc::sigaddset(&mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    let over = Arc::<AtomicBool>::default();
    let told = Arc::clone(&over);
    let waiter = move || {
        let mut seen = false;
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are to live locals.
            if unsafe { libc::sigwait(&set, &mut signal) } != 0 || told.load(Ordering::SeqCst) {
                return;
            }
            if !SIGNALS.contains(&signal) {
                continue;
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
    let thread = std::thread::Builder::new().name("signals".into()).spawn(waiter).ok();
    Watch { over, thread }
}
