//! Moving pixels piece by piece: what a transfer copies and a flush fetches is cut, so that no call of the device moves much at once.

use serde::{Deserialize, Serialize};

use super::pixels::PIXEL_BYTES;
use super::resource::Content;
use super::state::GpuState;
use super::wire::{Rect, Refusal, Request, command, place};
use crate::ports::Dma;

/// The most pixels that one call moves: 256 KiB.
const PIECE_PIXELS: u64 = 1 << 16;

/// A rectangle of a resource that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The scan-out that fetches it; none: a transfer.
    pub scanout: Option<u32>,
    /// The rectangle, in the resource.
    pub rect: Rect,
    /// Pixels of it that have been moved.
    pub done: u64,
}

impl Move {
    fn of(scanout: Option<u32>, rect: Rect) -> Self {
        Move { scanout, rect, done: 0 }
    }

    /// Whether nothing is left of it.
    pub fn is_done(&self) -> bool {
        self.done >= self.rect.area()
    }

    /// The next piece: whole rows, or a part of one.
    pub fn piece(&self) -> Rect {
        let Rect { x, y, width, height } = self.rect;
        let row = u64::from(width).max(1);
        let line = self.done.checked_div(row).unwrap_or(0) as u32;
        let column = self.done.checked_rem(row).unwrap_or(0) as u32;
        let (x, y) = (x.saturating_add(column), y.saturating_add(line));
        let left = width.saturating_sub(column);
        if row > PIECE_PIXELS || column > 0 {
            return Rect { x, y, width: left.min(PIECE_PIXELS as u32), height: 1 };
        }
        let rows = PIECE_PIXELS.checked_div(row).unwrap_or(1) as u32;
        Rect { x, y, width, height: rows.min(height.saturating_sub(line)) }
    }
}

/// What a command of the control queue moves; nothing if it will be refused.
pub fn moves(state: &GpuState, request: &Request<'_>) -> Vec<Move> {
    let whole = request.expected_bytes().is_some_and(|bytes| request.0.len() >= bytes);
    match request.command() {
        _ if !whole => Vec::new(),
        command::TRANSFER_TO_HOST_2D => transfer(state, request).unwrap_or_default(),
        command::RESOURCE_FLUSH => flush(state, request).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// What TRANSFER_TO_HOST_2D copies.
///
/// # Errors
///
/// The command is wrong.
pub fn transfer(state: &GpuState, request: &Request<'_>) -> Result<Vec<Move>, Refusal> {
    let resource = state.resources.get(request.word(place::BEHIND_RECT_AND_LONG))?;
    let rect = request.rect(place::FIRST);
    let copies = resource.check_transfer(&rect, request.long(place::BEHIND_RECT))?;
    Ok(if copies { vec![Move::of(None, rect)] } else { Vec::new() })
}

/// What RESOURCE_FLUSH fetches: for every scan-out that shows a part of what has changed, that part.
///
/// # Errors
///
/// The command is wrong.
pub fn flush(state: &GpuState, request: &Request<'_>) -> Result<Vec<Move>, Refusal> {
    let (rect, id) = (request.rect(place::FIRST), request.word(place::BEHIND_RECT));
    if let Content::Host { width, height, .. } = state.resources.get(id)?.content
        && !rect.is_within(width, height)
    {
        return Err(Refusal::Parameter);
    }
    let part = |(number, view): (u32, &Option<super::scanout::View>)| {
        let view = view.as_ref().filter(|view| view.resource == id)?;
        Some(Move::of(Some(number), view.changed(&rect)?))
    };
    let views = state.scanouts.iter().map(|scanout| &scanout.view);
    Ok((0u32..).zip(views).filter_map(part).collect())
}

/// Bytes of pixels of all of them.
pub fn bytes(moves: &[Move]) -> u64 {
    let pixels = moves.iter().fold(0u64, |sum, it| sum.saturating_add(it.rect.area()));
    pixels.saturating_mul(PIXEL_BYTES as u64)
}

/// Moves the next piece of `it`, for the command `request`.
///
/// # Errors
///
/// Guest memory that the device may not reach.
pub fn step(
    state: &mut GpuState,
    it: &mut Move,
    request: &Request<'_>,
    dma: &mut dyn Dma,
) -> Result<(), Refusal> {
    let piece = it.piece();
    match it.scanout {
        Some(number) => {
            let resource = state.resources.get(request.word(place::BEHIND_RECT))?;
            let scanout = state.scanouts.get_mut(number as usize).ok_or(Refusal::ScanoutId)?;
            scanout.fetch(&piece, resource, dma)?;
        }
        None => {
            let resource = state.resources.get_mut(request.word(place::BEHIND_RECT_AND_LONG))?;
            resource.transfer(dma, &it.rect, &piece, request.long(place::BEHIND_RECT))?;
        }
    }
    it.done = it.done.saturating_add(piece.area().max(1));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_cover_the_rectangle_once() {
        for (width, height) in [(1, 1), (300, 1000), (65_536, 3), (65_537, 2), (200_000, 2), (1, 200_000)] {
            let rect = Rect { x: 7, y: 9, width, height };
            let (mut it, mut pieces) = (Move::of(None, rect), Vec::new());
            while !it.is_done() {
                let piece = it.piece();
                assert!(piece.area() > 0 && piece.area() <= PIECE_PIXELS, "{piece:?}");
                assert_eq!(piece.and(&rect), Some(piece));
                // It begins where those before it end, in the order of rows.
                let before = u64::from(piece.y - 9) * u64::from(width) + u64::from(piece.x - 7);
                assert_eq!(before, it.done);
                assert!(piece.height == 1 || piece.width == width);
                it.done += piece.area();
                pieces.push(piece);
            }
            assert_eq!(it.done, rect.area());
            assert!(pieces.len() as u64 <= rect.area().div_ceil(PIECE_PIXELS / 2), "{width} {height}");
        }
    }
}
