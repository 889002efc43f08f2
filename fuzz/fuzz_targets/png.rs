//! A picture for the camera, and for a scenario to compare with.
#![no_main]

use fencepost::source;
use fencepost_devices::camera::Band;
use fencepost_fuzz::file::file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = [b"\x89PNG\r\n\x1a\n", data].concat();
    let (_kept, path) = file(&bytes);
    if let Ok(((width, height), pixels)) = source::png_pixels(&path) {
        assert_eq!(pixels.len() as u64, u64::from(width) * u64::from(height));
    }
    match source::open(&path) {
        Ok(mut source) => {
            let size = source.sizes().max;
            source.band(3, size, Band::whole(size)).expect("it was read when it was opened");
        }
        Err(why) => assert!(!why.to_string().contains('\n'), "{why}"),
    }
});
