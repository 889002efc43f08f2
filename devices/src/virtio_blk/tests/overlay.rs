//! What a guest wrote on a disk that is not to be written.

use super::*;
use crate::virtio_blk::{NoDisk, OVERLAY_MAX_BYTES, Overlay, SECTOR_BYTES};

/// Zeros without end, for a disk that is larger than an overlay.
struct Vast;

impl Disk for Vast {
    fn bytes(&self) -> u64 {
        1 << 40
    }

    fn read(&mut self, _: u64, data: &mut [u8]) -> Result<(), DiskError> {
        data.fill(7);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), DiskError> {
        panic!("it is not to be written")
    }

    fn zero(&mut self, _: u64, _: u64, _: bool) -> Result<(), DiskError> {
        panic!("it is not to be written")
    }

    fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
        panic!("it is not to be written")
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::default()
    }
}

/// Zeroed blocks take 64 bytes each: 16,384 of them, 64 MiB, fill one of 1 MiB.
#[test]
fn an_overlay_is_full_at_its_limit() {
    let (mut overlay, step, mut at) = (Overlay::limited(1 << 20), 1u64 << 24, 0);
    while overlay.zero(&mut Vast, at, step) == Ok(()) {
        at += step;
    }
    assert_eq!((overlay.bytes(), at), (1 << 20, 1 << 26));
    assert_eq!(overlay.write(&mut Vast, at, &[1; 512]), Err(DiskError));
    // What takes no more room is done all the same.
    assert_eq!(overlay.zero(&mut Vast, 0, 4096), Ok(()));
    let mut data = [1; 1024];
    assert_eq!(overlay.read(&mut Vast, at - SECTOR_BYTES, &mut data), Ok(()));
    assert_eq!((data[0], data[1023]), (0, 7), "zeroed below the limit, and not beyond");
    overlay.discard(0, at);
    assert_eq!((overlay.bytes(), overlay.write(&mut Vast, at, &[1; 512])), (0, Ok(())));
    assert_eq!(overlay.bytes(), 4096 + 64);
    assert!(Overlay::default().is_possible(512) && !overlay.is_possible(1 << 40));
    assert_eq!(OVERLAY_MAX_BYTES, 1 << 30, "the page and docs/limits.md say so");
}

#[test]
fn discarded_blocks_show_the_disk_again_and_others_stay() {
    let mut overlay = Overlay::default();
    overlay.write(&mut Vast, 512, &[1; 12_288]).unwrap();
    overlay.discard(4096 - 512, 4096 + 1024);
    let mut data = vec![0; 16_384];
    overlay.read(&mut Vast, 0, &mut data).unwrap();
    let expected: Vec<u8> = (0..16_384)
        .map(|at| match at {
            0..512 | 4096..8192 | 12_800.. => 7,
            _ => 1,
        })
        .collect();
    assert!(data == expected);
}

#[test]
fn a_device_without_a_file_is_an_empty_disk() {
    let built = crate::registry::find("virtio-blk")
        .unwrap()
        .build(&crate::parameters::Parameters::new(), &mut crate::registry::NoHost);
    let mut driver = Driver::new(built.unwrap(), 0);
    assert_eq!(driver.config(0, 8), NoDisk.bytes() / 512);
    driver.store(DATA, &[5; 512]);
    assert_eq!(request(&mut driver, OUT, 9, &[Part::Read(DATA, 512)]), Some(0));
    assert_eq!(request(&mut driver, IN, 8, &[Part::Write(DATA, 1024)]), Some(0));
    assert_eq!(driver.load(DATA, 1024), [[0; 512], [5; 512]].concat());
}
