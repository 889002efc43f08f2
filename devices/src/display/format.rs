//! The formats of pixels in memory: how their bytes lie, and what colour they are.

use super::plane::PlaneRegs;
use super::registers::Color;
use crate::pixel::{Coefficients, Encoding, Range};

/// A pixel's blue, green, red and alpha.
pub(super) type Bgra = [u8; 4];
/// The alpha of a pixel that has none of its own.
const OPAQUE: u8 = 0xff;

/// A format, by its DRM fourcc (drm_fourcc.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Xrgb8888,
    Argb8888,
    Xbgr8888,
    Rgb565,
    Nv12,
    Yuyv,
}

/// How samples lie in lines: `unit_bytes` bytes for every `across` by `down` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub unit_bytes: u32,
    pub across: u32,
    pub down: u32,
}

impl Format {
    /// The format that `PLANE_FORMAT` names, if it is one.
    pub fn of(fourcc: u32) -> Option<Self> {
        match &fourcc.to_le_bytes() {
            b"XR24" => Some(Format::Xrgb8888),
            b"AR24" => Some(Format::Argb8888),
            b"XB24" => Some(Format::Xbgr8888),
            b"RG16" => Some(Format::Rgb565),
            b"NV12" => Some(Format::Nv12),
            b"YUYV" => Some(Format::Yuyv),
            _ => None,
        }
    }

    /// How the pixels, or their luma, lie.
    pub fn layout(self) -> Layout {
        let (unit_bytes, across) = match self {
            Format::Xrgb8888 | Format::Argb8888 | Format::Xbgr8888 => (4, 1),
            Format::Rgb565 => (2, 1),
            Format::Nv12 => (1, 1),
            Format::Yuyv => (4, 2),
        };
        Layout { unit_bytes, across, down: 1 }
    }

    /// How the chroma lies that has lines of its own.
    pub fn chroma_layout(self) -> Option<Layout> {
        (self == Format::Nv12).then_some(Layout { unit_bytes: 2, across: 2, down: 2 })
    }
}

/// Turns lines as they were fetched into colours.
pub(super) struct Decoder {
    format: Format,
    coefficients: Coefficients,
    /// Whether the first pixel is the second one of a pair.
    odd: bool,
}

impl Decoder {
    /// For a plane whose `PLANE_FORMAT` is `format`.
    pub fn new(format: Format, plane: &PlaneRegs) -> Self {
        let encoding = if plane.color.contains(Color::BT709) { Encoding::Bt709 } else { Encoding::Bt601 };
        let range = if plane.color.contains(Color::FULL_RANGE) { Range::Full } else { Range::Limited };
        Decoder { format, coefficients: Coefficients::of(encoding, range), odd: plane.crop.x % 2 != 0 }
    }

    /// The colours of a line; `pixels` and `chroma` begin with the first unit that it touches.
    pub fn line(&self, pixels: &[u8], chroma: &[u8], out: &mut [Bgra]) {
        match self.format {
            Format::Xrgb8888 => each(pixels, out, |[b, g, r, _]| [b, g, r, OPAQUE]),
            Format::Argb8888 => each(pixels, out, |bytes| bytes),
            Format::Xbgr8888 => each(pixels, out, |[r, g, b, _]| [b, g, r, OPAQUE]),
            Format::Rgb565 => each(pixels, out, |bytes| rgb565(u16::from_le_bytes(bytes))),
            Format::Nv12 => {
                for (luma, (out, [cb, cr])) in pixels.iter().zip(out.iter_mut().zip(self.pairs(chroma))) {
                    *out = self.sample(*luma, cb, cr);
                }
            }
            Format::Yuyv => {
                let samples = units(pixels).flat_map(|[y0, cb, y1, cr]| [(y0, cb, cr), (y1, cb, cr)]);
                for (out, (y, cb, cr)) in out.iter_mut().zip(samples.skip(usize::from(self.odd))) {
                    *out = self.sample(y, cb, cr);
                }
            }
        }
    }

    /// The chroma of each pixel of a line, two pixels having the same.
    fn pairs<'a>(&self, chroma: &'a [u8]) -> impl Iterator<Item = [u8; 2]> + use<'a> {
        units::<2>(chroma).flat_map(|unit| [unit, unit]).skip(usize::from(self.odd))
    }

    fn sample(&self, y: u8, cb: u8, cr: u8) -> Bgra {
        let [r, g, b] = self.coefficients.rgb(y, cb, cr);
        [b, g, r, OPAQUE]
    }
}

fn each<const N: usize>(pixels: &[u8], out: &mut [Bgra], colour: impl Fn([u8; N]) -> Bgra) {
    for (out, unit) in out.iter_mut().zip(units(pixels)) {
        *out = colour(unit);
    }
}

/// The bytes of a line, `N` by `N`.
fn units<const N: usize>(line: &[u8]) -> impl Iterator<Item = [u8; N]> {
    line.chunks_exact(N).filter_map(|unit| unit.try_into().ok())
}

/// The highest bits of 5 and 6 are repeated below, so that all ones are 255.
fn rgb565(bits: u16) -> Bgra {
    let five = |at: u32| {
        let value = (bits >> at & 0x1f) as u8;
        value << 3 | value >> 2
    };
    let six = (bits >> 5 & 0x3f) as u8;
    [five(0), six << 2 | six >> 4, five(11), OPAQUE]
}
