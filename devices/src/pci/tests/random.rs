//! A random guest: whatever it does to configuration space and BARs, the bus keeps its identity and its gates.

use super::testing::{FakePlatform, ToyFunction, windows};
use super::*;
use crate::testing::Random;

const BAR0: u64 = 0xc000_0000;
const BAR2: u64 = 0xc000_1000;

fn word(root: &mut PciRoot, register: u64) -> u32 {
    let mut data = [0; 4];
    let read = |p: &mut Platform<'_>| root.ecam_read((1 << 15) + register, &mut data, p);
    FakePlatform::new(0x1000, Untranslated).lend(read);
    u32::from_le_bytes(data)
}

fn act(root: &mut PciRoot, platform: &mut FakePlatform, random: &mut Random) {
    // Half of the time small, so that vectors and mask bits are met.
    let value = random.bits();
    let data = if value >> 63 == 0 { value & 3 } else { value }.to_le_bytes();
    let bytes = [1, 2, 4, 8][(random.bits() % 4) as usize];
    let data = &data[..bytes];
    platform.lend(|p| match random.bits() % 6 {
        0 => root.ecam_write((1 << 15) + random.bits() % 0x120, data, p),
        1 => root.ecam_write((1 << 15) + 0x04, &[(random.bits() & 6) as u8, 0], p),
        2 => root.ecam_write((1 << 15) + 0x52, &[0, (random.bits() & 0xc0) as u8], p),
        3 => root.assign_bars(&windows()).unwrap(),
        4 => {
            root.write(Space::Memory, BAR2 + random.bits() % 0x80, data, p);
        }
        _ => {
            root.write(Space::Memory, BAR0 + (random.bits() % 8) * 4, data, p);
        }
    });
}

#[test]
fn a_random_guest_breaks_no_rule() {
    let mut random = Random::new(0x0bad_cafe_1234_5671);
    let mut root = PciRoot::new();
    root.add(1, Box::new(ToyFunction::default())).unwrap();
    let mut platform = FakePlatform::new(0x10000, Untranslated);
    let mut sent = 0;
    for _ in 0..50_000 {
        act(&mut root, &mut platform, &mut random);
        assert_eq!(word(&mut root, 0x00), 0x0099_fe9c);
        assert_eq!(word(&mut root, 0x34) & 0xff, 0x40);
        let messages = std::mem::take(&mut platform.messages);
        let may_send = word(&mut root, 0x50) >> 31 != 0 && word(&mut root, 0x04) & 4 != 0;
        assert!(messages.is_empty() || may_send, "messages leave only with MSI-X and bus mastering on");
        sent += messages.len();
        platform.trace.events.clear();
        platform.written.borrow_mut().clear();
    }
    assert!(sent > 10, "messages did leave: {sent}");
}
