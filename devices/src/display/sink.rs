//! Where the pictures go.

use fencepost_trace::Stamp;

/// One frame as a device sent it to one of its monitors.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Which of the device's scan-outs, counted from 0: a device with one has 0. The host calls the screen by the device's kind and
    /// slot and this number, so that a device needs no names for its scan-outs.
    pub scanout: u32,
    /// The vertical blank that it began with, counted by the device; a device that has none counts its pictures.
    pub frame: u64,
    /// The commit that brought what is shown, counted from 1; a device that has none counts its pictures.
    pub flip: u64,
    /// The first frame of a commit, and once more if its pixels did not arrive and later do, or the other way round. Every other
    /// frame is the same plane again: its pixels differ if the guest wrote over them.
    pub fresh: bool,
    /// CRC-32 (IEEE 802.3) of `xrgb`.
    pub crc: u32,
    /// When its last pixel arrived.
    pub now: Stamp,
    /// Pixels in a row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
    /// Rows from the top without gaps, 4 bytes a pixel: blue, green, red, 0; all zero if the pixels did not arrive or the
    /// plane is off.
    pub xrgb: &'a [u8],
}

/// Who is shown what the guest shows.
pub trait PictureSink: Send {
    /// A frame of one of the device's scan-outs, each in the order in which it was scanned out. It runs on the machine's thread.
    fn picture(&mut self, picture: &Scanned<'_>);
}

/// Looks at nothing.
pub struct NoPictures;

impl PictureSink for NoPictures {
    fn picture(&mut self, _: &Scanned<'_>) {}
}
