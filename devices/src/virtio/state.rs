//! What a virtio device remembers: the transport's part, and the device's.

use serde::{Deserialize, Serialize};

use super::device::Device;
use super::io::{DRIVER_OK, NEEDS_RESET};
use super::queue::{NO_VECTOR, Queue};
use super::transport::Transport;
use crate::state::{StateError, Stateful, require};

/// The transport's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// Device status.
    pub status: u8,
    /// Which half of the device's features is read.
    pub device_feature_select: u32,
    /// Which half of the driver's is written.
    pub driver_feature_select: u32,
    /// Features that the driver took.
    pub driver_features: u64,
    /// Configuration's vector; 0xffff: none.
    pub config_vector: u16,
    /// Changes with the configuration.
    pub generation: u8,
    /// Which queue the queue registers are of.
    pub queue_select: u16,
    /// The queues.
    pub queues: Vec<Queue>,
    /// ISR status.
    pub isr: u8,
    /// Queues found broken since power-on.
    pub broken: u64,
}

impl Common {
    /// After reset, with queues of these sizes. `broken` counts on.
    pub fn new(sizes: &[u16], broken: u64) -> Self {
        Common {
            status: 0,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            generation: 0,
            queue_select: 0,
            queues: sizes.iter().map(|&max| Queue::new(max)).collect(),
            isr: 0,
            broken,
        }
    }

    /// Whether a device with queues of these sizes can be in this state.
    fn is_possible(&self, sizes: &[u16]) -> bool {
        self.queues.len() == sizes.len()
            && self.queues.iter().zip(sizes).all(|(queue, &max)| queue.is_possible(max))
            && (self.status & NEEDS_RESET == 0 || self.status & !NEEDS_RESET & DRIVER_OK != 0)
    }
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioState<S> {
    /// The transport's part.
    pub common: Common,
    /// The device's.
    pub device: S,
}

impl<D: Device> Stateful for Transport<D> {
    const KIND: &'static str = D::KIND;
    const VERSION: u32 = D::VERSION;
    type Parts = D::Parts;
    type State = VirtioState<D::State>;

    fn save(&self) -> Self::State {
        VirtioState { common: self.common.clone(), device: self.device.save() }
    }

    fn restore(parts: D::Parts, state: Self::State) -> Result<Self, StateError> {
        require::<Self>(state.common.is_possible(D::QUEUES), "its queues are not the device's")?;
        Ok(Transport { common: state.common, device: D::restore(parts, state.device)? })
    }
}
