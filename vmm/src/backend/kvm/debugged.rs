//! A vCPU of KVM's under a debugger. It works on the vCPU's own thread, with the machine's lock: devices stand still too, but the host's
//! clock goes on, and with it the guest's.

use std::sync::atomic::Ordering;

use super::convert::VcpuState;
use super::kick::Kick;
use super::shared::Shared;
use super::threads::complete;
use super::vcpu::Vcpu;
use crate::backend::End;
use crate::debug::{Attached, Order, Stopped, Why};
use crate::error::HostError;
use crate::machine::GuestEnd;

/// What a debugger wants of a vCPU.
pub struct Debugged {
    debugger: Attached,
    begun: bool,
    failed: bool,
}

impl Debugged {
    /// Nothing yet.
    pub fn new(debugger: Attached) -> Self {
        Debugged { debugger, begun: false, failed: false }
    }

    /// The debugger.
    pub fn debugger(&self) -> &Attached {
        &self.debugger
    }
}

impl Vcpu {
    /// Why the vCPU is to stand still now, if a debugger wants that.
    pub(super) fn why_to_stand(&mut self, shared: &Shared<'_>) -> Option<Why> {
        let debugged = self.debugged.as_mut()?;
        if !std::mem::replace(&mut debugged.begun, true) {
            return Some(Why::Start);
        }
        if shared.failed.swap(false, Ordering::SeqCst) {
            return Some(Why::Failed);
        }
        debugged.debugger.calls().then_some(Why::Called)
    }

    /// Stands still while the debugger works.
    pub(super) fn stand(&mut self, why: Why, kick: &Kick, shared: &Shared<'_>) -> Result<(), HostError> {
        if why != Why::Dying {
            complete(self, kick, shared)?;
        }
        let Some(debugged) = &mut self.debugged else { return Ok(()) };
        let before = VcpuState::get(&self.fd)?;
        let (fd, breakpoints) = (&self.fd, &mut self.breakpoints);
        let original = before.to_cpu();
        let mut cpus = Stopped { cpus: vec![original.clone()], ..Stopped::default() };
        let (order, goes_on) = shared.with(|machine| {
            let left = debugged.failed && machine.has_panicked() && !debugged.debugger.get().is_there();
            if why == Why::Failed && left {
                return (Order::Run, false);
            }
            debugged.failed |= why == Why::Failed;
            let mut debugger = debugged.debugger.get();
            debugger.limit(breakpoints.most());
            let order = debugger.attend(why, &mut cpus, machine);
            machine.pass_failure();
            breakpoints.want(debugger.stops(), matches!(order, Order::Step(_)));
            (order, true)
        });
        shared.failed.store(false, Ordering::SeqCst);
        let state = &cpus.cpus[0];
        if *state != original {
            let mut wanted = VcpuState::from_cpu(state);
            wanted.xsave = before.xsave.clone();
            if state.fpu != original.fpu {
                wanted.xsave.put(&state.fpu);
            }
            wanted.update(fd, &before)?;
        }
        if let Order::End(reason) = order {
            shared.ending.finish(Ok(End::Host(reason)));
        } else if !goes_on {
            shared.ending.finish(Ok(End::Guest(GuestEnd::Panicked)));
        }
        self.follow_page_faults()
    }
}
