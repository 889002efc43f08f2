//! Where the pictures go.

use fencepost_trace::Stamp;

/// Who is shown what the guest shows.
pub trait PictureSink: Send {
    /// The first frame of each commit (and once more if its pixels did not arrive and later do, or the other way
    /// round). `frame` is the vertical blank it began with, `flip` the commit counted from 1, `now` when its last
    /// pixel arrived. `xrgb` is rows from the top without gaps, 4 bytes a pixel: blue, green, red, 0; all zero if
    /// the pixels did not arrive or the plane is off.
    fn picture(&mut self, frame: u64, flip: u64, now: Stamp, width_px: u32, height_px: u32, xrgb: &[u8]);
}

/// Looks at nothing.
pub struct NoPictures;

impl PictureSink for NoPictures {
    fn picture(&mut self, _: u64, _: u64, _: Stamp, _: u32, _: u32, _: &[u8]) {}
}
