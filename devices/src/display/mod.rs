//! The display controller (docs/display.md): one CRTC with a primary plane, scanned out by DMA.

mod config;
mod core;
#[cfg(test)]
mod doc_tests;
mod edid;
mod plane;
#[cfg(test)]
mod random_tests;
mod raster;
mod regs;
mod state;
#[cfg(test)]
mod tests;

use fencepost_trace::Stamp;

pub use config::{Config, ConfigError, ScanOut};
pub use plane::PlaneRegs;
pub use raster::{Mode, Raster};
pub use regs::Size;
pub use state::{DisplayState, FrameCrc, LastVblank, Offered, ReadLatch, Shown};

use self::core::Core;
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Registers, Words};
use crate::ports::Ports;
use crate::state::{SavedState, pack};
use regs::{ErrorBits, Irq};

/// Who is shown what the guest shows.
pub trait PictureSink: Send {
    /// The first frame of each commit (and once more if its pixels did not arrive and later do, or the other way
    /// round). `frame` is the vertical blank it began with, `flip` the commit counted from 1, `now` when its last
    /// pixel arrived. `xrgb` is rows from the top without gaps, 4 bytes a pixel: blue, green, red, 0; all zero if
    /// the pixels did not arrive or the plane is off.
    fn picture(&mut self, frame: u64, flip: u64, now: Stamp, width_px: u32, height_px: u32, xrgb: &[u8]);
}

/// Looks at nothing.
pub struct NoPictures;

impl PictureSink for NoPictures {
    fn picture(&mut self, _: u64, _: u64, _: Stamp, _: u32, _: u32, _: &[u8]) {}
}

/// What the host provides of a display.
pub struct DisplayParts {
    /// The monitor and the fetch engine; [`Config::check`] accepts it.
    pub config: Config,
    /// Where its pictures go.
    pub sink: Box<dyn PictureSink>,
}

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
    fn with_state(parts: DisplayParts, state: DisplayState) -> Self {
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
            regs::NOW_NS => ports.clock.now().ns,
            regs::NOW_CYCLES => ports.clock.now().cycles,
            regs::COMMIT_ACCEPTED => state.accepted,
            regs::COMMIT_LATCHED => state.latched,
            regs::VBLANK_COUNT => self.core.last_vblank(ports.clock).count,
            regs::VBLANK_CYCLES => self.core.last_vblank(ports.clock).cycles,
            regs::VBLANK_NS => self.core.last_vblank(ports.clock).ns,
            regs::CRC_FRAME => state.crc.frame,
            regs::FAULT_IOVA => state.fault_iova,
            _ => return None,
        };
        Some((low, value))
    }

    fn read_word(&self, offset: u32) -> u32 {
        let state = &self.core.state;
        match offset {
            regs::ID => regs::ID_VALUE,
            regs::MAX_SIZE => Size { width_px: regs::MAX_SIDE_PX, height_px: regs::MAX_SIDE_PX }.bits(),
            regs::IRQ_STATUS => state.irq_status.bits(),
            regs::IRQ_ENABLE => state.irq_enable.bits(),
            regs::ERROR_STATUS => state.errors.bits(),
            regs::CRTC_ENABLE => u32::from(state.raster.is_some()),
            regs::MODE_ACTIVE => state.mode.active.bits(),
            regs::MODE_TOTAL => state.mode.total.bits(),
            regs::MODE_CLOCK => state.mode.clock_khz,
            regs::COMMIT => u32::from(state.pending.is_some()),
            regs::CRC_VALUE => state.latch.crc,
            regs::UNDERRUNS => state.underruns,
            regs::REFUSED => state.refused,
            regs::PLANE_CONTROL => u32::from(state.staged.on),
            regs::PLANE_FORMAT => state.staged.format,
            regs::PLANE_TABLE => state.staged.table as u32,
            regs::PLANE_TABLE_HIGH => (state.staged.table >> 32) as u32,
            regs::PLANE_ENTRIES => state.staged.entries,
            regs::PLANE_OFFSET => state.staged.offset_bytes,
            regs::PLANE_PITCH => state.staged.pitch_bytes,
            regs::PLANE_SIZE => state.staged.size.bits(),
            regs::CONNECTOR => 1,
            regs::EDID..regs::EDID_END => self.edid_word(offset.saturating_sub(regs::EDID)),
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
            regs::PLANE_CONTROL => plane.on = value & 1 != 0,
            regs::PLANE_FORMAT => plane.format = value,
            regs::PLANE_TABLE => plane.table = plane.table & !0xffff_ffff | wide,
            regs::PLANE_TABLE_HIGH => plane.table = plane.table & 0xffff_ffff | wide << 32,
            regs::PLANE_ENTRIES => plane.entries = value,
            regs::PLANE_OFFSET => plane.offset_bytes = value,
            regs::PLANE_PITCH => plane.pitch_bytes = value,
            regs::PLANE_SIZE => plane.size = Size::from_bits(value),
            _ => {}
        }
    }
}

impl Words for Display {
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32 {
        let Some((low, value)) = self.pair(offset, ports).filter(|_| offset % 4 == 0) else {
            return self.read_word(offset);
        };
        if offset == regs::CRC_FRAME {
            self.core.state.latch.crc = self.core.state.crc.value;
        }
        self.read_pair(offset, low, value)
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        let state = &mut self.core.state;
        match offset {
            regs::IRQ_STATUS => state.irq_status &= !Irq::from_bits_truncate(value),
            regs::IRQ_ENABLE => self.core.enable_interrupts(Irq::from_bits_truncate(value), ports),
            regs::ERROR_STATUS => state.errors &= !ErrorBits::from_bits_truncate(value),
            regs::MODE_ACTIVE => state.mode.active = Size::from_bits(value),
            regs::MODE_TOTAL => state.mode.total = Size::from_bits(value),
            regs::MODE_CLOCK => state.mode.clock_khz = value,
            regs::CRTC_ENABLE => self.core.enable(value & 1 != 0, ports),
            regs::COMMIT if value & 1 != 0 => self.core.commit(ports),
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
            ..Identity::registers_and_msix(regs::BAR0_BYTES, 3)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        vec![Doorbell { offset: regs::COMMIT, value: Some(1) }]
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
