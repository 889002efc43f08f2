//! Why a vCPU left the guest, and what is done about it.

use fencepost_softcpu::one::Outcome;
use fencepost_trace::ExitReason;
use kvm_bindings::KVM_EXIT_IO_OUT;
use kvm_ioctls::VcpuExit;

use super::assist::Assistant;
use super::host_error;
use super::shared::Shared;
use super::vcpu::Vcpu;
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};

/// What one entry into the guest came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// An exit was handled.
    Handled,
    /// The host interrupted the guest: there is no exit to complete.
    Interrupted,
    /// The guest ended.
    Ended(GuestEnd),
}

/// A port access: `count` elements of `size` bytes each, one after the other in `data`.
struct PortAccess<'a> {
    port: u16,
    write: bool,
    size: usize,
    data: &'a mut [u8],
}

impl PortAccess<'_> {
    fn make(&mut self, machine: &mut Machine) {
        for element in self.data.chunks_exact_mut(self.size.max(1)) {
            if self.write {
                machine.write_port(self.port, element);
            } else {
                machine.read_port(self.port, element);
            }
        }
    }
}

impl Vcpu {
    /// Enters the guest once and handles its exit.
    pub fn step(&mut self, shared: &Shared<'_>) -> Result<Step, HostError> {
        match self.fd.run() {
            Ok(VcpuExit::IoIn(port, _) | VcpuExit::IoOut(port, _)) => {
                let mut access = self.port_access();
                shared.with(|machine| {
                    access.make(machine);
                    passed(machine, ExitReason::Port, port.into());
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioRead(gpa, data)) => {
                shared.with(|machine| {
                    machine.read_mmio(gpa, data);
                    passed(machine, ExitReason::Mmio, gpa);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioWrite(gpa, data)) => {
                shared.with(|machine| {
                    machine.write_mmio(gpa, data);
                    passed(machine, ExitReason::Mmio, gpa);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::Shutdown) => {
                shared.with(|machine| passed(machine, ExitReason::Shutdown, 0));
                let state = Box::new(self.state()?);
                Ok(Step::Ended(GuestEnd::TripleFault(state)))
            }
            Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => {
                shared.with(|machine| passed(machine, ExitReason::Kick, 0));
                Ok(Step::Interrupted)
            }
            Ok(VcpuExit::InternalError) => match self.internal_error(shared)? {
                Outcome::Retired | Outcome::Raised(_) => Ok(Step::Handled),
                Outcome::TripleFault => Ok(Step::Ended(GuestEnd::TripleFault(Box::new(self.state()?)))),
            },
            Ok(exit) => {
                let what = format!("{exit:?}");
                Err(host_error("the guest stopped for an unforeseen reason", what))
            }
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                shared.with(|machine| passed(machine, ExitReason::Kick, 0));
                Ok(Step::Interrupted)
            }
            Err(error) => Err(host_error("the guest cannot be entered", error)),
        }
    }

    /// The port access that the vCPU has just left the guest for.
    fn port_access(&mut self) -> PortAccess<'_> {
        let run = self.fd.get_kvm_run();
        // SAFETY: the exit was KVM_EXIT_IO, so this is the member of the union that the kernel filled.
        let io = unsafe { run.__bindgen_anon_1.io };
        let (size, count) = (usize::from(io.size), io.count as usize);
        let start = std::ptr::from_mut(run).cast::<u8>();
        // SAFETY: the kernel puts `count` elements of `size` bytes at this offset, inside what the vCPU shares with it
        // and kvm-ioctls has mapped as a whole; nothing else refers to it while `self.fd` is borrowed.
        let data =
            unsafe { std::slice::from_raw_parts_mut(start.add(io.data_offset as usize), size * count) };
        PortAccess { port: io.port, write: u32::from(io.direction) == KVM_EXIT_IO_OUT, size, data }
    }

    /// KVM gave up: where that is for want of an instruction, the software CPU executes it.
    fn internal_error(&mut self, shared: &Shared<'_>) -> Result<Outcome, HostError> {
        const EMULATION: u32 = 1;
        // SAFETY: after KVM_EXIT_INTERNAL_ERROR this is the member of the union that the kernel filled.
        let suberror = unsafe { self.fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        if suberror != EMULATION {
            return Err(host_error(
                &format!("the guest stopped at rip {rip:#x}"),
                format!("internal error, suberror {suberror}"),
            ));
        }
        let assistant = self.assistant.get_or_insert_with(|| Assistant::new(&self.memory, self.cpuid));
        shared.with(|machine| {
            let outcome = assistant.assist(&self.fd, machine);
            passed(machine, ExitReason::Assist, rip);
            outcome
        })
    }
}

/// Every exit passes here, after it was handled, with the machine at hand.
fn passed(_machine: &mut Machine, _reason: ExitReason, _address: u64) {}
