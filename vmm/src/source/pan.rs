//! A still picture as a video: the whole of it, or a smaller window that wanders over it.

use fencepost_devices::camera::{
    Band, FrameSource, Picture, Range, Rate, Sampling, Size, SizeLimits, SourceError,
};

/// The smallest window's width and height, in pixels.
const MIN_SIDE_PX: u32 = 16;
/// Pixels that the window moves in a frame, right and down: even, so that chroma moves whole samples.
const STEP_PX: u32 = 2;

/// A picture, 4:2:2 full range, and a window on it.
pub struct Pan {
    picture: Picture,
}

impl Pan {
    /// Takes a 4:2:2 picture.
    pub fn new(picture: Picture) -> Self {
        Pan { picture }
    }
}

impl FrameSource for Pan {
    fn sizes(&self) -> SizeLimits {
        let min = Size { width_px: MIN_SIDE_PX, height_px: MIN_SIDE_PX };
        SizeLimits { min, max: self.picture.size() }
    }

    fn range(&self) -> Range {
        Range::Full
    }

    fn rate(&self) -> Rate {
        Rate { num: 30, den: 1 }
    }

    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        let whole = self.picture.size();
        let bad = || SourceError(format!("no window of {}x{}", size.width_px, size.height_px));
        if size.width_px > whole.width_px || size.height_px > whole.height_px {
            return Err(bad());
        }
        let lines = band.size_in(size).and_then(|lines| Picture::new(lines, Sampling::Yuv422));
        let mut window = lines.ok_or_else(bad)?;
        let x = wander(sequence, whole.width_px - size.width_px) as usize;
        let y = (wander(sequence, whole.height_px - size.height_px) + band.top_px) as usize;
        let (from, to) = (whole.width_px as usize, size.width_px as usize);
        cut(&self.picture.luma, from, x, y, &mut window.luma, to);
        cut(&self.picture.cb, from / 2, x / 2, y, &mut window.cb, to / 2);
        cut(&self.picture.cr, from / 2, x / 2, y, &mut window.cr, to / 2);
        Ok(window)
    }
}

/// To and fro between 0 and `room_px` (both included, even): the window's place at frame `sequence`.
fn wander(sequence: u32, room_px: u32) -> u32 {
    if room_px == 0 {
        return 0;
    }
    let way = u64::from(sequence) * u64::from(STEP_PX) % (2 * u64::from(room_px));
    way.min(2 * u64::from(room_px) - way) as u32
}

/// Copies the window at `x`, `y` of a plane.
fn cut(plane: &[u8], width: usize, x: usize, y: usize, window: &mut [u8], window_width: usize) {
    for (to, from) in window.chunks_exact_mut(window_width).zip(plane.chunks_exact(width).skip(y)) {
        to.copy_from_slice(&from[x..x + window_width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pan() -> Pan {
        let mut picture =
            Picture::new(Size { width_px: 32, height_px: 20 }, Sampling::Yuv422).expect("an even size");
        for (i, luma) in picture.luma.iter_mut().enumerate() {
            *luma = (i % 32 + i / 32) as u8;
        }
        for (i, cb) in picture.cb.iter_mut().enumerate() {
            *cb = (2 * (i % 16)) as u8;
        }
        Pan::new(picture)
    }

    #[test]
    fn the_whole_picture_stands_still() {
        let mut pan = pan();
        let size = pan.sizes().max;
        let mut frame = |sequence| pan.band(sequence, size, Band::whole(size)).unwrap();
        assert_eq!(frame(0), frame(99));
    }

    #[test]
    fn a_window_wanders_to_the_edge_and_back() {
        let mut pan = pan();
        let size = Size { width_px: 16, height_px: 16 };
        let place = |picture: &Picture| (picture.cb[0], picture.luma[0] - picture.cb[0]);
        let places: Vec<_> = (0..10).map(|n| place(&pan.band(n, size, Band::whole(size)).unwrap())).collect();
        let expected = [(0, 0), (2, 2), (4, 4), (6, 2), (8, 0), (10, 2), (12, 4), (14, 2), (16, 0), (14, 2)];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_band_is_so_many_lines_of_the_window() {
        let mut pan = pan();
        let size = Size { width_px: 16, height_px: 16 };
        let whole = pan.band(3, size, Band::whole(size)).unwrap();
        let band = pan.band(3, size, Band { top_px: 6, height_px: 4 }).unwrap();
        assert_eq!(band.size(), Size { width_px: 16, height_px: 4 });
        assert_eq!((&band.luma[..], &band.cb[..]), (&whole.luma[6 * 16..10 * 16], &whole.cb[6 * 8..10 * 8]));
        assert!(pan.band(3, size, Band { top_px: 14, height_px: 4 }).is_err(), "beyond its end");
    }

    #[test]
    fn a_window_larger_than_the_picture_is_refused() {
        let size = Size { width_px: 34, height_px: 16 };
        assert!(pan().band(0, size, Band::whole(size)).is_err());
    }
}
