//! What the host's user may set.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::Format;
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};

/// What becomes of the guest's writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// They reach the file.
    #[default]
    File,
    /// The guest finds a read-only disk.
    Refused,
    /// They stay in the device and its snapshots; the file is never written.
    Snapshot,
}

/// The file and the cost model. The costs are assumptions, not measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlkConfig {
    /// What is stored; none: [`NoDisk`](super::NoDisk), whose writes stay in the device.
    pub file: Option<PathBuf>,
    /// What becomes of writes.
    pub writes: Writes,
    /// How the file stores them.
    pub format: Format,
    /// Guest cycles of every request.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes moved in one guest cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for BlkConfig {
    fn default() -> Self {
        BlkConfig {
            file: None,
            writes: Writes::File,
            format: Format::Auto,
            fixed_cycles: 5000,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(3),
        }
    }
}

impl BlkConfig {
    /// The cost model.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }
}

/// The keys.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        key: "file",
        takes: Takes::WrittenFile { unless: ("writes", &["refused", "snapshot"]) },
        about: "what is stored; without it an empty disk of 64 MiB, which is forgotten at the end",
    },
    Parameter {
        key: "writes",
        takes: Takes::Word(&["file", "refused", "snapshot"]),
        about: "where the guest's writes go: to the file, nowhere, or to memory and snapshots",
    },
    Parameter {
        key: "format",
        takes: Takes::Word(&["auto", "raw", "qcow2"]),
        about: "how the file stores the disk; auto looks at its first bytes",
    },
    Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each request, whatever its size" },
    Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes moved in a cycle" },
];
