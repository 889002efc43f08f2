//! How a thread makes a vCPU's thread leave the guest, or not enter it.
//!
//! Whoever kicks sets a flag for the vCPU's thread to find (what is wanted of it), then [`Kick::send`]s: that sets
//! `immediate_exit` in the page that the vCPU shares with the kernel, then sends the thread a signal. The thread, before
//! it enters the guest, [`Kick::clear`]s `immediate_exit` and then looks at the flags. A kick before the clearing is found
//! among the flags; one after it makes KVM_RUN return at once; one during KVM_RUN interrupts it. None is lost.

use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard};

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use super::host_error;
use crate::error::HostError;

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// A second mapping of the first page that a vCPU shares with the kernel: kvm-ioctls keeps the first to itself.
struct SharedPage(*mut libc::c_void);

const PAGE_BYTES: usize = 4096;

// SAFETY: only one byte of the page is touched, as an atomic.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    fn map(fd: &VcpuFd) -> std::io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), PAGE_BYTES, access, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if at == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(SharedPage(at)) }
    }

    fn immediate_exit(&self) -> &AtomicU8 {
        // SAFETY: the byte is inside the mapped page, which lives as long as `self`; the kernel only reads it.
        unsafe { AtomicU8::from_ptr(self.0.cast::<u8>().add(offset_of!(kvm_run, immediate_exit))) }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is this structure's own, and no reference into it outlives the structure.
        unsafe { libc::munmap(self.0, PAGE_BYTES) };
    }
}

/// Reaches one vCPU's thread, whichever that is.
pub struct Kick {
    page: SharedPage,
    /// The thread between [`Kick::attach`] and the end of what that gave.
    thread: Mutex<Option<libc::pthread_t>>,
    signal: libc::c_int,
}

impl Kick {
    /// The kick of the vCPU with this descriptor.
    pub fn new(fd: &VcpuFd) -> Result<Self, HostError> {
        let signal = SIGRTMIN();
        register_signal_handler(signal, ignore).map_err(|e| host_error("no signal can be used", e))?;
        let page = SharedPage::map(fd).map_err(|e| host_error("the CPU's page cannot be mapped", e))?;
        Ok(Kick { page, thread: Mutex::new(None), signal })
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
        self.page.immediate_exit().store(1, Ordering::SeqCst);
        let thread = self.thread();
        if let Some(thread) = *thread {
            // SAFETY: the thread detaches itself under the lock that is held here before it ends, so it exists.
            unsafe { libc::pthread_kill(thread, self.signal) };
        }
    }

    /// For the vCPU's thread: to be called before it looks at its flags and enters the guest.
    pub fn clear(&self) {
        self.page.immediate_exit().store(0, Ordering::SeqCst);
    }

    /// For the vCPU's thread: the next entry only completes the exit before it, and returns.
    pub fn only_complete(&self) {
        self.page.immediate_exit().store(1, Ordering::SeqCst);
    }
}

/// A thread that can be kicked.
pub struct Attached<'a>(&'a Kick);

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        *self.0.thread() = None;
    }
}
