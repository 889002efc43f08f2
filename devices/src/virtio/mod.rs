//! Virtio: the PCI transport and the queues, for any [`Device`] (Virtual I/O Device 1.2; docs/virtio.md).
//!
//! A device says what it is by [`Device`]; [`Transport`] around it is the PCI function and the model in the list. It always reaches
//! memory through the IOMMU: a driver that does not take `VIRTIO_F_ACCESS_PLATFORM` is refused.

mod chain;
mod device;
mod io;
mod looker;
mod model;
mod queue;
pub mod registers;
mod state;
pub mod testing;
#[cfg(test)]
mod tests;
mod transport;

pub use chain::{Chain, Span};
pub use device::Device;
pub use io::{ACCESS_PLATFORM, EVENT_IDX, INDIRECT_DESC, Io, VERSION_1};
pub use looker::Looker;
pub use queue::{NO_VECTOR, Queue, QueueError};
pub use state::{Common, VirtioState};
pub use transport::Transport;
