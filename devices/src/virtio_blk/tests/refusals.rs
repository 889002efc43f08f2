//! What a driver must not do.

use super::*;
use crate::virtio::registers::Id;

#[test]
fn sectors_that_the_disk_has_not_are_errors() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    let before = disk.0.lock().unwrap().bytes.clone();
    let last = DISK_BYTES / 512 - 1;
    for (sector, bytes) in [
        (last + 1, 512),
        (last, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512, 512),
        (1 << 55, 512),
        (0, 0x20_0000),
    ] {
        driver.store(DATA, &[9; 512]);
        assert_eq!(request(&mut driver, OUT, sector, &[Part::Read(DATA, bytes)]), Some(1), "{sector}");
        assert_eq!(request(&mut driver, IN, sector, &[Part::Write(DATA, bytes)]), Some(1), "{sector}");
        assert_eq!(driver.load(DATA, 512), [9; 512]);
        if bytes / 512 <= 2 {
            for kind in [DISCARD, WRITE_ZEROES] {
                driver.store(DATA, &range(sector, bytes / 512, 0));
                assert_eq!(request(&mut driver, kind, 0, &[Part::Read(DATA, 16)]), Some(1), "{sector}");
            }
        }
    }
    assert!(disk.0.lock().unwrap().bytes == before);
    assert_eq!(request(&mut driver, IN, last, &[Part::Write(DATA, 512)]), Some(0));
}

#[test]
fn buffers_that_are_no_request_are_refused() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    // Data of no whole sectors.
    for bytes in [1, 511, 513] {
        assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, bytes)]), Some(1));
        assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, bytes)]), Some(1));
    }
    // A header that is cut: all that is left is the status.
    header(&mut driver, OUT, 0);
    for header in [&[][..], &[Part::Read(HEADER, 15)]] {
        driver.store(STATUS, &[0xee]);
        assert_eq!(driver.request(0, &[header, &[Part::Write(STATUS, 1)]].concat()), Some(1));
        assert_eq!(driver.load(STATUS, 1), [1]);
    }
    assert_eq!(driver.get(Id::Status), 0xf);
    header(&mut driver, FLUSH, 0);
    assert_eq!(driver.request(0, &[Part::Read(HEADER, 16)]), None, "no room for a status");
    assert_eq!(driver.get(Id::Status), 0x4f);
    assert_eq!(disk.0.lock().unwrap().writes, 0);
}

#[test]
fn what_the_device_does_not_do_is_unsupported() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    // SCSI, the lifetime, secure erase, and what is none.
    for kind in [2, 5, 10, 14, 15, u32::MAX] {
        assert_eq!(request(&mut driver, kind, 0, &[]), Some(2), "{kind}");
    }
    let cases: [(u32, Vec<u8>, u8); 9] = [
        (DISCARD, range(0, 8, 1).to_vec(), 2),
        (WRITE_ZEROES, range(0, 8, 2).to_vec(), 2),
        (WRITE_ZEROES, [range(0, 8, 0), range(0, 8, 0x8000_0000)].concat(), 2),
        (WRITE_ZEROES, vec![], 1),
        (DISCARD, vec![0; 15], 1),
        (DISCARD, vec![0; 17 * 16], 1),
        (WRITE_ZEROES, range(0, (1 << 16) + 1, 0).to_vec(), 1),
        (DISCARD, range(0, u32::MAX, 0).to_vec(), 1),
        (DISCARD, vec![0; 16 * 16], 0),
    ];
    for (kind, ranges, status) in cases {
        driver.store(DATA, &ranges);
        let parts: &[Part] = &[Part::Read(DATA, ranges.len() as u32)];
        let parts = if ranges.is_empty() { &[] } else { parts };
        assert_eq!(request(&mut driver, kind, 0, parts), Some(status), "{kind}: {ranges:?}");
    }
    assert_eq!(disk.0.lock().unwrap().writes, 0);
}

/// 5.2.3: a driver that did not take a feature has not what it brings.
#[test]
fn requests_of_features_that_were_not_taken_are_unsupported() {
    let disk = Array::new();
    // CONFIG_WCE goes with FLUSH.
    let mut driver = driver(&disk, Writes::File, 1 << 9 | 1 << 11 | 1 << 13 | 1 << 14);
    driver.store(DATA, &range(0, 8, 0));
    for (kind, data) in
        [(FLUSH, &[][..]), (DISCARD, &[Part::Read(DATA, 16)]), (WRITE_ZEROES, &[Part::Read(DATA, 16)])]
    {
        assert_eq!(request(&mut driver, kind, 0, data), Some(2), "{kind}");
    }
    assert_eq!(disk.0.lock().unwrap().flushes, 0);
}

#[test]
fn a_read_only_disk_is_never_written() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::Refused, 0);
    driver.set(Id::DeviceFeatureSelect, 0);
    let features = driver.get(Id::DeviceFeature);
    assert_eq!(features & (1 << 5 | 1 << 13 | 1 << 14), 1 << 5, "RO, no DISCARD, no WRITE_ZEROES");
    driver.store(DATA, &range(0, 8, 0));
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(1));
    for kind in [DISCARD, WRITE_ZEROES] {
        assert_eq!(request(&mut driver, kind, 0, &[Part::Read(DATA, 16)]), Some(1));
    }
    assert_eq!(request(&mut driver, IN, 3, &[Part::Write(DATA, 512)]), Some(0));
    let seen = disk.0.lock().unwrap();
    assert_eq!(
        (driver.load(DATA, 512), seen.writes, seen.discarded),
        (seen.bytes[1536..2048].to_vec(), 0, 0)
    );
}

#[test]
fn memory_that_is_refused_breaks_the_queue() {
    let disk = Array::new();
    for (kind, data, refused) in [
        (OUT, Part::Read(DATA, 512), DATA),
        (IN, Part::Write(DATA, 512), DATA),
        (OUT, Part::Read(DATA, 512), HEADER),
    ] {
        let mut driver = driver(&disk, Writes::File, 0);
        driver.world.refuse(refused, refused + 16);
        assert_eq!(request(&mut driver, kind, 0, &[data]), None);
        assert_eq!(driver.get(Id::Status), 0x4f);
    }
    assert_eq!(disk.0.lock().unwrap().writes, 0);
}
