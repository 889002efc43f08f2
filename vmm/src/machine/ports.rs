//! The four ports, lent to a function for one call.

use super::Machine;
use super::events::Call;

impl Machine {
    pub(super) fn call(&mut self, _call: Call) {}
}
