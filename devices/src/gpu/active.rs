//! The packet in execution: a job, its times, and how far it is.

use serde::{Deserialize, Serialize};

use super::error::GpuError;
use super::job::Job;
use super::progress::Course;
use super::view::View;

/// The packet in execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// Its label.
    pub seqno: u64,
    /// Whose addresses it has; 0: I/O virtual addresses.
    pub context: u32,
    /// What it does.
    pub job: Job,
    /// When the ring's timer is due, in nanoseconds; [`super::ring::NEVER_NS`] if the engine hangs.
    pub due_ns: u64,
    /// When a semaphore wait gives up, in nanoseconds.
    pub deadline_ns: Option<u64>,
    /// Whether it is a semaphore wait that has looked in vain.
    pub waiting: bool,
    /// What it counts in [`super::ring::Ring::busy_cycles`] when it is done.
    pub cycles: u64,
    /// Its times, and how far it is.
    pub course: Course,
}

impl Active {
    /// Does a part of the job, as far as one call goes: whether it was the last.
    pub fn advance(&mut self, view: &mut View<'_, '_>) -> Result<bool, GpuError> {
        let (parts, course) = (self.job.parts(), &mut self.course);
        let to = course.next_step(self.job.steps(), parts);
        if !self.job.advance(&mut course.progress, to, view)? {
            return Ok(false);
        }
        if course.parts_done.saturating_add(1) == parts {
            return self.job.finish(&course.progress, view).map(|()| true);
        }
        course.parts_done = course.parts_done.saturating_add(1);
        self.due_ns = course.due_ns(parts);
        Ok(false)
    }
}
