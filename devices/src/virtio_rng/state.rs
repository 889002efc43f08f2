//! What the device remembers.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::virtio::Chain;

/// All that an entropy device is, but for its configuration and its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngState {
    /// The generator.
    pub generator: Xoshiro256PlusPlus,
    /// The request that is being answered, and when it is done, in nanoseconds.
    pub job: Option<(Chain, u64)>,
    /// Requests answered.
    pub requests: u64,
    /// Bytes given.
    pub bytes: u64,
}

impl RngState {
    /// After power-on.
    pub fn new(seed: u64) -> Self {
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        RngState { generator, job: None, requests: 0, bytes: 0 }
    }
}
