//! A qcow2 image of whatever content, and a guest that reads and writes it.
#![no_main]

use fencepost::disk::open;
use fencepost::failures::Failures;
use fencepost_devices::virtio_blk::{Format, Wanted};
use fencepost_fuzz::bytes::Bytes;
use fencepost_fuzz::file::file;
use libfuzzer_sys::fuzz_target;

/// The bytes of an input that say what the guest does; the image is the rest.
const ACTS_BYTES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let mut acts = Bytes::new(from.take(ACTS_BYTES));
    let image = from.rest();
    let writable = acts.u8() & 1 != 0;
    let (_kept, path) = file(image);
    let wanted = Wanted { path: &path, format: Format::Qcow2, writable };
    let mut disk = match open(wanted, Failures::default()) {
        Ok(disk) => disk,
        Err(why) => return assert!(!why.contains('\n'), "{why}"),
    };
    let sectors = disk.bytes() / 512;
    while !acts.is_empty() {
        let (what, at, count) = (acts.u8(), acts.u32(), u64::from(acts.u8() % 16) + 1);
        // Near the start, where the image has something, or anywhere.
        let at = if what & 0x80 == 0 { u64::from(at) } else { u64::from(at) << 20 } % sectors;
        let len = count.min(sectors - at) as usize * 512;
        let at = at * 512;
        let _ = match what & 7 {
            0..=2 => disk.read(at, &mut vec![0; len]),
            3..=5 if writable => disk.write(at, &vec![what; len]),
            6 if writable => disk.zero(at, len as u64, what & 8 != 0),
            7 if writable => disk.discard(at, len as u64),
            _ => disk.flush(),
        };
    }
});
