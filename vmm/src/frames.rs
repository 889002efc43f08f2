//! Pictures that the display has scanned out, on their way to the host.

use fencepost_devices::display::Scanned;
use fencepost_devices::pixel::xrgb8888_to_rgb;
use fencepost_trace::Stamp;

/// A screen of the machine: a scan-out of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScreenName {
    /// The device's slot.
    pub slot: u8,
    /// Which of the device's scan-outs, from 0.
    pub scanout: u32,
    /// The device's kind.
    pub kind: String,
    /// The first scan-out of the device with screens in the lowest slot: the one that a user without more words means.
    pub first: bool,
}

impl std::fmt::Display for ScreenName {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}@{}", self.kind, self.slot)?;
        if self.scanout > 0 { write!(to, ".{}", self.scanout) } else { Ok(()) }
    }
}

/// Looks at every screen of the machine as it is scanned out: at each frame, not only those that a flip brings. It runs on the machine's
/// thread, which must not wait for the host.
pub trait Watcher: Send + Sync {
    /// A frame of `screen`.
    fn scanned(&self, screen: &ScreenName, picture: &Scanned<'_>);
}

/// One scanned-out picture that a flip brought.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Where it is shown.
    pub screen: &'a ScreenName,
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

/// Two sinks as one.
struct Both<S>(Box<dyn FrameSink>, S);

impl<S: FrameSink> FrameSink for Both<S> {
    fn frame(&mut self, frame: &Frame<'_>) {
        self.0.frame(frame);
        self.1.frame(frame);
    }
}

/// A sink that gives each picture to `first`, if there is one, and to `second`.
pub fn both(first: Option<Box<dyn FrameSink>>, second: impl FrameSink + 'static) -> Box<dyn FrameSink> {
    match first {
        Some(first) => Box::new(Both(first, second)),
        None => Box::new(second),
    }
}

/// Writes one picture of `width` and `height` pixels (as [`Frame::pixels`] has them) as [`write_rgb_png`] does.
pub fn write_png(to: impl std::io::Write, size: (u32, u32), pixels: &[u8]) -> std::io::Result<()> {
    write_rgb_png(to, size, &xrgb8888_to_rgb(pixels))
}

/// Writes one picture of `width` and `height` pixels, bytes red, green and blue, as an RGB PNG, to the last byte: a full disk is an
/// error here, not when `to` is dropped.
pub fn write_rgb_png(mut to: impl std::io::Write, size: (u32, u32), rgb: &[u8]) -> std::io::Result<()> {
    encode(&mut to, size, rgb).map_err(|error| match error {
        png::EncodingError::IoError(error) => error,
        other => std::io::Error::other(other),
    })?;
    to.flush()
}

fn encode(
    to: impl std::io::Write,
    (width, height): (u32, u32),
    rgb: &[u8],
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(to, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
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
        let error = write_png(BufWriter::new(full), (1, 1), &[0; 4]).expect_err("no room");
        assert_eq!(plain(&error), "No space left on device");
        Tested::Ran
    }
}
