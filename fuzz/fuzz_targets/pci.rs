//! The bus: configuration space by ECAM and by ports, BARs wherever the guest puts them, functions of all kinds behind them.
#![no_main]

use fencepost_devices::edu::Edu;
use fencepost_devices::gpu::Gpu;
use fencepost_devices::parameters::Parameters;
use fencepost_devices::pci::odd_card::OddCard;
use fencepost_devices::pci::testing::{FakePlatform, ToyFunction, windows};
use fencepost_devices::pci::{PciRoot, Platform, Space, Untranslated};
use fencepost_devices::registry::{Entry, NoHost};
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes as _, GuestAddress};

const MEMORY_BYTES: usize = 0x4_0000;

/// What stands in each slot: its ids, which nobody can change.
const SLOTS: [(u8, u32); 3] = [(0, 0x1000_fe9c), (1, 0x0099_fe9c), (2, 0x0001_fe9c)];

fn bus() -> PciRoot {
    let built = |entry: Entry| entry.build(&Parameters::new(), &mut NoHost).expect("its defaults are right");
    let mut root = PciRoot::new();
    root.add(1, Box::new(ToyFunction::default())).expect("the slot is free");
    root.add(2, built(Entry::of::<Gpu>())).expect("the slot is free");
    root.add(3, built(Entry::of::<Edu>())).expect("the slot is free");
    root.add(4, Box::new(OddCard::conventional())).expect("the slot is free");
    root.add(5, Box::new(OddCard::with_msix())).expect("the slot is free");
    root.assign_bars(&windows()).expect("there is room");
    root
}

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let mut root = bus();
    let mut platform = FakePlatform::new(MEMORY_BYTES, Untranslated);
    while !from.is_empty() {
        act(&mut root, &mut platform, &mut from);
        platform.trace.events.clear();
        platform.written.borrow_mut().clear();
        platform.messages.clear();
    }
    for (slot, ids) in SLOTS {
        let mut data = [0; 4];
        platform.lend(|it| root.ecam_read(u64::from(slot) << 15, &mut data, it));
        assert_eq!(u32::from_le_bytes(data), ids, "slot {slot}");
    }
});

fn act(root: &mut PciRoot, platform: &mut FakePlatform, from: &mut Bytes<'_>) {
    let tag = from.u8();
    let width = 1 << (tag >> 4 & 3);
    let write = tag & 0x40 != 0;
    let mut access = |from: &mut Bytes<'_>,
                      call: &mut dyn FnMut(&mut PciRoot, &mut [u8], &mut Platform<'_>)| {
        let mut data = if write { from.number(width) } else { 0 }.to_le_bytes();
        platform.lend(|it| call(root, &mut data[..width], it));
    };
    match tag & 15 {
        0..=3 => {
            let at = u64::from(from.u8() & 7) << 15 | u64::from(from.u16() & 0xfff);
            access(from, &mut |root, data, it| match write {
                true => root.ecam_write(at, data, it),
                false => root.ecam_read(at, data, it),
            });
        }
        4 | 5 => {
            let port = 0xcf8 + u16::from(from.u8() & 7);
            access(from, &mut |root, data, it| {
                let data = &mut data[..width.min(4)];
                _ = if write { root.port_write(port, data, it) } else { root.port_read(port, data, it) };
            });
        }
        6..=10 => {
            let (space, at) = match tag & 0x80 {
                0 => (Space::Memory, windows().memory.start + u64::from(from.u16()) * 4),
                _ => (Space::Ports, windows().ports.start + u64::from(from.u16() & 0x3ff)),
            };
            access(from, &mut |root, data, it| {
                _ = if write { root.write(space, at, data, it) } else { root.read(space, at, data, it) };
            });
        }
        11 | 12 => {
            let (at, len) = (from.u16(), from.u8());
            let bytes = from.take(len.into());
            platform.memory.write_slice(bytes, GuestAddress(u64::from(at) * 2)).expect("inside");
        }
        13 | 14 => pass(root, platform, u64::from(from.u16()) << (tag >> 4)),
        _ => _ = root.assign_bars(&windows()),
    }
}

/// Lets time pass, with the calls that fall due in it.
fn pass(root: &mut PciRoot, platform: &mut FakePlatform, ns: u64) {
    let until = platform.clock.now_ns + ns;
    while let Some((&(rid, token), &at)) = platform.clock.pending.iter().min_by_key(|(who, at)| (**at, **who))
    {
        if at > until {
            break;
        }
        platform.clock.pending.remove(&(rid, token));
        platform.clock.now_ns = platform.clock.now_ns.max(at);
        platform.lend(|it| root.timer(rid, token, it));
    }
    platform.clock.now_ns = until;
}
