//! Requests that a driver may make.

use virtio_bindings::virtio_blk as header;

use super::*;
use crate::virtio::registers::Id;

#[test]
fn numbers_are_those_of_the_kernels_headers() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    driver.set(Id::DeviceFeatureSelect, 0);
    let offered = driver.get(Id::DeviceFeature) & 0xff_ffff;
    let bits = [
        header::VIRTIO_BLK_F_SEG_MAX,
        header::VIRTIO_BLK_F_BLK_SIZE,
        header::VIRTIO_BLK_F_FLUSH,
        header::VIRTIO_BLK_F_TOPOLOGY,
        header::VIRTIO_BLK_F_CONFIG_WCE,
        header::VIRTIO_BLK_F_DISCARD,
        header::VIRTIO_BLK_F_WRITE_ZEROES,
    ];
    assert_eq!(offered, bits.iter().fold(0, |all, bit| all | 1 << bit));
    let types = [IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES];
    let theirs = [
        header::VIRTIO_BLK_T_IN,
        header::VIRTIO_BLK_T_OUT,
        header::VIRTIO_BLK_T_FLUSH,
        header::VIRTIO_BLK_T_GET_ID,
        header::VIRTIO_BLK_T_DISCARD,
        header::VIRTIO_BLK_T_WRITE_ZEROES,
    ];
    assert_eq!(types, theirs);
    let place = |field: usize| driver.config(field as u64, 4);
    let fields = [
        std::mem::offset_of!(header::virtio_blk_config, seg_max),
        std::mem::offset_of!(header::virtio_blk_config, blk_size),
        std::mem::offset_of!(header::virtio_blk_config, max_discard_sectors),
        std::mem::offset_of!(header::virtio_blk_config, max_discard_seg),
        std::mem::offset_of!(header::virtio_blk_config, discard_sector_alignment),
        std::mem::offset_of!(header::virtio_blk_config, max_write_zeroes_sectors),
        std::mem::offset_of!(header::virtio_blk_config, max_write_zeroes_seg),
        std::mem::offset_of!(header::virtio_blk_config, write_zeroes_may_unmap),
    ];
    assert_eq!(fields.map(place), [254, 512, 1 << 21, 16, 8, 1 << 16, 16, 1]);
    assert_eq!(driver.config(0, 8), DISK_BYTES / 512);
}

#[test]
fn a_flush_reaches_the_host_and_a_write_alone_does_not() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(0));
    assert_eq!(disk.0.lock().unwrap().flushes, 0);
    assert_eq!(request(&mut driver, FLUSH, 0, &[]), Some(0));
    assert_eq!((disk.0.lock().unwrap().flushes, count(&driver, "flushes")), (1, 1));
    // Without a cache each write is safe before it is answered.
    driver.write(0x2020, 1, 0);
    assert_eq!(driver.config(0x20, 1), 0);
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 0x2_0000)]), Some(0));
    driver.store(DATA, &range(0, 8, 0));
    assert_eq!(request(&mut driver, WRITE_ZEROES, 0, &[Part::Read(DATA, 16)]), Some(0));
    assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, 512)]), Some(0));
    assert_eq!(disk.0.lock().unwrap().flushes, 3);
}

/// 5.2.5.1: neither FLUSH nor CONFIG_WCE: the driver cannot make anything safe, so each write is.
#[test]
fn a_driver_that_cannot_flush_need_not() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 1 << 9 | 1 << 11);
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(0));
    driver.write(0x2020, 1, 0);
    assert_eq!((disk.0.lock().unwrap().flushes, driver.config(0x20, 1)), (1, 1));
}

#[test]
fn discarded_sectors_are_the_hosts_to_have() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    driver.store(DATA, &[range(8, 8, 0), range(100, 50, 0)].concat());
    assert_eq!(request(&mut driver, DISCARD, 0, &[Part::Read(DATA, 32)]), Some(0));
    assert_eq!(disk.0.lock().unwrap().discarded, 58 * 512);
}

#[test]
fn the_name_has_the_slot() {
    let mut driver = driver(&Array::new(), Writes::File, 0);
    driver.store(DATA, &[0xee; 24]);
    let slot = driver.world.ports().rid >> 3;
    assert_eq!(request(&mut driver, GET_ID, 0, &[Part::Write(DATA, 20)]), Some(0));
    let name = driver.load(DATA, 24);
    let expected = format!("fencepost-{slot:02}");
    assert_eq!(&name[..expected.len()], expected.as_bytes());
    assert_eq!((&name[expected.len()..20], &name[20..]), (&[0; 8][..], &[0xee; 4][..]));
}

#[test]
fn what_the_host_cannot_do_is_an_error_and_the_device_goes_on() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    disk.0.lock().unwrap().broken = true;
    driver.store(DATA, &range(0, 8, 0));
    let data = Part::Read(DATA, 16);
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(1));
    assert_eq!(request(&mut driver, FLUSH, 0, &[]), Some(1));
    assert_eq!(request(&mut driver, DISCARD, 0, &[data]), Some(1));
    assert_eq!(request(&mut driver, WRITE_ZEROES, 0, &[data]), Some(1));
    assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, 512)]), Some(1));
    disk.0.lock().unwrap().broken = false;
    assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, 512)]), Some(0));
    assert_eq!((count(&driver, "errors"), count(&driver, "requests")), (5, 6));
}

#[test]
fn a_long_request_is_served_in_parts() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    header_of_write(&mut driver);
    driver.add(0, &[Part::Read(HEADER, 16), Part::Read(DATA, 0x8_0000), Part::Write(STATUS, 1)]);
    driver.kick(0);
    assert_eq!(disk.0.lock().unwrap().writes, 0, "nothing is done at once");
    // 5000 cycles and 4 bytes a cycle, in 8 parts: at a nanosecond a cycle 17,009 for each.
    let mut before = 0;
    for part in 1..=8 {
        assert!(driver.used(0).is_empty());
        driver.wait(17_009);
        let writes = disk.0.lock().unwrap().writes;
        assert_eq!((writes, writes - before), (part, 1));
        before = writes;
    }
    assert_eq!(driver.used(0), [(0, 1)]);
}

fn header_of_write(driver: &mut Driver) {
    super::header(driver, OUT, 0);
}

#[test]
fn a_reset_ends_the_request() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    header_of_write(&mut driver);
    driver.add(0, &[Part::Read(HEADER, 16), Part::Read(DATA, 0x8_0000), Part::Write(STATUS, 1)]);
    driver.kick(0);
    driver.wait(20_000);
    driver.restart();
    driver.wait(10_000_000);
    assert_eq!((disk.0.lock().unwrap().writes, driver.load(STATUS, 1)), (1, vec![0xee]));
    assert_eq!(request(&mut driver, IN, 0, &[Part::Write(DATA, 512)]), Some(0));
}
