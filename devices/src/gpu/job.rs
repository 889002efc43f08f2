//! A packet with its scatter-gather lists fetched and its operands checked, and what it does to memory.

use serde::{Deserialize, Serialize};

use super::error::GpuError;
use super::packet::{Condition, Operand, Packet, Source};
use crate::pixel::{self, Range};
use crate::ports::{Iova, Ports};
use crate::sg::SgList;

/// The largest piece that a fill or a copy moves at once.
const PIECE_BYTES: u64 = 64 << 10;

/// Rows of a buffer, all of them inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    list: SgList,
    offset: u64,
    stride: u32,
    row_bytes: u32,
    rows: u32,
}

/// A job that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Nothing.
    Nop,
    /// Write a pattern.
    Fill { dst: Window, pattern: u32 },
    /// Copy rows.
    Copy { dst: Window, src: Window },
    /// Convert packed YUYV.
    ConvertYuyv { dst: Window, src: Window, range: Range },
    /// Convert a plane of luma and a plane of chroma.
    ConvertNv12 { dst: Window, luma: Window, chroma: Window, range: Range },
    /// Wait on a semaphore.
    SemWait { address: Iova, condition: Condition },
    /// Write a semaphore.
    SemSignal { address: Iova, value: u64 },
    /// Write the fence word.
    Fence { seqno: u64, cycles_at: Option<Iova> },
}

impl Window {
    fn fetch(operand: Operand, row_bytes: u32, rows: u32, ports: &mut Ports<'_>) -> Result<Self, GpuError> {
        let list = SgList::fetch(operand.table, operand.entries, ports)?;
        let window = Window { list, offset: operand.offset, stride: operand.stride, row_bytes, rows };
        if window.is_inside() { Ok(window) } else { Err(GpuError::Bounds) }
    }

    /// Whether every row is inside the buffer.
    fn is_inside(&self) -> bool {
        let last_row = u64::from(self.stride).saturating_mul(u64::from(self.rows.saturating_sub(1)));
        let end = self.offset.checked_add(last_row).and_then(|at| at.checked_add(u64::from(self.row_bytes)));
        end.is_some_and(|end| end <= self.list.len_bytes())
    }

    fn bytes(&self) -> u64 {
        u64::from(self.row_bytes).saturating_mul(u64::from(self.rows))
    }

    /// Where row `y` starts. Cannot saturate, because the window is inside its buffer.
    fn row(&self, y: u32) -> u64 {
        self.offset.saturating_add(u64::from(self.stride).saturating_mul(u64::from(y)))
    }

    fn read(&self, y: u32, line: &mut [u8], ports: &mut Ports<'_>) -> Result<(), GpuError> {
        Ok(self.list.read(self.row(y), line, ports)?)
    }

    fn write(&self, y: u32, line: &[u8], ports: &mut Ports<'_>) -> Result<(), GpuError> {
        Ok(self.list.write(self.row(y), line, ports)?)
    }

    /// Whether its rows follow each other without a gap.
    fn is_linear(&self) -> bool {
        self.rows == 1 || self.stride == self.row_bytes
    }

    /// The window as runs of bytes, (offset, length): one run of everything if `linear`, else a run a row.
    fn runs(&self, linear: bool) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (rows, bytes) = if linear { (1, self.bytes()) } else { (self.rows, u64::from(self.row_bytes)) };
        let (offset, stride) = (self.offset, u64::from(self.stride));
        (0..rows).map(move |y| (offset.saturating_add(stride.saturating_mul(u64::from(y))), bytes))
    }
}

impl Job {
    /// Fetches the lists that `packet` names and checks its operands against them.
    pub fn fetch(packet: Packet, ports: &mut Ports<'_>) -> Result<Self, GpuError> {
        Ok(match packet {
            Packet::Nop => Job::Nop,
            Packet::Fill { dst, width_bytes, rows, pattern } => {
                Job::Fill { dst: Window::fetch(dst, width_bytes, rows, ports)?, pattern }
            }
            Packet::Copy { dst, src, width_bytes, rows } => Job::Copy {
                dst: Window::fetch(dst, width_bytes, rows, ports)?,
                src: Window::fetch(src, width_bytes, rows, ports)?,
            },
            Packet::Convert { dst, src, range, width_px, rows } => {
                let dst = Window::fetch(dst, width_px.saturating_mul(4), rows, ports)?;
                match src {
                    Source::Yuyv(src) => {
                        let src = Window::fetch(src, width_px.saturating_mul(2), rows, ports)?;
                        Job::ConvertYuyv { dst, src, range }
                    }
                    Source::Nv12 { luma, chroma } => Job::ConvertNv12 {
                        dst,
                        luma: Window::fetch(luma, width_px, rows, ports)?,
                        chroma: Window::fetch(chroma, width_px, rows / 2, ports)?,
                        range,
                    },
                }
            }
            Packet::SemWait { address, condition } => Job::SemWait { address, condition },
            Packet::SemSignal { address, value } => Job::SemSignal { address, value },
            Packet::Fence { seqno, cycles_at } => Job::Fence { seqno, cycles_at },
        })
    }

    /// Bytes that it reads and writes, for the cost model.
    pub fn bytes(&self) -> u64 {
        self.windows().into_iter().flatten().map(Window::bytes).fold(0, u64::saturating_add)
    }

    /// Whether a job that was restored could have been made by [`Job::fetch`].
    pub fn is_sound(&self) -> bool {
        self.windows().into_iter().flatten().all(|window| window.rows > 0 && window.is_inside())
    }

    /// Moves the bytes of a fill, copy or conversion; does nothing for the other jobs.
    pub fn run(&self, ports: &mut Ports<'_>) -> Result<(), GpuError> {
        match self {
            Job::Fill { dst, pattern } => fill(dst, *pattern, ports)?,
            Job::Copy { dst, src } => copy(dst, src, ports)?,
            Job::ConvertYuyv { dst, src, range } => convert_yuyv(dst, src, *range, ports)?,
            Job::ConvertNv12 { dst, luma, chroma, range } => {
                convert_nv12(dst, luma, chroma, *range, ports)?;
            }
            Job::Nop | Job::SemWait { .. } | Job::SemSignal { .. } | Job::Fence { .. } => {}
        }
        Ok(())
    }

    /// The windows, sources first.
    fn windows(&self) -> [Option<&Window>; 3] {
        match self {
            Job::Fill { dst, .. } => [Some(dst), None, None],
            Job::Copy { dst, src } | Job::ConvertYuyv { dst, src, .. } => [Some(src), Some(dst), None],
            Job::ConvertNv12 { dst, luma, chroma, .. } => [Some(luma), Some(chroma), Some(dst)],
            Job::Nop | Job::SemWait { .. } | Job::SemSignal { .. } | Job::Fence { .. } => [None; 3],
        }
    }
}

/// Cuts `bytes` at `offset` into pieces that are multiples of 4 bytes, but for the last.
fn pieces(offset: u64, bytes: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..bytes.div_ceil(PIECE_BYTES)).map(move |index| {
        let start = index.saturating_mul(PIECE_BYTES);
        (offset.saturating_add(start), bytes.saturating_sub(start).min(PIECE_BYTES) as usize)
    })
}

fn piece_buffer(longest_run: u64) -> Vec<u8> {
    vec![0; longest_run.min(PIECE_BYTES) as usize]
}

fn fill(dst: &Window, pattern: u32, ports: &mut Ports<'_>) -> Result<(), GpuError> {
    let mut line = piece_buffer(dst.bytes());
    for word in line.chunks_exact_mut(4) {
        word.copy_from_slice(&pattern.to_le_bytes());
    }
    for (offset, bytes) in dst.runs(dst.is_linear()) {
        for (at, len) in pieces(offset, bytes) {
            dst.list.write(at, line.get(..len).unwrap_or_default(), ports)?;
        }
    }
    Ok(())
}

fn copy(dst: &Window, src: &Window, ports: &mut Ports<'_>) -> Result<(), GpuError> {
    let mut line = piece_buffer(dst.bytes());
    let linear = dst.is_linear() && src.is_linear();
    for ((to, bytes), (from, _)) in dst.runs(linear).zip(src.runs(linear)) {
        for ((to, len), (from, _)) in pieces(to, bytes).zip(pieces(from, bytes)) {
            let line = line.get_mut(..len).unwrap_or_default();
            src.list.read(from, line, ports)?;
            dst.list.write(to, line, ports)?;
        }
    }
    Ok(())
}

fn convert_yuyv(dst: &Window, src: &Window, range: Range, ports: &mut Ports<'_>) -> Result<(), GpuError> {
    let mut from = vec![0; src.row_bytes as usize];
    let mut to = vec![0; dst.row_bytes as usize];
    for y in 0..dst.rows {
        src.read(y, &mut from, ports)?;
        pixel::yuyv_to_xrgb8888(range, &from, &mut to);
        dst.write(y, &to, ports)?;
    }
    Ok(())
}

fn convert_nv12(
    dst: &Window,
    luma: &Window,
    chroma: &Window,
    range: Range,
    ports: &mut Ports<'_>,
) -> Result<(), GpuError> {
    let mut luma_line = vec![0; luma.row_bytes as usize];
    let mut chroma_line = vec![0; chroma.row_bytes as usize];
    let mut to = vec![0; dst.row_bytes as usize];
    for y in 0..dst.rows {
        // Two rows of pixels share one row of chroma.
        if y % 2 == 0 {
            chroma.read(y / 2, &mut chroma_line, ports)?;
        }
        luma.read(y, &mut luma_line, ports)?;
        pixel::nv12_to_xrgb8888(range, &luma_line, &chroma_line, &mut to);
        dst.write(y, &to, ports)?;
    }
    Ok(())
}
