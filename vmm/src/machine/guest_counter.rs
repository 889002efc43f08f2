//! What the guest's time-stamp counter is to the machine's, where the host keeps the time.

use fencepost_time::{HostOffset, HostTsc};

use super::Machine;

impl Machine {
    /// Under host time: from the host's counter to the guest's it is `offset`, to within so many cycles. Where that is as
    /// near to what was known as two such readings can be, it is the same.
    pub fn guest_counter_is(&mut self, offset: HostOffset, within: u64) {
        let Some(to_cycles) = self.time.from_host() else { return };
        let known =
            HostOffset::to_tsc(HostTsc(0), HostTsc(0).cycles(to_cycles).tsc(self.guest_counter.current()));
        if offset.distance(known) > within.saturating_mul(4) {
            self.guest_counter.change(self.time.cycles(), offset.beyond(to_cycles));
        }
    }
}
