//! A packet with its scatter-gather lists fetched and its operands checked, and what it does to memory.

use serde::{Deserialize, Serialize};

use super::compute::{self, INSTRUCTION_BYTES, Instruction};
use super::convert;
use super::error::GpuError;
use super::image::{self, Filter, PIXEL_BYTES, PixelAlpha, Turn};
use super::packet::{Condition, Operand, Packet, Source};
use super::progress::{Course, PART_BYTES, Progress};
use super::view::View;
use super::window::{Pieces, Window};
use crate::pixel::Range;

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

    /// The parts in which it is done, each at a time of its own. A program sees and leaves all of its windows at once.
    pub fn parts(&self) -> u64 {
        if matches!(self, Job::Compute { .. }) { 1 } else { self.bytes().div_ceil(PART_BYTES).max(1) }
    }

    /// The steps that [`Self::advance`] does it in; none of a job that moves nothing.
    pub fn steps(&self) -> u64 {
        match self {
            Job::Fill { dst, .. } => dst.pieces(dst.is_linear(), dst.piece_bytes()).count(),
            Job::Copy { dst, src } => copied(dst, src).0.count(),
            Job::ConvertYuyv { dst, .. } | Job::ConvertNv12 { dst, .. } => convert::steps(dst),
            Job::Scale { dst, .. } | Job::Blend { dst, .. } => dst.rows().into(),
            Job::Rotate { dst, turn, .. } => image::rotate_steps(dst, *turn),
            Job::Checksum { src, .. } => src.pieces(src.is_linear(), src.piece_bytes()).count(),
            Job::Compute { dst, src, grid, .. } => compute::steps((dst, src.as_ref()), *grid),
            Job::Nop | Job::SemWait { .. } | Job::SemSignal { .. } | Job::Fence { .. } => 0,
        }
    }

    /// Moves bytes, from where `it` is to step `to`, or as far as one call goes: whether it is there.
    pub fn advance(&self, it: &mut Progress, to: u64, view: &mut View<'_, '_>) -> Result<bool, GpuError> {
        match self {
            Job::Fill { dst, pattern } => fill(dst, *pattern, (it, to), view),
            Job::Copy { dst, src } => copy(dst, src, (it, to), view),
            Job::ConvertYuyv { dst, src, range } => convert::yuyv(dst, src, *range, (it, to), view),
            Job::ConvertNv12 { dst, luma, chroma, range } => {
                convert::nv12(dst, (luma, chroma), *range, (it, to), view)
            }
            Job::Scale { dst, src, filter } => image::scale(dst, src, *filter, (it, to), view),
            Job::Blend { dst, src, mode, plane } => image::blend((dst, src), *mode, *plane, (it, to), view),
            Job::Rotate { dst, src, turn } => image::rotate(dst, src, *turn, (it, to), view),
            Job::Checksum { src, .. } => checksum(src, (it, to), view),
            Job::Compute { program, dst, src, grid, values } => {
                let task = compute::Task { program, dst, src: src.as_ref(), grid: *grid, values: *values };
                task.advance(it, to, view)
            }
            Job::Nop | Job::SemWait { .. } | Job::SemSignal { .. } | Job::Fence { .. } => Ok(true),
        }
    }

    /// What comes behind its last step.
    pub fn finish(&self, it: &Progress, view: &mut View<'_, '_>) -> Result<(), GpuError> {
        match self {
            Job::Checksum { address, .. } => view.write_u64(*address, it.sum.into()),
            _ => Ok(()),
        }
    }

    /// Whether a restored job of this kind can be as far as `course` says.
    pub fn can_be(&self, course: &Course) -> bool {
        let (steps, parts) = (self.steps(), self.parts());
        let running = match (self, &course.progress.running) {
            (_, None) => true,
            (Job::Compute { program, dst, src, .. }, Some(running)) => {
                running.is_sound(program.len(), dst, src.as_ref())
            }
            (_, Some(_)) => false,
        };
        // A program that has begun needs what it has read.
        let begun = !matches!(self, Job::Compute { .. }) || course.progress.at == 0;
        let reached = course.progress.at <= course.next_step(steps, parts);
        course.parts_done < parts && reached && running && (begun || course.progress.running.is_some())
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

fn fill(
    dst: &Window,
    pattern: u32,
    (it, to): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let pieces = dst.pieces(dst.is_linear(), dst.piece_bytes());
    let mut line = vec![0; pieces.longest()];
    for word in line.chunks_exact_mut(4) {
        word.copy_from_slice(&pattern.to_le_bytes());
    }
    it.go(to, view, |step, view| {
        let (at, len) = pieces.get(step);
        dst.write_at(at, line.get(..len).unwrap_or_default(), view).map(|()| true)
    })
}

/// The pieces of both windows of a copy, as many of each.
fn copied(dst: &Window, src: &Window) -> (Pieces, Pieces) {
    let linear = dst.is_linear() && src.is_linear();
    let bytes = dst.piece_bytes().min(src.piece_bytes());
    (dst.pieces(linear, bytes), src.pieces(linear, bytes))
}

fn copy(
    dst: &Window,
    src: &Window,
    (it, to): (&mut Progress, u64),
    view: &mut View<'_, '_>,
) -> Result<bool, GpuError> {
    let (pieces, from) = copied(dst, src);
    let mut line = vec![0; pieces.longest()];
    it.go(to, view, |step, view| {
        let ((to, len), (from, _)) = (pieces.get(step), from.get(step));
        let line = line.get_mut(..len).unwrap_or_default();
        src.read_at(from, line, view)?;
        dst.write_at(to, line, view).map(|()| true)
    })
}

/// The CRC-32 of the rows' bytes, one row behind the other.
fn checksum(src: &Window, (it, to): (&mut Progress, u64), view: &mut View<'_, '_>) -> Result<bool, GpuError> {
    let pieces = src.pieces(src.is_linear(), src.piece_bytes());
    let mut line = vec![0; pieces.longest()];
    let mut sum = crc32fast::Hasher::new_with_initial(it.sum);
    let there = it.go(to, view, |step, view| {
        let (at, len) = pieces.get(step);
        let line = line.get_mut(..len).unwrap_or_default();
        src.read_at(at, line, view)?;
        sum.update(line);
        Ok(true)
    })?;
    it.sum = sum.finalize();
    Ok(there)
}
