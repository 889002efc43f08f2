//! One device function on the bus: configuration space, BARs and interrupts around a [`Function`] core.

use std::cell::RefCell;

use fencepost_trace::{Event, Trace};
use serde::{Deserialize, Serialize};

use crate::faults::FaultSet;
use crate::function::{Counter, Doorbell, Function, Identity, MsixTable, Pin, Registers};
use crate::ports::Ports;
use crate::registers::RegisterFile;
use crate::state::SavedState;

use super::bars::{Bars, Space, Windows};
use super::config;
use super::faults::FAULT_TOKEN;
use super::interrupts::{Gates, InterruptState};
use super::msi;
use super::msix::MsixState;
use super::order::BusOrder;
use super::platform::{ClockPort, DmaPort, MsiPort, MsiWrite, Platform, Shared, TracePort};
use super::words::split;

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
    /// Pending bits of MSI.
    pub msi_pending: u32,
    /// Whether the function asserts its line.
    pub line: bool,
    /// Register writes narrower than a word, which were ignored.
    pub narrow_writes: u64,
    /// The faults that it was told to have, and what they have seen.
    pub faults: FaultSet,
    /// The core's own state.
    pub function: SavedState,
}

pub(super) struct Endpoint {
    pub rid: u16,
    config: RegisterFile,
    bars: Bars,
    pub(super) interrupts: InterruptState,
    msix_table: Option<MsixTable>,
    pin: Option<Pin>,
    express: bool,
    function: Box<dyn Function>,
    narrow_writes: u64,
    pub(super) faults: RefCell<FaultSet>,
    /// A fault has changed where it is or what its vectors send; not state, since the bus takes it at once.
    pub(super) rerouted: bool,
}

/// A word of what the adapter itself keeps in a BAR.
enum MsixWord {
    /// In the table, at this offset.
    Table(u64),
    /// In the pending bits, at this offset.
    Pending(u64),
}

impl Endpoint {
    /// `function` after power-on; `bars` are those of its identity.
    pub fn new(rid: u16, function: Box<dyn Function>, bars: Bars) -> Self {
        let identity = function.identity();
        Endpoint {
            rid,
            config: config_space(&identity, &bars),
            interrupts: InterruptState::new(&identity.interrupts),
            msix_table: identity.interrupts.msix,
            pin: identity.interrupts.pin,
            express: identity.express,
            bars,
            function,
            narrow_writes: 0,
            faults: RefCell::default(),
            rerouted: false,
        }
    }

    pub fn save(&self) -> EndpointState {
        EndpointState {
            rid: self.rid,
            config: self.config.save(),
            msix: self.interrupts.msix.save(),
            msi_pending: self.interrupts.msi_pending(),
            line: self.interrupts.line(),
            narrow_writes: self.narrow_writes,
            faults: self.faults.borrow().clone(),
            function: self.function.save_state(),
        }
    }

    /// `function`, itself restored from `state.function`, in the state that its endpoint was in; none if it cannot be.
    pub fn restore(function: Box<dyn Function>, state: &EndpointState) -> Option<Self> {
        let identity = function.identity();
        let bars = config::check(&identity).ok()?;
        let registers = config::endpoint(&identity, &bars);
        let config = RegisterFile::restore(&registers, config::HEADER_BYTES, &state.config)?;
        let (msix, pending) = (&state.msix, state.msi_pending);
        let interrupts = InterruptState::restore(&identity.interrupts, msix, pending, state.line)?;
        if function.save_state() != state.function {
            return None;
        }
        let (narrow_writes, faults) = (state.narrow_writes, RefCell::new(state.faults.clone()));
        let new = Endpoint::new(state.rid, function, bars);
        Some(Endpoint { config, interrupts, narrow_writes, faults, ..new })
    }

    pub fn function_mut(&mut self) -> &mut dyn Function {
        &mut *self.function
    }

    /// How the function introduces itself.
    pub fn identity(&self) -> Identity {
        self.function.identity()
    }

    /// The function's name.
    pub fn name(&self) -> &'static str {
        self.function.identity().name
    }

    /// What the function has counted, and its endpoint.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = self.function.counters();
        counters.push(Counter { name: "narrow-writes", value: self.narrow_writes });
        counters.push(Counter { name: "faults", value: self.faults.borrow().count() });
        counters
    }

    /// Programs every BAR with a place in `windows`, as firmware would; none when there is no room.
    pub fn assign_bars(&mut self, windows: &mut Windows) -> Option<()> {
        self.bars.assign(&mut self.config, windows)
    }

    /// Whether the function is in D0, where alone it does anything.
    fn awake(&self) -> bool {
        self.config.word(config::PM_CONTROL) & 3 == 0
    }

    fn command(&self, bit: u32) -> bool {
        self.awake() && self.config.word(config::COMMAND) & bit != 0
    }

    pub(super) fn gates(&self) -> Gates {
        self.interrupts.gates(&self.config, self.command(config::COMMAND_BUS_MASTER))
    }

    /// The BAR that decodes `address`, and the offset in it.
    pub fn decode(&self, space: Space, address: u64) -> Option<(u8, u64)> {
        let bit = match space {
            Space::Memory => config::COMMAND_MEMORY,
            Space::Ports => config::COMMAND_PORTS,
        };
        self.command(bit).then(|| self.bars.decode(&self.config, space, address))?
    }

    /// What each vector that is not held back would send now.
    pub fn open_vectors(&self) -> impl Iterator<Item = MsiWrite> + '_ {
        self.interrupts.open(self.gates()).map(|outgoing| outgoing.sent_by(self.rid))
    }

    /// The pin whose line the function asserts now, as the interrupt controller sees it.
    pub fn asserted_pin(&self) -> Option<Pin> {
        // First what is false nearly always.
        let heard = self.interrupts.line()
            && self.awake()
            && self.config.word(config::COMMAND) & config::COMMAND_INTERRUPT_DISABLE == 0
            && self.interrupts.line_pending(&self.gates());
        self.pin.filter(|_| heard)
    }

    /// The function's doorbells, and where BAR 0 puts them now.
    pub fn doorbells(&self) -> Vec<PlacedDoorbell> {
        let decodes = self.command(config::COMMAND_MEMORY) && self.bars.memory_bytes(0).is_some();
        let base = self.bars.base(&self.config, 0).filter(|_| decodes);
        let place = |bell: Doorbell| {
            let gpa = base.map(|base| base.saturating_add(u64::from(bell.offset)));
            PlacedDoorbell { rid: self.rid, bell, gpa }
        };
        self.function.doorbells().into_iter().map(place).collect()
    }

    /// A read of configuration space: the registers, and what changes in them by itself.
    pub fn config_read(&mut self, offset: usize, data: &mut [u8], platform: &mut Platform<'_>) {
        if self.config_is_ones(platform) {
            return data.fill(0xff);
        }
        self.config.read(offset, data);
        let line = self.interrupts.line() && self.interrupts.line_pending(&self.gates());
        let status = if line { config::STATUS_INTERRUPT } else { 0 };
        for (register, bits) in [(config::STATUS, status), (msi::PENDING, self.interrupts.msi_pending())] {
            for (at, byte) in (register..).zip(bits.to_le_bytes()) {
                let place = at.checked_sub(offset).and_then(|at| data.get_mut(at));
                place.into_iter().for_each(|place| *place |= byte);
            }
        }
    }

    /// A write to configuration space and what follows from it: function-level reset, and messages set free.
    pub fn config_write(&mut self, offset: usize, data: &[u8], platform: &mut Platform<'_>) {
        if self.faults.get_mut().gone {
            return;
        }
        self.config.write(offset, data);
        let high_byte = config::PCIE_DEVICE_CONTROL.saturating_add(1);
        let written = high_byte.checked_sub(offset).and_then(|at| data.get(at)).filter(|_| self.express);
        if written.is_some_and(|&byte| u32::from(byte) << 8 & config::PCIE_INITIATE_FLR != 0) {
            self.function_level_reset(platform);
        }
        let released = self.interrupts.release(&self.gates());
        platform.messages.extend(released.into_iter().map(|outgoing| outgoing.sent_by(self.rid)));
    }

    /// PCI Express Base Specification 5.0, 6.6.2: everything but what firmware initialises, the BARs included.
    pub(super) fn function_level_reset(&mut self, platform: &mut Platform<'_>) {
        self.with_ports(platform, |function, ports| function.reset(ports));
        self.config.reset();
        self.interrupts.reset();
    }

    /// What of MSI-X is at `offset` of BAR `bar`.
    fn msix_word(&self, bar: u8, offset: u64) -> Option<MsixWord> {
        let table = self.msix_table?;
        let inside = |of: u8, start: u32, bytes: u32| {
            let at = offset.checked_sub(start.into()).filter(|_| of == bar)?;
            (at < bytes.into()).then_some(at)
        };
        let in_table = inside(table.table_bar, table.table_offset, table.table_bytes());
        let in_pending = || inside(table.pending_bar, table.pending_offset, table.pending_bytes());
        in_table.map(MsixWord::Table).or_else(|| in_pending().map(MsixWord::Pending))
    }

    /// Reads `data.len()` bytes at `offset` of BAR `bar`.
    pub fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], platform: &mut Platform<'_>) {
        self.register_faults(platform);
        if self.rerouted {
            data.fill(0xff);
        } else if self.msix_word(bar, offset).is_some() {
            for word in split(offset, data.len()) {
                let value = match self.msix_word(bar, word.offset) {
                    Some(MsixWord::Table(at)) => self.interrupts.msix.read_table(at),
                    Some(MsixWord::Pending(at)) => self.interrupts.msix.read_pending(at),
                    None => 0,
                };
                word.store(value, data);
            }
        } else if matches!(self.function.registers(), Registers::Words(_)) {
            split(offset, data.len())
                .for_each(|word| word.store(self.read_word(bar, word.offset, platform), data));
        } else {
            // Beyond the BAR's end nobody answers.
            data.fill(0xff);
            let inside = self.inside(bar, offset, data.len());
            if let Some(data) = data.get_mut(..inside) {
                self.read_as_issued(bar, offset, data, platform);
            }
        }
    }

    /// Writes `data` at `offset` of BAR `bar`; whether that went to the MSI-X table.
    pub fn write(&mut self, bar: u8, offset: u64, data: &[u8], platform: &mut Platform<'_>) -> bool {
        self.register_faults(platform);
        if self.rerouted {
            return true;
        }
        let msix = self.msix_word(bar, offset).is_some();
        if msix || matches!(self.function.registers(), Registers::Words(_)) {
            self.write_words(bar, offset, data, platform);
        } else if let Some(data) = data.get(..self.inside(bar, offset, data.len())) {
            platform.trace.record(Event::RegisterWrite {
                cpu: platform.cpu,
                rid: self.rid,
                offset: traced(bar, offset),
                value: value_of(data),
            });
            self.with_ports(platform, |function, ports| {
                if let Registers::AsIssued(registers) = function.registers() {
                    registers.write(bar, offset, data, ports);
                }
            });
        }
        msix
    }

    /// How many of `len` bytes from `offset` on are in BAR `bar`.
    fn inside(&self, bar: u8, offset: u64, len: usize) -> usize {
        self.bars.bytes(bar).saturating_sub(offset).min(len as u64) as usize
    }

    fn read_as_issued(&mut self, bar: u8, offset: u64, data: &mut [u8], platform: &mut Platform<'_>) {
        self.with_ports(platform, |function, ports| {
            if let Registers::AsIssued(registers) = function.registers() {
                registers.read(bar, offset, data, ports);
            }
        });
        let (offset, value) = (traced(bar, offset), value_of(data));
        platform.trace.record(Event::RegisterRead { cpu: platform.cpu, rid: self.rid, offset, value });
    }

    fn read_word(&mut self, bar: u8, offset: u64, platform: &mut Platform<'_>) -> u32 {
        if bar != 0 {
            return 0;
        }
        let rid = self.rid;
        let value = self.with_ports(platform, |function, ports| match function.registers() {
            Registers::Words(words) => words.read(offset as u32, ports),
            Registers::AsIssued(_) => 0,
        });
        platform.trace.record(Event::RegisterRead {
            cpu: platform.cpu,
            rid,
            offset,
            value: u64::from(value),
        });
        value
    }

    /// Registers and table entries are written in whole words; a narrower write is counted and ignored, since
    /// filling it up from a read would clear bits that are cleared by ones.
    fn write_words(&mut self, bar: u8, offset: u64, data: &[u8], platform: &mut Platform<'_>) {
        for word in split(offset, data.len()) {
            let Some(value) = word.value(data) else {
                self.narrow_writes = self.narrow_writes.saturating_add(1);
                continue;
            };
            match self.msix_word(bar, word.offset) {
                Some(MsixWord::Table(at)) => {
                    let message = self.interrupts.msix.write_table(at, value, self.gates().msix());
                    platform.messages.extend(message.map(|outgoing| outgoing.sent_by(self.rid)));
                }
                None if bar == 0 => self.write_word(word.offset, value, platform),
                Some(MsixWord::Pending(_)) | None => {}
            }
        }
    }

    fn write_word(&mut self, offset: u64, value: u32, platform: &mut Platform<'_>) {
        platform.trace.record(Event::RegisterWrite {
            cpu: platform.cpu,
            rid: self.rid,
            offset,
            value: u64::from(value),
        });
        self.with_ports(platform, |function, ports| {
            if let Registers::Words(words) = function.registers() {
                words.write(offset as u32, value, ports);
            }
        });
    }

    pub fn timer(&mut self, token: u32, platform: &mut Platform<'_>) {
        if token == FAULT_TOKEN {
            return self.faults_due(platform);
        }
        self.with_ports(platform, |function, ports| function.timer(token, ports));
    }

    /// Asks the clock again for every call that a restored function and its faults wait for.
    pub fn rearm(&mut self, platform: &mut Platform<'_>) {
        self.with_ports(platform, |function, ports| function.rearm(ports));
        if let Some(at_ns) = self.faults.get_mut().called_ns {
            platform.clock.call_at(self.rid, FAULT_TOKEN, at_ns);
        }
    }

    /// Calls the core with ports made from the platform for this one call.
    pub fn with_ports<R>(
        &mut self,
        platform: &mut Platform<'_>,
        call: impl FnOnce(&mut dyn Function, &mut Ports<'_>) -> R,
    ) -> R {
        let (bus_master, gates) = (self.command(config::COMMAND_BUS_MASTER), self.gates());
        let shared = Shared {
            trace: RefCell::new(&mut *platform.trace),
            messages: RefCell::new(&mut *platform.messages),
            dma_log: RefCell::default(),
            faults: &self.faults,
            now_ns: platform.clock.now().ns,
        };
        let mut dma = DmaPort {
            rid: self.rid,
            bus_master,
            memory: platform.memory,
            translation: &mut *platform.translation,
            written: platform.written,
            observe: platform.observe,
            shared: &shared,
            order: BusOrder::new(),
            ranges: Vec::new(),
            pieces: Vec::new(),
        };
        let mut msi = MsiPort { rid: self.rid, interrupts: &mut self.interrupts, gates, shared: &shared };
        let mut clock = ClockPort { rid: self.rid, clock: &mut *platform.clock };
        let mut trace = TracePort { rid: self.rid, shared: &shared };
        let trace: &mut dyn Trace = &mut trace;
        let faults = &self.faults;
        let mut ports =
            Ports { rid: self.rid, dma: &mut dma, msi: &mut msi, clock: &mut clock, trace, faults };
        let result = call(&mut *self.function, &mut ports);
        shared.flush_dma(self.rid);
        if !self.faults.get_mut().is_empty() {
            self.call_for_faults(platform);
        }
        result
    }
}

fn config_space(identity: &Identity, bars: &Bars) -> RegisterFile {
    RegisterFile::new(&config::endpoint(identity, bars), config::HEADER_BYTES)
}

/// How an event names a register: by its offset, and in the top four bits its BAR.
fn traced(bar: u8, offset: u64) -> u64 {
    u64::from(bar) << 60 | offset
}

/// The first eight bytes of an access as a number.
fn value_of(data: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}
