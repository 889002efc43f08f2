//! Pictures that the display has scanned out, on their way to the host.

use fencepost_trace::Stamp;

/// One scanned-out picture that a flip brought.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number of the vblank at which it was latched.
    pub vblank: u64,
    /// The flip's number, counted by the display.
    pub flip: u64,
    /// When it was scanned out.
    pub stamp: Stamp,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// XRGB8888, little-endian words (bytes B, G, R, X), rows without padding.
    pub pixels: &'a [u8],
}

/// Takes pictures as they are scanned out. It runs on the machine's thread, which must not wait for the host: what writes does so
/// through an outlet.
pub trait FrameSink: Send {
    /// A picture.
    fn frame(&mut self, frame: &Frame<'_>);
}

/// Writes one picture as an RGB PNG, to the last byte: a full disk is an error here, not when `to` is dropped.
pub fn write_png(mut to: impl std::io::Write, frame: &Frame<'_>) -> std::io::Result<()> {
    encode(&mut to, frame).map_err(|error| match error {
        png::EncodingError::IoError(error) => error,
        other => std::io::Error::other(other),
    })?;
    to.flush()
}

fn encode(to: impl std::io::Write, frame: &Frame<'_>) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(to, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let rgb: Vec<u8> = frame.pixels.chunks_exact(4).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::BufWriter;

    use fencepost_skip::Tested;

    use super::*;
    use crate::error::plain;

    #[test]
    fn a_full_disk_is_an_error_even_for_the_last_bytes() -> Tested {
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            return Tested::skipped("/dev/full does not open");
        };
        let frame =
            Frame { vblank: 1, flip: 1, stamp: Stamp::default(), width: 1, height: 1, pixels: &[0; 4] };
        let error = write_png(BufWriter::new(full), &frame).expect_err("no room");
        assert_eq!(plain(&error), "No space left on device");
        Tested::Ran
    }
}
