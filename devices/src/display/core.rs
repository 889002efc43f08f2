//! The display: its registers, and its face to the PCI adapter.

use fencepost_trace::{EngineSpec, Role};

use super::config::{ConfigError, DisplayParts};
use super::edid;
use super::engine::Core;
use super::registers::{self, ErrorBits, Irq, Size};
use super::state::DisplayState;
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Registers, Words};
use crate::ports::Ports;
use crate::state::{SavedState, pack};

/// The display as a PCI function's core.
pub struct Display {
    core: Core,
    edid: [u8; edid::EDID_BYTES],
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
        let edid = edid::build(&config);
        Display { core: Core { config, state, sink, picture: Vec::new() }, edid }
    }

    /// Everything needed to go on elsewhere; also the counters.
    pub fn state(&self) -> &DisplayState {
        &self.core.state
    }

    /// Reads a pair's low word and latches its high word, or the latched high word.
    fn read_pair(&mut self, offset: u32, low: u32, value: u64) -> u32 {
        let high_offset = low.saturating_add(4);
        let high = (value >> 32) as u32;
        let latch = &mut self.core.state.latch.high;
        if offset == low {
            *latch = Some((high_offset, high));
            return value as u32;
        }
        match *latch {
            Some((at, latched)) if at == high_offset => {
                *latch = None;
                latched
            }
            _ => high,
        }
    }

    /// The read-only pair that `offset` lies in: where it starts and what it holds.
    fn pair(&self, offset: u32, ports: &Ports<'_>) -> Option<(u32, u64)> {
        let state = &self.core.state;
        let low = offset & !7;
        let value = match low {
            registers::NOW_NS => ports.clock.now().ns,
            registers::NOW_CYCLES => ports.clock.now().cycles,
            registers::COMMIT_ACCEPTED => state.accepted,
            registers::COMMIT_LATCHED => state.latched,
            registers::VBLANK_COUNT => self.core.last_vblank(ports.clock).count,
            registers::VBLANK_CYCLES => self.core.last_vblank(ports.clock).cycles,
            registers::VBLANK_NS => self.core.last_vblank(ports.clock).ns,
            registers::CRC_FRAME => state.crc.frame,
            registers::FAULT_IOVA => state.fault_iova,
            _ => return None,
        };
        Some((low, value))
    }

    fn read_word(&self, offset: u32) -> u32 {
        let state = &self.core.state;
        match offset {
            registers::ID => registers::ID_VALUE,
            registers::MAX_SIZE => {
                Size { width_px: registers::MAX_SIDE_PX, height_px: registers::MAX_SIDE_PX }.bits()
            }
            registers::IRQ_STATUS => state.irq_status.bits(),
            registers::IRQ_ENABLE => state.irq_enable.bits(),
            registers::ERROR_STATUS => state.errors.bits(),
            registers::CRTC_ENABLE => u32::from(state.raster.is_some()),
            registers::MODE_ACTIVE => state.mode.active.bits(),
            registers::MODE_TOTAL => state.mode.total.bits(),
            registers::MODE_CLOCK => state.mode.clock_khz,
            registers::COMMIT => u32::from(state.pending.is_some()),
            registers::CRC_VALUE => state.latch.crc,
            registers::UNDERRUNS => state.underruns,
            registers::REFUSED => state.refused,
            registers::PLANE_CONTROL => u32::from(state.staged.on),
            registers::PLANE_FORMAT => state.staged.format,
            registers::PLANE_TABLE => state.staged.table as u32,
            registers::PLANE_TABLE_HIGH => (state.staged.table >> 32) as u32,
            registers::PLANE_ENTRIES => state.staged.entries,
            registers::PLANE_OFFSET => state.staged.offset_bytes,
            registers::PLANE_PITCH => state.staged.pitch_bytes,
            registers::PLANE_SIZE => state.staged.size.bits(),
            registers::CONNECTOR => 1,
            registers::EDID..registers::EDID_END => self.edid_word(offset.saturating_sub(registers::EDID)),
            _ => 0,
        }
    }

    fn edid_word(&self, offset: u32) -> u32 {
        let bytes = self.edid.iter().skip(offset as usize).take(4);
        bytes.rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
    }

    fn write_plane(&mut self, offset: u32, value: u32) {
        let plane = self.core.staged();
        let wide = u64::from(value);
        match offset {
            registers::PLANE_CONTROL => plane.on = value & 1 != 0,
            registers::PLANE_FORMAT => plane.format = value,
            registers::PLANE_TABLE => plane.table = plane.table & !0xffff_ffff | wide,
            registers::PLANE_TABLE_HIGH => plane.table = plane.table & 0xffff_ffff | wide << 32,
            registers::PLANE_ENTRIES => plane.entries = value,
            registers::PLANE_OFFSET => plane.offset_bytes = value,
            registers::PLANE_PITCH => plane.pitch_bytes = value,
            registers::PLANE_SIZE => plane.size = Size::from_bits(value),
            _ => {}
        }
    }
}

impl Words for Display {
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32 {
        let Some((low, value)) = self.pair(offset, ports).filter(|_| offset % 4 == 0) else {
            return self.read_word(offset);
        };
        if offset == registers::CRC_FRAME {
            self.core.state.latch.crc = self.core.state.crc.value;
        }
        self.read_pair(offset, low, value)
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let state = &mut self.core.state;
        match offset {
            registers::IRQ_STATUS => state.irq_status &= !Irq::from_bits_truncate(value),
            registers::IRQ_ENABLE => self.core.enable_interrupts(Irq::from_bits_truncate(value), ports),
            registers::ERROR_STATUS => state.errors &= !ErrorBits::from_bits_truncate(value),
            registers::MODE_ACTIVE => state.mode.active = Size::from_bits(value),
            registers::MODE_TOTAL => state.mode.total = Size::from_bits(value),
            registers::MODE_CLOCK => state.mode.clock_khz = value,
            registers::CRTC_ENABLE => self.core.enable(value & 1 != 0, ports),
            registers::COMMIT if value & 1 != 0 => self.core.commit(ports),
            _ => self.write_plane(offset, value),
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
            ..Identity::registers_and_msix(registers::BAR0_BYTES, 3)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        vec![Doorbell { offset: registers::COMMIT, value: Some(1) }]
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
            Counter { name: "commits", value: state.latched },
            Counter { name: "underruns", value: state.underruns.into() },
            Counter { name: "refused", value: state.refused.into() },
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
