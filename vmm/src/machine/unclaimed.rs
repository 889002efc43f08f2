//! Accesses that nothing answers.

use std::collections::BTreeMap;

/// Unanswered accesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unclaimed {
    /// Bytes of ports, by port.
    pub ports: BTreeMap<u16, u64>,
    /// Accesses of memory-mapped registers.
    pub mmio: u64,
    /// Rings of a doorbell that counts them, beyond those that are heard at a time (`kvm`).
    pub doorbells: u64,
}

impl Unclaimed {
    /// Counts an access of a byte.
    pub(super) fn port(&mut self, port: u16) {
        *self.ports.entry(port).or_default() += 1;
    }
}
