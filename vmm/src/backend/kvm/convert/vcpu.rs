//! Reading and writing a vCPU.

use fencepost_softcpu::state::CpuState;
use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

use super::super::host_error;
use super::{VcpuState, XsaveArea, apic, msrs};
use crate::error::HostError;

fn unread(what: &str) -> impl FnOnce(kvm_ioctls::Error) -> HostError + '_ {
    move |error| host_error(&format!("the CPU's {what} cannot be read"), error)
}

fn refused(what: &str) -> impl FnOnce(kvm_ioctls::Error) -> HostError + '_ {
    move |error| host_error(&format!("it refuses the CPU's {what}"), error)
}

fn list(entries: &[kvm_msr_entry]) -> Result<Msrs, HostError> {
    Msrs::from_entries(entries).map_err(|e| host_error("too many MSRs", format!("{e:?}")))
}

/// Reads MSRs by their numbers.
pub fn get_msrs(fd: &VcpuFd, indices: impl Iterator<Item = u32>) -> Result<Vec<kvm_msr_entry>, HostError> {
    let wanted: Vec<_> = indices.map(|index| kvm_msr_entry { index, ..kvm_msr_entry::default() }).collect();
    let mut msrs = list(&wanted)?;
    let count = fd.get_msrs(&mut msrs).map_err(unread("MSRs"))?;
    match wanted.get(count) {
        None => Ok(msrs.as_slice().to_vec()),
        Some(missing) => Err(host_error("an MSR cannot be read", format!("{:#x}", missing.index))),
    }
}

/// Writes MSRs, in order.
pub fn set_msrs(fd: &VcpuFd, entries: &[kvm_msr_entry]) -> Result<(), HostError> {
    let count = fd.set_msrs(&list(entries)?).map_err(refused("MSRs"))?;
    match entries.get(count) {
        None => Ok(()),
        Some(entry) => {
            Err(host_error("it refuses an MSR", format!("{:#x} = {:#x}", entry.index, entry.data)))
        }
    }
}

impl VcpuState {
    /// Everything that KVM reports of a vCPU. An exit for a port or a device is complete only when the vCPU
    /// has been entered again: until then its effect is not part of it.
    pub fn get(fd: &VcpuFd) -> Result<Self, HostError> {
        Ok(VcpuState {
            regs: fd.get_regs().map_err(unread("registers"))?,
            sregs: fd.get_sregs().map_err(unread("system registers"))?,
            debug: fd.get_debug_regs().map_err(unread("debug registers"))?,
            xsave: XsaveArea::from_kvm(&fd.get_xsave().map_err(unread("FPU"))?),
            msrs: get_msrs(fd, msrs::indices())?,
            lapic: fd.get_lapic().map_err(unread("local APIC"))?,
            events: fd.get_vcpu_events().map_err(unread("pending events"))?,
            run_state: fd.get_mp_state().map_err(unread("run state"))?,
            retired: 0,
        })
    }

    /// Makes the vCPU this, time apart: whoever moves a machine has set what its counter reads.
    pub fn set(&self, fd: &VcpuFd) -> Result<(), HostError> {
        // APIC base first: it says what the APIC's page and the deadline mean. Events last: setting registers drops
        // exceptions that wait.
        fd.set_sregs(&self.sregs).map_err(refused("system registers"))?;
        fd.set_regs(&self.regs).map_err(refused("registers"))?;
        self.set_fpu(fd)?;
        let (last, stored) = self.stored_msrs();
        set_msrs(fd, &stored)?;
        fd.set_lapic(&self.lapic).map_err(refused("local APIC"))?;
        set_msrs(fd, &last)?;
        fd.set_debug_regs(&self.debug).map_err(refused("debug registers"))?;
        fd.set_mp_state(self.run_state).map_err(refused("run state"))?;
        fd.set_vcpu_events(&self.events).map_err(refused("pending events"))
    }

    /// The deadline by itself, and the other MSRs without the counter.
    fn stored_msrs(&self) -> (Vec<kvm_msr_entry>, Vec<kvm_msr_entry>) {
        let kept = self.msrs.iter().filter(|entry| !msrs::is_time(entry));
        kept.partition(|entry| msrs::is_deadline(entry))
    }

    fn set_fpu(&self, fd: &VcpuFd) -> Result<(), HostError> {
        // SAFETY: the structure has the 4096 bytes that KVM reads; more it asks for only after a process has been
        // permitted larger components (AMX), which this one never requests.
        unsafe { fd.set_xsave(&self.xsave.to_kvm()) }.map_err(refused("FPU"))
    }

    /// Brings the vCPU, which is at this state and so at `was`, to `state`. Of the FPU what is not understood stays.
    pub fn change(&self, fd: &VcpuFd, was: &CpuState, state: &CpuState) -> Result<(), HostError> {
        let mut wanted = VcpuState::from_cpu(state);
        wanted.xsave = self.xsave.clone();
        if state.fpu != was.fpu {
            wanted.xsave.put(&state.fpu);
        }
        wanted.update(fd, self)
    }

    /// Brings the vCPU, which is at `before`, to this state, touching only what differs: time and the local APIC stay
    /// undisturbed unless this state says otherwise.
    pub fn update(&self, fd: &VcpuFd, before: &VcpuState) -> Result<(), HostError> {
        if self.sregs != before.sregs {
            fd.set_sregs(&self.sregs).map_err(refused("system registers"))?;
        }
        fd.set_regs(&self.regs).map_err(refused("registers"))?;
        if self.xsave != before.xsave {
            self.set_fpu(fd)?;
        }
        let changed: Vec<_> =
            self.msrs.iter().zip(&before.msrs).filter(|(new, old)| new != old).map(|(new, _)| *new).collect();
        if apic::differ(&self.lapic, &before.lapic) {
            fd.set_lapic(&self.lapic).map_err(refused("local APIC"))?;
        }
        if !changed.is_empty() {
            set_msrs(fd, &changed)?;
        }
        if self.debug != before.debug {
            fd.set_debug_regs(&self.debug).map_err(refused("debug registers"))?;
        }
        if self.run_state != before.run_state {
            fd.set_mp_state(self.run_state).map_err(refused("run state"))?;
        }
        fd.set_vcpu_events(&self.events).map_err(refused("pending events"))
    }
}
