//! Faults that were asked for.

use super::*;

#[test]
fn a_request_fails_without_touching_the_disk_and_the_next_works() {
    let disk = Array::new();
    let mut driver = driver(&disk, Writes::File, 0);
    driver.world.give_fault("disk:io-error");
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(1), "VIRTIO_BLK_S_IOERR");
    assert_eq!(disk.0.lock().unwrap().writes, 0);
    assert_eq!(request(&mut driver, OUT, 0, &[Part::Read(DATA, 512)]), Some(0));
    assert_eq!((disk.0.lock().unwrap().writes, count(&driver, "errors")), (1, 1));
}
