//! The order in which a function's accesses reach memory.

use std::sync::atomic::{Ordering, fence};

use crate::ports::Access;

/// The order that a bus keeps (PCI Express Base Specification, 2.4.1): writes pass no access before them, and a read passes no write. Under
/// `kvm` processors reach the memory meanwhile, and the host's own would let a read pass a write: a virtqueue's device that has just said
/// how far it is would not see that the driver, which cannot have seen that yet, waits to be told.
#[derive(Debug)]
pub(super) struct BusOrder {
    /// A write may still be on its way.
    posted: bool,
}

impl BusOrder {
    /// Of a new call: the one before it may have written.
    pub fn new() -> Self {
        BusOrder { posted: true }
    }

    /// To be called before each access.
    pub fn keep(&mut self, access: Access) {
        fence(self.before(access));
    }

    fn before(&mut self, access: Access) -> Ordering {
        match access {
            Access::Read if std::mem::take(&mut self.posted) => Ordering::SeqCst,
            Access::Read => Ordering::AcqRel,
            Access::Write => {
                self.posted = true;
                Ordering::AcqRel
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_waits_for_the_writes_before_it_once() {
        use Access::{Read, Write};
        let mut order = BusOrder::new();
        let accesses = [Read, Read, Write, Write, Read, Read, Write, Read];
        let waits = accesses.map(|access| order.before(access) == Ordering::SeqCst);
        assert_eq!(waits, [true, false, false, false, true, false, false, true]);
    }
}
