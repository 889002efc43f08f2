//! Saved in the middle of requests.

use super::*;
use crate::state::{StateError, Stateful};
use crate::virtio_blk::{BlkState, Overlay};

/// Damages a state.
type Change = fn(&mut BlkState);

/// A device that has written a part of a request of 512 KiB.
fn in_a_write(disk: &Array, writes: Writes) -> Driver {
    let mut driver = driver(disk, writes, 0);
    header(&mut driver, OUT, 0);
    driver.store(DATA, &[3; 0x8_0000]);
    driver.add(0, &[Part::Read(HEADER, 16), Part::Read(DATA, 0x8_0000), Part::Write(STATUS, 1)]);
    driver.kick(0);
    driver.wait(40_000);
    assert!(blk(&mut driver).is_busy());
    driver
}

fn saved(driver: &mut Driver) -> <VirtioBlk as Stateful>::State {
    driver.function.as_any().downcast_mut::<VirtioBlk>().unwrap().save()
}

#[test]
fn a_request_goes_on_behind_a_snapshot() {
    for writes in [Writes::File, Writes::Snapshot] {
        let disk = Array::new();
        let mut driver = in_a_write(&disk, writes);
        let state = saved(&mut driver);
        driver.function = Box::new(<VirtioBlk as Stateful>::restore(parts(&disk, writes), state).unwrap());
        driver.world.clock = driver.world.clock.without_calls();
        driver.function.rearm(&mut driver.world.ports());
        driver.wait(1_000_000);
        assert_eq!(driver.used(0), [(0, 1)]);
        assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, 0x8_0200)]), Some(0));
        assert!(driver.load(DATA, 0x8_0000) == [3; 0x8_0000]);
        assert!(driver.load(DATA + 0x8_0000, 512) == disk.0.lock().unwrap().bytes[0x8_0000..][..512]);
    }
}

#[test]
fn states_that_are_not_of_this_disk_are_refused() {
    let disk = Array::new();
    let restore = |writes, change: Change| {
        let mut state = saved(&mut in_a_write(&disk, writes));
        change(&mut state.device);
        <VirtioBlk as Stateful>::restore(parts(&disk, writes), state).map(|_| ()).unwrap_err()
    };
    let impossible = |why| StateError::Impossible { kind: "virtio-blk", why };
    let cases: [(Writes, Change, StateError); 6] = [
        (Writes::Snapshot, |state| state.overlay = None, impossible("its disk is not of this kind")),
        (
            Writes::Snapshot,
            |state| state.overlay = Some(beyond()),
            impossible("its disk is not of this size"),
        ),
        (Writes::File, |state| state.job.as_mut().unwrap().done += 1, impossible("its request is none")),
        (Writes::File, |state| state.job.as_mut().unwrap().done = 1 << 30, impossible("its request is none")),
        (
            Writes::File,
            |state| state.job.as_mut().unwrap().chain.writable.clear(),
            impossible("its request is none"),
        ),
        (Writes::File, |state| state.fingerprint.written_s = 5, StateError::Changed("the disk ".into())),
    ];
    for (writes, change, why) in cases {
        assert_eq!(restore(writes, change), why);
    }
    let state = saved(&mut in_a_write(&disk, Writes::File));
    let read_only = <VirtioBlk as Stateful>::restore(parts(&disk, Writes::Refused), state);
    assert_eq!(read_only.map(|_| ()).unwrap_err(), impossible("its request is none"));
}

/// An overlay of a larger disk.
fn beyond() -> Overlay {
    let mut overlay = Overlay::default();
    overlay.write(&mut Array::new(), 0, &[0; 512]).unwrap();
    overlay.zero(&mut Array::new(), 1 << 30, 4096).unwrap();
    overlay
}
