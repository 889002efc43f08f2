//! What the host has for functions: offered to them, and kept in order while they have no room.

use std::collections::{BTreeMap, VecDeque};

use fencepost_devices::pci::requester_id;
use serde::{Deserialize, Serialize};

use super::Machine;

/// What is kept for functions that do not take it; beyond it the host waits.
const KEPT_MAX_BYTES: usize = 256 * 1024;

/// What functions have not taken yet, by requester id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inboxes {
    waiting: BTreeMap<u16, VecDeque<Vec<u8>>>,
}

impl Inboxes {
    fn bytes(&self) -> usize {
        self.waiting.values().flatten().map(Vec::len).sum()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Machine {
    /// Whether the function in `slot` takes anything from the host.
    pub fn has_inbox(&mut self, slot: u8) -> bool {
        self.on_bus(|pci, platform| {
            pci.with_function(requester_id(slot), platform, |function, _| function.inbox().is_some())
        }) == Some(true)
    }

    /// Gives `data` to the function in `slot`: now, or when it has room.
    pub fn deliver(&mut self, slot: u8, data: Vec<u8>) {
        if !data.is_empty() {
            self.inboxes.waiting.entry(requester_id(slot)).or_default().push_back(data);
            self.offer_inboxes();
        }
    }

    /// Takes what the host has brought, as long as there is room, and offers it. What was due at this cycle has not been done yet: what
    /// comes later waits for the next one, so that a record of the times is one of the order too.
    pub fn attend_deliveries(&mut self) {
        self.attend_faults();
        let comes = self.control.has_delivery() || self.control.has_unshown();
        self.delivery_held = self.due_at == Some(self.time.cycles()) && comes;
        if self.delivery_held {
            return;
        }
        self.record_lines();
        while self.inboxes.bytes() < KEPT_MAX_BYTES
            && let Some((slot, data)) = self.next_delivery()
        {
            self.deliver(slot, data);
        }
    }

    /// Offers each function what waits for it, the oldest first, until it takes no more.
    pub(super) fn offer_inboxes(&mut self) {
        if self.inboxes.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.inboxes.waiting);
        waiting.retain(|&rid, queue| {
            while let Some(data) = queue.front_mut() {
                let all = data.len();
                let taken = self.offer(rid, data).unwrap_or(all).min(all);
                data.drain(..taken);
                if !data.is_empty() {
                    return true;
                }
                queue.pop_front();
            }
            false
        });
        self.inboxes.waiting = waiting;
    }

    /// How much of `data` the function takes; none if there is no such function, or it takes nothing ever.
    fn offer(&mut self, rid: u16, data: &[u8]) -> Option<usize> {
        self.on_bus(|pci, platform| {
            pci.with_function(rid, platform, |function, ports| Some(function.inbox()?.receive(data, ports)))
        })?
    }
}
