//! What the device remembers.

use serde::{Deserialize, Serialize};

use super::config::VirtioGpuConfig;
use super::moves::Move;
use super::resource::Resources;
use super::scanout::Scanout;
use crate::virtio::Chain;

/// A command that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where its response goes, and where the entries behind the command are.
    pub chain: Chain,
    /// The command.
    pub request: Vec<u8>,
    /// When it began, in nanoseconds.
    pub start_ns: u64,
    /// How long all of it takes.
    pub all_ns: u64,
    /// When the next piece of it is moved, or it is done.
    pub due_ns: u64,
    /// What it moves.
    pub moves: Vec<Move>,
}

impl Job {
    /// Whether it has begun to fetch what scan-out `number` shows, and not shown it yet.
    pub fn fetches(&self, number: u32) -> bool {
        self.moves.iter().any(|it| it.scanout == Some(number) && it.done > 0 && !it.is_done())
    }

    /// What of it is moved next.
    pub fn next_move(&mut self) -> Option<&mut Move> {
        self.moves.iter_mut().find(|it| !it.is_done())
    }

    /// Sets when its next piece has been moved: as much of its time has gone then as of its pixels.
    pub fn plan(&mut self) {
        let done = |moves: &[Move]| moves.iter().fold(0u64, |sum, it| sum.saturating_add(it.done));
        let all = self.moves.iter().fold(0u64, |sum, it| sum.saturating_add(it.rect.area()));
        let next = self.moves.iter().find(|it| !it.is_done()).map_or(0, |it| it.piece().area());
        let part = u128::from(done(&self.moves).saturating_add(next).min(all));
        let gone = u128::from(self.all_ns).saturating_mul(part).checked_div(all.into());
        let gone = gone.map_or(self.all_ns, |gone| u64::try_from(gone).unwrap_or(self.all_ns));
        self.due_ns = self.start_ns.saturating_add(gone);
    }
}

/// Figures of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Commands answered, those of the cursor among them.
    pub commands: u64,
    /// Of these, refused.
    pub refused: u64,
    /// What the host said of monitors that made no sense.
    pub malformed: u64,
}

/// All that the device is, but for its configuration and its queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuState {
    /// The resources.
    pub resources: Resources,
    /// The scan-outs: as many as the configuration says.
    pub scanouts: Vec<Scanout>,
    /// The command of each queue that is being carried out.
    pub jobs: [Option<Job>; 2],
    /// What the driver has not been told of (`events_read`).
    pub events: u32,
    /// Figures.
    pub counts: Counts,
}

impl GpuState {
    /// After power-on.
    pub fn new(config: &VirtioGpuConfig) -> Self {
        let preferred = (config.width_px.into(), config.height_px.into());
        let scanout = Scanout { preferred, ..Scanout::default() };
        GpuState { scanouts: vec![scanout; config.outputs as usize], ..GpuState::default() }
    }

    /// Host memory that pictures take.
    pub fn host_bytes(&self) -> u64 {
        let pictures = self.scanouts.iter().fold(0u64, |sum, it| sum.saturating_add(it.picture.len() as u64));
        pictures.saturating_add(self.resources.host_bytes())
    }
}
