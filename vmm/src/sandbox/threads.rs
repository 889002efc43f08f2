//! The sandbox around every thread of the process.
//!
//! What a thread gives up it gives up itself, and no call does that for others but for seccomp's. So each thread is sent a signal, whose
//! handler does it: the thread may be anywhere then, so it makes calls of the host's kernel and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::{HostError, plain};

use super::Role;
use super::calls::Kernel;
use super::role;

/// A thread that has not answered after so long never will.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// One that has not answered after this may have ended.
const SOON: Duration = Duration::from_millis(2);
/// Between two looks for answers.
const LOOK: Duration = Duration::from_micros(50);

/// What every thread does.
pub struct Orders {
    kernel: Kernel,
    ruleset: Option<OwnedFd>,
    network: Option<OwnedFd>,
    capabilities: u64,
}

impl Orders {
    /// The calls of `kernel`, the files of `ruleset`, the network of `network`; of the capabilities these stay.
    pub fn new(
        kernel: Kernel,
        ruleset: Option<OwnedFd>,
        network: Option<OwnedFd>,
        capabilities: u64,
    ) -> Self {
        Orders { kernel, ruleset, network, capabilities }
    }

    /// Does all of it in the calling thread. It may be called in a signal's handler.
    fn follow(&self, role: Role) -> Result<(), (Step, io::Error)> {
        if let Some(network) = &self.network {
            // SAFETY: no memory is involved.
            done(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET).into() })
                .map_err(|error| (Step::Network, error))?;
        }
        // SAFETY: no memory is involved.
        done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into() })
            .map_err(|error| (Step::Privileges, error))?;
        if let Some(ruleset) = &self.ruleset {
            // SAFETY: no memory is involved.
            done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
                .map_err(|error| (Step::Landlock, error))?;
        }
        drop_capabilities(self.capabilities).map_err(|error| (Step::Capabilities, error))?;
        self.kernel.filter(role).map_err(|error| (Step::Seccomp, error))?;
        role::set_confined();
        Ok(())
    }
}

/// What a thread can fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Network = 1,
    Privileges,
    Landlock,
    Capabilities,
    Seccomp,
}

impl Step {
    fn of(number: i32) -> Option<Step> {
        use Step::*;
        [Network, Privileges, Landlock, Capabilities, Seccomp].into_iter().find(|step| *step as i32 == number)
    }
}

fn done(result: i64) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct __user_cap_header_struct` and `__user_cap_data_struct` (linux/capability.h).
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Leaves the calling thread those of its capabilities that are `kept`.
fn drop_capabilities(kept: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both are as this version has them.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) })?;
    for (set, kept) in sets.iter_mut().zip([kept as u32, (kept >> 32) as u32]) {
        let permitted = set.permitted & kept;
        *set = Sets { effective: set.effective & kept, permitted, inheritable: 0 };
    }
    // SAFETY: as before.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })
}

static ORDERS: OnceLock<Orders> = OnceLock::new();
/// The threads that have answered, in the places that [`ANSWERS`] gave them.
static ANSWERED: [AtomicI32; 1024] = [const { AtomicI32::new(0) }; 1024];
static ANSWERS: AtomicUsize = AtomicUsize::new(0);
/// The first failure: the step and the host's error, 16 bits each; 0: none.
static FAILED: AtomicI32 = AtomicI32::new(0);

/// The signal; the first of its kind is KVM's kick.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 1
}

extern "C" fn handle(_: libc::c_int) {
    // SAFETY: errno is the thread's own, and what it was doing may be about to look at it.
    let errno = unsafe { *libc::__errno_location() };
    if let Some(orders) = ORDERS.get().filter(|_| !role::is_confined())
        && let Err((step, error)) = orders.follow(role::own())
    {
        let code = (step as i32) << 16 | error.raw_os_error().unwrap_or_default();
        let _ = FAILED.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
    }
    if let Some(place) = ANSWERED.get(ANSWERS.fetch_add(1, Ordering::SeqCst)) {
        place.store(thread_id(), Ordering::SeqCst);
    }
    // SAFETY: as before.
    unsafe { *libc::__errno_location() = errno };
}

/// Confines all threads, the calling one last. Gives what could not be had.
///
/// # Errors
///
/// A thread that does not answer, and a host that refuses what it offers. There is no way back then either.
pub fn confine_all(orders: Orders) -> Result<Option<String>, HostError> {
    let again = || HostError::Host("sandbox: this process is in one already; use --sandbox off".to_string());
    ORDERS.set(orders).map_err(|_| again())?;
    let orders = ORDERS.get().ok_or_else(again)?;
    let lack = match others() {
        Ok(()) => None,
        Err(Refused::NoList) => {
            Some("no /proc, so that only the machine's own thread is confined".to_string())
        }
        Err(Refused::Failed(error)) => return Err(error),
    };
    orders.follow(role::own()).map_err(|(step, error)| failed(step, &error))?;
    Ok(lack)
}

enum Refused {
    NoList,
    Failed(HostError),
}

fn failed(step: Step, error: &io::Error) -> HostError {
    HostError::Host(format!("sandbox: {step:?}: {}; use --sandbox off", plain(error)))
}

fn others() -> Result<(), Refused> {
    let own = thread_id();
    let mut asked = BTreeSet::new();
    take_signal().map_err(|error| Refused::Failed(failed(Step::Privileges, &error)))?;
    loop {
        let all = threads().map_err(|_| Refused::NoList)?;
        let new: Vec<i32> = all.into_iter().filter(|one| *one != own && asked.insert(*one)).collect();
        if new.is_empty() {
            return Ok(());
        }
        // One that is gone by now is no concern.
        let asked = new.into_iter().filter(|one| ask(*one)).collect();
        wait(asked).map_err(Refused::Failed)?;
    }
}

fn thread_id() -> i32 {
    // SAFETY: the call has no arguments.
    unsafe { libc::gettid() }
}

fn threads() -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        all.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(all)
}

fn take_signal() -> io::Result<()> {
    // SAFETY: the structure is whole: all zeros but for what is set, and the handler does only what a handler may.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        done(libc::sigaction(signal(), &raw const action, std::ptr::null_mut()).into())
    }
}

/// Sends the signal; false if there is no such thread any more.
fn ask(thread: i32) -> bool {
    let process = std::process::id() as i32;
    // SAFETY: no memory is involved; a number that is not this process's any more is refused.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal()) == 0 }
}

/// Waits for the answers of these threads. One that has ended with the signal on its way never answers.
fn wait(mut asked: Vec<i32>) -> Result<(), HostError> {
    let begun = Instant::now();
    loop {
        if let code @ 1.. = FAILED.load(Ordering::SeqCst) {
            let step = Step::of(code >> 16).unwrap_or(Step::Privileges);
            return Err(failed(step, &io::Error::from_raw_os_error(code & 0xffff)));
        }
        asked.retain(|one| ANSWERED.iter().all(|place| place.load(Ordering::SeqCst) != *one));
        if begun.elapsed() > SOON {
            let there = threads().unwrap_or_default();
            asked.retain(|one| there.contains(one));
        }
        if asked.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > ANSWER_LIMIT {
            return Err(HostError::Host("sandbox: a thread does not answer; use --sandbox off".to_string()));
        }
        std::thread::sleep(LOOK);
    }
}

/// Has the calling thread, which is in the sandbox, filtered as one of this `role` too.
pub fn narrow(role: Role) {
    // It is no wider without: it has its parent's filters.
    let _ = ORDERS.get().map(|orders| orders.kernel.filter(role));
}
