//! What a buffer waits for, and what it signals: semaphores in memory, so that no CPU need be woken between two devices.

use fencepost_trace::Event;
use serde::{Deserialize, Serialize};
use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::core::ENGINE;
use super::error::{ErrorCode, Failure};
use crate::ports::{DmaExt, Iova, Ports};

/// How many semaphores one buffer may wait for.
const WAITS: usize = 3;

/// A word and a value, as they lie in memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawSemaphore {
    address: U64,
    value: U64,
}

/// What `sync` of a descriptor points to.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawSync {
    waits: [RawSemaphore; WAITS],
    signal: RawSemaphore,
}

const _: () = assert!(size_of::<RawSync>() == 64);

/// A 64-bit word in memory, and a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Semaphore {
    /// Where; a multiple of 8.
    pub at: Iova,
    /// What it is to be at least, or becomes.
    pub value: u64,
}

/// Of one buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncBlock {
    /// All are to be reached before the buffer is written.
    pub waits: [Option<Semaphore>; WAITS],
    /// Written when the frame is complete.
    pub signal: Option<Semaphore>,
}

impl SyncBlock {
    /// Fetches what is at `at`; nothing is there if that is 0.
    pub fn fetch(at: Iova, ports: &mut Ports<'_>) -> Result<Self, Failure> {
        if at.0 == 0 {
            return Ok(SyncBlock::default());
        }
        let mut raw = RawSync::new_zeroed();
        ports.fetch(at, raw.as_mut_bytes()).map_err(|fault| Failure::fault(ErrorCode::SyncFault, &fault))?;
        let mut waits = [None; WAITS];
        for (wait, raw) in waits.iter_mut().zip(&raw.waits) {
            *wait = raw.semaphore()?;
        }
        Ok(SyncBlock { waits, signal: raw.signal.semaphore()? })
    }

    /// Whether all that the buffer waits for is reached.
    pub fn is_ready(&self, ports: &mut Ports<'_>) -> Result<bool, Failure> {
        for wait in self.waits.iter().flatten() {
            let word = ports.dma.read_u64(wait.at);
            let word = word.map_err(|fault| Failure::fault(ErrorCode::SyncFault, &fault))?;
            if word < wait.value {
                return Ok(false);
            }
            let engine = ports.engine(ENGINE);
            ports.trace.record(Event::SemaphoreAcquire { engine, iova: wait.at.0, value: word });
        }
        Ok(true)
    }
}

impl Semaphore {
    /// Writes it.
    pub fn signal(self, ports: &mut Ports<'_>) -> Result<(), Failure> {
        let written = ports.dma.write_u64(self.at, self.value);
        written.map_err(|fault| Failure::fault(ErrorCode::SyncFault, &fault))?;
        let engine = ports.engine(ENGINE);
        ports.trace.record(Event::SemaphoreSignal { engine, iova: self.at.0, value: self.value });
        Ok(())
    }
}

impl RawSemaphore {
    /// The semaphore, if there is one.
    fn semaphore(&self) -> Result<Option<Semaphore>, Failure> {
        match self.address.get() {
            0 => Ok(None),
            at if at % 8 == 0 => Ok(Some(Semaphore { at: Iova(at), value: self.value.get() })),
            _ => Err(Failure::plain(ErrorCode::BadDescriptor)),
        }
    }
}
