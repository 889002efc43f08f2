//! How a machine puts the parts together: a function on a [`PciRoot`], behind an [`Iommu`] that the guest programs.

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::pci::Space;
use crate::pci::testing::{FakePlatform, ToyFunction, windows};
use crate::pci::{MsiSource, PciRoot};

const BAR0: u64 = 0xc000_0000;

struct Machine {
    root: PciRoot,
    /// The IOMMU is lent to the bus as the platform's translation.
    platform: FakePlatform<Iommu>,
}

impl Machine {
    /// A toy function at 00:01.0 with memory decoding and bus mastering on.
    fn new() -> Self {
        let mut root = PciRoot::new();
        root.add(1, Box::new(ToyFunction::default())).unwrap();
        root.assign_bars(&windows()).unwrap();
        let mut machine = Machine { root, platform: FakePlatform::new(1 << 20, Iommu::new()) };
        machine.platform.lend(|p| machine.root.ecam_write((1 << 15) + 4, &[6, 0], p));
        machine
    }

    /// The guest writes a register of the remapping unit.
    fn unit_write(&mut self, offset: u64, data: &[u8]) {
        let FakePlatform { memory, translation, trace, messages, .. } = &mut self.platform;
        let out = Outbox { trace, messages, now_ns: 0 };
        translation.write(offset, data, &mut Surroundings { memory, written: &|_, _| (), out });
    }

    fn device_write(&mut self, offset: u64, value: u32) {
        self.platform.lend(|p| self.root.write(Space::Memory, BAR0 + offset, &value.to_le_bytes(), p));
    }

    fn device_read(&mut self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.platform.lend(|p| self.root.read(Space::Memory, BAR0 + offset, &mut data, p));
        u32::from_le_bytes(data)
    }

    /// Tables that map page 0x5000 of requester 00:01.0 to 0x9000, and translation on.
    fn translate_one_page(&mut self) {
        let entries = [
            (0x1000, 0x2001),         // root entry of bus 0
            (0x2080, 0x3001),         // context entry of 00:01.0: table at 0x3000
            (0x2088, 7 << 8 | 2),     // domain 7, four levels
            (0x3000, 0x4003),         // level 4
            (0x4000, 0x6003),         // level 3
            (0x6000, 0x7003),         // level 2
            (0x7000 + 8 * 5, 0x9003), // level 1: 0x5000 to 0x9000
        ];
        for (gpa, value) in entries {
            self.platform.memory.write_obj::<u64>(value, GuestAddress(gpa)).unwrap();
        }
        self.unit_write(0x20, &0x1000u64.to_le_bytes());
        self.unit_write(0x18, &(1u32 << 30).to_le_bytes());
        self.unit_write(0x3c, &0x4021u32.to_le_bytes());
        self.unit_write(0x40, &0xfee0_0000u32.to_le_bytes());
        self.unit_write(0x38, &0u32.to_le_bytes());
        self.unit_write(0x18, &(1u32 << 31).to_le_bytes());
    }
}

#[test]
fn a_functions_dma_goes_through_the_tables_of_its_requester_id() {
    let mut machine = Machine::new();
    machine.translate_one_page();
    machine.device_write(0x00, 0x5010);
    machine.device_write(0x08, 0xabcd);
    assert_eq!(machine.device_read(0x08), 0, "done");
    assert_eq!(machine.platform.read_u64(0x9010), 0xabcd);
    assert_eq!(*machine.platform.written.borrow(), [(0x9010, 8)]);
}

#[test]
fn a_refused_dma_reaches_the_device_the_record_and_the_fault_event() {
    let mut machine = Machine::new();
    machine.translate_one_page();
    machine.device_write(0x00, 0x5ffc); // the second half is in a page that is not mapped
    machine.device_write(0x08, 0xabcd);
    assert_eq!(machine.device_read(0x08), 1, "refused");
    assert_eq!(machine.platform.read_u64(0x9ff8), 0, "not even the mapped half was written");
    let mut page = [0; 8];
    machine.platform.translation.read(0x220, &mut page);
    assert_eq!(u64::from_le_bytes(page), 0x6000);
    assert_eq!(
        machine.platform.messages,
        [MsiWrite { source: MsiSource::FaultEvent, address: 0xfee0_0000, data: 0x4021 }]
    );
    machine.device_write(0x00, 0x5000);
    machine.device_write(0x08, 1);
    assert_eq!(machine.device_read(0x08), 0, "and the device lives on");
}
