//! What the device remembers.

use serde::{Deserialize, Serialize};

use super::config::VirtioGpuConfig;
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
    /// When it is done, in nanoseconds.
    pub due_ns: u64,
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
