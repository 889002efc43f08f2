//! The GPU: registers, rings, packets, lists and programs in guest memory.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("gpu", "").run(data));
