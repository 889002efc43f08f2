//! What a conversion wrote.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::file::TraceFile;
use crate::journey::Journeys;
use crate::report::{FrameCounts, Losses, records};

/// What a conversion wrote, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// What this object is.
    pub schema: &'static str,
    /// What the stamps are worth.
    pub stamps: String,
    /// The format.
    pub to: &'static str,
    /// The file that was written.
    pub output: String,
    /// Its bytes.
    pub bytes: u64,
    /// The frame of a picture.
    pub frame: Option<usize>,
    /// Records of the trace by category.
    pub records: BTreeMap<&'static str, u64>,
    /// Frames of the trace.
    pub frames: FrameCounts,
    /// What is not there.
    pub lost: Losses,
}

impl Converted {
    /// `bytes` bytes of `trace` went to `output`, as `to`.
    pub fn new(
        trace: &TraceFile,
        journeys: &Journeys,
        to: &'static str,
        (output, bytes): (String, u64),
    ) -> Self {
        Converted {
            schema: "fencepost-trace-convert/2",
            stamps: trace.stamps(),
            to,
            output,
            bytes,
            frame: None,
            records: records(trace),
            frames: FrameCounts::of(&journeys.frames, &trace.header),
            lost: Losses::of(trace),
        }
    }
}
