//! What the host wants of the machine, found with one look.

use std::time::Duration;

use fencepost_softcpu::stop_flag::Done;

use super::{Control, Notes, Pause, StopReason};

/// What the host wants of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// It must end.
    pub stop: Option<StopReason>,
    /// It is to pause.
    pub pause: bool,
    /// There is or may come something that the machine has not taken: faults, data for devices, input.
    pub brought: bool,
    /// [`Control::watchdog`].
    pub watchdog: Option<Duration>,
}

impl Look {
    /// Whether there is nothing to do, until somebody raises the flag.
    pub fn is_quiet(&self) -> bool {
        self.stop.is_none() && !self.pause && !self.brought
    }
}

impl Notes {
    fn look(&self) -> Look {
        let steady = self.input_steady && self.input_open;
        let devices = !self.faults.is_empty() || !self.deliveries.is_empty();
        Look {
            stop: self.stop.map(|(reason, _)| reason),
            pause: self.pause == Pause::Wanted,
            brought: devices || steady || self.lines.any(),
            watchdog: self.watchdog,
        }
    }
}

impl Control {
    /// Lowers the flag, and looks what the host wants. Where the flag is down and there was nothing at the `last` look there is nothing
    /// still: a machine that comes back at every interrupt need not take the lock each time.
    pub fn look(&self, last: Option<Look>) -> Look {
        if let Some(last) = last.filter(Look::is_quiet)
            && !self.attention.look(Done::Run)
        {
            return last;
        }
        self.attention.lower();
        self.notes().look()
    }
}
