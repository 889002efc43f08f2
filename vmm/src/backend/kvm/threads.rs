//! The vCPUs' threads: each enters the guest again and again until the run is over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::exits::Step;
use super::kick::Kick;
use super::shared::Shared;
use super::tsc;
use super::vcpu::Vcpu;
use super::watch::View;
use crate::backend::End;
use crate::debug::Why;
use crate::error::HostError;
use crate::machine::GuestEnd;

/// What the event loop and one vCPU's thread have to do with each other.
pub struct Link {
    /// Makes the thread leave the guest.
    pub kick: Kick,
    /// Exits that the guest made.
    exits: AtomicU64,
    /// A look at the vCPU is wanted.
    wanted: AtomicBool,
    /// What the thread saw.
    view: Mutex<Option<View>>,
}

impl Link {
    /// The link to the thread of `vcpu`.
    pub fn new(vcpu: &Vcpu) -> Result<Self, HostError> {
        let (exits, wanted, view) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None));
        Ok(Link { kick: vcpu.kick()?, exits, wanted, view })
    }

    /// Exits that the guest made so far; those that the host forced do not count.
    pub fn exits(&self) -> u64 {
        self.exits.load(Ordering::Relaxed)
    }

    fn view(&self) -> MutexGuard<'_, Option<View>> {
        self.view.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// An exit was handled, or something else that shows that nothing is wrong.
    pub fn goes_on(&self) {
        self.exits.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the thread look at its vCPU, and tell [`Shared::looked`].
    pub fn ask(&self) {
        *self.view() = None;
        self.wanted.store(true, Ordering::SeqCst);
        self.kick.send();
    }

    /// What the thread saw, once it did.
    pub fn seen(&self) -> Option<View> {
        *self.view()
    }

    /// For the thread: looks, if that is wanted.
    fn answer(&self, vcpu: &Vcpu, shared: &Shared<'_>) -> Result<(), HostError> {
        if self.wanted.swap(false, Ordering::SeqCst) {
            if vcpu.number == 0 {
                let (offset, within) = tsc::bounded_offset(&vcpu.fd)?;
                shared.with(|machine| machine.guest_counter_is(offset, within));
            }
            *self.view() = Some(View::of(&vcpu.state()?));
            // Fails only when the count is full: then it is readable all the same.
            let _ = shared.looked.write(1);
        }
        Ok(())
    }
}

/// Ends the run should the thread end without having said why: a bug must not leave the event loop waiting.
struct Sentinel<'a, 'b>(&'a Shared<'b>);

impl Drop for Sentinel<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ending.finish(Err(HostError::Host("a vCPU's thread panicked".into())));
        }
    }
}

/// The body of the thread of `vcpu`.
pub fn run(vcpu: &mut Vcpu, shared: &Shared<'_>) {
    let _sentinel = Sentinel(shared);
    let link = &shared.links[vcpu.number as usize];
    let _attached = link.kick.attach();
    match until_over(vcpu, link, shared).and_then(|()| complete(vcpu, shared)) {
        Ok(()) => {}
        Err(error) => shared.ending.finish(Err(error)),
    }
}

fn until_over(vcpu: &mut Vcpu, link: &Link, shared: &Shared<'_>) -> Result<(), HostError> {
    loop {
        link.kick.clear();
        if shared.ending.is_over() {
            return Ok(());
        }
        link.answer(vcpu, shared)?;
        if vcpu.must_stand(shared) {
            let why = vcpu.why_to_stand(shared);
            vcpu.stand(why, shared)?;
            continue;
        }
        match vcpu.step(shared)? {
            Step::Handled => {
                shared.settle();
                link.goes_on();
            }
            Step::Interrupted => {}
            Step::Stands(why) => vcpu.stand(Some(why), shared)?,
            Step::Ended(end) => {
                if end == GuestEnd::TripleFault {
                    vcpu.stand(Some(Why::Dying), shared)?;
                }
                shared.ending.finish_by(vcpu.number, Ok(End::Guest(end)));
                return Ok(());
            }
        }
    }
}

/// Completes the last exit, so that the vCPU's state is whole: KVM finishes a port or memory access only when the guest is
/// entered again.
pub(super) fn complete(vcpu: &mut Vcpu, shared: &Shared<'_>) -> Result<(), HostError> {
    let kick = &shared.links[vcpu.number as usize].kick;
    kick.only_complete();
    while vcpu.step(shared)? == Step::Handled {
        kick.only_complete();
    }
    Ok(())
}
