//! A frame is made in steps, which the host can come between: the planes are read, the picture is composed, its CRC worked out, and where
//! that was asked for it is written back.
//!
//! At the end of its fetch a frame is made in one call, if that takes the host [`ENOUGH_NS`] at most, as an ordinary one does. Of any
//! other a call does as much as that, and the next one goes on as soon as the machine makes it. What a step takes is counted by what
//! it costs the host, roughly; neither the host's clock nor what is kept of the frame before has a say in it.

use serde::{Deserialize, Serialize};

use super::color::{ColorControl, ColorRegs};
use super::compose;
use super::plane::{PlaneRegs, Planes, from_below};
use super::registers::Size;
use crate::sg::SgList;

/// Nanoseconds of the host's after which a call ends, as this module estimates them.
pub const ENOUGH_NS: u64 = 6_000_000;
/// The same of a frame of more bytes than [`ORDINARY_BYTES`]: memory that is touched for the first time takes the host several times as
/// long, and so much is not touched at once.
const ENOUGH_OF_LARGE_NS: u64 = 1_000_000;
/// Bytes that are read and composed of an ordinary frame at most: those of 1920 x 1080 pixels, and as many of planes above.
const ORDINARY_BYTES: u64 = 24 << 20;
/// Those of a step of many lines.
const STEP_NS: u64 = 200_000;
/// What a segment, or a page, costs beside its bytes: a translation that is in no cache.
const ACCESS_NS: u64 = 1200;
const PAGE_BYTES: u64 = 4096;
/// Bytes that are moved, or whose CRC is worked out, in a nanosecond.
const BYTES_IN_NS: u64 = 12;
/// Bytes whose CRC is worked out in a step: as many as a host's second cache has room for, beside where they came from.
pub const SUM_BYTES: usize = 1 << 18;

/// What takes a pixel of the picture, in picoseconds: to be cleared, copied, decoded and blended, scaled, changed by the matrix and by the
/// table, and put into the format of a write-back.
const CLEAR_PS: u64 = 400;
const COPY_PS: u64 = 600;
const BLEND_PS: u64 = 6000;
const DECODE_PS: u64 = 3000;
const SCALE_PS: u64 = 10_000;
const MATRIX_PS: u64 = 6000;
const GAMMA_PS: u64 = 2000;
const WRITE_PS: u64 = 2000;

/// What a call does at most of a frame of so many bytes.
pub fn enough_ns(bytes: u64) -> u64 {
    if bytes <= ORDINARY_BYTES { ENOUGH_NS } else { ENOUGH_OF_LARGE_NS }
}

/// What is accessed costs so much.
pub fn access_ns(bytes: u64, segments: u64) -> u64 {
    // A segment is seldom longer than a page.
    let accesses = bytes.div_ceil(PAGE_BYTES).max(segments);
    accesses.saturating_mul(ACCESS_NS).saturating_add(bytes / BYTES_IN_NS)
}

/// A frame that is being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Making {
    /// Since when, in nanoseconds.
    pub since_ns: u64,
    /// What is done next.
    pub next: Step,
    /// What there is of it; in a saved state alone.
    pub so_far: SoFar,
}

/// A step of a frame. The number of a layer is twice that of its plane, counted from the lowest that is on, and one more for chroma.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Reads a layer.
    Fetch {
        /// Which.
        layer: u8,
        /// The byte of its span that is next.
        at: u64,
    },
    /// Composes lines.
    Compose {
        /// The next.
        line: u32,
    },
    /// Works out the CRC.
    Sum {
        /// The byte of the picture that is next.
        at: u64,
        /// The CRC of those before it.
        crc: u32,
    },
    /// Writes lines to memory.
    Write {
        /// The list of the buffer.
        list: SgList,
        /// The next line.
        line: u32,
    },
}

/// What there is of a frame that is being made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// What was read of the layers of each plane, while the picture is not composed.
    pub read: Vec<[Vec<u8>; 2]>,
    /// The lines that were composed.
    pub picture: Vec<u8>,
}

impl Making {
    /// A frame whose fetch has just ended.
    pub fn new(since_ns: u64) -> Self {
        Making { since_ns, next: Step::Fetch { layer: 0, at: 0 }, so_far: SoFar::default() }
    }

    /// Whether a frame of these planes can be so far, and has what there is of it then.
    pub fn can_be(&self, planes: &Planes, active: Size) -> bool {
        let (row, lines) = (row_bytes(active), u32::from(active.height_px));
        let composed = |lines: u32| self.so_far.picture.len() == row.saturating_mul(lines as usize);
        match self.next {
            Step::Fetch { layer, at } => {
                composed(0) && at_most(planes, layer, at) && self.has_read(planes, layer, at)
            }
            Step::Compose { line } => {
                line < lines && composed(line) && self.has_read(planes, layers(planes), 0)
            }
            Step::Sum { at, .. } => {
                let bytes = row.saturating_mul(lines as usize) as u64;
                at < bytes && composed(lines) && self.so_far.read.is_empty()
            }
            Step::Write { line, .. } => line < lines && composed(lines) && self.so_far.read.is_empty(),
        }
    }

    fn has_read(&self, planes: &Planes, layer: u8, at: u64) -> bool {
        self.so_far.read.iter().map(|plane| plane.each_ref().map(Vec::len)).eq(lengths(planes, layer, at))
    }
}

/// How many layers planes have.
pub fn layers(planes: &Planes) -> u8 {
    (from_below(planes).len() as u8).saturating_mul(2)
}

/// Whether byte `at` is one of a layer's span.
fn at_most(planes: &Planes, number: u8, at: u64) -> bool {
    let span = layer(planes, number).and_then(|(_, layer)| layer).map_or(0, |layer| layer.span_bytes());
    number <= layers(planes) && (at == 0 || at < span)
}

/// The plane that has a layer, and that layer, if it has such a one.
pub fn layer(planes: &Planes, number: u8) -> Option<(usize, Option<super::layer::Layer>)> {
    let stack = from_below(planes);
    let &(index, plane) = stack.get(usize::from(number / 2))?;
    Some((index, if number % 2 == 0 { plane.pixel_layer() } else { plane.chroma_layer() }))
}

/// How many bytes of the layers of each plane were read when byte `at` of `layer` is next.
pub fn lengths(planes: &Planes, number: u8, at: u64) -> impl Iterator<Item = [usize; 2]> {
    let mut lengths = [[0; 2]; super::registers::PLANES];
    for before in 0..=number {
        let Some((index, Some(layer))) = layer(planes, before) else { continue };
        let read = if before < number { layer.packed_bytes() } else { layer.packed_before(at) };
        if let Some(length) = lengths.get_mut(index).and_then(|of| of.get_mut(usize::from(before % 2))) {
            *length = read;
        }
    }
    lengths.into_iter()
}

/// Bytes of a line of the picture.
pub fn row_bytes(active: Size) -> usize {
    usize::from(active.width_px).saturating_mul(4)
}

/// The line behind those that are composed in a step that begins with `line`, and what that takes.
pub fn lines(planes: &Planes, color: &ColorRegs, active: Size, line: u32) -> (u32, u64) {
    let stack = from_below(planes);
    chunk(line, active, |line| line_ps(&stack, color, active, line))
}

/// The same of lines that are written back, each of which has so many segments.
pub fn written_lines(active: Size, line: u32, segments: impl Fn(u32) -> u64) -> (u32, u64) {
    let bytes = row_bytes(active) as u64;
    let pixels_ps = u64::from(active.width_px).saturating_mul(WRITE_PS);
    chunk(line, active, |line| {
        access_ns(bytes, segments(line)).saturating_mul(1000).saturating_add(pixels_ps)
    })
}

/// What the CRC of so many bytes takes.
pub fn sum_ns(bytes: usize) -> u64 {
    bytes as u64 / BYTES_IN_NS
}

fn chunk(line: u32, active: Size, line_ps: impl Fn(u32) -> u64) -> (u32, u64) {
    let (mut end, mut ps) = (line, 0u64);
    while end < u32::from(active.height_px) && ps < STEP_NS.saturating_mul(1000) {
        ps = ps.saturating_add(line_ps(end));
        end = end.saturating_add(1);
    }
    (end, ps / 1000)
}

/// Picoseconds of a line of the picture.
fn line_ps(stack: &[(usize, &PlaneRegs)], color: &ColorRegs, active: Size, line: u32) -> u64 {
    let width = u64::from(active.width_px);
    let lowest_fills = stack.first().is_some_and(|(_, plane)| plane.fills(active));
    let ground = if lowest_fills { COPY_PS } else { CLEAR_PS };
    let mut ps = width.saturating_mul(ground);
    for (_, plane) in stack.iter().skip(usize::from(lowest_fills)) {
        if !compose::has_line(plane, active, line) {
            continue;
        }
        let (from, to) = (u64::from(plane.size.width_px), u64::from(plane.size_on_screen().width_px));
        let scaled = plane.size != plane.size_on_screen();
        let lines = if scaled { from.saturating_mul(2) } else { from };
        ps = ps
            .saturating_add(lines.saturating_mul(DECODE_PS))
            .saturating_add(to.saturating_mul(if scaled { SCALE_PS } else { 0 }))
            .saturating_add(to.saturating_mul(BLEND_PS));
    }
    for (bit, cost) in [(ColorControl::MATRIX, MATRIX_PS), (ColorControl::GAMMA, GAMMA_PS)] {
        if color.control.contains(bit) {
            ps = ps.saturating_add(width.saturating_mul(cost));
        }
    }
    ps
}
