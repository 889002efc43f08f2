//! The GPU's saved state.

use serde::{Deserialize, Serialize};

use super::config::GpuConfig;
use super::core::Gpu;
use super::regs;
use super::ring::Ring;

/// The layout of [`GpuState`] that this code writes and reads.
pub const STATE_VERSION: u32 = 2;

/// All that a GPU is, but for its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuState {
    /// [`STATE_VERSION`].
    pub version: u32,
    /// The rings, in order.
    pub rings: Vec<Ring>,
}

/// Why a state was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by other code.
    #[error("GPU state of version {0}, not {STATE_VERSION}")]
    Version(u32),
    /// Another device.
    #[error("GPU state of {0} rings, not {rings}", rings = regs::RINGS)]
    Rings(usize),
    /// A ring that cannot be.
    #[error("GPU state with an impossible ring {0}")]
    Ring(u32),
}

impl Gpu {
    /// The state now.
    pub fn save(&self) -> GpuState {
        GpuState { version: STATE_VERSION, rings: self.rings.to_vec() }
    }

    /// A GPU in `state`. Call [`Gpu::resume`] before the guest runs.
    pub fn restore(rid: u16, config: GpuConfig, state: GpuState) -> Result<Self, RestoreError> {
        if state.version != STATE_VERSION {
            return Err(RestoreError::Version(state.version));
        }
        if let Some((index, _)) = (0u32..).zip(&state.rings).find(|(_, ring)| !is_possible(ring)) {
            return Err(RestoreError::Ring(index));
        }
        let rings = <[Ring; regs::RINGS as usize]>::try_from(state.rings)
            .map_err(|rings| RestoreError::Rings(rings.len()))?;
        Ok(Gpu { rid, config, rings })
    }
}

/// What the code of a ring relies on.
fn is_possible(ring: &Ring) -> bool {
    if !ring.enabled {
        return ring.active.is_none();
    }
    ring.is_valid()
        && ring.head < ring.size
        && ring.tail < ring.size
        && ring.active.as_ref().is_none_or(|active| ring.halt.is_none() && active.job.is_sound())
}
