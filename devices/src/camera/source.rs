//! Where pictures come from: the port between the camera and the test pattern or the host's files.

use serde::{Deserialize, Serialize};

/// The largest width and height of a picture, in pixels.
pub const MAX_SIDE_PX: u32 = 4096;

/// Width and height in pixels, both even and neither zero in a valid picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels in a line.
    pub width_px: u32,
    /// Lines.
    pub height_px: u32,
}

impl Size {
    /// Whether a picture can have it: no side is odd, zero or beyond [`MAX_SIDE_PX`].
    fn is_of_picture(self) -> bool {
        let good = |side: u32| side > 0 && side <= MAX_SIDE_PX && side % 2 == 0;
        good(self.width_px) && good(self.height_px)
    }
}

/// Lines of a picture that follow each other, an even number from an even one on, so that none shares its chroma with a line outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// The first.
    pub top_px: u32,
    /// How many.
    pub height_px: u32,
}

impl Band {
    /// All of a picture.
    pub fn whole(size: Size) -> Self {
        Band { top_px: 0, height_px: size.height_px }
    }

    /// The line behind the last.
    pub fn end_px(self) -> u32 {
        self.top_px.saturating_add(self.height_px)
    }

    /// The size of so many lines of a picture of `size`; `None` if it has not all of them.
    pub fn size_in(self, size: Size) -> Option<Size> {
        (self.end_px() <= size.height_px && self.top_px % 2 == 0)
            .then_some(Size { height_px: self.height_px, ..size })
    }
}

/// The sizes a source can deliver, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeLimits {
    /// The smallest.
    pub min: Size,
    /// The largest.
    pub max: Size,
}

/// Frames a second, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// Numerator, in frames.
    pub num: u32,
    /// Denominator, in seconds.
    pub den: u32,
}

/// The range of the 8-bit codes (ITU-R BT.601-7, 2.5.3; full range as in JFIF 1.02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Range {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// All of 0 to 255.
    Full,
}

/// How many chroma samples a picture carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampling {
    /// Half as many in a line, half as many lines.
    Yuv420,
    /// Half as many in a line, as many lines.
    Yuv422,
}

impl Sampling {
    /// Chroma lines of a picture of `height_px` luma lines.
    pub fn chroma_lines(self, height_px: u32) -> u32 {
        match self {
            Sampling::Yuv420 => height_px / 2,
            Sampling::Yuv422 => height_px,
        }
    }
}

/// A planar picture without line padding, BT.601.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    sampling: Sampling,
    /// Luma, `width * height` bytes.
    pub luma: Vec<u8>,
    /// Cb, `width / 2` bytes for each chroma line.
    pub cb: Vec<u8>,
    /// Cr, as Cb.
    pub cr: Vec<u8>,
}

impl Picture {
    /// A black picture; `None` when a side is odd, zero or beyond `MAX_SIDE_PX`.
    pub fn new(size: Size, sampling: Sampling) -> Option<Self> {
        if !size.is_of_picture() {
            return None;
        }
        let width = size.width_px as usize;
        let luma = width.checked_mul(size.height_px as usize)?;
        let chroma = (width / 2).checked_mul(sampling.chroma_lines(size.height_px) as usize)?;
        Some(Picture { size, sampling, luma: vec![16; luma], cb: vec![128; chroma], cr: vec![128; chroma] })
    }

    /// A picture whose lines are all alike: luma, Cb and Cr of one; `None` also when one is of another length.
    pub fn of_line(size: Size, sampling: Sampling, [luma, cb, cr]: [&[u8]; 3]) -> Option<Self> {
        let width = size.width_px as usize;
        if !size.is_of_picture() || [luma.len(), cb.len(), cr.len()] != [width, width / 2, width / 2] {
            return None;
        }
        let [lines, chroma_lines] =
            [size.height_px, sampling.chroma_lines(size.height_px)].map(|n| n as usize);
        // With room for the chroma that NV12 has behind it.
        let mut all = Vec::with_capacity(luma.len().saturating_mul(lines.saturating_add(lines / 2)));
        (0..lines).for_each(|_| all.extend_from_slice(luma));
        Some(Picture { size, sampling, luma: all, cb: cb.repeat(chroma_lines), cr: cr.repeat(chroma_lines) })
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Its chroma sampling.
    pub fn sampling(&self) -> Sampling {
        self.sampling
    }
}

/// Why a source delivered no picture. The text is for the host's user, one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// A source of pictures. The same sequence number and size give the same picture, always.
pub trait FrameSource: Send {
    /// Constant: the sizes it can deliver, even numbers, at most `MAX_SIDE_PX`.
    fn sizes(&self) -> SizeLimits;
    /// Constant: the range of its codes.
    fn range(&self) -> Range;
    /// Constant: its own rate, the camera's power-on rate.
    fn rate(&self) -> Rate;
    /// A band of picture number `sequence` at `size`, which is within [`Self::sizes`]: a picture of so many lines.
    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError>;
}

/// A source played at another rate.
pub(super) struct AtRate {
    pub source: Box<dyn FrameSource>,
    pub rate: Rate,
}

impl FrameSource for AtRate {
    fn sizes(&self) -> SizeLimits {
        self.source.sizes()
    }

    fn range(&self) -> Range {
        self.source.range()
    }

    fn rate(&self) -> Rate {
        self.rate
    }

    fn band(&mut self, sequence: u32, size: Size, band: Band) -> Result<Picture, SourceError> {
        self.source.band(sequence, size, band)
    }
}
