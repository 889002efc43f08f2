//! A virtio network device.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("virtio-net", "").run(data));
