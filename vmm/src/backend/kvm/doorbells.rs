//! Doorbells that the guest rings without leaving: an ioeventfd for each, wherever its BAR is.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use fencepost_devices::function::Doorbell;
use fencepost_devices::pci::PlacedDoorbell;
use kvm_ioctls::VmFd;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{host_error, ioctls};
use crate::error::HostError;
use crate::machine::Machine;
use crate::machine::recent::ExitKind;

/// A doorbell that needs a value is rung as often as it was written, since the function may count; but a guest cannot
/// have the machine ring for ever.
const RINGS_MAX: u64 = 64;

/// One doorbell.
struct Bell {
    event: EventFd,
    bytes: u8,
    value: Option<u32>,
    /// Where KVM watches for it.
    gpa: Option<u64>,
}

/// The doorbells of a machine, to be used under its lock.
pub struct Doorbells {
    vm: Arc<VmFd>,
    bells: Vec<Bell>,
    /// For [`rung`](Self::rung): the same doorbells.
    polled: Vec<libc::pollfd>,
    /// The bus's revision that KVM was told of.
    revision: Option<u64>,
}

impl Doorbells {
    /// The doorbells of `machine`, none of them watched yet.
    pub fn new(vm: Arc<VmFd>, machine: &Machine) -> Result<Self, HostError> {
        let make = |placed: &PlacedDoorbell| {
            let event = EventFd::new(EFD_NONBLOCK).map_err(|e| host_error("no eventfd for a doorbell", e))?;
            let Doorbell { bytes, value, .. } = placed.bell;
            Ok(Bell { event, bytes, value, gpa: None })
        };
        let bells = machine.doorbells().iter().map(make).collect::<Result<Vec<Bell>, HostError>>()?;
        let poll =
            |bell: &Bell| libc::pollfd { fd: bell.event.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let polled = bells.iter().map(poll).collect();
        Ok(Doorbells { vm, bells, polled, revision: None })
    }

    /// The descriptors to wait for: always the same ones.
    pub fn events(&self) -> Result<Vec<EventFd>, HostError> {
        let clone = |bell: &Bell| bell.event.try_clone().map_err(|e| host_error("too many descriptors", e));
        self.bells.iter().map(clone).collect()
    }

    /// Has KVM watch where the doorbells are now. One that KVM refuses to watch is an ordinary register: the guest leaves
    /// for it.
    pub fn follow(&mut self, machine: &Machine) {
        if self.revision == Some(machine.bus_revision()) {
            return;
        }
        self.revision = Some(machine.bus_revision());
        let placed = machine.doorbells();
        for (bell, placed) in self.bells.iter_mut().zip(&placed) {
            if bell.gpa != placed.gpa {
                bell.unwatch(&self.vm);
            }
        }
        // Only now: two that change places would be in each other's way.
        for (bell, placed) in self.bells.iter_mut().zip(&placed) {
            if let (None, Some(gpa)) = (bell.gpa, placed.gpa) {
                bell.watch(&self.vm, gpa);
            }
        }
    }

    /// Whether any may have been rung. One call for all of them: it is on the way of every exit.
    fn rung(&mut self) -> bool {
        // SAFETY: the pointer and the count are of one live vector, whose descriptors the bells keep open.
        let ready = unsafe { libc::poll(self.polled.as_mut_ptr(), self.polled.len() as libc::nfds_t, 0) };
        // Negative: a signal waits for this thread, and nobody has looked.
        ready != 0
    }

    /// Gives the machine the writes that rang a doorbell since the last call.
    pub fn ring(&mut self, machine: &mut Machine) {
        if !self.rung() {
            return;
        }
        for bell in &self.bells {
            // Reading a counter that is zero fails at once.
            let (Ok(count), Some(gpa)) = (bell.event.read(), bell.gpa) else { continue };
            let rings = if bell.value.is_some() { count.min(RINGS_MAX) } else { 1 };
            if bell.value.is_some() {
                machine.doorbells_unheard(count.saturating_sub(rings));
            }
            for _ in 0..rings {
                let data = bell.value.unwrap_or(0).to_le_bytes();
                let data = data.get(..usize::from(bell.bytes)).unwrap_or(&data);
                machine.note(ExitKind::Doorbell, gpa, data);
                machine.write_mmio(gpa, data);
            }
        }
    }
}

impl Bell {
    fn watch(&mut self, vm: &VmFd, gpa: u64) {
        if ioctls::ioeventfd(vm, &self.event, gpa, self.bytes, self.value, true).is_ok() {
            self.gpa = Some(gpa);
        }
    }

    fn unwatch(&mut self, vm: &VmFd) {
        if let Some(gpa) = self.gpa.take() {
            // What was registered with the same arguments can be withdrawn.
            let _ = ioctls::ioeventfd(vm, &self.event, gpa, self.bytes, self.value, false);
        }
    }
}

impl Drop for Doorbells {
    fn drop(&mut self) {
        for bell in &mut self.bells {
            bell.unwatch(&self.vm);
        }
    }
}
