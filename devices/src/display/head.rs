//! A head through its registers: a CRTC with its planes, and a connector.

use super::color::ColorControl;
use super::config::{Config, Monitor};
use super::engine::Head;
use super::monitor;
use super::registers::{self, Commit, ErrorBits, Irq, Reg, Size};
use crate::ports::Ports;
use crate::registers::{Access, Half, Place, Register};

impl Head {
    /// Reads the word at `offset` of its registers, which `place` is.
    pub fn read(&mut self, offset: u32, place: &Place<Reg>, ports: &Ports<'_>) -> u32 {
        let Register { id, width, access, .. } = *place.register;
        if id == Reg::Edid {
            return self.edid_word(place.index);
        }
        if id == Reg::CrcFrame && place.half == Half::Low {
            self.state.latch.crc = self.state.crc.value;
        }
        let staged = &self.state.staged;
        let plane = staged.planes.get(place.index).and_then(|plane| plane.register(id));
        let color = &staged.color;
        let value = match id {
            Reg::Gamma => u64::from(color.gamma(place.index)),
            Reg::ColorMatrix => color.matrix.get(place.index).map_or(0, |factor| u64::from(*factor as u32)),
            _ => plane
                .or(staged.writeback.register(id))
                .or(staged.vrr.register(id))
                .unwrap_or_else(|| self.value(id, ports)),
        };
        match (width, access) {
            (8, Access::ReadOnly) => self.read_pair(place.half, offset, value),
            _ => place.read(value),
        }
    }

    /// Writes the word that `place` is.
    pub fn write(&mut self, place: &Place<Reg>, value: u32, ports: &mut Ports<'_>) {
        let Some(value) = place.write(value) else { return };
        let state = &mut self.state;
        match place.register.id {
            Reg::IrqStatus => state.irq_status &= !Irq::from_bits_truncate(value),
            Reg::IrqEnable => self.enable_interrupts(Irq::from_bits_truncate(value), ports),
            Reg::ErrorStatus => state.errors &= !ErrorBits::from_bits_truncate(value),
            Reg::ModeActive => state.mode.active = Size::from_bits(value),
            Reg::ModeTotal => state.mode.total = Size::from_bits(value),
            Reg::ModeClock => state.mode.clock_khz = value,
            Reg::CrtcEnable => self.enable(value != 0, ports),
            Reg::Commit => {
                let how = Commit::from_bits_truncate(value);
                if how.contains(Commit::GO) {
                    self.commit(how, ports);
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
                state.staged.vrr.write(register, value);
                if let Some(plane) = self.staged(place.index) {
                    plane.write(register, place.half, value);
                }
            }
        }
    }

    /// Reads half of a read-only pair. Its low word latches its high word, for the next read of that.
    fn read_pair(&mut self, half: Half, offset: u32, value: u64) -> u32 {
        let latch = &mut self.state.latch.high;
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
        let state = &self.state;
        let word = match register {
            Reg::NowNs => return ports.clock.now().ns,
            Reg::NowCycles => return ports.clock.now().cycles,
            Reg::CommitAccepted => return state.accepted,
            Reg::CommitLatched => return state.latched,
            Reg::VblankCount => return self.last_vblank(ports.clock).count,
            Reg::VblankCycles => return self.last_vblank(ports.clock).cycles,
            Reg::VblankNs => return self.last_vblank(ports.clock).ns,
            Reg::CrcFrame => return state.crc.frame,
            Reg::FaultIova => return state.fault_iova,
            Reg::EnableNs => return state.raster.map_or(0, |raster| raster.enabled_ns()),
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
            Reg::Connector => u32::from(self.config.monitor == Monitor::Connected),
            // An EDID's bytes, a plane's registers, matrix and table.
            _ => 0,
        };
        word.into()
    }

    fn edid_word(&self, index: usize) -> u32 {
        let connected = self.config.monitor == Monitor::Connected;
        let bytes = self.edid.chunks_exact(4).nth(index).filter(|_| connected);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// What is at the connector, and how frames are fetched, from now on.
    pub fn configure(&mut self, config: Config, ports: &mut Ports<'_>) {
        let edid = monitor::edid(&config);
        // Of a monitor that is not there nobody sees another EDID.
        let told = config.monitor != self.config.monitor
            || (config.monitor == Monitor::Connected && edid != self.edid);
        self.edid = edid;
        self.config = config;
        if told {
            self.signal(Irq::HOTPLUG, ports);
        }
    }
}
