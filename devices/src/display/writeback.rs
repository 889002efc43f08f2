//! Write-back: the composed picture goes into a buffer of the guest's.

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::layer::FetchError;
use super::plane::is_list;
use super::registers::{ErrorBits, Reg, Size};
use crate::ports::{Iova, Ports};
use crate::registers::Half;
use crate::sg::{SgError, SgList};

/// Bytes of a pixel in all its formats.
const PIXEL_BYTES: u32 = 4;

/// `WRITEBACK_*`, as a commit takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritebackRegs {
    /// `WRITEBACK_CONTROL` bit 0.
    pub on: bool,
    /// `WRITEBACK_FORMAT`.
    pub format: u32,
    /// `WRITEBACK_TABLE`.
    pub table: u64,
    /// `WRITEBACK_ENTRIES`.
    pub entries: u32,
    /// `WRITEBACK_OFFSET`.
    pub offset_bytes: u32,
    /// `WRITEBACK_PITCH`.
    pub pitch_bytes: u32,
}

/// A write-back whose commit was latched: its picture is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writing {
    /// Where to; `on` is set.
    pub regs: WritebackRegs,
    /// The commit that asked for it.
    pub commit: u64,
}

/// The newest write-back that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// `WRITEBACK_DONE`: the commit that asked for it.
    pub commit: u64,
    /// `WRITEBACK_STATUS` bit 0.
    pub failed: bool,
    /// Those that put a whole picture into memory, since reset.
    pub pictures: u64,
    /// `WRITEBACK_FAILURES`.
    pub failures: u32,
}

impl WritebackRegs {
    /// What a register of it holds; none if it is none of these.
    pub(super) fn register(&self, register: Reg) -> Option<u64> {
        let word = match register {
            Reg::WritebackTable => return Some(self.table),
            Reg::WritebackControl => u32::from(self.on),
            Reg::WritebackFormat => self.format,
            Reg::WritebackEntries => self.entries,
            Reg::WritebackOffset => self.offset_bytes,
            Reg::WritebackPitch => self.pitch_bytes,
            _ => return None,
        };
        Some(word.into())
    }

    /// Writes half of a register of it.
    pub(super) fn write(&mut self, register: Reg, half: Half, value: u32) {
        match register {
            Reg::WritebackTable => self.table = half.put(self.table, value),
            Reg::WritebackControl => self.on = value != 0,
            Reg::WritebackFormat => self.format = value,
            Reg::WritebackEntries => self.entries = value,
            Reg::WritebackOffset => self.offset_bytes = value,
            Reg::WritebackPitch => self.pitch_bytes = value,
            _ => {}
        }
    }

    /// Whether a commit of these is accepted while the mode has an `active` area (docs/display.md, "Write-back").
    pub fn is_valid(&self, active: Size) -> bool {
        let aligned = |bytes: u32| bytes % PIXEL_BYTES == 0;
        !self.on
            || (self.pixel_of([0; 4]).is_some()
                && is_list(self.table, self.entries)
                && aligned(self.offset_bytes)
                && aligned(self.pitch_bytes)
                && self.pitch_bytes >= row_bytes(active))
    }

    /// Bytes that are written of a picture.
    pub fn picture_bytes(&self, active: Size) -> u64 {
        if self.on { active.area().saturating_mul(PIXEL_BYTES.into()) } else { 0 }
    }

    /// A pixel of the screen, whose bytes are B, G, R, 0, in the format; none if there is no such format.
    fn pixel_of(&self, [b, g, r, _]: [u8; 4]) -> Option<[u8; 4]> {
        match Format::of(self.format)? {
            Format::Xrgb8888 => Some([b, g, r, 0]),
            Format::Argb8888 => Some([b, g, r, u8::MAX]),
            Format::Xbgr8888 => Some([r, g, b, 0]),
            Format::Rgb565 | Format::Nv12 | Format::Yuyv => None,
        }
    }

    /// Reads the list of the buffer, which must have room for a picture of `active` size.
    pub(super) fn fetch(&self, active: Size, ports: &mut Ports<'_>) -> Result<SgList, FetchError> {
        let list = SgList::fetch(Iova(self.table), self.entries, ports).map_err(failed)?;
        if !self.fits(&list, active) {
            return Err(FetchError { bit: ErrorBits::WRITEBACK, iova: None });
        }
        Ok(list)
    }

    /// Whether a picture of `active` size has room in `list`.
    pub(super) fn fits(&self, list: &SgList, active: Size) -> bool {
        let last = u32::from(active.height_px).saturating_sub(1);
        self.line_at(last).saturating_add(row_bytes(active).into()) <= list.len_bytes()
    }

    /// Where line `y` begins in the buffer.
    fn line_at(&self, y: u32) -> u64 {
        u64::from(self.pitch_bytes).saturating_mul(y.into()).saturating_add(self.offset_bytes.into())
    }

    /// In how many segments line `y` of a picture of `active` size is.
    pub(super) fn segments_of(&self, list: &SgList, active: Size, y: u32) -> u64 {
        list.segments_of(self.line_at(y), row_bytes(active).into())
    }

    /// Writes lines from `top` on, which are `pixels`; what is between the lines stays as it was.
    pub(super) fn put(
        &self,
        list: &SgList,
        active: Size,
        (top, pixels): (u32, &[u8]),
        ports: &mut Ports<'_>,
    ) -> Result<(), FetchError> {
        let row = row_bytes(active) as usize;
        let mut line = Vec::with_capacity(row);
        for (y, pixels) in (top..).zip(pixels.chunks_exact(row)) {
            line.clear();
            let pixels = pixels.chunks_exact(4).filter_map(|pixel| self.pixel_of(pixel.try_into().ok()?));
            line.extend(pixels.flatten());
            list.write(self.line_at(y), &line, ports).map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(error: SgError) -> FetchError {
    FetchError::new(ErrorBits::WRITEBACK, error)
}

fn row_bytes(active: Size) -> u32 {
    u32::from(active.width_px).saturating_mul(PIXEL_BYTES)
}
