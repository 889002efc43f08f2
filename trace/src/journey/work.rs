//! What engines do: frames captured, jobs done, fences written, commits shown.

use serde::Serialize;

use crate::engine::EngineId;
use crate::event::JobKind;
use crate::journey::At;

/// A raised message interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Msi {
    /// When.
    pub at: At,
    /// The function.
    pub rid: u16,
    /// Its MSI-X vector.
    pub vector: u16,
}

/// A frame that a source wrote, or had no buffer for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capture {
    /// The source.
    pub engine: EngineId,
    /// The source's number for it.
    pub sequence: u32,
    /// The index of the capture queue's buffer.
    pub index: Option<u32>,
    /// The begin.
    pub start: Option<At>,
    /// The end.
    pub end: Option<At>,
    /// There was no buffer.
    pub dropped: Option<At>,
    /// The interrupt that reported it.
    pub msi: Option<Msi>,
    /// The buffer, in `Journeys::buffers`.
    pub buffer: Option<usize>,
}

/// A job of an engine: one packet of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The engine.
    pub engine: EngineId,
    /// The ring.
    pub queue: u32,
    /// The packet's label.
    pub seqno: u64,
    /// What it does.
    pub kind: JobKind,
    /// The doorbell that announced it.
    pub doorbell: Option<At>,
    /// The begin.
    pub start: At,
    /// The end.
    pub end: Option<At>,
    /// Whether it ended well.
    pub ok: bool,
    /// Buffers it read.
    pub reads: Vec<usize>,
    /// Buffers it wrote.
    pub writes: Vec<usize>,
    /// The frames whose pixels it read, first hand or through other jobs, in `Journeys::captures`.
    pub captures: Vec<usize>,
    /// Those of them that it read first hand.
    pub read_captures: Vec<usize>,
    /// The jobs whose output it read, in `Journeys::jobs`.
    pub read_jobs: Vec<usize>,
    /// The next fence of its ring, in `Journeys::fences`.
    pub fence: Option<usize>,
}

impl Job {
    /// Whether it read what no engine wrote.
    pub fn reads_program(&self) -> bool {
        !self.reads.is_empty() && self.read_captures.is_empty() && self.read_jobs.is_empty()
    }
}

/// A fence that an engine wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FenceWrite {
    /// The engine.
    pub engine: EngineId,
    /// The ring.
    pub queue: u32,
    /// The sequence number.
    pub seqno: u64,
    /// When.
    pub at: At,
    /// The interrupt that reported it.
    pub msi: Option<Msi>,
}

/// A commit that a sink latched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The sink.
    pub engine: EngineId,
    /// The commit's number.
    pub commit: u64,
    /// The frame (vertical blank) from which it is shown.
    pub frame: u64,
    /// The doorbell that handed it over.
    pub doorbell: Option<At>,
    /// The latch.
    pub latch: At,
    /// The flip: absent when the commit shows the buffer that was shown before.
    pub flip: Option<At>,
    /// The interrupt that reported it.
    pub msi: Option<Msi>,
    /// The buffer that is shown.
    pub buffer: Option<usize>,
    /// The jobs that wrote it, in `Journeys::jobs`.
    pub jobs: Vec<usize>,
    /// The frames in it, first hand or through jobs, in `Journeys::captures`.
    pub captures: Vec<usize>,
    /// The last read of the buffer for this commit.
    pub last_read: Option<At>,
    /// The latch before this one, and the next one, of the same sink.
    pub before: Option<At>,
    /// The next latch of the same sink: from here on it is not shown.
    pub until: Option<At>,
}

/// A commit that a sink was given and never latched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The sink.
    pub engine: EngineId,
    /// The commit's number.
    pub commit: u64,
    /// The doorbell that handed it over.
    pub doorbell: At,
}
