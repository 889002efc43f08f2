//! A frame is made and written in parts, which the host can come between.
//!
//! When its time is over a frame is written: in one call, if that takes the host [`ENOUGH_NS`] at most, as an ordinary one does. Of any
//! other a call does as much as that, and the next one goes on as soon as the machine makes it. What a part takes is counted by what
//! it costs the host, roughly; the host's clock has no say in it.

use serde::{Deserialize, Serialize};

use super::error::ErrorCode;
use super::format::{FrameLayout, PixelFormat};
use super::source::{Band, Size};
use super::state::InFlight;
use crate::sg::SgList;

/// Nanoseconds of the host's that a part takes at most, as this module estimates them.
pub const ENOUGH_NS: u64 = 5_500_000;
/// What a segment, or a page, costs beside its bytes: a translation that is in no cache.
const ACCESS_NS: u64 = 1500;
const PAGE_BYTES: u64 = 4096;
/// Bytes whose CRC is worked out, and that are moved, in a nanosecond.
const BYTES_IN_NS: u64 = 8;
/// Segments of a part, which take half of its time.
const SEGMENTS: u64 = ENOUGH_NS / 2 / ACCESS_NS;

/// How far a frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is wrong with it, which is known since its first part.
    pub wrong: Option<Wrong>,
    /// Bytes written.
    pub at: u32,
    /// Their CRC.
    pub crc: u32,
}

impl Progress {
    /// Whether a frame that is not whole yet can be so far.
    pub fn can_be(&self, layout: &FrameLayout) -> bool {
        match self.wrong {
            None => *self == Progress::default(),
            Some(wrong) => self.at > 0 && self.at < wrong.bytes(layout),
        }
    }
}

/// What was asked to be wrong with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// So many lines in its middle are inverted.
    pub lines: u32,
    /// Its second half is missing.
    pub short: bool,
    /// That too, and the frame says so.
    pub overrun: bool,
}

impl Wrong {
    /// Bytes that are left of it.
    pub fn bytes(self, layout: &FrameLayout) -> u32 {
        if self.short || self.overrun {
            return layout.stride_bytes.saturating_mul(layout.size.height_px / 2);
        }
        layout.frame_bytes()
    }

    /// Why it is no picture.
    pub fn error(self) -> Option<ErrorCode> {
        if self.overrun {
            return Some(ErrorCode::Overflow);
        }
        (self.lines > 0).then_some(ErrorCode::Line)
    }

    /// Inverts what is to be of the pixels of `band`.
    pub fn invert(self, layout: &FrameLayout, band: Band, pixels: &mut [u8]) {
        let rows = layout.size.height_px;
        let lines = self.lines.min(rows);
        let first = rows.saturating_sub(lines) / 2;
        let wrong = first..first.saturating_add(lines);
        let stride = layout.stride_bytes as usize;
        let of_band = pixels.chunks_mut(stride.max(1)).take(band.height_px as usize);
        for (_, line) in (band.top_px..).zip(of_band).filter(|(y, _)| wrong.contains(y)) {
            line.iter_mut().for_each(|byte| *byte = !*byte);
        }
    }
}

/// Bytes of a frame that are made and written in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
}

impl Part {
    /// The part of `frame` that begins where it is. Its pictures are of the size `source` before they are cut.
    pub fn next(frame: &InFlight, layout: &FrameLayout, source: Size) -> Self {
        let Progress { wrong, at: from, .. } = frame.progress;
        let end = wrong.unwrap_or_default().bytes(layout);
        if from == 0 && frame_ns(frame, layout, source) <= ENOUGH_NS {
            return Part { from, to: end };
        }
        let (list, offset) = frame.place(layout, from);
        let in_segments = list.end_of(offset, SEGMENTS).saturating_sub(offset);
        let behind = u64::from(from).saturating_add(in_segments).min(lines_end(layout, from, source));
        Part { from, to: u32::try_from(behind).unwrap_or(u32::MAX).min(end) }
    }

    /// The lines that have it.
    pub fn band(self, layout: &FrameLayout) -> Band {
        let first_bytes = layout.first_bytes();
        // A line of chroma has that of two lines.
        let line_of = |at: u32| match at.checked_sub(first_bytes) {
            None => line(at, layout),
            Some(at) => line(at, layout).saturating_mul(2),
        };
        let last = line_of(self.to.saturating_sub(1));
        let (top, last) = if self.from < first_bytes && self.to > first_bytes {
            (0, layout.size.height_px.saturating_sub(1))
        } else {
            (line_of(self.from) & !1, last | 1)
        };
        Band { top_px: top, height_px: last.saturating_add(1).saturating_sub(top) }
    }

    /// The runs of `pixels`, which are those of `band`, that are its bytes: where each begins in the frame. What has a list of its own
    /// is a run of its own, and so is what is not behind the other in `pixels`.
    pub fn runs<'a>(
        self,
        layout: &FrameLayout,
        band: Band,
        apart: bool,
        pixels: &'a [u8],
    ) -> Vec<(u32, &'a [u8])> {
        let first_bytes = layout.first_bytes();
        let whole = band == Band::whole(layout.size);
        let run = |from: u32, to: u32, start: u32, skip: u32| {
            let place = |at: u32| at.saturating_sub(start).saturating_add(skip) as usize;
            (from < to).then(|| (from, pixels.get(place(from)..place(to)).unwrap_or_default()))
        };
        if whole && !apart {
            return run(self.from, self.to, 0, 0).into_iter().collect();
        }
        let stride = layout.stride_bytes;
        let luma = stride.saturating_mul(band.top_px);
        let chroma = first_bytes.saturating_add(stride.saturating_mul(band.top_px / 2));
        let luma_bytes = stride.saturating_mul(band.height_px);
        let runs = [
            run(self.from, self.to.min(first_bytes), luma, 0),
            run(self.from.max(first_bytes), self.to, chroma, luma_bytes),
        ];
        runs.into_iter().flatten().collect()
    }
}

/// The line of its plane that has byte `at`.
fn line(at: u32, layout: &FrameLayout) -> u32 {
    at.checked_div(layout.stride_bytes).unwrap_or(0)
}

/// Where so many lines end, from that of byte `from` on, that they take half of a part's time; or their plane, if it ends there.
fn lines_end(layout: &FrameLayout, from: u32, source: Size) -> u64 {
    let first_bytes = layout.first_bytes();
    let line_ns = line_ns(layout, source).saturating_add(pages(line_bytes(layout)).saturating_mul(ACCESS_NS));
    let lines = (ENOUGH_NS / 2).checked_div(line_ns).unwrap_or(0).max(2) & !1;
    let (start, end, top, lines) = match from.checked_sub(first_bytes) {
        None => (0, first_bytes, line(from, layout) & !1, lines),
        Some(at) => (first_bytes, layout.frame_bytes(), line(at, layout), lines / 2),
    };
    let behind = lines.saturating_add(top.into()).saturating_mul(layout.stride_bytes.into());
    behind.saturating_add(start.into()).min(end.into())
}

/// Bytes of a line, with its part of the chroma.
fn line_bytes(layout: &FrameLayout) -> u64 {
    u64::from(layout.frame_bytes()).checked_div(layout.size.height_px.into()).unwrap_or(0)
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

/// What a line takes, from the source's picture to memory, without the accesses.
fn line_ns(layout: &FrameLayout, source: Size) -> u64 {
    let drawn_ns = u64::from(source.width_px).saturating_mul(DRAW_PS) / 1000;
    let converted_ns = u64::from(layout.size.width_px).saturating_mul(convert_ps(layout.format)) / 1000;
    drawn_ns.saturating_add(converted_ns).saturating_add(line_bytes(layout) / BYTES_IN_NS)
}

/// What all of a frame takes.
fn frame_ns(frame: &InFlight, layout: &FrameLayout, source: Size) -> u64 {
    let lines_ns = line_ns(layout, source).saturating_mul(layout.size.height_px.into());
    let segments = frame.lists().map(|list| list.segments().len() as u64).sum::<u64>();
    // A segment is seldom longer than a page.
    let accesses = segments.max(pages(layout.frame_bytes().into()));
    lines_ns.saturating_add(accesses.saturating_mul(ACCESS_NS))
}

/// Picoseconds in which a pixel of the source comes to be, with its controls.
const DRAW_PS: u64 = 700;

/// Picoseconds in which a pixel is cut out and converted.
fn convert_ps(format: PixelFormat) -> u64 {
    match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Nv12 | PixelFormat::Grey => 800,
        PixelFormat::Xrgb8888 | PixelFormat::Bayer8 | PixelFormat::Bayer10 => 1600,
    }
}

impl InFlight {
    /// The lists of its planes.
    pub(super) fn lists(&self) -> impl Iterator<Item = &SgList> {
        [&self.first].into_iter().chain(&self.second)
    }

    /// The list that has byte `at` of the frame, and where that is there.
    pub(super) fn place(&self, layout: &FrameLayout, at: u32) -> (&SgList, u64) {
        match (&self.second, at.checked_sub(layout.first_bytes())) {
            (Some(list), Some(at)) => (list, at.into()),
            _ => (&self.first, at.into()),
        }
    }
}
