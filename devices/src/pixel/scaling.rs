//! Scaling: where on the source a pixel of the result lies, and the mean of the pixels around that place.
//!
//! Let a side have `from` pixels in the source and `to` in the result. Pixel i has its middle at m = (2i + 1) from / (2 to).
//! *Nearest* takes pixel floor(m); *bilinear* takes p = floor(256 m) - 128, clamped to 0 to 256 (from - 1): pixel
//! floor(p / 256) and the next one, the second with p mod 256 parts of 256.

/// Places between two pixels that a scaled pixel can have, as a power of two.
const PHASE_BITS: u32 = 8;
const PHASES: u32 = 1 << PHASE_BITS;

/// Where on the source a pixel of the result lies: the two pixels around it, and the share of the second, in 256ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The pixel before the place, or at it.
    pub first: u32,
    /// The next one; the last one again at the end.
    pub second: u32,
    /// The share of the second.
    pub share: u32,
}

impl Sample {
    /// The one pixel that is nearest to pixel `at` of `to`, of `from`.
    pub fn nearest(at: u32, from: u32, to: u32) -> Self {
        let first = place(at, from, to, 1);
        Sample { first, second: first, share: 0 }
    }

    /// The two pixels of `from` around pixel `at` of `to`.
    pub fn bilinear(at: u32, from: u32, to: u32) -> Self {
        let last = from.saturating_sub(1);
        let place = place(at, from, to, PHASES).saturating_sub(PHASES / 2);
        let place = place.min(last.saturating_mul(PHASES));
        let first = place >> PHASE_BITS;
        Sample { first, second: first.saturating_add(1).min(last), share: place & (PHASES.saturating_sub(1)) }
    }
}

/// The middle of pixel `at` of `to`, in parts of a pixel of `from`.
fn place(at: u32, from: u32, to: u32, parts: u32) -> u32 {
    let middle = u64::from(at).saturating_mul(2).saturating_add(1).saturating_mul(from.into());
    let twice = u64::from(to).saturating_mul(2);
    middle.saturating_mul(parts.into()).checked_div(twice).unwrap_or(0) as u32
}

/// The mean of four neighbours (left and right above, left and right below), by the shares of the right and the lower ones,
/// rounded to the nearest.
pub fn mix(corners: [[u8; 4]; 4], right: u32, low: u32) -> [u8; 4] {
    let (left, high) = (PHASES.saturating_sub(right), PHASES.saturating_sub(low));
    // At most 256 * 256 * 255 together.
    let weights =
        [left, right, left, right].into_iter().zip([high, high, low, low]).map(|(x, y)| x.wrapping_mul(y));
    let mut sums = [1u32 << 15; 4];
    for (corner, weight) in corners.into_iter().zip(weights) {
        for (sum, channel) in sums.iter_mut().zip(corner) {
            *sum = sum.wrapping_add(u32::from(channel).wrapping_mul(weight));
        }
    }
    sums.map(|sum| (sum >> 16) as u8)
}
