//! The cursor: a picture of 64 x 64 pixels on top of a scan-out's.

use serde::{Deserialize, Serialize};

use super::pixels::{Format, PIXEL_BYTES, blend};
use super::resource::{Content, Resource};
use super::wire::Refusal;
use crate::ports::Dma;

/// Pixels of a side (5.7.6.10).
pub const SIDE: u32 = 64;
/// Bytes of the picture.
pub const BYTES: usize = SIDE as usize * SIDE as usize * PIXEL_BYTES;

/// A scan-out's cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its pixels: blue, green, red, alpha; none while it is hidden.
    pub pixels: Vec<u8>,
    /// Where its upper left corner is, perhaps outside of the picture.
    pub x: i32,
    /// From the top.
    pub y: i32,
}

impl Cursor {
    /// Whether there is one.
    pub fn is_visible(&self) -> bool {
        !self.pixels.is_empty()
    }

    /// Takes the picture that `resource` has now.
    pub fn take(&mut self, resource: &Resource, dma: &mut dyn Dma) -> Result<(), Refusal> {
        let format = match resource.content {
            Content::Host { format, width: SIDE, height: SIDE, .. } => format,
            Content::Guest { .. } => Format::CURSOR,
            Content::Host { .. } => return Err(Refusal::Parameter),
        };
        let mut pixels = vec![0; BYTES];
        resource.read(dma, 0, &mut pixels)?;
        for pixel in pixels.chunks_exact_mut(PIXEL_BYTES) {
            if let Ok(pixel) = <&mut [u8; PIXEL_BYTES]>::try_from(pixel) {
                *pixel = format.read(*pixel);
            }
        }
        self.pixels = pixels;
        Ok(())
    }

    /// Draws what is inside onto `picture` of so many pixels, and gives what was there: that is put back by [`lift`].
    pub fn draw(&self, picture: &mut [u8], width: u32, height: u32) -> Vec<Covered> {
        let mut covered = Vec::new();
        for (index, over) in (0u32..).zip(self.pixels.chunks_exact(PIXEL_BYTES)) {
            let inside = |start: i32, behind: u32, all: u32| {
                let at = i64::from(start).saturating_add(behind.into());
                u64::try_from(at).ok().filter(|at| *at < all.into())
            };
            let (x, y) = (inside(self.x, index % SIDE, width), inside(self.y, index / SIDE, height));
            let (Some(x), Some(y), Ok(over)) = (x, y, over.try_into()) else { continue };
            let at = (y.saturating_mul(width.into()).saturating_add(x) as usize).saturating_mul(PIXEL_BYTES);
            let under = picture.get_mut(at..at.saturating_add(PIXEL_BYTES));
            let Some(Ok(under)) = under.map(<&mut [u8; PIXEL_BYTES]>::try_from) else { continue };
            covered.push((at, *under));
            blend(over, under);
        }
        covered
    }
}

/// A byte of a picture, and the pixel that was there.
type Covered = (usize, [u8; PIXEL_BYTES]);

/// Puts back into `picture` what a cursor has covered.
pub fn lift(picture: &mut [u8], covered: &[Covered]) {
    for (at, pixel) in covered {
        if let Some(place) = picture.get_mut(*at..at.saturating_add(PIXEL_BYTES)) {
            place.copy_from_slice(pixel);
        }
    }
}
