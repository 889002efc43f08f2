//! What the machine itself adds to the trace.

use fencepost_trace::{Accel, Event, ExitReason};

use super::Machine;
use crate::outlet::Full;

impl Machine {
    /// Records that the CPU that runs left the guest.
    pub fn record_exit(&mut self, reason: ExitReason, address: u64) {
        self.record(Event::VcpuExit { cpu: self.cpu, reason, address });
    }

    /// Records that the machine goes on on another back end, which waits for the trace's file or does not.
    pub fn record_move(&mut self, to: Accel) {
        self.log.set_full(if to == Accel::Soft { self.slow_output } else { Full::Drop });
        self.record(Event::Moved { to });
    }

    /// Records a mark of who changes the machine.
    pub fn record_mark(&mut self, text: &str) {
        self.record(Event::Mark { text: text.into() });
    }

    /// Records a mark of a debugger's user.
    pub fn record_mark_beside(&mut self, text: &str) {
        self.log.push_beside(self.time.now(), Event::Mark { text: text.into() });
    }

    /// Adds an event to the trace. (Inline: of one that nobody hears nothing is made.)
    #[inline(always)]
    pub(super) fn record(&mut self, event: Event) {
        if self.log.is_heard() {
            self.log.push(self.time.now(), event);
        } else {
            self.log.count(1);
        }
    }
}
