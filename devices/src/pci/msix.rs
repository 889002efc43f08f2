//! MSI-X: the vector table and pending bits of one function (PCI Express Base Specification 5.0, 7.7.2).

use serde::{Deserialize, Serialize};

use super::platform::{MsiSource, MsiWrite};

/// The largest table the capability can describe.
pub const MAX_VECTORS: u16 = 2048;
const ENTRY_WORDS: usize = 4;
const CONTROL_MASKED: u32 = 1;

/// Whether messages can leave: what configuration space says about all vectors at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// MSI-X enable.
    pub enabled: bool,
    /// Not held back by the function mask, by bus mastering being off, or by a power state.
    pub open: bool,
}

/// What one vector sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Which vector.
    pub vector: u16,
    /// Where.
    pub address: u64,
    /// What.
    pub data: u32,
}

impl Outgoing {
    /// The message, of the function with requester id `rid`.
    pub fn sent_by(self, rid: u16) -> MsiWrite {
        let source = MsiSource::Vector { rid, vector: self.vector };
        MsiWrite { source, address: self.address, data: self.data }
    }
}

/// The saved state of `Msix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsixState {
    /// Four words for each vector: address low, address high, data, control.
    pub table: Vec<u32>,
    /// Pending bit of each vector.
    pub pending: Vec<bool>,
}

/// The table and the pending bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msix {
    table: Vec<[u32; ENTRY_WORDS]>,
    pending: Vec<bool>,
}

impl Msix {
    /// A table of `vectors` masked entries.
    pub fn new(vectors: u16) -> Self {
        let vectors = usize::from(vectors.min(MAX_VECTORS));
        Msix { table: vec![[0, 0, 0, CONTROL_MASKED]; vectors], pending: vec![false; vectors] }
    }

    /// Back to the state after reset.
    pub fn reset(&mut self) {
        self.table.fill([0, 0, 0, CONTROL_MASKED]);
        self.pending.fill(false);
    }

    /// The state as data.
    pub fn save(&self) -> MsixState {
        MsixState { table: self.table.concat(), pending: self.pending.clone() }
    }

    /// A table of `vectors` entries in `state`; none when it has another number of them, or bits that cannot be set.
    pub fn restore(vectors: u16, state: &MsixState) -> Option<Self> {
        let mut msix = Msix::new(vectors);
        let possible = |entry: &[u32]| matches!(*entry, [address, _, _, control] if address & 3 == 0 && control & !CONTROL_MASKED == 0);
        let entries = state.table.chunks(ENTRY_WORDS);
        let fits = (entries.len(), state.pending.len()) == (msix.table.len(), msix.pending.len())
            && entries.clone().all(possible);
        if !fits {
            return None;
        }
        msix.table.iter_mut().zip(entries).for_each(|(to, from)| to.copy_from_slice(from));
        msix.pending.clone_from(&state.pending);
        Some(msix)
    }

    /// Reads the aligned word at `offset` of the table.
    pub fn read_table(&self, offset: u64) -> u32 {
        let word = (offset / 4) as usize;
        let entry = self.table.get(word / ENTRY_WORDS);
        entry.and_then(|entry| entry.get(word % ENTRY_WORDS)).copied().unwrap_or(0)
    }

    /// Reads the aligned word at `offset` of the pending bits.
    pub fn read_pending(&self, offset: u64) -> u32 {
        let bits = self.pending.iter().skip((offset as usize).saturating_mul(8)).take(32);
        (0u32..).zip(bits).fold(0, |word, (bit, &pending)| word | u32::from(pending) << bit)
    }

    /// Writes the aligned word at `offset` of the table. Returns the message of a vector that was pending and is now free
    /// to go.
    pub fn write_table(&mut self, offset: u64, value: u32, gate: Gate) -> Option<Outgoing> {
        let word = (offset / 4) as usize;
        let vector = word / ENTRY_WORDS;
        let place = self.table.get_mut(vector)?.get_mut(word % ENTRY_WORDS)?;
        // Address bits 0 and 1 must be zero, and only the mask bit of the control word exists.
        *place = match word % ENTRY_WORDS {
            0 => value & !3,
            3 => value & CONTROL_MASKED,
            _ => value,
        };
        self.deliver(vector, gate)
    }

    /// Raises `vector`. Returns the message to send now; a vector held back becomes pending. Without MSI-X enabled,
    /// and beyond the table, nothing happens.
    pub fn raise(&mut self, vector: u16, gate: Gate) -> Option<Outgoing> {
        if !gate.enabled {
            return None;
        }
        *self.pending.get_mut(usize::from(vector))? = true;
        self.deliver(usize::from(vector), gate)
    }

    /// The messages of all pending vectors that are free to go, lowest first: to be called when the gate opens.
    pub fn release(&mut self, gate: Gate) -> Vec<Outgoing> {
        (0..self.table.len()).filter_map(|vector| self.deliver(vector, gate)).collect()
    }

    /// What each vector that is not held back would send, lowest first.
    pub fn open(&self, gate: Gate) -> impl Iterator<Item = Outgoing> + '_ {
        (0..self.table.len()).filter_map(move |vector| self.outgoing(vector, gate))
    }

    /// What the vector sends; none while it is held back.
    fn outgoing(&self, vector: usize, gate: Gate) -> Option<Outgoing> {
        let &[low, high, data, control] = self.table.get(vector)?;
        let free = gate.enabled && gate.open && control & CONTROL_MASKED == 0;
        let (vector, address) = (u16::try_from(vector).ok()?, u64::from(high) << 32 | u64::from(low));
        free.then_some(Outgoing { vector, address, data })
    }

    fn deliver(&mut self, vector: usize, gate: Gate) -> Option<Outgoing> {
        let outgoing = self.outgoing(vector, gate)?;
        std::mem::take(self.pending.get_mut(vector)?).then_some(outgoing)
    }
}
