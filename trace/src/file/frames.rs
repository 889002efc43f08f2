//! Finding the frames of a file that is read once, from its begin to its end, and never whole.

use std::io::{self, Read};

use crate::file::{FRAME_HEADER_BYTES, checksum, kind};

/// Frames are written long before they are this long, in bytes: what says that it is longer is no frame.
pub(super) const LONGEST_FRAME: usize = 1 << 20;
/// So far behind a damaged place the next frame is looked for, in bytes.
const SEARCH_BYTES: u64 = 16 << 20;
/// Bytes that may be checked in search of frames, beside four times those of the frames that were found.
const CHECKED_BYTES: u64 = 64 << 20;
/// Bytes that are read at a time.
const STEP_BYTES: u64 = 256 << 10;

/// A part of the file: as much as a search needs.
struct Window<R> {
    from: R,
    bytes: Vec<u8>,
    /// The place of the first byte in the file.
    start: u64,
    ended: bool,
}

impl<R: Read> Window<R> {
    /// Reads on to `end`. False if the file ends before.
    fn fill(&mut self, end: u64) -> io::Result<bool> {
        while self.end() < end && !self.ended {
            let before = self.bytes.len();
            self.from.by_ref().take(STEP_BYTES).read_to_end(&mut self.bytes)?;
            self.ended = self.bytes.len() == before;
        }
        Ok(self.end() >= end)
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// Bytes that were read.
    fn get(&self, at: u64, length: usize) -> Option<&[u8]> {
        let first = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(first..first.checked_add(length)?)
    }

    /// Forgets what is before `at`, when that is worth moving the rest.
    fn discard(&mut self, at: u64) {
        let count =
            usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.bytes.len());
        if count > LONGEST_FRAME && count >= self.bytes.len() / 2 {
            self.bytes.drain(..count);
            self.start = self.start.saturating_add(count as u64);
        }
    }
}

/// A frame, or a damaged place.
pub(super) struct Frame<'a> {
    /// Where it begins.
    pub at: u64,
    pub kind: u8,
    /// Absent when it is damaged.
    pub payload: Option<&'a [u8]>,
}

/// A frame's place.
#[derive(Clone, Copy)]
struct Found {
    kind: u8,
    length: usize,
    end: u64,
    sound: bool,
}

/// The frames of a file, in order.
pub(super) struct Frames<R> {
    window: Window<R>,
    /// Where the next frame begins; at the end, where the readable part ends.
    at: u64,
    /// Bytes that may still be checked in search of a frame.
    search: u64,
    /// A search found no other frame.
    over: bool,
}

impl<R: Read> Frames<R> {
    /// The file `from`, from its begin on.
    pub fn new(from: R) -> Self {
        let window = Window { from, bytes: Vec::new(), start: 0, ended: false };
        Frames { window, at: 0, search: CHECKED_BYTES, over: false }
    }

    /// Takes bytes that are before the first frame: as many as there are, up to `length`.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.window.fill(self.at.saturating_add(length as u64))?;
        let there = usize::try_from(self.window.end().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let taken = self.window.get(self.at, length.min(there)).unwrap_or_default().to_vec();
        self.at = self.at.saturating_add(taken.len() as u64);
        Ok(taken)
    }

    /// Where the next frame would begin.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether the file goes on behind what was found.
    pub fn goes_on(&mut self) -> io::Result<bool> {
        self.window.fill(self.at.saturating_add(1))
    }

    /// The next frame or damaged place.
    pub fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let at = self.at;
        self.window.discard(at);
        if self.over {
            return Ok(None);
        }
        let Some(found) = self.frame(at)? else {
            // Its length is damaged, or the file is cut.
            let Some(next) = self.find(at.saturating_add(1))? else { return Ok(None) };
            self.at = next;
            return Ok(Some(Frame { at, kind: 0, payload: None }));
        };
        self.at = found.end;
        if !found.sound && self.goes_on()? && !self.is_sound(found.end)? {
            self.at = self.find(at.saturating_add(1))?.unwrap_or(found.end);
        }
        self.search = self.search.saturating_add((found.length as u64).saturating_mul(4));
        let payload = self.window.get(at.saturating_add(FRAME_HEADER_BYTES as u64), found.length);
        Ok(Some(Frame { at, kind: found.kind, payload: payload.filter(|_| found.sound) }))
    }

    /// The frame at a place; none where there cannot be one.
    fn frame(&mut self, at: u64) -> io::Result<Option<Found>> {
        let begin = at.saturating_add(FRAME_HEADER_BYTES as u64);
        self.window.fill(begin)?;
        let Some((kind, length, crc)) = self.window.get(at, FRAME_HEADER_BYTES).and_then(head) else {
            return Ok(None);
        };
        let end = begin.saturating_add(length as u64);
        if length > LONGEST_FRAME || !self.window.fill(end)? {
            return Ok(None);
        }
        let sound = self.window.get(begin, length).is_some_and(|payload| checksum(kind, payload) == crc);
        Ok(Some(Found { kind, length, end, sound }))
    }

    fn is_sound(&mut self, at: u64) -> io::Result<bool> {
        Ok(self.frame(at)?.is_some_and(|found| found.sound))
    }

    /// The first place from `from` on where a sound frame begins; if there is none, nothing follows.
    fn find(&mut self, from: u64) -> io::Result<Option<u64>> {
        self.over = true;
        for at in from..from.saturating_add(SEARCH_BYTES) {
            if !self.window.fill(at.saturating_add(FRAME_HEADER_BYTES as u64))? {
                break;
            }
            let Some((kind, length, _)) = self.window.get(at, FRAME_HEADER_BYTES).and_then(head) else {
                break;
            };
            let likely = matches!(kind, kind::RECORDS | kind::DEFINITION | kind::END);
            if !likely || length > LONGEST_FRAME {
                continue;
            }
            self.search = self.search.saturating_sub(length as u64);
            if self.search == 0 {
                break;
            }
            if self.is_sound(at)? {
                self.over = false;
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}

/// What a frame's first bytes say: its kind, the payload's length and the checksum.
fn head(bytes: &[u8]) -> Option<(u8, usize, u32)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    Some((*bytes.first()?, word(1)? as usize, word(5)?))
}
