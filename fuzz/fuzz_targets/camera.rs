//! The camera: registers, queues and lists, and its pictures.
#![no_main]

use fencepost_fuzz::device::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| Model::new("camera", "width=64,height=32,fps=240").run(data));
