//! Interrupt delivery by the host kernel's APICs.

use std::sync::Arc;

use fencepost_devices::pci::MsiWrite;
use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::ioapic::IoApicState;
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;

use super::convert::ioapic;
use super::routes::Routes;
use crate::error::HostError;
use crate::machine::irq::InterruptController;

/// The host kernel's APICs.
pub struct KernelInterrupts {
    vm: Arc<VmFd>,
    routes: Routes,
}

impl KernelInterrupts {
    /// The APICs of `vm`.
    pub fn new(vm: Arc<VmFd>) -> Self {
        KernelInterrupts { routes: Routes::new(Arc::clone(&vm)), vm }
    }
}

impl InterruptController for KernelInterrupts {
    fn msi(&mut self, message: MsiWrite) {
        if self.routes.send(&message) {
            return;
        }
        // A message that means nothing is lost, as on a bus.
        if InterruptMessage::from_msi(message.address, message.data).is_some() {
            let message = kvm_msi {
                address_lo: message.address as u32,
                address_hi: (message.address >> 32) as u32,
                data: message.data,
                ..kvm_msi::default()
            };
            // An error here is that no APIC took it: the guest has them off, and on a bus it would be lost too.
            let _ = self.vm.signal_msi(message);
        }
    }

    fn follow(&mut self, open: &dyn Fn() -> Vec<MsiWrite>) {
        self.routes.follow(&open());
    }

    fn pulse(&mut self, gsi: u32) {
        [true, false].into_iter().for_each(|asserted| self.set_line(gsi, asserted));
    }

    fn set_line(&mut self, gsi: u32, asserted: bool) {
        // Fails only without in-kernel APICs, which `KvmBackEnd::new` made.
        let _ = self.vm.set_irq_line(gsi, asserted);
    }

    // The guest's accesses to the I/O APIC end in the host's kernel and never come here.
    fn read(&mut self, _offset: u64) -> u32 {
        u32::MAX
    }

    fn write(&mut self, _offset: u64, _value: u32) {}

    fn end_of_interrupt(&mut self, _vector: u8) {}

    fn waiting(&self) -> bool {
        false
    }

    fn take(&mut self) -> Option<MsiWrite> {
        None
    }

    fn save(&mut self) -> Result<IoApicState, HostError> {
        // Taking the eventfds away waits for those whose interrupt is still on its way.
        self.routes = Routes::new(Arc::clone(&self.vm));
        ioapic::get(&self.vm)
    }
}
