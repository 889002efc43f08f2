//! A video for the camera.
#![no_main]

use fencepost::source;
use fencepost_devices::camera::Band;
use fencepost_fuzz::file::file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Mutations are to change the video and not what it is.
    let bytes = [b"YUV4MPEG2 ", data].concat();
    let (_kept, path) = file(&bytes);
    match source::open(&path) {
        Ok(mut source) => {
            let size = source.sizes().max;
            for sequence in [0, 1, u32::MAX] {
                let picture = source
                    .band(sequence, size, Band::whole(size))
                    .expect("every frame was found when it was opened");
                assert_eq!(picture.luma.len(), size.width_px as usize * size.height_px as usize);
            }
        }
        Err(why) => assert!(!why.to_string().contains('\n'), "{why}"),
    }
});
