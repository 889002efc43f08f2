//! Jobs are done in parts, at times of the guest's, and each part in calls that the host can come between.
//!
//! A job that moves more than [`PART_BYTES`] does so in parts of as many bytes, evenly over the time that it takes. Any other is done
//! when it ends. Some parts take the host long all the same: pixels that are worked out, rows in pages of their own, lists of many
//! segments. What a call does is therefore counted by what it costs the host, roughly; when that is enough the next call goes on, as soon
//! as the machine makes it.

use serde::{Deserialize, Serialize};

use super::compute::Running;
use super::error::GpuError;
use super::view::View;

/// Bytes of a part, as the cost model counts them. The Linux driver's packets are shorter.
pub const PART_BYTES: u64 = 16 << 20;

/// Nanoseconds of the host's after which a call ends, as [`View::spend`] estimates them.
pub const ENOUGH_NS: u64 = 2_000_000;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub at: u64,
    /// The CRC of what was read.
    pub sum: u32,
    /// A program that runs.
    pub running: Option<Box<Running>>,
}

impl Progress {
    /// Does steps until `to`, or until this call has done enough: whether it got there. A step says whether it is done.
    pub fn go(
        &mut self,
        to: u64,
        view: &mut View<'_, '_>,
        mut step: impl FnMut(u64, &mut View<'_, '_>) -> Result<bool, GpuError>,
    ) -> Result<bool, GpuError> {
        while self.at < to {
            if view.has_done_enough() || !step(self.at, view)? {
                return Ok(false);
            }
            self.at = self.at.saturating_add(1);
        }
        Ok(true)
    }
}

/// When the parts of a job are done, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// When it started, in nanoseconds.
    pub start_ns: u64,
    /// When it ends.
    pub end_ns: u64,
    /// Parts done.
    pub parts_done: u64,
    /// How far it is.
    pub progress: Progress,
}

impl Course {
    /// Of a job that has just started.
    pub fn new(start_ns: u64, end_ns: u64) -> Self {
        Course { start_ns, end_ns, parts_done: 0, progress: Progress::default() }
    }

    /// Whether nothing was done yet.
    pub fn is_new(&self) -> bool {
        self.parts_done == 0 && self.progress == Progress::default()
    }

    /// When the next of `parts` is done.
    pub fn due_ns(&self, parts: u64) -> u64 {
        let next = self.parts_done.saturating_add(1);
        self.start_ns.saturating_add(share(self.end_ns.saturating_sub(self.start_ns), next, parts))
    }

    /// The step to which the next of `parts` goes.
    pub fn next_step(&self, steps: u64, parts: u64) -> u64 {
        share(steps, self.parts_done.saturating_add(1), parts)
    }
}

/// `of` × `part` / `parts`.
fn share(of: u64, part: u64, parts: u64) -> u64 {
    let product = u128::from(of).saturating_mul(part.into());
    u64::try_from(product.checked_div(parts.into()).unwrap_or(0)).unwrap_or(u64::MAX)
}
