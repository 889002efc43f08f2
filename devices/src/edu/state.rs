//! What the device remembers.

use serde::{Deserialize, Serialize};

use super::config::EduConfig;
use super::core::Edu;
use super::registers::{BUFFER_BYTES, INTERRUPT_AT_END, START, TO_MEMORY};
use crate::state::{StateError, Stateful, require};

/// All that an educational device is, but for its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EduState {
    /// What was written to the liveness register, inverted.
    pub liveness: u32,
    /// The number whose factorial is wanted, and then that.
    pub factorial: u32,
    /// When it is done, in nanoseconds, while it is being computed.
    pub factorial_due_ns: Option<u64>,
    /// Interrupt when it is done.
    pub interrupt_when_done: bool,
    /// Reasons for the interrupt.
    pub interrupt_status: u32,
    /// DMA source.
    pub source: u64,
    /// DMA destination.
    pub destination: u64,
    /// Bytes to transfer.
    pub count: u64,
    /// The command register.
    pub command: u64,
    /// When the transfer is done, in nanoseconds, while there is one.
    pub transfer_due_ns: Option<u64>,
    /// The buffer of 4096 bytes.
    pub buffer: Vec<u8>,
    /// Factorials computed.
    pub factorials: u64,
    /// Transfers done.
    pub transfers: u64,
    /// Transfers that moved nothing: outside the buffer, or refused by memory.
    pub failures: u64,
    /// Accesses of a size that the registers do not take.
    pub bad_accesses: u64,
}

impl Default for EduState {
    fn default() -> Self {
        EduState {
            liveness: 0,
            factorial: 0,
            factorial_due_ns: None,
            interrupt_when_done: false,
            interrupt_status: 0,
            source: 0,
            destination: 0,
            count: 0,
            command: 0,
            transfer_due_ns: None,
            buffer: vec![0; BUFFER_BYTES],
            factorials: 0,
            transfers: 0,
            failures: 0,
            bad_accesses: 0,
        }
    }
}

impl Stateful for Edu {
    const KIND: &'static str = "edu";
    const VERSION: u32 = 1;
    type Parts = EduConfig;
    type State = EduState;

    fn save(&self) -> EduState {
        self.state.clone()
    }

    fn restore(config: EduConfig, state: EduState) -> Result<Self, StateError> {
        require::<Edu>(state.buffer.len() == BUFFER_BYTES, "its buffer has another size")?;
        let bits = START | TO_MEMORY | INTERRUPT_AT_END;
        require::<Edu>(state.command & !bits == 0, "its command has bits that do not exist")?;
        let busy = state.command & START != 0;
        require::<Edu>(busy == state.transfer_due_ns.is_some(), "a transfer without its end")?;
        Ok(Edu { config, state })
    }
}
