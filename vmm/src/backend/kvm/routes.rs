//! A way to the local APIC for each sender of messages: an eventfd, a GSI, and a route that is what the guest's table says.

use std::collections::BTreeMap;
use std::sync::Arc;

use fencepost_devices::pci::{MsiSource, MsiWrite};
use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::ioapic::PINS;
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KvmIrqRouting, kvm_irq_routing_entry,
};
use kvm_ioctls::VmFd;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Senders that get an eventfd; KVM's table has room for 4096 routes. More are sent by KVM_SIGNAL_MSI.
const LINES_MAX: usize = 1024;

/// One sender's way.
struct Line {
    gsi: u32,
    event: EventFd,
    /// Where its route leads: address and data. None while the sender is held back.
    route: Option<(u64, u32)>,
}

/// KVM's routing table, and the eventfds that lead into it.
pub struct Routes {
    vm: Arc<VmFd>,
    lines: BTreeMap<MsiSource, Line>,
}

impl Routes {
    /// No sender has a way yet.
    pub fn new(vm: Arc<VmFd>) -> Self {
        Routes { vm, lines: BTreeMap::new() }
    }

    /// Makes the table what `open` says: one message for each sender that is not held back.
    pub fn follow(&mut self, open: &[MsiWrite]) {
        let mut changed = false;
        for (source, line) in &mut self.lines {
            let now = open.iter().find(|message| message.source == *source).and_then(meaning);
            changed |= line.route != now;
            line.route = now;
        }
        for message in open {
            if meaning(message).is_some() && !self.lines.contains_key(&message.source) {
                changed |= self.add(message);
            }
        }
        if changed && self.install().is_err() {
            // Without routes every message goes the slower way.
            self.lines.values_mut().for_each(|line| line.route = None);
        }
    }

    /// Makes a way for a new sender; false when the host has none to give.
    fn add(&mut self, message: &MsiWrite) -> bool {
        if self.lines.len() >= LINES_MAX {
            return false;
        }
        let Ok(event) = EventFd::new(EFD_NONBLOCK) else { return false };
        let gsi = (PINS + self.lines.len()) as u32;
        if self.vm.register_irqfd(&event, gsi).is_err() {
            return false;
        }
        self.lines.insert(message.source, Line { gsi, event, route: meaning(message) });
        true
    }

    /// The table that KVM is to have: the I/O APIC's pins, which keep their numbers, and the senders. KVM's own table also
    /// leads pins to an 8259A, which this machine has not.
    fn entries(&self) -> Vec<kvm_irq_routing_entry> {
        let senders =
            self.lines.values().filter_map(|line| line.route.map(|route| to_sender(line.gsi, route)));
        (0..PINS as u32).map(to_pin).chain(senders).collect()
    }

    fn install(&self) -> Result<(), ()> {
        let table = KvmIrqRouting::from_entries(&self.entries()).map_err(|_| ())?;
        self.vm.set_gsi_routing(&table).map_err(|_| ())
    }

    /// Sends `message` by its sender's eventfd; false if that has no way, or one that leads elsewhere.
    pub fn send(&self, message: &MsiWrite) -> bool {
        let leads_there = |line: &&Line| line.route == Some((message.address, message.data));
        let line = self.lines.get(&message.source).filter(leads_there);
        line.is_some_and(|line| line.event.write(1).is_ok())
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        for line in self.lines.values() {
            // The VM may live on without this machine; nobody else has registered the descriptor.
            let _ = self.vm.unregister_irqfd(&line.event, line.gsi);
        }
    }
}

/// Address and data of a message that means an interrupt. KVM takes any address for the interrupt range.
fn meaning(message: &MsiWrite) -> Option<(u64, u32)> {
    InterruptMessage::from_msi(message.address, message.data).map(|_| (message.address, message.data))
}

fn to_pin(pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry {
        gsi: pin,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        ..kvm_irq_routing_entry::default()
    };
    entry.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
    entry.u.irqchip.pin = pin;
    entry
}

fn to_sender(gsi: u32, (address, data): (u64, u32)) -> kvm_irq_routing_entry {
    let mut entry =
        kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_MSI, ..kvm_irq_routing_entry::default() };
    entry.u.msi.address_lo = address as u32;
    entry.u.msi.address_hi = (address >> 32) as u32;
    entry.u.msi.data = data;
    entry
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
