//! What the machine does when the guest's kernel says that it has failed.

use super::{GuestEnd, Machine};
use crate::panic::{Ending, Panics};

impl Machine {
    /// From now on ends when `panics` says so, which goes on behind what was heard so far.
    pub fn heed(&mut self, panics: &Panics) {
        panics.restore(self.panics.save());
        self.panics = panics.clone();
    }

    /// The guest goes on although its kernel has failed.
    pub fn pass_failure(&mut self) {
        if self.end == Some(GuestEnd::Panicked) {
            self.end = None;
        }
    }

    /// Whether the guest's kernel has panicked so far.
    pub fn has_panicked(&self) -> bool {
        self.panics.findings().panic.is_some()
    }

    /// Ends the machine if the guest's kernel has said that this is its end.
    pub(super) fn heed_panics(&mut self) {
        match self.panics.take_ending() {
            None => {}
            Some(Ending::Failed) => self.set_end(GuestEnd::Panicked),
            Some(Ending::Shutdown) => self.set_end(GuestEnd::PowerOff),
        }
    }
}
