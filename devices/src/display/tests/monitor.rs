//! The monitor: its EDID, and its coming and going.

use super::*;
use crate::changes::Change;

const HOTPLUG: u32 = 8;

impl Bench {
    fn edid(&mut self) -> Vec<u8> {
        (0..64).flat_map(|n| self.read(0x900 + n * 4).to_le_bytes()).collect()
    }

    /// What the host's user says, and the vectors that it raises.
    fn set(&mut self, text: &str) -> Vec<u16> {
        let change: Change = text.parse().unwrap();
        change.make(&mut self.display, &mut self.world.ports()).unwrap();
        self.world.take_raised()
    }
}

#[test]
fn both_blocks_of_the_edid_are_readable_by_words() {
    let mut bench = Bench::new("width=320,height=240");
    let edid = bench.edid();
    assert_eq!(edid[..8], [0, 255, 255, 255, 255, 255, 255, 0]);
    assert_eq!((edid[126], edid[128]), (1, 2));
    for block in edid.chunks(128) {
        assert_eq!(block.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0);
    }
}

#[test]
fn a_monitor_that_goes_comes_or_is_another_is_told_of() {
    let mut bench = Bench::new("width=320,height=240");
    let first = bench.edid();
    bench.write(IRQ_ENABLE, HOTPLUG);
    assert!(bench.set("display:latency=7,scanout=on-flip").is_empty());
    assert_eq!(bench.set("display:monitor=absent"), [3]);
    assert_eq!((bench.read(IRQ_STATUS), bench.read(0x800), bench.edid()), (HOTPLUG, 0, vec![0; 256]));
    assert!(bench.set("display:width=1920,height=1080").is_empty(), "it is not there");
    assert_eq!(bench.set("display:monitor=connected"), [3]);
    let second = bench.edid();
    assert_eq!((bench.read(0x800), u16::from(second[56]) | u16::from(second[58] >> 4) << 8), (1, 1920));
    assert_eq!(bench.set("display:width=320,height=240"), [3]);
    assert_eq!(bench.edid(), first);
    assert!(bench.set("display:width=320,height=240").is_empty(), "it is the same");
}

#[test]
fn a_monitor_of_a_mode_that_cannot_be_is_refused_and_the_old_one_stays() {
    let mut bench = Bench::new("width=320,height=240");
    let before = bench.edid();
    let change: Change = "display:width=4000,height=4000".parse().unwrap();
    let why = change.make(&mut bench.display, &mut bench.world.ports()).unwrap_err();
    assert!(why.contains("4000x4000@60 cannot be described"), "{why}");
    assert_eq!((bench.edid(), bench.read(IRQ_STATUS)), (before, 0));
}
