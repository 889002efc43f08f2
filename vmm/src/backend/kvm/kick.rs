//! How a thread makes a vCPU's thread leave the guest, or not enter it.
//!
//! Whoever kicks sets a flag for the vCPU's thread to find (what is wanted of it), then [`Kick::send`]s: that sets
//! `immediate_exit` in the page that the vCPU shares with the kernel, then sends the thread a signal. The thread, before
//! it enters the guest, [`Kick::clear`]s `immediate_exit` and then looks at the flags. A kick before the clearing is found
//! among the flags; one after it makes KVM_RUN return at once; one during KVM_RUN interrupts it. None is lost.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use super::host_error;
use super::run_area::RunArea;
use crate::error::HostError;

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Reaches one vCPU's thread, whichever that is.
pub struct Kick {
    area: RunArea,
    /// The thread between [`Kick::attach`] and the end of what that gave.
    thread: Mutex<Option<libc::pthread_t>>,
    signal: libc::c_int,
}

impl Kick {
    /// The kick of the vCPU with this descriptor.
    pub fn new(fd: &VcpuFd) -> Result<Self, HostError> {
        let signal = SIGRTMIN();
        register_signal_handler(signal, ignore).map_err(|e| host_error("no signal can be used", e))?;
        let area = RunArea::map(fd, size_of::<kvm_run>())
            .map_err(|e| host_error("the CPU's page cannot be mapped", e))?;
        Ok(Kick { area, thread: Mutex::new(None), signal })
    }

    fn thread(&self) -> MutexGuard<'_, Option<libc::pthread_t>> {
        self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes the calling thread the one that is kicked, for as long as the result lives.
    pub fn attach(&self) -> Attached<'_> {
        // SAFETY: pthread_self has no preconditions.
        *self.thread() = Some(unsafe { libc::pthread_self() });
        Attached(self)
    }

    /// Makes the vCPU's thread leave the guest soon, and at the latest look at its flags before it enters it again.
    pub fn send(&self) {
        self.area.immediate_exit().store(1, Ordering::SeqCst);
        let thread = self.thread();
        if let Some(thread) = *thread {
            // SAFETY: the thread detaches itself under the lock that is held here before it ends, so it exists.
            unsafe { libc::pthread_kill(thread, self.signal) };
        }
    }

    /// For the vCPU's thread: to be called before it looks at its flags and enters the guest.
    pub fn clear(&self) {
        self.area.immediate_exit().store(0, Ordering::SeqCst);
    }

    /// For the vCPU's thread: the next entry only completes the exit before it, and returns.
    pub fn only_complete(&self) {
        self.area.immediate_exit().store(1, Ordering::SeqCst);
    }
}

/// A thread that can be kicked.
pub struct Attached<'a>(&'a Kick);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        *self.0.thread() = None;
    }
}
