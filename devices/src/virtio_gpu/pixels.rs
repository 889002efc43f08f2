//! Pixel formats: which byte of a pixel is which colour.

use serde::{Deserialize, Serialize};

/// Bytes of a pixel, in every format.
pub const PIXEL_BYTES: usize = 4;

/// A format (`enum virtio_gpu_formats`): the places of blue, green, red and alpha among a pixel's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    colours: [u8; 3],
    alpha: Option<u8>,
}

impl Format {
    /// B8G8R8A8: what a cursor has whose resource is guest memory.
    pub const CURSOR: Format = Format { colours: [0, 1, 2], alpha: Some(3) };

    /// The format that the standard numbers so.
    pub fn of(number: u32) -> Option<Format> {
        let (colours, alpha) = match number {
            1 => ([0, 1, 2], Some(3)),
            2 => ([0, 1, 2], None),
            3 => ([3, 2, 1], Some(0)),
            4 => ([3, 2, 1], None),
            67 => ([2, 1, 0], Some(3)),
            68 => ([1, 2, 3], None),
            121 => ([1, 2, 3], Some(0)),
            134 => ([2, 1, 0], None),
            _ => return None,
        };
        Some(Format { colours, alpha })
    }

    /// Whether all places are in a pixel: false for no format of [`Self::of`].
    pub fn is_possible(&self) -> bool {
        self.colours.iter().chain(&self.alpha).all(|place| usize::from(*place) < PIXEL_BYTES)
    }

    /// Blue, green, red and alpha of a pixel; alpha is 255 where the format has none.
    pub fn read(&self, pixel: [u8; PIXEL_BYTES]) -> [u8; PIXEL_BYTES] {
        let byte = |place: u8| pixel.get(usize::from(place)).copied().unwrap_or(0);
        let [blue, green, red] = self.colours.map(byte);
        [blue, green, red, self.alpha.map_or(255, byte)]
    }

    /// Turns pixels of this format into blue, green, red, 0.
    pub fn to_xrgb(self, pixels: &mut [u8]) {
        for pixel in pixels.chunks_exact_mut(PIXEL_BYTES) {
            if let Ok(pixel) = <&mut [u8; PIXEL_BYTES]>::try_from(pixel) {
                let [blue, green, red, _] = self.read(*pixel);
                *pixel = [blue, green, red, 0];
            }
        }
    }
}

/// `over`, whose colours were multiplied by its alpha, on top of `under`: blue, green, red, 0.
pub fn blend(over: [u8; PIXEL_BYTES], under: &mut [u8]) {
    let [.., alpha] = over;
    let rest = 255u32.saturating_sub(alpha.into());
    for (below, above) in under.iter_mut().zip(over).take(3) {
        // Rounded to the nearest.
        let kept = u32::from(*below).saturating_mul(rest).saturating_add(127) / 255;
        *below = u32::from(above).saturating_add(kept).min(255) as u8;
    }
}
