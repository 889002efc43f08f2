//! The display: its registers, and its face to the PCI adapter.

use fencepost_trace::{EngineSpec, Role};

use super::color::ColorControl;
use super::config::{Config, ConfigError, DisplayParts, Monitor};
use super::engine::Core;
use super::monitor::{self, EDID_BYTES};
use super::registers::{self, Commit, ErrorBits, Irq, Reg, Size};
use super::scan::Scratch;
use super::state::DisplayState;
use crate::changes::{Changes, changed};
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use crate::parameters::Parameters;
use crate::ports::Ports;
use crate::registers::{Access, Half, Register};
use crate::state::{SavedState, pack};

/// The display as a PCI function's core.
pub struct Display {
    core: Core,
    edid: [u8; EDID_BYTES],
}

impl Display {
    /// A display after power-on.
    pub fn new(parts: DisplayParts) -> Result<Self, ConfigError> {
        parts.config.check()?;
        Ok(Display::with_state(parts, DisplayState::default()))
    }

    /// A display in `state`.
    pub(super) fn with_state(parts: DisplayParts, state: DisplayState) -> Self {
        let DisplayParts { config, sink } = parts;
        let edid = monitor::edid(&config);
        Display { core: Core { config, state, sink, picture: Vec::new(), scratch: Scratch::default() }, edid }
    }

    /// Everything needed to go on elsewhere; also the counters.
    pub fn state(&self) -> &DisplayState {
        &self.core.state
    }

    /// Reads half of a read-only pair. Its low word latches its high word, for the next read of that.
    fn read_pair(&mut self, half: Half, offset: u32, value: u64) -> u32 {
        let latch = &mut self.core.state.latch.high;
        match (half, *latch) {
            (Half::Low, _) => *latch = Some((offset.saturating_add(4), Half::High.of(value))),
            (Half::High, Some((at, latched))) if at == offset => {
                *latch = None;
                return latched;
            }
            (Half::High, _) => {}
        }
        half.of(value)
    }

    /// What the registers hold, but for the EDID and the planes.
    fn value(&self, register: Reg, ports: &Ports<'_>) -> u64 {
        let state = &self.core.state;
        let word = match register {
            Reg::NowNs => return ports.clock.now().ns,
            Reg::NowCycles => return ports.clock.now().cycles,
            Reg::CommitAccepted => return state.accepted,
            Reg::CommitLatched => return state.latched,
            Reg::VblankCount => return self.core.last_vblank(ports.clock).count,
            Reg::VblankCycles => return self.core.last_vblank(ports.clock).cycles,
            Reg::VblankNs => return self.core.last_vblank(ports.clock).ns,
            Reg::CrcFrame => return state.crc.frame,
            Reg::FaultIova => return state.fault_iova,
            Reg::EnableNs => return state.raster.map_or(0, |raster| raster.start_ns()),
            Reg::WritebackDone => return state.written.commit,
            Reg::WritebackStatus => u32::from(state.written.failed),
            Reg::WritebackFailures => state.written.failures,
            Reg::ColorControl => state.staged.color.control.bits(),
            Reg::Id => registers::ID_VALUE,
            Reg::MaxSize => registers::MAX_SIZE.bits(),
            Reg::IrqStatus => state.irq_status.bits(),
            Reg::IrqEnable => state.irq_enable.bits(),
            Reg::ErrorStatus => state.errors.bits(),
            Reg::CrtcEnable => u32::from(state.raster.is_some()),
            Reg::ModeActive => state.mode.active.bits(),
            Reg::ModeTotal => state.mode.total.bits(),
            Reg::ModeClock => state.mode.clock_khz,
            Reg::Commit => u32::from(state.pending.is_some()),
            Reg::CrcValue => state.latch.crc,
            Reg::Underruns => state.underruns,
            Reg::Refused => state.refused,
            Reg::Connector => u32::from(self.core.config.monitor == Monitor::Connected),
            // An EDID's bytes, a plane's registers, matrix and table.
            _ => 0,
        };
        word.into()
    }

    fn edid_word(&self, index: usize) -> u32 {
        let connected = self.core.config.monitor == Monitor::Connected;
        let bytes = self.edid.chunks_exact(4).nth(index).filter(|_| connected);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }
}

impl Words for Display {
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32 {
        let Some(place) = registers::MAP.at(offset) else { return 0 };
        let Register { id, width, access, .. } = *place.register;
        if id == Reg::Edid {
            return self.edid_word(place.index);
        }
        if id == Reg::CrcFrame && place.half == Half::Low {
            self.core.state.latch.crc = self.core.state.crc.value;
        }
        let staged = &self.core.state.staged;
        let plane = staged.planes.get(place.index).and_then(|plane| plane.register(id));
        let color = &staged.color;
        let value = match id {
            Reg::Gamma => u64::from(color.gamma(place.index)),
            Reg::ColorMatrix => color.matrix.get(place.index).map_or(0, |factor| u64::from(*factor as u32)),
            _ => plane.or(staged.writeback.register(id)).unwrap_or_else(|| self.value(id, ports)),
        };
        match (width, access) {
            (8, Access::ReadOnly) => self.read_pair(place.half, offset, value),
            _ => place.read(value),
        }
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let Some(place) = registers::MAP.at(offset) else { return };
        let Some(value) = place.write(value) else { return };
        let state = &mut self.core.state;
        match place.register.id {
            Reg::IrqStatus => state.irq_status &= !Irq::from_bits_truncate(value),
            Reg::IrqEnable => self.core.enable_interrupts(Irq::from_bits_truncate(value), ports),
            Reg::ErrorStatus => state.errors &= !ErrorBits::from_bits_truncate(value),
            Reg::ModeActive => state.mode.active = Size::from_bits(value),
            Reg::ModeTotal => state.mode.total = Size::from_bits(value),
            Reg::ModeClock => state.mode.clock_khz = value,
            Reg::CrtcEnable => self.core.enable(value != 0, ports),
            Reg::Commit => {
                let how = Commit::from_bits_truncate(value);
                if how.contains(Commit::GO) {
                    self.core.commit(how, ports);
                }
            }
            Reg::ColorControl => state.staged.color.control = ColorControl::from_bits_truncate(value),
            Reg::ColorMatrix => {
                if let Some(factor) = state.staged.color.matrix.get_mut(place.index) {
                    *factor = value as i32;
                }
            }
            Reg::Gamma => state.staged.color.set_gamma(place.index, value),
            register => {
                state.staged.writeback.write(register, place.half, value);
                if let Some(plane) = self.core.staged(place.index) {
                    plane.write(register, place.half, value);
                }
            }
        }
    }
}

impl Function for Display {
    fn identity(&self) -> Identity {
        Identity {
            name: "display",
            ids: Ids::fencepost(3),
            class: 0x03_80_00,
            revision: 1,
            engines: &[EngineSpec { name: "display", role: Role::Sink }],
            ..Identity::registers_and_msix(registers::BAR0_BYTES, registers::VECTORS)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        let bells = registers::MAP.offsets(Reg::Commit);
        bells.map(|offset| Doorbell { offset, bytes: 4, value: Some(1) }).collect()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        self.core.timer(token, ports);
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        self.core.state = DisplayState::default();
        self.core.arm(ports);
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        self.core.arm(ports);
    }

    fn counters(&self) -> Vec<Counter> {
        let state = &self.core.state;
        vec![
            Counter { name: "vblanks", value: state.handled },
            Counter { name: "accepted", value: state.accepted },
            Counter { name: "commits", value: state.latched },
            Counter { name: "underruns", value: state.underruns.into() },
            Counter { name: "refused", value: state.refused.into() },
            Counter { name: "writebacks", value: state.written.pictures },
            Counter { name: "writeback-failures", value: state.written.failures.into() },
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

impl Changes for Display {
    const KEYS: &'static [&'static str] =
        &["width", "height", "hz", "monitor", "scanout", "latency", "bytes-per-cycle"];

    fn change(&mut self, changes: &Parameters, ports: &mut Ports<'_>) -> Result<(), String> {
        let config: Config = changed(&self.core.config, changes)?;
        config.check().map_err(|error| error.to_string())?;
        let edid = monitor::edid(&config);
        // Of a monitor that is not there nobody sees another EDID.
        let told = config.monitor != self.core.config.monitor
            || (config.monitor == Monitor::Connected && edid != self.edid);
        self.edid = edid;
        self.core.config = config;
        if told {
            self.core.signal(Irq::HOTPLUG, ports);
        }
        Ok(())
    }
}
