//! Why a vCPU left the guest, and what is done about it.

use fencepost_softcpu::apic::IA32_TSC_DEADLINE;
use fencepost_softcpu::one::Outcome;
use fencepost_time::Tsc;
use fencepost_trace::ExitReason;
use kvm_bindings::KVM_EXIT_IO_OUT;
use kvm_ioctls::{VcpuExit, VcpuFd};
use vm_memory::GuestMemoryMmap;

use super::assist::Assistant;
use super::host_error;
use super::shared::Shared;
use super::vcpu::Vcpu;
use crate::error::HostError;
use crate::machine::recent::ExitKind;
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
    fn last_element(&self) -> &[u8] {
        &self.data[self.data.len().saturating_sub(self.size)..]
    }

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
                    let kind = if access.write { ExitKind::PortWrite } else { ExitKind::PortRead };
                    let noted = Some((kind, access.last_element()));
                    passed(machine, ExitReason::Port, port.into(), noted);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioRead(gpa, data)) => {
                shared.with(|machine| {
                    machine.read_mmio(gpa, data);
                    passed(machine, ExitReason::Mmio, gpa, Some((ExitKind::MmioRead, data)));
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioWrite(gpa, data)) => {
                shared.with(|machine| {
                    machine.write_mmio(gpa, data);
                    passed(machine, ExitReason::Mmio, gpa, Some((ExitKind::MmioWrite, data)));
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::Shutdown) => Ok(self.stopped(shared, ExitReason::Shutdown, GuestEnd::TripleFault)),
            Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => Ok(interrupted(shared)),
            Ok(VcpuExit::InternalError) => self.internal_error(shared),
            Ok(VcpuExit::X86Wrmsr(write)) => {
                let (index, deadline) = (write.index, write.data);
                // Nothing else is filtered.
                *write.error = u8::from(index != IA32_TSC_DEADLINE);
                self.pacing.on_deadline(&self.fd, Tsc(deadline), self.tsc_hz())?;
                shared.with(|machine| passed(machine, ExitReason::Other, index.into(), None));
                Ok(Step::Handled)
            }
            Ok(VcpuExit::Debug(_)) => self.assisted(shared, Assistant::page_fault),
            Ok(exit) => {
                let why = format!("KVM stopped for an unforeseen reason: {exit:?}");
                Ok(self.stopped(shared, ExitReason::Other, GuestEnd::Unrunnable(why)))
            }
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => Ok(interrupted(shared)),
            Err(error) => Err(host_error("the guest cannot be entered", error)),
        }
    }

    /// KVM will not go on with this guest.
    fn stopped(&self, shared: &Shared<'_>, reason: ExitReason, end: GuestEnd) -> Step {
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        shared.with(|machine| passed(machine, reason, rip, Some((ExitKind::Stop, &[]))));
        Step::Ended(end)
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
    fn internal_error(&mut self, shared: &Shared<'_>) -> Result<Step, HostError> {
        const EMULATION: u32 = 1;
        // SAFETY: after KVM_EXIT_INTERNAL_ERROR this is the member of the union that the kernel filled.
        let suberror = unsafe { self.fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
        if suberror != EMULATION {
            let why = format!("KVM gave up with internal error {suberror}");
            return Ok(self.stopped(shared, ExitReason::Other, GuestEnd::Unrunnable(why)));
        }
        self.assisted(shared, |assistant, fd, _, machine| assistant.assist(fd, machine))
    }

    /// Has the software CPU do something on the vCPU's state.
    fn assisted(
        &mut self,
        shared: &Shared<'_>,
        work: impl FnOnce(&mut Assistant, &VcpuFd, &GuestMemoryMmap, &mut Machine) -> Result<Outcome, HostError>,
    ) -> Result<Step, HostError> {
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        let assistant = self.assistant.get_or_insert_with(|| Assistant::new(&self.memory, self.cpuid));
        let outcome = shared.with(|machine| {
            let outcome = work(assistant, &self.fd, &self.memory, machine);
            passed(machine, ExitReason::Assist, rip, Some((ExitKind::Assist, &[])));
            outcome
        })?;
        self.follow_page_faults()?;
        Ok(match outcome {
            Outcome::Retired | Outcome::Raised(_) => Step::Handled,
            Outcome::TripleFault => Step::Ended(GuestEnd::TripleFault),
        })
    }
}

fn interrupted(shared: &Shared<'_>) -> Step {
    shared.with(|machine| passed(machine, ExitReason::Kick, 0, None));
    Step::Interrupted
}

/// Every exit passes here, after it was handled, with the machine at hand: why it came, at which port, guest-physical
/// address or RIP, and what of it is noted for a dump.
fn passed(machine: &mut Machine, reason: ExitReason, address: u64, noted: Option<(ExitKind, &[u8])>) {
    machine.record_exit(reason, address);
    if let Some((kind, data)) = noted {
        machine.note(kind, address, data);
    }
}
