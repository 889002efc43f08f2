//! vCPUs of KVM's under a debugger. It works on the thread of one of them while all stand still ([`super::standing`]), with the machine's
//! lock: devices stand still too, but the host's clock goes on, and with it the guest's.

use std::sync::atomic::{AtomicBool, Ordering};

use fencepost_softcpu::stops::Stops;

use super::convert::VcpuState;
use super::shared::Shared;
use super::standing::{Desk, GoesOn};
use super::threads::complete;
use super::vcpu::Vcpu;
use crate::backend::End;
use crate::debug::{Attached, Most, Order, Stopped, Why};
use crate::error::HostError;
use crate::machine::GuestEnd;

/// A debugger, and how far it is with the machine.
pub struct Debugged {
    /// The debugger.
    pub debugger: Attached,
    begun: AtomicBool,
    failed: AtomicBool,
}

impl Debugged {
    /// With `debugger`.
    pub fn new(debugger: Attached) -> Self {
        Debugged { debugger, begun: AtomicBool::new(false), failed: AtomicBool::new(false) }
    }

    /// Whether it has seen the machine before its first instruction.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }
}

/// What the thread of a vCPU works with.
struct ThreadsDesk<'a> {
    shared: &'a Shared<'a>,
    debugged: &'a Debugged,
    cpu: u32,
    most: Most,
}

impl Desk for ThreadsDesk<'_> {
    fn kick(&self, cpu: usize) {
        self.shared.links[cpu].kick.send();
    }

    fn is_over(&self) -> bool {
        self.shared.ending.is_over()
    }

    fn holds(&self, why: Why) -> bool {
        match why {
            Why::Called => self.debugged.debugger.calls(),
            Why::Failed => self.shared.with(|machine| machine.end() == Some(&GuestEnd::Panicked)),
            _ => true,
        }
    }

    fn attend(&self, why: Why, cpus: &mut Stopped) -> (Order, Stops) {
        let Debugged { debugger, failed, .. } = self.debugged;
        let (end, answer) = self.shared.on(self.cpu, |machine| {
            let mut debugger = debugger.get();
            let left = failed.load(Ordering::SeqCst) && machine.has_panicked() && !debugger.is_there();
            if why == Why::Failed && left {
                return (Some(End::Guest(GuestEnd::Panicked)), (Order::Run, debugger.stops()));
            }
            failed.fetch_or(why == Why::Failed, Ordering::SeqCst);
            debugger.limit(self.most);
            let order = debugger.attend(why, cpus, machine);
            machine.pass_failure();
            let end = if let Order::End(reason) = order { Some(End::Host(reason)) } else { None };
            (end, (order, debugger.stops()))
        });
        self.shared.pass_failure();
        if let Some(end) = end {
            self.shared.ending.finish_by(self.cpu, Ok(end));
        }
        answer
    }
}

impl Vcpu {
    /// Whether the vCPU is to stand still now.
    pub(super) fn must_stand(&self, shared: &Shared<'_>) -> bool {
        let cpu = self.number;
        shared.debugged.is_some_and(|it| {
            shared.standing.is_wanted(cpu as usize) || it.debugger.calls() || shared.failure_is_of(cpu)
        })
    }

    /// Why it is this one that the debugger is to look at, if it is.
    pub(super) fn why_to_stand(&self, shared: &Shared<'_>) -> Option<Why> {
        let debugged = shared.debugged?;
        if self.number == 0 && !debugged.begun.swap(true, Ordering::SeqCst) {
            return Some(Why::Start);
        }
        if shared.has_failed(self.number) {
            return Some(Why::Failed);
        }
        debugged.debugger.calls().then_some(Why::Called)
    }

    /// Stands still while the debugger works, if there is one: for this reason, or because others do.
    pub(super) fn stand(&mut self, why: Option<Why>, shared: &Shared<'_>) -> Result<(), HostError> {
        let Some(debugged) = shared.debugged else { return Ok(()) };
        if why != Some(Why::Dying) {
            complete(self, shared)?;
        }
        let before = VcpuState::get(&self.fd)?;
        let original = before.to_cpu();
        let (cpu, most) = (self.number, self.breakpoints.most());
        let desk = ThreadsDesk { shared, debugged, cpu, most };
        let GoesOn { state, stops, step } = shared.standing.stand(cpu as usize, why, original.clone(), &desk);
        if state != original {
            before.change(&self.fd, &original, &state)?;
        }
        // The time until now is nobody's fault.
        shared.links[cpu as usize].goes_on();
        self.breakpoints.want(stops, step);
        self.follow_page_faults_beside(shared)
    }
}
