//! Rows of a buffer, which a packet reads or writes.

use serde::{Deserialize, Serialize};
use vm_memory::VolatileSlice;

use super::error::GpuError;
use super::mmu::SPACE_BYTES;
use super::packet::Operand;
use super::view::View;
use crate::ports::{Access, Iova};
use crate::sg::SgList;

/// Where a buffer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Where a list says.
    List(SgList),
    /// From a virtual address of the packet's context on, to the end of the address space.
    Virtual(u64),
}

/// Rows of a buffer, all of them inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    place: Place,
    offset: u64,
    stride: u32,
    row_bytes: u32,
    rows: u32,
}

impl Window {
    /// The window of `operand`, with its list fetched; a context has none.
    pub fn fetch(
        operand: Operand,
        row_bytes: u32,
        rows: u32,
        view: &mut View<'_, '_>,
    ) -> Result<Self, GpuError> {
        let place = match (view.context, operand.entries) {
            (0, entries) => Place::List(SgList::fetch(Iova(operand.table), entries, view.ports)?),
            (_, 0) => Place::Virtual(operand.table),
            _ => return Err(GpuError::Packet),
        };
        let window = Window { place, offset: operand.offset, stride: operand.stride, row_bytes, rows };
        if window.is_inside() { Ok(window) } else { Err(GpuError::Bounds) }
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> u32 {
        self.row_bytes
    }

    /// How many rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        u64::from(self.row_bytes).saturating_mul(u64::from(self.rows))
    }

    /// Whether it could have been made by [`Self::fetch`] for a packet of `context`.
    pub fn is_sound(&self, context: u32) -> bool {
        let of_context = matches!(self.place, Place::Virtual(_)) == (context != 0);
        of_context && self.rows > 0 && self.is_inside()
    }

    /// Bytes of the buffer.
    fn buffer_bytes(&self) -> u64 {
        match &self.place {
            Place::List(list) => list.len_bytes(),
            Place::Virtual(start) => SPACE_BYTES.saturating_sub(*start),
        }
    }

    /// Whether every row is inside the buffer.
    fn is_inside(&self) -> bool {
        let last_row = u64::from(self.stride).saturating_mul(u64::from(self.rows.saturating_sub(1)));
        let end = self.offset.checked_add(last_row).and_then(|at| at.checked_add(u64::from(self.row_bytes)));
        end.is_some_and(|end| end <= self.buffer_bytes())
    }

    /// Where row `y` starts. Cannot saturate, because the window is inside its buffer.
    fn row(&self, y: u32) -> u64 {
        self.offset.saturating_add(u64::from(self.stride).saturating_mul(u64::from(y)))
    }

    /// Reads row `y`, or as much of it as `line` has room for.
    pub fn read(&self, y: u32, line: &mut [u8], view: &mut View<'_, '_>) -> Result<(), GpuError> {
        self.read_at(self.row(y), line, view)
    }

    /// Reads `line.len()` bytes of row `y`, from its byte `start` on.
    pub fn read_from(
        &self,
        y: u32,
        start: u32,
        line: &mut [u8],
        view: &mut View<'_, '_>,
    ) -> Result<(), GpuError> {
        self.read_at(self.row(y).saturating_add(start.into()), line, view)
    }

    /// Writes `line` to row `y`, from its byte `start` on.
    pub fn write_from(
        &self,
        y: u32,
        start: u32,
        line: &[u8],
        view: &mut View<'_, '_>,
    ) -> Result<(), GpuError> {
        self.write_at(self.row(y).saturating_add(start.into()), line, view)
    }

    /// Writes row `y`.
    pub fn write(&self, y: u32, line: &[u8], view: &mut View<'_, '_>) -> Result<(), GpuError> {
        self.write_at(self.row(y), line, view)
    }

    /// Reads rows from row `first` on to `lines`, one behind the other: in one access where the buffer has no gap between them.
    pub fn read_rows(&self, first: u32, lines: &mut [u8], view: &mut View<'_, '_>) -> Result<(), GpuError> {
        if self.is_linear() {
            return self.read_at(self.row(first), lines, view);
        }
        let lines = lines.chunks_exact_mut(self.row_bytes as usize);
        (first..).zip(lines).try_for_each(|(y, line)| self.read(y, line, view))
    }

    /// Has `put` write `count` rows from row `first` on, span by span, each told how many bytes of them come before it: in one access where
    /// the buffer has no gap between them.
    pub fn put_rows(
        &self,
        first: u32,
        count: u32,
        view: &mut View<'_, '_>,
        put: &mut dyn FnMut(usize, VolatileSlice<'_>),
    ) -> Result<(), GpuError> {
        let rows = if self.is_linear() { count } else { 1 };
        let bytes = self.row_bytes.saturating_mul(rows) as usize;
        let mut before = 0usize;
        for y in (first..first.saturating_add(count)).step_by(rows.max(1) as usize) {
            self.put_at(self.row(y), bytes, view, &mut |span| {
                put(before, span);
                before = before.saturating_add(span.len());
            })?;
        }
        Ok(())
    }

    /// Reads from byte `offset` of the buffer: one of [`Self::pieces`].
    pub fn read_at(&self, offset: u64, bytes: &mut [u8], view: &mut View<'_, '_>) -> Result<(), GpuError> {
        self.spend(offset, bytes.len(), view);
        match &self.place {
            Place::List(list) => Ok(list.read(offset, bytes, view.ports)?),
            Place::Virtual(start) => view.read(start.saturating_add(offset), bytes),
        }
    }

    /// Writes from byte `offset` of the buffer on: one of [`Self::pieces`].
    pub fn write_at(&self, offset: u64, bytes: &[u8], view: &mut View<'_, '_>) -> Result<(), GpuError> {
        self.spend(offset, bytes.len(), view);
        match &self.place {
            Place::List(list) => Ok(list.write(offset, bytes, view.ports)?),
            Place::Virtual(start) => view.write(start.saturating_add(offset), bytes),
        }
    }

    /// As [`Self::write_at`], but for `put`, which writes each span of `len` bytes.
    fn put_at(
        &self,
        offset: u64,
        len: usize,
        view: &mut View<'_, '_>,
        put: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), GpuError> {
        self.spend(offset, len, view);
        match &self.place {
            Place::List(list) => Ok(list.visit(offset, len as u64, Access::Write, view.ports, put)?),
            Place::Virtual(start) => view.put(start.saturating_add(offset), len, put),
        }
    }

    fn spend(&self, offset: u64, len: usize, view: &mut View<'_, '_>) {
        let len = len as u64;
        let segments = match &self.place {
            Place::List(list) => list.segments_of(offset, len),
            Place::Virtual(_) => 1,
        };
        view.spend_access(len, segments);
    }

    /// Whether its rows follow each other without a gap.
    pub fn is_linear(&self) -> bool {
        self.rows == 1 || self.stride == self.row_bytes
    }

    /// How long pieces may be: so that none has very many segments.
    pub fn piece_bytes(&self) -> u64 {
        let shortest = match &self.place {
            Place::List(list) => list.shortest(),
            Place::Virtual(_) => u32::MAX,
        };
        u64::from(shortest).saturating_mul(PIECE_SEGMENTS).min(PIECE_BYTES)
    }

    /// The window in pieces of at most `piece_bytes`, of everything if `linear`, else of each row.
    pub fn pieces(&self, linear: bool, piece_bytes: u64) -> Pieces {
        let (runs, bytes) = if linear { (1, self.bytes()) } else { (self.rows, u64::from(self.row_bytes)) };
        let (offset, stride) = (self.offset, u64::from(self.stride));
        let in_run = bytes.checked_div(piece_bytes).unwrap_or(0);
        let in_run = in_run.saturating_add(u64::from(in_run.saturating_mul(piece_bytes) < bytes)).max(1);
        Pieces { runs: runs.into(), bytes, offset, stride, in_run, piece_bytes }
    }
}

/// The largest piece that is moved at once, in bytes and in segments.
pub const PIECE_BYTES: u64 = 64 << 10;
const PIECE_SEGMENTS: u64 = 1024;

/// Runs of bytes, each cut into pieces that are multiples of 4 bytes, but for the last of each.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    runs: u64,
    bytes: u64,
    offset: u64,
    stride: u64,
    in_run: u64,
    piece_bytes: u64,
}

impl Pieces {
    /// How many there are.
    pub fn count(self) -> u64 {
        self.runs.saturating_mul(self.in_run)
    }

    /// Bytes of the longest.
    pub fn longest(self) -> usize {
        self.bytes.min(self.piece_bytes) as usize
    }

    /// The offset and length of one.
    pub fn get(self, number: u64) -> (u64, usize) {
        let run = number.checked_div(self.in_run).unwrap_or(0);
        let in_run = number.saturating_sub(run.saturating_mul(self.in_run)).saturating_mul(self.piece_bytes);
        let start = self.offset.saturating_add(run.saturating_mul(self.stride)).saturating_add(in_run);
        (start, self.bytes.saturating_sub(in_run).min(self.piece_bytes) as usize)
    }
}
