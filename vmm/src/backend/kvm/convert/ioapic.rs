//! The I/O APIC: what KVM_GET_IRQCHIP and KVM_SET_IRQCHIP carry.

use fencepost_firmware::layout;
use fencepost_softcpu::ioapic::{IoApicState, PINS};
use kvm_bindings::{KVM_IRQCHIP_IOAPIC, kvm_ioapic_state, kvm_irqchip};
use kvm_ioctls::VmFd;

use super::super::host_error;
use crate::error::HostError;

/// The id is in bits 24 to 28 of the guest's register, and by itself in KVM's structure.
const ID_SHIFT: u32 = 24;
const ENTRY_LEVEL: u64 = 1 << 15;

/// KVM's structure for `state`.
pub(super) fn to_kvm(state: &IoApicState) -> kvm_irqchip {
    let mut ioapic = kvm_ioapic_state {
        base_address: layout::IOAPIC,
        ioregsel: u32::from(state.select),
        id: state.id >> ID_SHIFT,
        ..kvm_ioapic_state::default()
    };
    for (pin, (to, from)) in ioapic.redirtbl.iter_mut().zip(&state.entries).enumerate() {
        to.bits = *from;
        // KVM keeps requests: of an edge-triggered pin none outlives its edge here.
        if from & ENTRY_LEVEL != 0 {
            ioapic.irr |= state.pins & 1 << pin;
        }
    }
    let mut chip = kvm_irqchip { chip_id: KVM_IRQCHIP_IOAPIC, ..kvm_irqchip::default() };
    chip.chip.ioapic = ioapic;
    chip
}

/// The I/O APIC of a VM.
pub fn get(vm: &VmFd) -> Result<IoApicState, HostError> {
    let mut chip = request();
    vm.get_irqchip(&mut chip).map_err(|e| host_error("the I/O APIC cannot be read", e))?;
    Ok(from_kvm(&chip))
}

/// Gives a VM's I/O APIC that state.
pub fn set(vm: &VmFd, state: &IoApicState) -> Result<(), HostError> {
    vm.set_irqchip(&to_kvm(state)).map_err(|e| host_error("it refuses the I/O APIC's state", e))
}

/// The request for KVM_GET_IRQCHIP.
fn request() -> kvm_irqchip {
    kvm_irqchip { chip_id: KVM_IRQCHIP_IOAPIC, ..kvm_irqchip::default() }
}

/// The project's state of what KVM_GET_IRQCHIP gave for [`request`].
pub(super) fn from_kvm(chip: &kvm_irqchip) -> IoApicState {
    // SAFETY: the structure was made by `request` or `to_kvm`: every bit pattern of this member of the union is valid,
    // and it is the one that the kernel fills.
    let ioapic = unsafe { chip.chip.ioapic };
    // SAFETY: an entry is 64 bits whichever way it is looked at.
    let entries: Vec<u64> = ioapic.redirtbl.iter().map(|entry| unsafe { entry.bits }).collect();
    let level = (0..PINS).filter(|&pin| entries[pin] & ENTRY_LEVEL != 0);
    let pins = level.fold(0, |pins, pin| pins | ioapic.irr & 1 << pin);
    IoApicState { version: 1, id: ioapic.id << ID_SHIFT, select: ioapic.ioregsel as u8, entries, pins }
}
