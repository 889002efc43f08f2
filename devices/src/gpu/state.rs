//! The GPU's saved state.

use serde::{Deserialize, Serialize};

use super::config::GpuConfig;
use super::core::Gpu;
use super::mmu::Mmu;
use super::registers;
use super::ring::Ring;
use crate::state::{StateError, Stateful, require};

/// All that a GPU is, but for its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuState {
    /// The rings, in order.
    pub rings: Vec<Ring>,
    /// The contexts.
    pub mmu: Mmu,
}

impl Stateful for Gpu {
    const KIND: &'static str = "gpu";
    const VERSION: u32 = 10;
    type Parts = GpuConfig;
    type State = GpuState;

    fn save(&self) -> GpuState {
        GpuState { rings: self.rings.to_vec(), mmu: self.mmu.clone() }
    }

    fn restore(config: GpuConfig, state: GpuState) -> Result<Self, StateError> {
        require::<Gpu>(state.rings.iter().all(is_possible), "a ring is not one that the GPU could have")?;
        require::<Gpu>(state.mmu.is_possible(), "its contexts are not those of a GPU")?;
        let wrong_number = StateError::Impossible { kind: Gpu::KIND, why: "another number of rings" };
        let rings = <[Ring; registers::RINGS as usize]>::try_from(state.rings).map_err(|_| wrong_number)?;
        Ok(Gpu { cost: config.cost(), rings, mmu: state.mmu })
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
        && ring.active.as_ref().is_none_or(|active| {
            let sound = active.job.is_sound(active.context) && active.job.can_be(&active.course);
            ring.halt.is_none() && sound
        })
}
