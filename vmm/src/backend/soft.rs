//! The loop of the software CPU: one thread, virtual time, and nothing else that the guest could see.

use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::bus::{Bus, Exit};
use fencepost_softcpu::state::CpuState;

use super::kvm::assist::Assists;
use super::{BackEnd, End, Ran};
use crate::control::Control;
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};

/// A time stamp (three centuries after the start) that counts as never: a guest that sets its timer to the end of time
/// and halts is as dead as one without a timer, and the counter stays far from wrapping.
const NEVER: u64 = 1 << 63;

/// What the loop needs of a CPU.
pub trait Processor {
    /// Runs until the counter reaches `until_tsc`, or for another of the reasons in [`Exit`].
    fn run(&mut self, bus: &mut dyn Bus, until_tsc: u64) -> Exit;
    /// The time stamp counter.
    fn tsc(&self) -> u64;
    /// Lets idle time pass up to `tsc`.
    fn skip_to(&mut self, tsc: u64);
    /// When the CPU's own timer fires.
    fn next_timer(&self) -> Option<u64>;
    /// Gives the local APIC a message.
    fn deliver(&mut self, message: InterruptMessage);
    /// The whole state.
    fn state(&self) -> CpuState;
    /// Instructions that were not known, by name.
    fn unknown(&self) -> Vec<(String, u64)>;
}

/// The back end around one processor.
pub struct Soft<P> {
    processor: P,
}

impl<P: Processor> Soft<P> {
    /// The back end for a processor that is ready for its first instruction.
    pub fn new(processor: P) -> Self {
        Soft { processor }
    }

    fn turn(&mut self, machine: &mut Machine, control: &Control) -> Option<End> {
        if let Some(reason) = control.attend() {
            return Some(End::Host(reason));
        }
        machine.set_cycles(self.processor.tsc());
        machine.attend_console();
        machine.run_due();
        for message in machine.take_messages() {
            self.processor.deliver(message);
        }
        if let Some(end) = machine.end() {
            return Some(End::Guest(end.clone()));
        }
        let until = machine.cpu_deadline();
        match self.processor.run(machine, until) {
            Exit::Deadline | Exit::Yield | Exit::Stopped => None,
            Exit::Halted => self.idle(machine, control),
            Exit::TripleFault => Some(End::Guest(GuestEnd::TripleFault(Box::new(self.processor.state())))),
        }
    }

    /// The CPU waits: time skips to whatever comes next.
    fn idle(&mut self, machine: &mut Machine, control: &Control) -> Option<End> {
        machine.set_cycles(self.processor.tsc());
        // What the CPU did before it halted may already have brought something.
        if machine.needs_attention() {
            return None;
        }
        machine.flush_console();
        let event = machine.next_event_ns().map(|_| machine.cpu_deadline());
        let next = event.into_iter().chain(self.processor.next_timer()).min().filter(|tsc| *tsc < NEVER);
        match next {
            Some(tsc) => {
                self.processor.skip_to(tsc);
                None
            }
            // Only the console could still wake the guest.
            None if control.wait(None) => None,
            None => Some(End::Guest(GuestEnd::Dead(Box::new(self.processor.state())))),
        }
    }
}

impl<P: Processor> BackEnd for Soft<P> {
    fn run(&mut self, mut machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        let end = loop {
            if let Some(end) = self.turn(&mut machine, control) {
                break end;
            }
        };
        machine.set_cycles(self.processor.tsc());
        let ran = Ran {
            end,
            state: self.processor.state(),
            unknown: self.processor.unknown(),
            assists: Assists::default(),
        };
        Ok((machine, ran))
    }
}

#[cfg(test)]
#[path = "soft_tests.rs"]
mod tests;
