//! The PCIe bus: configuration space, BARs, interrupts and the host bridge, around [`crate::function::Function`] cores.
//!
//! [`PciRoot`] holds a list of functions; a new device is one [`PciRoot::add`]. For every call the machine lends it a
//! [`Platform`]: memory, translation, clock, trace, and a list that MSIs are put on. The register page is
//! `docs/pci.md`.

mod bars;
mod config;
mod config_ports;
mod dma_log;
mod endpoint;
mod faults;
mod interrupts;
mod msi;
mod msix;
pub mod odd_card;
mod order;
mod platform;
mod root;
pub mod testing;
mod words;

#[cfg(test)]
mod tests;

pub use bars::{Space, Windows};
pub use config_ports::CONFIG_PORTS;
pub use endpoint::{EndpointState, PlacedDoorbell};
pub use msix::{MAX_VECTORS, MsixState};
pub use platform::{
    BusClock, DmaRequest, GpaRange, MsiSource, MsiWrite, Outbox, Platform, Translation, Untranslated,
};
pub use root::{PciError, PciRoot, PciRootState};

/// Bytes of configuration space of one function.
pub const CONFIG_BYTES: usize = 4096;
/// The device id of the host bridge under [`crate::function::VENDOR_ID`].
pub const HOST_BRIDGE_DEVICE_ID: u16 = 0x1000;

/// The requester id of device `slot`, function 0, on bus 0.
pub fn requester_id(slot: u8) -> u16 {
    u16::from(slot & 0x1f) << 3
}

/// The registers that a function of this identity has in configuration space; none if there can be no such function.
#[cfg(test)]
pub fn configuration_space(identity: &crate::function::Identity) -> Vec<crate::registers::Register> {
    config::check(identity).map_or_else(|_| Vec::new(), |bars| config::endpoint(identity, &bars))
}
