//! The trace file: what is streamed while the machine runs and can be read after a crash. `docs/trace.md` is its page.
//!
//! A file is [`MAGIC`], [`VERSION`] as a little-endian u32, and frames. A frame is its kind (u8), the length of its
//! payload (u32), the CRC-32 of kind, length and payload (u32), and the payload. No frame needs another to be decoded, so damage costs the
//! frames that it touches and no more.

mod checks;
mod frames;
mod reader;
mod writer;

use serde::{Deserialize, Serialize};

use crate::engine::{EngineId, EngineSpec, Role, rid_text};
use crate::event::{Accel, Category};
use crate::guest::GuestFormat;

pub use reader::{Damage, ReadError, TraceFile};
pub use writer::FileWriter;

/// The first bytes of a trace file.
pub const MAGIC: [u8; 8] = *b"FPTRACE\n";
/// The version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 3;

/// Kinds of frames.
mod kind {
    /// [`super::Header`], as JSON. The first frame.
    pub const HEADER: u8 = 1;
    /// Records, see [`super::writer`].
    pub const RECORDS: u8 = 2;
    /// One [`super::Definition`], as JSON.
    pub const DEFINITION: u8 = 3;
    /// [`super::Totals`], as JSON: the file is complete.
    pub const END: u8 = 4;
}

/// Bytes before a frame's payload.
const FRAME_HEADER_BYTES: usize = 9;

/// What was traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The back end that the machine started on.
    pub accel: Accel,
    /// Guest cycles (TSC) a second.
    pub tsc_hz: u64,
    /// What was switched on.
    pub categories: Vec<Category>,
    /// The functions on the PCI bus.
    pub functions: Vec<FunctionName>,
    /// What is counted, by who counts it; the values are in the last frame ([`TraceFile::counters`]).
    pub counters: Vec<CounterNames>,
    /// The cost models in force, as `name: words`.
    pub costs: Vec<(String, String)>,
    /// `--seed`, when given.
    pub seed: Option<u64>,
    /// Bytes that the file may take (`--trace-limit`); absent where nothing bounds it.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The cycle of the snapshot from which the machine went on; absent for one that was traced from power-on.
    #[serde(default)]
    pub snapshot: Option<u64>,
    /// Whether an idle guest's clock went as the host's (`--realtime`); absent under `kvm`, and in files from before.
    #[serde(default)]
    pub paced: Option<bool>,
}

/// A PCI function and what it declares of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionName {
    /// Requester id.
    pub rid: u16,
    /// Its name (`gpu`).
    pub name: String,
    /// Its engines; an [`EngineId`]'s index is a place here.
    pub engines: Vec<EngineName>,
}

/// What a function, or another part of the machine, counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterNames {
    /// Who counts.
    pub of: String,
    /// The counters' names.
    pub names: Vec<String>,
}

/// An engine of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineName {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
}

impl From<&EngineSpec> for EngineName {
    fn from(spec: &EngineSpec) -> EngineName {
        EngineName { name: spec.name.to_string(), role: spec.role }
    }
}

impl Header {
    /// All engines, by function and place.
    pub fn engines(&self) -> impl Iterator<Item = (EngineId, &EngineName)> {
        self.functions.iter().flat_map(|function| {
            let rid = function.rid;
            (0..=u8::MAX).zip(&function.engines).map(move |(index, engine)| (EngineId { rid, index }, engine))
        })
    }

    /// What is declared of an engine.
    pub fn engine(&self, id: EngineId) -> Option<&EngineName> {
        let function = self.functions.iter().find(|function| function.rid == id.rid)?;
        function.engines.get(usize::from(id.index))
    }

    /// What outputs call an engine: its name, with its function's place where another engine has that name too.
    pub fn engine_label(&self, id: EngineId) -> String {
        match self.engine(id) {
            Some(engine) if self.engines().filter(|(_, other)| other.name == engine.name).count() == 1 => {
                engine.name.clone()
            }
            Some(engine) => format!("{} {}", engine.name, rid_text(id.rid)),
            None => format!("engine {} of {}", id.index, self.function_label(id.rid)),
        }
    }

    /// What outputs call a function: its name, with its place where another function has that name too.
    pub fn function_label(&self, rid: u16) -> String {
        match self.functions.iter().find(|function| function.rid == rid) {
            Some(one) if self.functions.iter().filter(|other| other.name == one.name).count() == 1 => {
                one.name.clone()
            }
            Some(one) => format!("{} {}", one.name, rid_text(rid)),
            None => rid_text(rid),
        }
    }

    /// What the stamps are worth as long as the machine stays on its back end; see [`TraceFile::stamps`].
    pub fn stamps(&self) -> String {
        let mhz = self.tsc_hz / 1_000_000;
        match self.accel {
            Accel::Soft => format!(
                "exact cycles: 1 instruction = 1 cycle, {mhz} million a second of the guest's clock; engines by their cost models"
            ),
            Accel::Kvm => {
                format!("stamps of the guest's TSC, {mhz} MHz, taken by the host when it saw the event")
            }
        }
    }
}

/// What later records refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// A guest tracepoint's layout.
    Format(GuestFormat),
    /// The name of a guest thread.
    Task {
        /// Its number.
        pid: u32,
        /// Its name.
        name: String,
    },
}

impl Definition {
    /// About how many bytes it takes, in memory as in the file.
    pub fn size(&self) -> usize {
        /// Beside each text.
        const AROUND: usize = 32;
        let text = |text: &String| text.len().saturating_add(AROUND);
        match self {
            Definition::Format(format) => {
                let fields: usize = format.fields.iter().map(text).sum();
                fields.saturating_add(text(&format.system)).saturating_add(text(&format.name))
            }
            Definition::Task { name, .. } => text(name),
        }
    }
}

/// What a complete file ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records written.
    pub records: u64,
    /// Events lost because the writer fell behind its bound.
    pub lost: u64,
    /// Guest events that the guest itself lost.
    pub guest_lost: u64,
    /// Events that came when the file had reached its limit.
    #[serde(default)]
    pub beyond_limit: u64,
}

/// The last frame's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct End {
    #[serde(flatten)]
    totals: Totals,
    /// Values in the order of [`Header::counters`].
    #[serde(default)]
    counters: Vec<Vec<u64>>,
}

impl Totals {
    /// Whether every event is in the file.
    pub fn none_lost(&self) -> bool {
        self.lost == 0 && self.guest_lost == 0 && self.beyond_limit == 0
    }
}

/// The checksum over a frame.
pub(crate) fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&(payload.len() as u32).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
