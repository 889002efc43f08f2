//! A packet with its scatter-gather lists fetched and its operands checked, and what it does to memory.

use serde::{Deserialize, Serialize};

use super::compute::{self, INSTRUCTION_BYTES, Instruction};
use super::convert;
use super::error::GpuError;
use super::image::{self, Filter, PIXEL_BYTES, PixelAlpha, Turn};
use super::packet::{Condition, Operand, Packet, Source};
use super::view::View;
use super::window::Window;
use crate::pixel::Range;

/// The largest piece that a fill or a copy moves at once.
const PIECE_BYTES: u64 = 64 << 10;

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
    /// Scale pixels.
    Scale { dst: Window, src: Window, filter: Filter },
    /// Blend pixels over others.
    Blend { dst: Window, src: Window, mode: PixelAlpha, plane: u8 },
    /// Turn and flip a picture.
    Rotate { dst: Window, src: Window, turn: Turn },
    /// Write the CRC-32 of rows.
    Checksum { src: Window, address: u64 },
    /// Run a program at each place of a grid.
    Compute {
        program: Vec<Instruction>,
        dst: Window,
        src: Option<Window>,
        grid: (u32, u32),
        values: [u32; 2],
    },
    /// Wait on a semaphore; for ever if it is `patient`.
    SemWait { address: u64, condition: Condition, patient: bool },
    /// Write a semaphore.
    SemSignal { address: u64, value: u64 },
    /// Write the fence word.
    Fence { seqno: u64, cycles_at: Option<u64> },
}

impl Job {
    /// Fetches the lists that `packet` names and checks its operands against them.
    pub fn fetch(packet: Packet, view: &mut View<'_, '_>) -> Result<Self, GpuError> {
        Ok(match packet {
            Packet::Nop => Job::Nop,
            Packet::Fill { dst, width_bytes, rows, pattern } => {
                Job::Fill { dst: Window::fetch(dst, width_bytes, rows, view)?, pattern }
            }
            Packet::Copy { dst, src, width_bytes, rows } => Job::Copy {
                dst: Window::fetch(dst, width_bytes, rows, view)?,
                src: Window::fetch(src, width_bytes, rows, view)?,
            },
            Packet::Convert { dst, src, range, width_px, rows } => {
                let dst = Window::fetch(dst, width_px.saturating_mul(4), rows, view)?;
                match src {
                    Source::Yuyv(src) => {
                        let src = Window::fetch(src, width_px.saturating_mul(2), rows, view)?;
                        Job::ConvertYuyv { dst, src, range }
                    }
                    Source::Nv12 { luma, chroma } => Job::ConvertNv12 {
                        dst,
                        luma: Window::fetch(luma, width_px, rows, view)?,
                        chroma: Window::fetch(chroma, width_px, rows / 2, view)?,
                        range,
                    },
                }
            }
            Packet::Scale { dst, src, filter, to, from } => {
                Job::Scale { dst: pixels(dst, to, view)?, src: pixels(src, from, view)?, filter }
            }
            Packet::Blend { dst, src, mode, plane, size } => {
                Job::Blend { dst: pixels(dst, size, view)?, src: pixels(src, size, view)?, mode, plane }
            }
            Packet::Rotate { dst, src, turn, size } => {
                let turned = turn.size(size);
                Job::Rotate { dst: pixels(dst, turned, view)?, src: pixels(src, size, view)?, turn }
            }
            Packet::Checksum { src, address, width_bytes, rows } => {
                Job::Checksum { src: Window::fetch(src, width_bytes, rows, view)?, address }
            }
            Packet::Compute { dst, src, program, instructions, grid, values } => {
                let bytes = instructions.saturating_mul(INSTRUCTION_BYTES);
                let code = Window::fetch(program, bytes, 1, view)?;
                let mut text = vec![0; bytes as usize];
                code.read(0, &mut text, view)?;
                let program = compute::parse(&text)?;
                let dst = Window::fetch(dst, dst.stride, 1, view)?;
                let src = src.map(|src| Window::fetch(src, src.stride, 1, view)).transpose()?;
                Job::Compute { program, dst, src, grid, values }
            }
            Packet::SemWait { address, condition, patient } => Job::SemWait { address, condition, patient },
            Packet::SemSignal { address, value } => Job::SemSignal { address, value },
            Packet::Fence { seqno, cycles_at } => Job::Fence { seqno, cycles_at },
        })
    }

    /// Bytes that it reads and writes, for the cost model.
    pub fn bytes(&self) -> u64 {
        let more = match self {
            // What is blended over is read too.
            Job::Blend { dst, .. } => dst.bytes(),
            // A byte for each instruction and place.
            Job::Compute { program, grid, .. } => {
                u64::from(grid.0).saturating_mul(grid.1.into()).saturating_mul(program.len() as u64)
            }
            _ => 0,
        };
        self.windows().into_iter().flatten().map(Window::bytes).fold(more, u64::saturating_add)
    }

    /// Whether a job that was restored could have been made by [`Job::fetch`] of a packet of `context`.
    pub fn is_sound(&self, context: u32) -> bool {
        self.windows().into_iter().flatten().all(|window| window.is_sound(context)) && self.fits()
    }

    /// Whether the windows of a rotation or a blend have the sizes of each other.
    fn fits(&self) -> bool {
        let size = |window: &Window| (window.row_bytes() / PIXEL_BYTES, window.rows());
        match self {
            Job::Rotate { dst, src, turn } => turn.quarters < 4 && size(dst) == turn.size(size(src)),
            Job::Blend { dst, src, .. } => size(dst) == size(src),
            Job::Compute { program, .. } => program.len() <= compute::MAX_INSTRUCTIONS as usize,
            _ => true,
        }
    }

    /// Moves the bytes of a fill, copy or conversion; does nothing for the other jobs.
    pub fn run(&self, view: &mut View<'_, '_>) -> Result<(), GpuError> {
        match self {
            Job::Fill { dst, pattern } => fill(dst, *pattern, view)?,
            Job::Copy { dst, src } => copy(dst, src, view)?,
            Job::ConvertYuyv { dst, src, range } => convert::yuyv(dst, src, *range, view)?,
            Job::ConvertNv12 { dst, luma, chroma, range } => {
                convert::nv12(dst, luma, chroma, *range, view)?;
            }
            Job::Scale { dst, src, filter } => image::scale(dst, src, *filter, view)?,
            Job::Blend { dst, src, mode, plane } => image::blend(dst, src, *mode, *plane, view)?,
            Job::Rotate { dst, src, turn } => image::rotate(dst, src, *turn, view)?,
            Job::Checksum { src, address } => {
                let sum = checksum(src, view)?;
                view.write_u64(*address, sum)?;
            }
            Job::Compute { program, dst, src, grid, values } => {
                compute::run(program, (dst, src.as_ref()), *grid, *values, view)?;
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
            Job::Scale { dst, src, .. } | Job::Blend { dst, src, .. } | Job::Rotate { dst, src, .. } => {
                [Some(src), Some(dst), None]
            }
            Job::Checksum { src, .. } => [Some(src), None, None],
            Job::Compute { dst, src, .. } => [src.as_ref(), Some(dst), None],
            Job::Nop | Job::SemWait { .. } | Job::SemSignal { .. } | Job::Fence { .. } => [None; 3],
        }
    }
}

/// A window of pixels of 32 bits.
fn pixels(operand: Operand, (width, rows): (u32, u32), view: &mut View<'_, '_>) -> Result<Window, GpuError> {
    Window::fetch(operand, width.saturating_mul(PIXEL_BYTES), rows, view)
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

fn fill(dst: &Window, pattern: u32, view: &mut View<'_, '_>) -> Result<(), GpuError> {
    let mut line = piece_buffer(dst.bytes());
    for word in line.chunks_exact_mut(4) {
        word.copy_from_slice(&pattern.to_le_bytes());
    }
    for (offset, bytes) in dst.runs(dst.is_linear()) {
        for (at, len) in pieces(offset, bytes) {
            dst.write_at(at, line.get(..len).unwrap_or_default(), view)?;
        }
    }
    Ok(())
}

fn copy(dst: &Window, src: &Window, view: &mut View<'_, '_>) -> Result<(), GpuError> {
    let mut line = piece_buffer(dst.bytes());
    let linear = dst.is_linear() && src.is_linear();
    for ((to, bytes), (from, _)) in dst.runs(linear).zip(src.runs(linear)) {
        for ((to, len), (from, _)) in pieces(to, bytes).zip(pieces(from, bytes)) {
            let line = line.get_mut(..len).unwrap_or_default();
            src.read_at(from, line, view)?;
            dst.write_at(to, line, view)?;
        }
    }
    Ok(())
}

/// The CRC-32 of the rows' bytes, one row behind the other.
fn checksum(src: &Window, view: &mut View<'_, '_>) -> Result<u64, GpuError> {
    let mut line = piece_buffer(src.bytes());
    let mut sum = crc32fast::Hasher::new();
    for (offset, bytes) in src.runs(src.is_linear()) {
        for (at, len) in pieces(offset, bytes) {
            let line = line.get_mut(..len).unwrap_or_default();
            src.read_at(at, line, view)?;
            sum.update(line);
        }
    }
    Ok(sum.finalize().into())
}
