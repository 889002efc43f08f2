//! What a virtio device is, apart from its transport.

use fencepost_trace::EngineSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::io::Io;
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::registers::Register;
use crate::registry::Host;
use crate::state::StateError;

/// A device behind [`Transport`](super::Transport), which is its PCI function: queues, negotiation and interrupts are there.
///
/// A queue's buffers are taken by [`Io::pop`] and given back by [`Io::finish`]. Nothing that the driver does may panic; a request
/// that is wrong gets the device's error status, one that cannot even be answered [`Io::malformed`].
pub trait Device: Sized + Send + 'static {
    /// Its name in the list of models, `virtio-` and what it is.
    const KIND: &'static str;
    /// What it is, in a few words.
    const ABOUT: &'static str;
    /// The version of the layout of [`Self::State`].
    const VERSION: u32;
    /// The device's type (Virtual I/O Device 1.2, 5).
    const TYPE: u16;
    /// PCI class, subclass and programming interface.
    const CLASS: u32;
    /// The most descriptors of each queue, powers of two: the number of queues never changes.
    const QUEUES: &'static [u16];
    /// Its engines, as [`Identity::engines`](crate::function::Identity::engines) has them.
    const ENGINES: &'static [EngineSpec];
    /// As [`Model::PARAMETERS`](crate::registry::Model::PARAMETERS).
    const PARAMETERS: &'static [Parameter];
    /// As [`Model::Config`](crate::registry::Model::Config).
    type Config: Serialize + DeserializeOwned + Default;
    /// What it is built from: configuration, and what the host gives.
    type Parts;
    /// All that it remembers, without the queues.
    type State: Serialize + DeserializeOwned;

    /// As [`Model::parts`](crate::registry::Model::parts).
    ///
    /// # Errors
    ///
    /// Why not, and the fix, as one line.
    fn parts(config: Self::Config, host: &mut dyn Host) -> Result<Self::Parts, String>;
    /// One after power-on.
    ///
    /// # Errors
    ///
    /// As [`Self::parts`].
    fn power_on(parts: Self::Parts) -> Result<Self, String>;
    /// The device's own configuration, its offsets from 0 ([`CONFIG`](super::registers::CONFIG) is added), as its page lists it.
    fn config_table() -> Vec<Register> {
        Vec::new()
    }
    /// As [`Model::cost`](crate::registry::Model::cost).
    fn cost(config: &Self::Config) -> Option<CostModel>;

    /// The device's own feature bits that it offers.
    fn features(&self) -> u64 {
        0
    }
    /// The bytes of its configuration now: as many as [`Self::config_table`] covers.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }
    /// The driver writes `data` at `offset` of the configuration. Where nothing else is said, that does nothing.
    fn write_config(&mut self, offset: usize, data: &[u8], io: &mut Io<'_, '_>) {
        let _ = (offset, data, io);
    }
    /// The driver has told of queue `queue`, or has become ready with buffers in it perhaps.
    fn notify(&mut self, queue: u16, io: &mut Io<'_, '_>);
    /// A call asked for by the clock port.
    fn timer(&mut self, token: u32, io: &mut Io<'_, '_>);
    /// Takes of `data`, which the host has for the device, as much as it has room for; how many bytes. What is not taken is offered
    /// again when the driver has told of a queue. A device that takes nothing from the host says that it took all.
    fn receive(&mut self, data: &[u8], io: &mut Io<'_, '_>) -> usize {
        let _ = io;
        data.len()
    }
    /// Back to power-on, pending calls cancelled. What the host gave stays. The queues are reset behind it.
    fn reset(&mut self, io: &mut Io<'_, '_>);
    /// The state now.
    fn save(&self) -> Self::State;
    /// One in `state`.
    ///
    /// # Errors
    ///
    /// A state that the device could not be in.
    fn restore(parts: Self::Parts, state: Self::State) -> Result<Self, StateError>;
    /// As [`Function::rearm`](crate::function::Function::rearm).
    fn rearm(&self, io: &mut Io<'_, '_>);
    /// What it has counted, beside what the transport counts.
    fn counters(&self) -> Vec<Counter>;
}
