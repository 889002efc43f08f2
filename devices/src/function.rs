//! What the PCI adapter needs of a device core.

use crate::ports::Ports;
use crate::state::SavedState;

/// The PCI vendor id of every Fencepost function (unassigned by the PCI-SIG).
pub const VENDOR_ID: u16 = 0xfe9c;

/// How a function introduces itself in configuration space, and how large its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What people call it: lower case.
    pub name: &'static str,
    /// Device id under [`VENDOR_ID`].
    pub device_id: u16,
    /// Class, subclass and programming interface (PCI Code and ID Assignment), as 0xCCSSPP.
    pub class: u32,
    /// Revision id.
    pub revision: u8,
    /// Size of BAR 0, the registers: a power of two, at least 4096.
    pub registers_bytes: u32,
    /// Number of MSI-X vectors, at least 1.
    pub vectors: u16,
}

/// A register that only tells the function to look: what there is to see is in guest memory, or known beforehand. So
/// the machine may learn of the write without its value, and later (KVM's ioeventfd). It keeps PCI's order all the same:
/// doorbells rung are delivered, once or more, before the function sees any later access from the same CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Where in BAR 0 the 4-byte write goes.
    pub offset: u32,
    /// The one value that rings it, to be given to [`Function::write`]; other values are ordinary writes. None: any
    /// value does, and the function does not look at it.
    pub value: Option<u32>,
}

/// Something that a function counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name: lower case, words joined by hyphens.
    pub name: &'static str,
    /// How many so far.
    pub value: u64,
}

/// A device core behind the PCI adapter.
///
/// BAR 0 is little-endian registers of 4 or 8 bytes. The adapter splits what the guest does once: `offset` here is
/// always 4-aligned, and every access is one aligned 32-bit word (an 8-byte access arrives as low word, then high).
pub trait Function: Send {
    /// Constant over the function's life.
    fn identity(&self) -> Identity;
    /// Reads the 32-bit register word at `offset` of BAR 0. Unknown offsets read as zero.
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32;
    /// Writes the 32-bit register word at `offset` of BAR 0. Unknown and read-only offsets ignore it.
    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>);
    /// The doorbells among the registers, constant over the function's life.
    fn doorbells(&self) -> Vec<Doorbell>;
    /// A call asked for with [`crate::ports::Clock::call_at`].
    fn timer(&mut self, token: u32, ports: &mut Ports<'_>);
    /// Function-level reset: back to the state after power-on, pending timers cancelled.
    fn reset(&mut self, ports: &mut Ports<'_>);
    /// The state now, from which a restored function goes on ([`crate::state`]).
    fn save_state(&self) -> SavedState;
    /// Asks the clock for the calls that a restored function waits for. No other effect; asking twice does no harm.
    fn rearm(&self, ports: &mut Ports<'_>);
    /// What the function has counted since power-on or reset, by name: always the same names in the same order.
    fn counters(&self) -> Vec<Counter>;
    /// Access for the machine to what a particular device offers the host (scanned-out pictures, counters).
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}
