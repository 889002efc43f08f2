//! A rectangle of samples in a buffer: where its bytes are, and fetching them.

use vm_memory::{Bytes, VolatileSlice};

use super::compose;
use super::format::Layout;
use super::making::{SUM_BYTES, access_ns};
use super::registers::{ErrorBits, Point, Size};
use crate::ports::{Iova, Kept, Ports, Seen};
use crate::sg::{SgError, SgList};

/// The largest piece that is read at once, in bytes (that of a CRC) and in segments.
const PIECE_BYTES: u64 = SUM_BYTES as u64;
const PIECE_SEGMENTS: u64 = 1024;

/// Lines of units at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What the distances are multiples of.
    unit_bytes: u32,
    /// The buffer's byte at which the picture begins, which may be larger than the rectangle.
    offset_bytes: u32,
    /// From there to the rectangle.
    crop_bytes: u64,
    /// Bytes from the first of a line to the last that is read.
    row_end_bytes: u64,
    /// Bytes of a line.
    pub row_bytes: u32,
    pitch_bytes: u32,
    lines: u32,
}

/// Why a frame could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// The status bit that says so.
    pub bit: ErrorBits,
    /// The refused address, if memory refused.
    pub iova: Option<Iova>,
}

impl FetchError {
    /// What `error` means to the guest.
    pub fn new(bit: ErrorBits, error: SgError) -> Self {
        let iova = match error {
            SgError::Count(_) | SgError::Entry(_) | SgError::Bounds { .. } => None,
            SgError::Dma(fault) => fault.address(),
        };
        FetchError { bit, iova }
    }
}

impl Layer {
    /// The units that a rectangle touches.
    pub(super) fn new(
        layout: Layout,
        crop: Point<u16>,
        size: Size,
        offset_bytes: u32,
        pitch_bytes: u32,
    ) -> Self {
        let (x, width) = units(crop.x, size.width_px, layout.across);
        let (y, lines) = units(crop.y, size.height_px, layout.down);
        let bytes = |units: u32| units.saturating_mul(layout.unit_bytes);
        let crop_bytes = u64::from(pitch_bytes).saturating_mul(y.into()).saturating_add(u64::from(bytes(x)));
        Layer {
            unit_bytes: layout.unit_bytes,
            offset_bytes,
            crop_bytes,
            row_end_bytes: u64::from(bytes(x.saturating_add(width))),
            row_bytes: bytes(width),
            pitch_bytes,
            lines,
        }
    }

    /// Whether the lines are apart, and all is aligned.
    pub fn is_valid(&self) -> bool {
        let aligned = |bytes: u32| bytes.checked_rem(self.unit_bytes) == Some(0);
        u64::from(self.pitch_bytes) >= self.row_end_bytes
            && aligned(self.pitch_bytes)
            && aligned(self.offset_bytes)
    }

    /// Bytes from the first of the first line to the last of the last.
    pub fn span_bytes(&self) -> u64 {
        let lines = u64::from(self.lines).saturating_sub(1);
        u64::from(self.pitch_bytes).saturating_mul(lines).saturating_add(u64::from(self.row_bytes))
    }

    fn start(&self) -> u64 {
        u64::from(self.offset_bytes).saturating_add(self.crop_bytes)
    }

    /// Bytes of all lines without what is between them.
    pub fn packed_bytes(&self) -> usize {
        u64::from(self.row_bytes).saturating_mul(self.lines.into()) as usize
    }

    /// How many of these are before byte `at` of the span.
    pub fn packed_before(&self, at: u64) -> usize {
        let (row, pitch) = (u64::from(self.row_bytes), u64::from(self.pitch_bytes));
        let line = at.checked_div(pitch).unwrap_or(0);
        let column = at.saturating_sub(line.saturating_mul(pitch));
        line.saturating_mul(row).saturating_add(column.min(row)) as usize
    }

    /// Whether all of it lies in `list`'s buffer.
    pub fn is_covered_by(&self, list: &SgList) -> bool {
        self.start().saturating_add(self.span_bytes()) <= list.len_bytes()
    }

    /// Where a piece of the span ends that begins at its byte `at`, and what it takes the host to read it.
    pub fn piece(&self, list: &SgList, at: u64) -> (u64, u64) {
        let from = self.start().saturating_add(at);
        let to = list.end_of(from, PIECE_SEGMENTS).saturating_sub(self.start());
        let to = to.min(at.saturating_add(PIECE_BYTES)).min(self.span_bytes());
        let bytes = to.saturating_sub(at);
        (to, access_ns(bytes, list.segments_of(from, bytes)))
    }

    /// Reads what of the lines is in bytes `at..to` of the span into `packed`, one line after the other, which has them as `seen` says;
    /// tells whether it has all. What is read is `clear`ed of what is no colour.
    pub fn fetch(
        &self,
        list: &SgList,
        (at, to): (u64, u64),
        (packed, clear): (&mut [u8], bool),
        seen: &mut Seen,
        ports: &mut Ports<'_>,
    ) -> Result<Kept, FetchError> {
        let mut rows = Rows::new(self, at, packed);
        let mut all = Kept::Yes;
        let from = self.start().saturating_add(at);
        list.visit_again(from, to.saturating_sub(at), seen, ports, &mut |span, kept| {
            let from = rows.written;
            rows.take(span, kept);
            if kept == Kept::No {
                all = Kept::No;
                if clear {
                    // While the host has it at hand, with the pixel that the span before may have ended in.
                    compose::clear_rest(rows.packed.get_mut(from & !3..rows.written).unwrap_or_default());
                }
            }
        })
        .map_err(|error| FetchError::new(ErrorBits::FETCH, error))?;
        Ok(all)
    }
}

/// The first unit, and how many, that `length` pixels from `start` touch.
fn units(start: u16, length: u16, pixels: u32) -> (u32, u32) {
    let (start, end) = (u32::from(start), u32::from(start).saturating_add(length.into()));
    let first = start.checked_div(pixels).unwrap_or(start);
    (first, end.div_ceil(pixels.max(1)).saturating_sub(first))
}

/// Drops the bytes between lines from a run of spans.
struct Rows<'a> {
    packed: &'a mut [u8],
    row: usize,
    pitch: usize,
    column: usize,
    written: usize,
}

impl<'a> Rows<'a> {
    /// Those of `layer`, from byte `at` of its span on.
    fn new(layer: &Layer, at: u64, packed: &'a mut [u8]) -> Self {
        let (row, pitch) = (layer.row_bytes as usize, layer.pitch_bytes as usize);
        // Lines without gaps are one long line.
        let (row, pitch) = if row == pitch { (usize::MAX, usize::MAX) } else { (row, pitch) };
        let column = (at as usize).checked_rem(pitch).unwrap_or(0);
        Rows { packed, row, pitch, column, written: layer.packed_before(at) }
    }

    /// Goes on by a span; what is kept of it is not read.
    fn take(&mut self, span: VolatileSlice<'_>, kept: Kept) {
        let mut at = 0usize;
        while at < span.len() {
            let left = span.len().saturating_sub(at);
            let in_row = self.row.saturating_sub(self.column).min(left);
            let step = if in_row > 0 { in_row } else { self.pitch.saturating_sub(self.column).min(left) };
            let end = self.written.saturating_add(in_row);
            match self.packed.get_mut(self.written..end) {
                // Within the span by construction; a span shorter than it says would leave the row as it was.
                Some(row) if kept == Kept::No => _ = span.read_slice(row, at),
                _ => {}
            }
            self.written = end;
            at = at.saturating_add(step);
            self.column = self.column.saturating_add(step);
            if self.column >= self.pitch {
                self.column = 0;
            }
        }
    }
}
