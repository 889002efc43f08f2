//! The interrupts of one function: its MSI-X table, its MSI and its line. A driver uses one of them at a time.

use crate::function::Interrupts;
use crate::registers::RegisterFile;

use super::config;
use super::msi::{self, Msi, Settings};
use super::msix::{Gate, Msix, MsixState, Outgoing};

/// What configuration space says of a function's interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gates {
    msix: Gate,
    /// None of a function without MSI.
    msi: Option<Settings>,
}

impl Gates {
    /// The gate of MSI-X.
    pub fn msix(&self) -> Gate {
        self.msix
    }
}

/// State of a function's interrupts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptState {
    messages: u8,
    pub msix: Msix,
    msi: Msi,
    /// What the function makes of its line, whether that can be heard or not.
    line: bool,
}

impl InterruptState {
    /// Nothing raised.
    pub fn new(interrupts: &Interrupts) -> Self {
        InterruptState {
            messages: interrupts.msi,
            msix: Msix::new(vectors(interrupts)),
            msi: Msi::default(),
            line: false,
        }
    }

    /// In a saved state, unless that cannot be one of these `interrupts`.
    pub fn restore(interrupts: &Interrupts, msix: &MsixState, msi_pending: u32, line: bool) -> Option<Self> {
        let msix = Msix::restore(vectors(interrupts), msix)?;
        let msi = Msi::restore(interrupts.msi, msi_pending)?;
        let possible = !line || interrupts.pin.is_some();
        possible.then_some(InterruptState { messages: interrupts.msi, msix, msi, line })
    }

    /// Back to the state after reset.
    pub fn reset(&mut self) {
        self.msix.reset();
        (self.msi, self.line) = (Msi::default(), false);
    }

    /// What `config` says of them; messages leave while the function is `master` of the bus.
    pub fn gates(&self, config: &RegisterFile, master: bool) -> Gates {
        let control = config.word(config::MSIX_CONTROL);
        let enabled = control & config::MSIX_ENABLE != 0;
        let msix = Gate { enabled, open: control & config::MSIX_FUNCTION_MASK == 0 && master };
        // Software may not enable both; MSI-X counts then.
        let msi = Gate { enabled: msi::enabled(config) && !enabled, open: master };
        let settings = (self.messages != 0).then(|| Settings::new(config, self.messages, msi));
        Gates { msix, msi: settings }
    }

    /// Raises `vector`. Returns the message to send now.
    pub fn raise(&mut self, vector: u16, gates: &Gates) -> Option<Outgoing> {
        let by_msi = gates.msi.and_then(|settings| self.msi.raise(vector, self.messages, &settings));
        by_msi.or_else(|| self.msix.raise(vector, gates.msix))
    }

    /// The messages that are pending and free to go: to be called when a gate may have opened.
    pub fn release(&mut self, gates: &Gates) -> Vec<Outgoing> {
        let mut released = self.msix.release(gates.msix);
        if let Some(settings) = gates.msi {
            released.extend(self.msi.release(&settings));
        }
        released
    }

    /// What each vector that is not held back would send now, lowest first.
    pub fn open(&self, gates: Gates) -> impl Iterator<Item = Outgoing> + '_ {
        self.msix.open(gates.msix).chain(gates.msi.into_iter().flat_map(|settings| settings.open()))
    }

    /// The function asserts its line, or ceases to.
    pub fn set_line(&mut self, asserted: bool) {
        self.line = asserted;
    }

    /// Whether the function asserts its line.
    pub fn line(&self) -> bool {
        self.line
    }

    /// Whether an interrupt by the line is pending (status, bit 3): not while the driver uses messages.
    pub fn line_pending(&self, gates: &Gates) -> bool {
        let by_message = gates.msix.enabled || gates.msi.is_some_and(|settings| settings.gate.enabled);
        self.line && !by_message
    }

    /// The pending bits of MSI.
    pub fn msi_pending(&self) -> u32 {
        self.msi.pending()
    }
}

fn vectors(interrupts: &Interrupts) -> u16 {
    interrupts.msix.map_or(0, |table| table.vectors)
}
