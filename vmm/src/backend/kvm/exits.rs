//! Why a vCPU left the guest, and what is done about it. Every exit is recorded before it is handled, so that what it
//! brings about stands behind it in the trace; what is noted for a dump has an access where the software CPU's bus has it.

use fencepost_softcpu::apic::IA32_TSC_DEADLINE;
use fencepost_softcpu::one::Outcome;
use fencepost_time::Tsc;
use fencepost_trace::ExitReason;
use kvm_ioctls::VcpuExit;

use super::assist::Assistant;
use super::host_error;
use super::run_area::PortAccess;
use super::shared::Shared;
use super::vcpu::Vcpu;
use crate::debug::Why;
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
    /// It stands where a debugger wants it to.
    Stands(Why),
    /// The guest ended.
    Ended(GuestEnd),
}

impl PortAccess<'_> {
    fn last_element(&self) -> &[u8] {
        &self.data[self.data.len().saturating_sub(self.size)..]
    }

    fn make(&mut self, machine: &mut Machine) {
        let port = self.port;
        if self.write {
            machine.note(ExitKind::PortWrite, port.into(), self.last_element());
            self.data.chunks_exact(self.size).for_each(|element| machine.write_port(port, element));
        } else {
            self.data.chunks_exact_mut(self.size).for_each(|element| machine.read_port(port, element));
            machine.note(ExitKind::PortRead, port.into(), self.last_element());
        }
    }
}

impl Vcpu {
    /// Enters the guest once and handles its exit.
    pub fn step(&mut self, shared: &Shared<'_>) -> Result<Step, HostError> {
        let cpu = self.number;
        let inside = shared.turnstile.enter(cpu);
        let exit = self.fd.run();
        drop(inside);
        match exit {
            Ok(VcpuExit::IoIn(port, _) | VcpuExit::IoOut(port, _)) => {
                let Some(mut access) = self.area.port_access() else {
                    let why = "KVM reports port data outside the memory it shares".to_owned();
                    return Ok(self.stopped(shared, ExitReason::Port, GuestEnd::Unrunnable(why)));
                };
                shared.on(cpu, |machine| {
                    machine.record_exit(ExitReason::Port, port.into());
                    access.make(machine);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioRead(gpa, data)) => {
                shared.on(cpu, |machine| {
                    machine.record_exit(ExitReason::Mmio, gpa);
                    machine.read_mmio(gpa, data);
                    machine.note(ExitKind::MmioRead, gpa, data);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::MmioWrite(gpa, data)) => {
                shared.on(cpu, |machine| {
                    machine.record_exit(ExitReason::Mmio, gpa);
                    machine.note(ExitKind::MmioWrite, gpa, data);
                    machine.write_mmio(gpa, data);
                });
                Ok(Step::Handled)
            }
            Ok(VcpuExit::Shutdown) => Ok(self.stopped(shared, ExitReason::Shutdown, GuestEnd::TripleFault)),
            Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => Ok(interrupted(shared, cpu)),
            Ok(VcpuExit::InternalError) => self.internal_error(shared),
            Ok(VcpuExit::X86Wrmsr(write)) => {
                let (index, deadline) = (write.index, write.data);
                // Nothing else is filtered.
                *write.error = u8::from(index != IA32_TSC_DEADLINE);
                shared.on(cpu, |machine| machine.record_exit(ExitReason::Other, index.into()));
                self.pacing.on_deadline(&self.fd, Tsc(deadline), self.tsc_hz())?;
                Ok(Step::Handled)
            }
            Ok(VcpuExit::Debug(exit)) => {
                let stop = self.breakpoints.met(exit.dr6, exit.pc);
                stop.map_or_else(|| self.page_fault(shared), |why| Ok(Step::Stands(why)))
            }
            Ok(exit) => {
                let why = format!("KVM stopped for an unforeseen reason: {exit:?}");
                Ok(self.stopped(shared, ExitReason::Other, GuestEnd::Unrunnable(why)))
            }
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                Ok(interrupted(shared, cpu))
            }
            Err(error) => Err(host_error("the guest cannot be entered", error)),
        }
    }

    /// KVM will not go on with this guest.
    fn stopped(&self, shared: &Shared<'_>, reason: ExitReason, end: GuestEnd) -> Step {
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        shared.on(self.number, |machine| {
            machine.record_exit(reason, rip);
            machine.note(ExitKind::Stop, rip, &[]);
        });
        Step::Ended(end)
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
        self.assisted(shared, None)
    }

    /// It stands at the breakpoint on its page-fault handler: completes the SYSCALL that led there, or passes the breakpoint.
    fn page_fault(&mut self, shared: &Shared<'_>) -> Result<Step, HostError> {
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        let assistant = self.assistant.get_or_insert_with(|| Assistant::new(&self.memory, self.cpuid));
        // Another vCPU's assistant may not write meanwhile what this reads.
        let inside = shared.turnstile.enter(self.number);
        let completed = assistant.complete_syscall(&self.fd, &self.memory)?;
        drop(inside);
        if completed {
            shared.on(self.number, |machine| note_assist(machine, rip));
            self.follow_page_faults_beside(shared)?;
            return Ok(Step::Handled);
        }
        self.assisted(shared, Some("page fault"))
    }

    /// Has the software CPU execute an instruction on the vCPU's state, with guest memory for itself.
    fn assisted(&mut self, shared: &Shared<'_>, what: Option<&str>) -> Result<Step, HostError> {
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        let assistant = self.assistant.get_or_insert_with(|| Assistant::new(&self.memory, self.cpuid));
        let alone = shared.alone();
        let outcome = shared.on(self.number, |machine| {
            note_assist(machine, rip);
            assistant.assist(&self.fd, machine, what)
        })?;
        drop(alone);
        self.follow_page_faults_beside(shared)?;
        Ok(match outcome {
            Outcome::Retired | Outcome::Raised(_) => Step::Handled,
            Outcome::TripleFault => Step::Ended(GuestEnd::TripleFault),
        })
    }
}

fn note_assist(machine: &mut Machine, rip: u64) {
    machine.record_exit(ExitReason::Assist, rip);
    machine.note(ExitKind::Assist, rip, &[]);
}

fn interrupted(shared: &Shared<'_>, cpu: u32) -> Step {
    shared.on(cpu, |machine| machine.record_exit(ExitReason::Kick, 0));
    Step::Interrupted
}
