//! A virtio console with several ports.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("virtio-console", "").run(data));
