//! A virtio GPU: commands, resources, cursors.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("virtio-gpu", "outputs=2").run(data));
