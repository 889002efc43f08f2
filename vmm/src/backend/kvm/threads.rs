//! The vCPUs' threads: each enters the guest again and again until the run is over.

use super::exits::Step;
use super::kick::Kick;
use super::shared::Shared;
use super::vcpu::Vcpu;
use crate::backend::End;
use crate::error::HostError;

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
pub fn run(vcpu: &mut Vcpu, kick: &Kick, shared: &Shared<'_>) {
    let _sentinel = Sentinel(shared);
    let _attached = kick.attach();
    match until_over(vcpu, kick, shared).and_then(|()| complete(vcpu, kick, shared)) {
        Ok(()) => {}
        Err(error) => shared.ending.finish(Err(error)),
    }
}

fn until_over(vcpu: &mut Vcpu, kick: &Kick, shared: &Shared<'_>) -> Result<(), HostError> {
    loop {
        kick.clear();
        if shared.ending.is_over() {
            return Ok(());
        }
        if let Step::Ended(end) = vcpu.step(shared)? {
            shared.ending.finish(Ok(End::Guest(end)));
            return Ok(());
        }
    }
}

/// Completes the last exit, so that the vCPU's state is whole: KVM finishes a port or memory access only when the guest is
/// entered again.
fn complete(vcpu: &mut Vcpu, kick: &Kick, shared: &Shared<'_>) -> Result<(), HostError> {
    kick.only_complete();
    while vcpu.step(shared)? == Step::Handled {
        kick.only_complete();
    }
    Ok(())
}
