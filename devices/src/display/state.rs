//! Everything a display is, as data: what a snapshot keeps and a display is built from.

use serde::{Deserialize, Serialize};

use super::config::DisplayParts;
use super::core::Display;
use super::making::{Making, Step};
use super::raster::{Mode, Raster};
use super::registers::{ErrorBits, HEADS, Irq};
use super::scan::{Shown, Staged};
use super::writeback::{WritebackRegs, Writing, Written};
use crate::state::{StateError, Stateful, require};

impl Stateful for Display {
    const KIND: &'static str = "display";
    const VERSION: u32 = 10;
    type Parts = DisplayParts;
    type State = DisplayState;

    fn save(&self) -> DisplayState {
        self.state()
    }

    fn restore(parts: DisplayParts, state: DisplayState) -> Result<Self, StateError> {
        state.heads.iter().try_for_each(HeadState::check)?;
        Ok(Display::with_state(parts, state))
    }
}

/// A display between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayState {
    /// Its heads.
    pub heads: [HeadState; HEADS],
}

impl HeadState {
    /// Refuses what no head could be in.
    fn check(&self) -> Result<(), StateError> {
        let mode = self.raster.map(|raster| raster.mode);
        let scans_out = self.pending.is_some()
            || self.shown.is_some()
            || self.fetching.is_some()
            || self.writing.is_some();
        require::<Display>(
            self.raster.is_none_or(|raster| raster.is_valid()),
            "a mode that cannot be shown",
        )?;
        require::<Display>(mode.is_some() || !scans_out, "a plane is shown while the CRTC is off")?;
        let writeback = self.writing.map_or_else(WritebackRegs::default, |writing| writing.regs);
        let shown = self.shown.as_ref().map(|&Shown { planes, color, vrr, .. }| Staged {
            planes,
            color,
            writeback,
            vrr,
        });
        let mode = mode.unwrap_or_default();
        let fit = self.pending.iter().chain(&shown).all(|commit| commit.is_valid(&mode));
        require::<Display>(fit, "a plane that a commit would have refused")?;
        require::<Display>(
            self.writing.is_none_or(|writing| writing.regs.on && self.shown.is_some()),
            "a picture is written that nothing shows",
        )?;
        require::<Display>(
            self.shown.as_ref().is_none_or(Shown::is_covered),
            "a scatter-gather list shorter than the picture",
        )?;
        require::<Display>(
            self.making.as_ref().is_none_or(|making| self.can_be_making(making)),
            "a frame that cannot be so far",
        )
    }

    fn can_be_making(&self, making: &Making) -> bool {
        let Some(raster) = self.raster else { return false };
        let (active, frame) = (raster.mode.active, self.fetching);
        let planes = self.shown.as_ref().map(|shown| shown.planes).unwrap_or_default();
        let in_order = match &making.next {
            Step::Write { list, .. } => {
                frame.is_none() && self.writing.is_some_and(|writing| writing.regs.fits(list, active))
            }
            Step::Fetch { .. } | Step::Compose { .. } | Step::Sum { .. } => frame.is_some(),
        };
        in_order && making.can_be(&planes, active)
    }
}

/// A head between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadState {
    /// `IRQ_STATUS`.
    pub irq_status: Irq,
    /// `IRQ_ENABLE`.
    pub irq_enable: Irq,
    /// `ERROR_STATUS`.
    pub errors: ErrorBits,
    /// `MODE_*`, as written.
    pub mode: Mode,
    /// What a commit would take, as written.
    pub staged: Staged,
    /// The scan-out, if on.
    pub raster: Option<Raster>,
    /// The last vertical blank before the present scan-out (or now, if off).
    pub last_vblank: LastVblank,
    /// The newest vertical blank that was acted upon.
    pub handled: u64,
    /// The commit that waits.
    pub pending: Option<Staged>,
    /// It is not taken before the scan-out is switched off and on.
    pub stuck: bool,
    /// `COMMIT_ACCEPTED`.
    pub accepted: u64,
    /// `COMMIT_LATCHED`.
    pub latched: u64,
    /// What is shown, if anything was latched.
    pub shown: Option<Shown>,
    /// The frame being fetched.
    pub fetching: Option<u64>,
    /// How far it is, or the one that was shown and is written back: from the end of its fetch on.
    pub making: Option<Making>,
    /// The write-back of what is shown, until it ended.
    pub writing: Option<Writing>,
    /// `WRITEBACK_DONE` and its like.
    pub written: Written,
    /// `CRC_FRAME` and `CRC_VALUE`.
    pub crc: FrameCrc,
    /// `UNDERRUNS`.
    pub underruns: u32,
    /// `REFUSED`.
    pub refused: u32,
    /// `FAULT_IOVA`.
    pub fault_iova: u64,
    /// The words that reading a low word latched.
    pub latch: ReadLatch,
}

/// A vertical blank that has been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVblank {
    /// Its number.
    pub count: u64,
    /// When it began, cycles.
    pub cycles: u64,
    /// When it began, nanoseconds.
    pub ns: u64,
}

/// A frame's CRC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameCrc {
    /// Which frame.
    pub frame: u64,
    /// Its CRC.
    pub value: u32,
}

/// What the host has been given of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Offered {
    /// Nothing yet.
    #[default]
    Nothing,
    /// A black picture, because its pixels did not arrive.
    Black,
    /// The picture.
    Picture,
}

/// Words latched by reading the low word of a pair, until the same pair is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLatch {
    /// The high word's offset and value.
    pub high: Option<(u32, u32)>,
    /// The CRC that belongs to the latched `CRC_FRAME`.
    pub crc: u32,
}

impl Default for HeadState {
    /// The state after reset.
    fn default() -> Self {
        HeadState {
            irq_status: Irq::empty(),
            irq_enable: Irq::empty(),
            errors: ErrorBits::empty(),
            mode: Mode::default(),
            staged: Staged::default(),
            raster: None,
            last_vblank: LastVblank::default(),
            handled: 0,
            pending: None,
            stuck: false,
            accepted: 0,
            latched: 0,
            shown: None,
            fetching: None,
            making: None,
            writing: None,
            written: Written::default(),
            crc: FrameCrc::default(),
            underruns: 0,
            refused: 0,
            fault_iova: 0,
            latch: ReadLatch::default(),
        }
    }
}
