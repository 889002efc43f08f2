//! A virtio disk, whose writes stay in the device.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("virtio-blk", "").run(data));
