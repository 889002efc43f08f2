//! Accesses out of line, and the register file's bounds.

use vm_memory::{Bytes, GuestAddress};

use crate::file::FILE_BYTES;
use crate::machine::{Machine, PRESENT, WRITE};
use crate::step::Step;
use crate::vector;

const LINEAR: u64 = 0x60_0000;
const PHYSICAL: u64 = 0x20_0000;
const PAGES: u64 = 5;

/// All pages but one are mapped.
fn without(missing: u64) -> Machine {
    let mut m = Machine::new();
    for page in (0..PAGES).filter(|page| *page != missing) {
        m.map(LINEAR + (page << 12), PHYSICAL + (page << 12), PRESENT | WRITE);
    }
    m
}

fn bytes(m: &Machine) -> Vec<u8> {
    let mut found = vec![0; (PAGES << 12) as usize];
    m.memory.read_slice(&mut found, GuestAddress(PHYSICAL)).unwrap();
    found
}

/// The first and the last byte within the first and the last page are not all that counts.
#[test]
fn nothing_is_written_when_any_page_of_many_is_missing() {
    let data = vec![0x5a; (PAGES << 12) as usize - 200];
    for missing in 0..PAGES {
        let mut m = without(missing);
        let how = m.cpu.system();
        let step = m.cpu.with_bus(&mut m.bus, |cpu| cpu.store_bytes(how, LINEAR + 100, &data));
        assert_eq!((step, m.cpu.fault.vector), (Step::Trap, vector::PF), "page {missing}");
        let first = LINEAR + if missing == 0 { 100 } else { missing << 12 };
        assert_eq!(m.cpu.state().cr2, first);
        assert!(bytes(&m).iter().all(|byte| *byte == 0), "page {missing}");
        let mut read = vec![0; data.len()];
        assert!(m.cpu.with_bus(&mut m.bus, |cpu| cpu.load_bytes(how, LINEAR + 100, &mut read)).is_err());
    }
    let mut m = without(PAGES);
    let how = m.cpu.system();
    assert_eq!(m.cpu.with_bus(&mut m.bus, |cpu| cpu.store_bytes(how, LINEAR + 100, &data)), Step::Next);
    assert_eq!(bytes(&m).iter().filter(|byte| **byte == 0x5a).count(), data.len());
}

#[test]
fn every_register_offset_stays_inside_the_file() {
    let mut m = Machine::new();
    assert_eq!(size_of_val(&m.cpu.gpr), FILE_BYTES);
    m.with_state(|s| s.gpr = [!0; 16]);
    for offset in 0..=u8::MAX {
        let known = 128u32.saturating_sub(offset.into()).min(16) * 8;
        let expected = 1u128.checked_shl(known).map_or(!0, |bit| bit - 1);
        assert_eq!(m.cpu.reg::<u128>(offset), expected, "offset {offset}");
    }
}
