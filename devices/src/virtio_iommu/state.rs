//! What the IOMMU remembers.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::domains::Domains;
use super::facts::{REPORTS_MAX, Reason};
use crate::faults::FaultSet;
use crate::virtio::Chain;

/// A fault that the driver is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why.
    pub reason: Reason,
    /// The access was a write.
    pub write: bool,
    /// Whose it was.
    pub endpoint: u16,
    /// The first refused address.
    pub address: u64,
}

impl Report {
    /// As the driver gets it (5.13.6).
    pub fn bytes(&self) -> Vec<u8> {
        const READ: u32 = 1;
        const WRITE: u32 = 1 << 1;
        const ADDRESS: u32 = 1 << 8;
        let flags = ADDRESS | if self.write { WRITE } else { READ };
        let words = [self.reason as u32, flags, self.endpoint.into(), 0];
        let words = words.into_iter().flat_map(u32::to_le_bytes);
        words.chain(self.address.to_le_bytes()).collect()
    }
}

/// The state that the device and the unit share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// Domains and mappings.
    pub domains: Domains,
    /// Faults that wait for a buffer.
    pub reports: VecDeque<Report>,
    /// When the device is to tell of them, in nanoseconds.
    pub report_ns: Option<u64>,
    /// Nobody has asked the clock for that yet.
    #[serde(skip)]
    pub new: bool,
    /// Accesses refused since power-on.
    pub faults: u64,
    /// Faults that the driver was not told of.
    pub lost: u64,
    /// The faults that it was told to have, and what they have seen.
    pub requested: FaultSet,
}

impl Common {
    /// Whether a saved one is possible.
    pub fn is_well_formed(&self) -> bool {
        self.domains.is_well_formed() && self.reports.len() <= REPORTS_MAX
    }
}

/// A request that takes long: a fault was asked for, or it unmaps more than one call does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The request.
    pub chain: Chain,
    /// When the device goes on with it, in nanoseconds.
    pub due_ns: u64,
    /// Some of what it unmaps is unmapped.
    pub begun: bool,
}

/// All that a virtio IOMMU is, but for its queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// What both sides share.
    pub common: Common,
    /// The request that takes long.
    pub waiting: Option<Waiting>,
    /// Requests answered.
    pub requests: u64,
    /// Of these those with another status than OK.
    pub refused: u64,
}
