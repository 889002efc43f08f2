//! One device function on the bus: configuration space, BARs and MSI-X around a [`Function`] core.

use std::cell::RefCell;

use fencepost_trace::{Event, Trace};
use serde::{Deserialize, Serialize};

use crate::function::{Counter, Doorbell, Function};
use crate::ports::Ports;
use crate::registers::RegisterFile;
use crate::state::SavedState;

use super::config;
use super::msix::{Gate, Msix, MsixState, bar_bytes};
use super::platform::{ClockPort, DmaPort, MsiPort, MsiWrite, Platform, Shared, TracePort};
use super::words::split;

/// Which BAR an address fell into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// BAR 0: the device's registers.
    Registers,
    /// BAR 2: the MSI-X table and pending bits.
    Msix,
}

/// A doorbell and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedDoorbell {
    /// Requester id of the function.
    pub rid: u16,
    /// The register.
    pub bell: Doorbell,
    /// Its guest-physical address; none while BAR 0 decodes nothing.
    pub gpa: Option<u64>,
}

/// The saved state of one function: its bus side and its core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// Requester id.
    pub rid: u16,
    /// The first 256 bytes of configuration space.
    pub config: Vec<u8>,
    /// MSI-X.
    pub msix: MsixState,
    /// BAR 0 writes narrower than a register, which were ignored.
    pub narrow_writes: u64,
    /// The core's own state.
    pub function: SavedState,
}

pub(super) struct Endpoint {
    pub rid: u16,
    config: RegisterFile,
    msix: Msix,
    function: Box<dyn Function>,
    registers_bytes: u32,
    msix_bytes: u32,
    narrow_writes: u64,
}

impl Endpoint {
    pub fn new(rid: u16, function: Box<dyn Function>) -> Self {
        let identity = function.identity();
        Endpoint {
            rid,
            config: RegisterFile::new(config::endpoint(&identity), config::HEADER_BYTES),
            msix: Msix::new(identity.vectors),
            registers_bytes: identity.registers_bytes,
            msix_bytes: bar_bytes(identity.vectors),
            function,
            narrow_writes: 0,
        }
    }

    pub fn save(&self) -> EndpointState {
        EndpointState {
            rid: self.rid,
            config: self.config.save(),
            msix: self.msix.save(),
            narrow_writes: self.narrow_writes,
            function: self.function.save_state(),
        }
    }

    /// `function`, itself restored from `state.function`, in the state that its endpoint was in; none if it cannot be.
    pub fn restore(function: Box<dyn Function>, state: &EndpointState) -> Option<Self> {
        let identity = function.identity();
        let config = RegisterFile::restore(config::endpoint(&identity), config::HEADER_BYTES, &state.config)?;
        let msix = Msix::restore(identity.vectors, &state.msix)?;
        if function.save_state() != state.function {
            return None;
        }
        let narrow_writes = state.narrow_writes;
        Some(Endpoint { config, msix, narrow_writes, ..Endpoint::new(state.rid, function) })
    }

    pub fn function_mut(&mut self) -> &mut dyn Function {
        &mut *self.function
    }

    /// The function's name.
    pub fn name(&self) -> &'static str {
        self.function.identity().name
    }

    /// What the function has counted, and its endpoint.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = self.function.counters();
        counters.push(Counter { name: "narrow-writes", value: self.narrow_writes });
        counters
    }

    /// Programs both BARs from `window`'s start, as firmware would; returns the next free address.
    pub fn assign_bars(&mut self, next: u32) -> Option<u32> {
        let mut next = next;
        for (register, bytes) in [(config::BAR0, self.registers_bytes), (config::BAR2, self.msix_bytes)] {
            let base = next.checked_next_multiple_of(bytes)?;
            self.config.write(register, &base.to_le_bytes());
            next = base.checked_add(bytes)?;
        }
        Some(next)
    }

    fn command(&self, bit: u32) -> bool {
        let awake = self.config.word(config::PM_CONTROL) & 3 == 0;
        awake && self.config.word(config::COMMAND) & bit != 0
    }

    fn gate(&self) -> Gate {
        let control = self.config.word(config::MSIX_CONTROL);
        Gate {
            enabled: control & config::MSIX_ENABLE != 0,
            open: control & config::MSIX_FUNCTION_MASK == 0 && self.command(config::COMMAND_BUS_MASTER),
        }
    }

    /// The BAR that decodes `gpa`, and the offset in it. An unprogrammed BAR (base 0) decodes nothing.
    pub fn decode(&self, gpa: u64) -> Option<(BarKind, u64)> {
        if !self.command(config::COMMAND_MEMORY) {
            return None;
        }
        let bars = [
            (BarKind::Registers, config::BAR0, self.registers_bytes),
            (BarKind::Msix, config::BAR2, self.msix_bytes),
        ];
        bars.into_iter().find_map(|(kind, register, bytes)| {
            let base = u64::from(self.config.word(register));
            let offset = gpa.checked_sub(base)?;
            (base != 0 && offset < u64::from(bytes)).then_some((kind, offset))
        })
    }

    /// What each vector that is not held back would send now.
    pub fn open_vectors(&self) -> impl Iterator<Item = MsiWrite> + '_ {
        self.msix.open(self.gate()).map(|outgoing| outgoing.sent_by(self.rid))
    }

    /// The function's doorbells, and where BAR 0 puts them now.
    pub fn doorbells(&self) -> Vec<PlacedDoorbell> {
        let base = u64::from(self.config.word(config::BAR0));
        let decodes = self.command(config::COMMAND_MEMORY) && base != 0;
        let place = |bell: Doorbell| {
            let gpa = decodes.then(|| base.saturating_add(u64::from(bell.offset)));
            PlacedDoorbell { rid: self.rid, bell, gpa }
        };
        self.function.doorbells().into_iter().map(place).collect()
    }

    pub fn config_read(&self, offset: usize, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    /// A write to configuration space and what follows from it: function-level reset, and messages set free.
    pub fn config_write(&mut self, offset: usize, data: &[u8], platform: &mut Platform<'_>) {
        self.config.write(offset, data);
        let high_byte = config::PCIE_DEVICE_CONTROL.saturating_add(1);
        let written = high_byte.checked_sub(offset).and_then(|at| data.get(at));
        if written.is_some_and(|&byte| u32::from(byte) << 8 & config::PCIE_INITIATE_FLR != 0) {
            self.function_level_reset(platform);
        }
        let released = self.msix.release(self.gate());
        platform.messages.extend(released.into_iter().map(|outgoing| outgoing.sent_by(self.rid)));
    }

    /// PCI Express Base Specification 5.0, 6.6.2: everything but what firmware initialises, the BARs included.
    fn function_level_reset(&mut self, platform: &mut Platform<'_>) {
        self.with_ports(platform, |function, ports| function.reset(ports));
        self.config.reset();
        self.msix.reset();
    }

    pub fn mmio_read(&mut self, kind: BarKind, offset: u64, data: &mut [u8], platform: &mut Platform<'_>) {
        for word in split(offset, data.len()) {
            let value = match kind {
                BarKind::Msix => self.msix.read(word.offset),
                BarKind::Registers => self.register_read(word.offset, platform),
            };
            word.store(value, data);
        }
    }

    fn register_read(&mut self, offset: u64, platform: &mut Platform<'_>) -> u32 {
        let rid = self.rid;
        let value = self.with_ports(platform, |function, ports| function.read(offset as u32, ports));
        platform.trace.record(Event::RegisterRead { rid, offset, value: u64::from(value) });
        value
    }

    /// Registers and table entries are written in whole words; a narrower write is counted and ignored, since
    /// filling it up from a read would clear bits that are cleared by ones.
    pub fn mmio_write(&mut self, kind: BarKind, offset: u64, data: &[u8], platform: &mut Platform<'_>) {
        for word in split(offset, data.len()) {
            let Some(value) = word.value(data) else {
                self.narrow_writes = self.narrow_writes.saturating_add(1);
                continue;
            };
            match kind {
                BarKind::Msix => {
                    let message = self.msix.write(word.offset, value, self.gate());
                    platform.messages.extend(message.map(|outgoing| outgoing.sent_by(self.rid)));
                }
                BarKind::Registers => self.register_write(word.offset, value, platform),
            }
        }
    }

    fn register_write(&mut self, offset: u64, value: u32, platform: &mut Platform<'_>) {
        platform.trace.record(Event::RegisterWrite { rid: self.rid, offset, value: u64::from(value) });
        self.with_ports(platform, |function, ports| function.write(offset as u32, value, ports));
    }

    pub fn timer(&mut self, token: u32, platform: &mut Platform<'_>) {
        self.with_ports(platform, |function, ports| function.timer(token, ports));
    }

    /// Calls the core with ports made from the platform for this one call.
    pub fn with_ports<R>(
        &mut self,
        platform: &mut Platform<'_>,
        call: impl FnOnce(&mut dyn Function, &mut Ports<'_>) -> R,
    ) -> R {
        let (bus_master, gate) = (self.command(config::COMMAND_BUS_MASTER), self.gate());
        let shared = Shared {
            trace: RefCell::new(&mut *platform.trace),
            messages: RefCell::new(&mut *platform.messages),
            dma_log: RefCell::default(),
        };
        let mut dma = DmaPort {
            rid: self.rid,
            bus_master,
            memory: platform.memory,
            translation: &mut *platform.translation,
            written: platform.written,
            shared: &shared,
            ranges: Vec::new(),
        };
        let mut msi = MsiPort { rid: self.rid, msix: &mut self.msix, gate, shared: &shared };
        let mut clock = ClockPort { rid: self.rid, clock: &mut *platform.clock };
        let mut trace = TracePort { rid: self.rid, shared: &shared };
        let trace: &mut dyn Trace = &mut trace;
        let mut ports = Ports { rid: self.rid, dma: &mut dma, msi: &mut msi, clock: &mut clock, trace };
        let result = call(&mut *self.function, &mut ports);
        shared.flush_dma(self.rid);
        result
    }
}
