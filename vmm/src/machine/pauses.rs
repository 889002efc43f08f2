//! Where the guest is stopped for the host: at marks that it writes, and at times.

use std::collections::BTreeSet;

use super::{GuestEnd, Machine};

/// Where a guest is stopped for the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// When it writes one of these to the mark port.
    pub marks: BTreeSet<u8>,
    /// At the first stop of the CPU at or after each of these times, in nanoseconds.
    pub at_ns: BTreeSet<u64>,
}

impl Machine {
    /// The marks at which the back end's part ends; the guest passes all others.
    pub fn stop_at(&mut self, marks: impl IntoIterator<Item = u8>) {
        self.marks = marks.into_iter().collect();
    }

    /// Where the guest is to be stopped for the host, each once.
    pub fn pause_at(&mut self, pauses: Pauses) {
        self.pauses = pauses;
    }

    /// Whether the guest has reached a point at which the host wants it stopped.
    pub fn is_pausing(&mut self) -> bool {
        let now_ns = self.time.now().ns;
        if self.pauses.at_ns.first().is_some_and(|&at_ns| at_ns <= now_ns) {
            self.pauses.at_ns.retain(|&at_ns| at_ns > now_ns);
            self.set_end(GuestEnd::Pause);
        }
        self.end == Some(GuestEnd::Pause)
    }

    /// The guest has reached a mark: ends or pauses it if the host asked for that.
    pub(super) fn reach_mark(&mut self, mark: u8) {
        self.reach_timed(mark);
        self.reach_faults(mark);
        if self.marks.contains(&mark) {
            self.set_end(GuestEnd::Mark(mark));
        } else if self.pauses.marks.remove(&mark) {
            self.set_end(GuestEnd::Pause);
        }
    }

    /// The guest continues after the mark that it has reached.
    pub fn pass_mark(&mut self) {
        if matches!(self.end, Some(GuestEnd::Mark(_) | GuestEnd::Pause)) {
            self.end = None;
        }
    }
}
