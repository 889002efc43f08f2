//! The primary plane: its registers, and fetching its pixels.

use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, VolatileSlice};

use super::registers::{ErrorBits, FORMAT_XRGB8888, Size};
use crate::ports::{Access, Iova, Ports};
use crate::sg::{SG_MAX_ENTRIES, SgError, SgList};

/// Bytes in a pixel of the only format.
const PIXEL_BYTES: u32 = 4;
/// Alignment of a list's address.
const TABLE_ALIGN: u64 = 16;

/// The plane registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneRegs {
    /// `PLANE_CONTROL` bit 0.
    pub on: bool,
    /// `PLANE_FORMAT`.
    pub format: u32,
    /// `PLANE_TABLE`.
    pub table: u64,
    /// `PLANE_ENTRIES`.
    pub entries: u32,
    /// `PLANE_OFFSET`.
    pub offset_bytes: u32,
    /// `PLANE_PITCH`.
    pub pitch_bytes: u32,
    /// `PLANE_SIZE`.
    pub size: Size,
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
    fn new(bit: ErrorBits, error: SgError) -> Self {
        let iova = match error {
            SgError::Count(_) | SgError::Entry(_) | SgError::Bounds { .. } => None,
            SgError::Dma(fault) => fault.address(),
        };
        FetchError { bit, iova }
    }
}

impl PlaneRegs {
    /// Whether a commit of these is accepted while `active` is shown (docs/display.md, "Planes and commits").
    pub fn is_valid(&self, active: Size) -> bool {
        let aligned = |value: u32| value % PIXEL_BYTES == 0;
        !self.on
            || (self.format == FORMAT_XRGB8888
                && self.size == active
                && self.pitch_bytes >= self.row_bytes()
                && aligned(self.pitch_bytes)
                && aligned(self.offset_bytes)
                && self.table % TABLE_ALIGN == 0
                && (1..=SG_MAX_ENTRIES).contains(&self.entries))
    }

    fn row_bytes(&self) -> u32 {
        u32::from(self.size.width_px).saturating_mul(PIXEL_BYTES)
    }

    /// Bytes from the first of the first line to the last of the last.
    pub fn span_bytes(&self) -> u64 {
        let lines = u64::from(self.size.height_px).saturating_sub(1);
        u64::from(self.pitch_bytes).saturating_mul(lines).saturating_add(u64::from(self.row_bytes()))
    }

    /// Whether the whole picture lies in `list`'s buffer.
    pub fn is_covered_by(&self, list: &SgList) -> bool {
        u64::from(self.offset_bytes).saturating_add(self.span_bytes()) <= list.len_bytes()
    }

    /// Reads the list and checks that it covers the picture.
    pub fn fetch_list(&self, ports: &mut Ports<'_>) -> Result<SgList, FetchError> {
        let list = SgList::fetch(Iova(self.table), self.entries, ports)
            .map_err(|error| FetchError::new(ErrorBits::TABLE, error))?;
        if !self.is_covered_by(&list) {
            return Err(FetchError { bit: ErrorBits::TABLE, iova: None });
        }
        Ok(list)
    }

    /// Reads the pixels into `picture`, packed, padding bytes zero.
    pub fn fetch_pixels(
        &self,
        list: &SgList,
        picture: &mut [u8],
        ports: &mut Ports<'_>,
    ) -> Result<(), FetchError> {
        let (start, len) = (u64::from(self.offset_bytes), self.span_bytes());
        let mut rows = Rows::new(self, picture);
        list.visit(start, len, Access::Read, ports, &mut |span| rows.take(span))
            .map_err(|error| FetchError::new(ErrorBits::FETCH, error))?;
        for pixel in picture.chunks_exact_mut(PIXEL_BYTES as usize) {
            if let Some(padding) = pixel.last_mut() {
                *padding = 0;
            }
        }
        Ok(())
    }
}

/// Drops the bytes between lines from a run of spans.
struct Rows<'a> {
    picture: &'a mut [u8],
    row: usize,
    pitch: usize,
    column: usize,
    written: usize,
}

impl<'a> Rows<'a> {
    fn new(plane: &PlaneRegs, picture: &'a mut [u8]) -> Self {
        let (row, pitch) = (plane.row_bytes() as usize, plane.pitch_bytes as usize);
        // Lines without gaps are one long line.
        let (row, pitch) = if row == pitch { (usize::MAX, usize::MAX) } else { (row, pitch) };
        Rows { picture, row, pitch, column: 0, written: 0 }
    }

    fn take(&mut self, span: VolatileSlice<'_>) {
        let mut at = 0usize;
        while at < span.len() {
            let left = span.len().saturating_sub(at);
            let in_row = self.row.saturating_sub(self.column).min(left);
            let step = if in_row > 0 { in_row } else { self.pitch.saturating_sub(self.column).min(left) };
            let end = self.written.saturating_add(in_row);
            if let Some(row) = self.picture.get_mut(self.written..end) {
                // Within the span by construction; a span shorter than it says would leave the row as it was.
                let _ = span.read_slice(row, at);
                self.written = end;
            }
            at = at.saturating_add(step);
            self.column = self.column.saturating_add(step);
            if self.column >= self.pitch {
                self.column = 0;
            }
        }
    }
}
