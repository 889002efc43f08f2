//! What a kernel or an initramfs may be packed with.
#![no_main]

use fencepost_firmware::unpack;
use libfuzzer_sys::fuzz_target;

/// What is unpacked at most.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(unpacked) = unpack::unpack(data, LIMIT) {
        assert!(unpacked.len() as u64 <= LIMIT);
    }
});
