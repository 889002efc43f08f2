//! From planar pictures to what the guest asked for. Pure.

use super::format::{FrameLayout, PixelFormat};
use super::source::{Picture, Range, Sampling};
use crate::pixel::{self, Coefficients, Encoding};

/// The bytes of `picture`, whose codes are of `range`, in `layout`; padding zero. `None` when the sizes differ or the stride
/// is too short.
///
/// YCbCr codes are kept; only sampling changes: 4:2:0 repeats chroma lines where each line has its own, 4:2:2 to NV12
/// takes the rounded mean of two. Colours are by BT.601, full range.
pub fn convert(mut picture: Picture, range: Range, layout: &FrameLayout) -> Option<Vec<u8>> {
    if picture.size() != layout.size || !layout.stride_is_good() {
        return None;
    }
    // Luma without padding is not copied.
    let is_luma = matches!(layout.format, PixelFormat::Nv12 | PixelFormat::Grey);
    let mut out = if is_luma && layout.stride_bytes == layout.size.width_px {
        std::mem::take(&mut picture.luma)
    } else {
        first_plane(&picture, range, layout)
    };
    if layout.format == PixelFormat::Nv12 {
        append_chroma(&picture, layout, &mut out);
    }
    Some(out)
}

fn first_plane(picture: &Picture, range: Range, layout: &FrameLayout) -> Vec<u8> {
    let mut out = vec![0; layout.first_bytes() as usize];
    let mut colours = Colours::new(range, layout.size.width_px);
    for (y, line) in out.chunks_exact_mut(layout.stride_bytes as usize).enumerate() {
        write_line(layout.format, &Line::of(picture, y), &mut colours, y, line);
    }
    out
}

/// A line of a picture.
struct Line<'a> {
    luma: &'a [u8],
    cb: &'a [u8],
    cr: &'a [u8],
}

impl<'a> Line<'a> {
    fn of(picture: &'a Picture, y: usize) -> Self {
        let width = picture.size().width_px as usize;
        let chroma_line = match picture.sampling() {
            Sampling::Yuv420 => y / 2,
            Sampling::Yuv422 => y,
        };
        Line {
            luma: line_of(&picture.luma, width, y),
            cb: line_of(&picture.cb, width / 2, chroma_line),
            cr: line_of(&picture.cr, width / 2, chroma_line),
        }
    }

    /// Pairs of luma samples, and the chroma that they share.
    fn pairs(&self) -> impl Iterator<Item = (&[u8], u8, u8)> {
        self.luma.chunks_exact(2).zip(self.cb.iter().zip(self.cr)).map(|(luma, (&cb, &cr))| (luma, cb, cr))
    }

    /// Writes it as YUYV.
    fn put_yuyv(&self, to: &mut [u8]) {
        for (bytes, (luma, cb, cr)) in to.chunks_exact_mut(4).zip(self.pairs()) {
            bytes.copy_from_slice(&[luma[0], cb, luma[1], cr]);
        }
    }
}

/// Makes colours of lines.
struct Colours {
    coefficients: Coefficients,
    yuyv: Vec<u8>,
    xrgb: Vec<u8>,
}

impl Colours {
    fn new(range: Range, width_px: u32) -> Self {
        let range = match range {
            Range::Limited => pixel::Range::Limited,
            Range::Full => pixel::Range::Full,
        };
        let coefficients = Coefficients::of(Encoding::Bt601, range);
        let line = |bytes: u32| vec![0; width_px.saturating_mul(bytes) as usize];
        Colours { coefficients, yuyv: line(2), xrgb: line(4) }
    }

    /// Writes a line as XRGB8888.
    fn put(&mut self, from: &Line<'_>, to: &mut [u8]) {
        from.put_yuyv(&mut self.yuyv);
        pixel::Line::Yuyv(&self.yuyv).to_xrgb8888(&self.coefficients, to);
    }

    /// Of each pixel of line `y` the colour of its filter: R G in even lines, G B in odd ones.
    fn mosaic(&mut self, from: &Line<'_>, y: usize) -> impl Iterator<Item = u8> {
        from.put_yuyv(&mut self.yuyv);
        pixel::Line::Yuyv(&self.yuyv).to_xrgb8888(&self.coefficients, &mut self.xrgb);
        let [even, odd] = if y % 2 == 0 { [2, 5] } else { [1, 4] };
        self.xrgb.chunks_exact(8).flat_map(move |pair| [pair[even], pair[odd]])
    }
}

/// Writes line `y` of the first plane.
fn write_line(format: PixelFormat, from: &Line<'_>, colours: &mut Colours, y: usize, to: &mut [u8]) {
    match format {
        PixelFormat::Yuyv => from.put_yuyv(to),
        PixelFormat::Uyvy => to.chunks_exact_mut(4).zip(from.pairs()).for_each(|(bytes, (luma, cb, cr))| {
            bytes.copy_from_slice(&[cb, luma[0], cr, luma[1]]);
        }),
        PixelFormat::Nv12 | PixelFormat::Grey => {
            let both = to.len().min(from.luma.len());
            to[..both].copy_from_slice(&from.luma[..both]);
        }
        PixelFormat::Xrgb8888 => colours.put(from, to),
        PixelFormat::Bayer8 => {
            to.iter_mut().zip(colours.mosaic(from, y)).for_each(|(byte, sample)| *byte = sample);
        }
        PixelFormat::Bayer10 => {
            to.chunks_exact_mut(2).zip(colours.mosaic(from, y)).for_each(|(bytes, sample)| {
                // The highest bits once more at the bottom, so that white is 1023.
                let sample = u16::from(sample);
                bytes.copy_from_slice(&(sample << 2 | sample >> 6).to_le_bytes());
            })
        }
    }
}

/// The second plane of NV12.
fn append_chroma(picture: &Picture, layout: &FrameLayout, out: &mut Vec<u8>) {
    out.reserve_exact(layout.frame_bytes().saturating_sub(layout.first_bytes()) as usize);
    let mut line = vec![0; layout.stride_bytes as usize];
    for y in 0..layout.size.height_px as usize / 2 {
        let above = Line::of(picture, y.saturating_mul(2));
        let below = Line::of(picture, y.saturating_mul(2).saturating_add(1));
        let pairs = line.chunks_exact_mut(2);
        if picture.sampling() == Sampling::Yuv420 {
            // Both lines share theirs.
            for (pair, (cb, cr)) in pairs.zip(above.cb.iter().zip(above.cr)) {
                pair.copy_from_slice(&[*cb, *cr]);
            }
        } else {
            let (cbs, crs) = (above.cb.iter().zip(below.cb), above.cr.iter().zip(below.cr));
            for (pair, (cb, cr)) in pairs.zip(cbs.zip(crs)) {
                pair.copy_from_slice(&[mean(*cb.0, *cb.1), mean(*cr.0, *cr.1)]);
            }
        }
        out.extend_from_slice(&line);
    }
}

/// Line `y` of a plane with `width` samples in a line; empty beyond the end.
fn line_of(plane: &[u8], width: usize, y: usize) -> &[u8] {
    plane.chunks_exact(width.max(1)).nth(y).unwrap_or(&[])
}

fn mean(a: u8, b: u8) -> u8 {
    // (a + b + 1) / 2 fits a byte.
    u16::from(a).saturating_add(u16::from(b)).div_ceil(2) as u8
}
