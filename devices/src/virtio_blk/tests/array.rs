//! Random requests, and the same done to an array of bytes.

use super::*;
use crate::testing::Random;

/// The data of a request: parts of odd lengths that together are whole sectors.
fn data(dice: &mut Random, bytes: u64) -> Vec<(u64, u32)> {
    let (mut left, mut at, mut parts) = (bytes, DATA, Vec::new());
    while left > 0 {
        let length = if parts.len() == 5 { left } else { (1 + dice.below(40_000)).min(left) };
        parts.push((at, length as u32));
        (left, at) = (left - length, at + length + dice.below(3));
    }
    assert!(at < 0xf_0000);
    parts
}

/// One random request, on the driver's disk and on `oracle`.
fn step(dice: &mut Random, driver: &mut Driver, oracle: &mut [u8]) {
    let sectors = DISK_BYTES / 512;
    let sector = dice.below(sectors);
    let count = (1 + dice.below(300)).min(sectors - sector);
    let place = sector as usize * 512..(sector + count) as usize * 512;
    match dice.below(4) {
        0 => {
            let parts = data(dice, count * 512);
            let described: Vec<Part> = parts.iter().map(|&(at, len)| Part::Write(at, len)).collect();
            assert_eq!(request(driver, IN, sector, &described), Some(0));
            let read: Vec<u8> = parts.iter().flat_map(|&(at, len)| driver.load(at, len as usize)).collect();
            assert!(read == oracle[place], "sector {sector}");
        }
        1 | 2 => {
            let parts = data(dice, count * 512);
            let written: Vec<u8> = (0..count * 512).map(|_| dice.bits() as u8).collect();
            let mut rest = &written[..];
            for &(at, len) in &parts {
                driver.store(at, &rest[..len as usize]);
                rest = &rest[len as usize..];
            }
            let described: Vec<Part> = parts.iter().map(|&(at, len)| Part::Read(at, len)).collect();
            assert_eq!(request(driver, OUT, sector, &described), Some(0));
            oracle[place].copy_from_slice(&written);
        }
        _ => {
            let split = dice.below(count + 1);
            let ranges = [
                range(sector, split as u32, dice.below(2) as u32),
                range(sector + split, (count - split) as u32, 0),
            ];
            driver.store(DATA, &ranges.concat());
            assert_eq!(request(driver, WRITE_ZEROES, 0, &[Part::Read(DATA, 32)]), Some(0));
            oracle[place].fill(0);
        }
    }
}

#[test]
fn a_disk_holds_what_was_written() {
    for writes in [Writes::File, Writes::Snapshot] {
        let disk = Array::new();
        let before = disk.0.lock().unwrap().bytes.clone();
        let (mut oracle, mut dice) = (before.clone(), Random::new(0xb10c));
        let mut driver = driver(&disk, writes, 0);
        for _ in 0..400 {
            step(&mut dice, &mut driver, &mut oracle);
        }
        let after = disk.0.lock().unwrap().bytes.clone();
        assert!(after == if writes == Writes::File { oracle } else { before });
        assert_eq!(count(&driver, "errors"), 0);
        assert!(count(&driver, "read-bytes") > 1 << 20 && count(&driver, "written-bytes") > 1 << 20);
    }
}
