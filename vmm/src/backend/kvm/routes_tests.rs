//! The routing table as the guest's tables change. KVM takes and checks it; what it holds is compared here.

use fencepost_skip::Tested;
use kvm_ioctls::Kvm;

use super::super::convert::vcpu_tests::NO_KVM;
use super::*;

fn routes() -> Option<Routes> {
    let vm = Kvm::new().and_then(|kvm| kvm.create_vm()).ok()?;
    vm.create_irq_chip().unwrap();
    Some(Routes::new(Arc::new(vm)))
}

fn message(vector: u16, data: u32) -> MsiWrite {
    MsiWrite { source: MsiSource::Vector { rid: 8, vector }, address: 0xfee0_0000, data }
}

/// GSI, and data of the message or pin, of every route.
fn table(routes: &Routes) -> Vec<(u32, u32)> {
    let number = |entry: &kvm_irq_routing_entry| match entry.type_ {
        // SAFETY: the type says which member of the union was written.
        KVM_IRQ_ROUTING_MSI => unsafe { entry.u.msi.data },
        // SAFETY: as above.
        _ => unsafe { entry.u.irqchip.pin },
    };
    routes.entries().iter().map(|entry| (entry.gsi, number(entry))).collect()
}

#[test]
fn pins_keep_their_numbers_and_senders_follow() -> Tested {
    let Some(mut routes) = routes() else { return Tested::skipped(NO_KVM) };
    let pins: Vec<(u32, u32)> = (0..24).map(|pin| (pin, pin)).collect();
    assert_eq!(table(&routes), pins);
    routes.follow(&[message(0, 0x41), message(2, 0x43)]);
    assert_eq!(table(&routes), [&pins[..], &[(24, 0x41), (25, 0x43)]].concat());
    routes.follow(&[message(2, 0x53)]);
    assert_eq!(
        table(&routes),
        [&pins[..], &[(25, 0x53)]].concat(),
        "a masked vector has no route, and one was changed"
    );
    routes.follow(&[message(0, 0x41), message(2, 0x53)]);
    assert_eq!(
        table(&routes),
        [&pins[..], &[(24, 0x41), (25, 0x53)]].concat(),
        "the vector has its own GSI again"
    );
    routes.follow(&[]);
    assert_eq!(table(&routes), pins);
    Tested::Ran
}

#[test]
fn only_what_the_route_says_goes_by_it() -> Tested {
    let Some(mut routes) = routes() else { return Tested::skipped(NO_KVM) };
    assert!(!routes.send(&message(0, 0x41)), "no way yet");
    routes.follow(&[message(0, 0x41)]);
    assert!(routes.send(&message(0, 0x41)));
    assert!(!routes.send(&message(0, 0x42)), "another vector than the route's");
    assert!(!routes.send(&MsiWrite { source: MsiSource::Processor, ..message(0, 0x41) }));
    routes.follow(&[]);
    assert!(!routes.send(&message(0, 0x41)), "masked");
    Tested::Ran
}

/// Whether the APIC of a vCPU of its VM has requested `vector`.
fn is_requested(fd: &kvm_ioctls::VcpuFd, vector: u8) -> bool {
    const REQUESTS: usize = 0x200;
    let register = REQUESTS + usize::from(vector / 32) * 16 + usize::from(vector % 32 / 8);
    fd.get_lapic().unwrap().regs[register] as u8 & 1 << (vector % 8) != 0
}

#[test]
fn a_message_by_eventfd_reaches_the_apic() -> Tested {
    let Some(mut routes) = routes() else { return Tested::skipped(NO_KVM) };
    let fd = routes.vm.create_vcpu(0).unwrap();
    let mut apic = fd.get_lapic().unwrap();
    // Spurious-interrupt vector register: software enable.
    apic.regs[0xf1] |= 1;
    fd.set_lapic(&apic).unwrap();
    routes.follow(&[message(0, 0x41), message(1, 0x99)]);
    assert!(!is_requested(&fd, 0x99));
    assert!(routes.send(&message(1, 0x99)));
    // The kernel may leave the delivery to a worker of its own.
    while !is_requested(&fd, 0x99) {
        std::thread::yield_now();
    }
    assert!(!is_requested(&fd, 0x41));
    Tested::Ran
}

#[test]
fn a_message_that_is_no_interrupt_gets_no_route() -> Tested {
    let Some(mut routes) = routes() else { return Tested::skipped(NO_KVM) };
    routes.follow(&[MsiWrite { address: 0x1000, ..message(0, 0x41) }]);
    assert_eq!(table(&routes).len(), 24);
    Tested::Ran
}
