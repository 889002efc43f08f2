//! When a device that serves several queues together looks at them.

use serde::{Deserialize, Serialize};

use super::io::Io;
use crate::ports::DmaFault;
use fencepost_trace::JobKind;

/// The call for a look.
const TIMER_LOOK: u32 = 0;

/// The looks of a device: a notification brings one after a while, and one that leaves something undone brings the next. Each is a job
/// of the device's first engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looker {
    /// When the device looks at its queues, in nanoseconds, if it is to.
    due_ns: Option<u64>,
    /// Looks so far.
    looks: u64,
}

impl Looker {
    /// Has the device look when `cycles` have passed, unless it is to look anyway.
    pub fn look_soon(&mut self, cycles: u64, io: &mut Io<'_, '_>) {
        if self.due_ns.is_none() {
            self.due_ns = Some(io.ports.job_end_ns(cycles));
            io.job_starts(0, self.looks, JobKind::Copy);
            self.rearm(io);
        }
    }

    /// The call has come: whether it is time to look. Then [`Self::looked`] must follow.
    pub fn is_time(&mut self) -> bool {
        self.due_ns.take().is_some()
    }

    /// The device has looked; what it left undone takes so many cycles, if it left anything.
    pub fn looked(&mut self, looked: Result<Option<u64>, DmaFault>, io: &mut Io<'_, '_>) {
        io.job_ends(0, self.looks, looked.is_ok());
        self.looks = self.looks.saturating_add(1);
        match looked {
            Ok(Some(cycles)) => self.look_soon(cycles, io),
            Ok(None) => {}
            Err(fault) => io.fault(fault),
        }
    }

    /// As [`Device::rearm`](super::Device::rearm).
    pub fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some(due_ns) = self.due_ns {
            io.ports.clock.call_at(due_ns, TIMER_LOOK);
        }
    }

    /// There will be no look: the device was reset.
    pub fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_LOOK);
        self.due_ns = None;
    }
}
