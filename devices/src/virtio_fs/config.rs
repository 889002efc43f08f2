//! What the host's user may set.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// Bytes of a tag, at most (5.11.4).
pub const TAG_BYTES: usize = 36;

/// What the guest may do with the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read them.
    #[default]
    Ro,
    /// Change them too.
    Rw,
}

/// The directory, and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FsConfig {
    /// The name by which the guest mounts it, 1 to 36 bytes.
    pub tag: String,
    /// The directory on the host.
    pub dir: Option<PathBuf>,
    /// What the guest may do.
    pub access: Access,
    /// How long the guest need not ask again for a name or an attribute, in seconds.
    pub cache: u32,
    /// Guest cycles of every request.
    pub latency: u64,
    /// Bytes of a request and its reply carried in one guest cycle.
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for FsConfig {
    fn default() -> Self {
        FsConfig {
            tag: "share".to_string(),
            dir: None,
            access: Access::Ro,
            cache: 1,
            latency: 2000,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(7),
        }
    }
}

impl FsConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.latency, bytes_per_cycle: self.bytes_per_cycle }
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "tag",
        takes: Takes::Text { max_bytes: TAG_BYTES },
        about: "the name by which the guest mounts it",
    },
    Parameter { key: "dir", takes: Takes::File, about: "the directory of the host's that it shares" },
    Parameter {
        key: "access",
        takes: Takes::Word(&["ro", "rw"]),
        about: "whether the guest may change the files",
    },
    Parameter {
        key: "cache",
        takes: Takes::Whole { min: 0, max: 86_400 },
        about: "seconds for which the guest need not ask again for a name or its attributes",
    },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each request, whatever its size" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes carried in a cycle" },
];
