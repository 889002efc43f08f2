//! What a virtio device is lent for one call: its queues and the ports.

use fencepost_trace::{Event, JobKind};

use super::chain::Chain;
use super::queue::{NO_VECTOR, Queue, QueueError};
use super::state::Common;
use crate::ports::{DmaFault, Ports};

/// Negotiable by every device: descriptor tables in memory (VIRTIO_F_INDIRECT_DESC).
pub const INDIRECT_DESC: u64 = 1 << 28;
/// Negotiable by every device: the rings say when to tell (VIRTIO_F_EVENT_IDX).
pub const EVENT_IDX: u64 = 1 << 29;
/// The device follows the standard (VIRTIO_F_VERSION_1). A driver must take it.
pub const VERSION_1: u64 = 1 << 32;
/// The device reaches memory through the IOMMU (VIRTIO_F_ACCESS_PLATFORM). A driver must take it.
pub const ACCESS_PLATFORM: u64 = 1 << 33;

/// Device status: the driver is ready.
pub const DRIVER_OK: u8 = 4;
/// Device status: the device cannot go on without a reset.
pub const NEEDS_RESET: u8 = 0x40;

/// ISR status: a queue has something.
const ISR_QUEUE: u8 = 1;
/// ISR status: the configuration changed.
const ISR_CONFIG: u8 = 2;

/// Lent for one call.
pub struct Io<'a, 'p> {
    pub(super) common: &'a mut Common,
    /// The four ports.
    pub ports: &'a mut Ports<'p>,
    /// Parts of the chains that were taken in this call.
    taken: usize,
}

/// Parts of chains that a device takes in one call, and a chain more, which has at most 1024.
const TAKEN_MAX: usize = 4096;

impl<'a, 'p> Io<'a, 'p> {
    pub(super) fn new(common: &'a mut Common, ports: &'a mut Ports<'p>) -> Self {
        Io { common, ports, taken: 0 }
    }
}

impl Io<'_, '_> {
    /// The features that the driver took.
    pub fn features(&self) -> u64 {
        self.common.driver_features
    }

    /// Whether the driver is ready and nothing is broken: only then do queues give anything.
    pub fn is_running(&self) -> bool {
        self.common.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    fn event_index(&self) -> bool {
        self.common.driver_features & EVENT_IDX != 0
    }

    /// Takes the next chain of queue `queue`. None when there is none, the driver is not ready or the queue is broken.
    pub fn pop(&mut self, queue: u16) -> Option<Chain> {
        if !self.is_running() {
            return None;
        }
        let event_index = self.event_index();
        let popped = self.common.queues.get_mut(usize::from(queue))?.pop(self.ports.dma, event_index);
        match popped {
            Ok(chain) => {
                let parts = chain.as_ref().map_or(0, Chain::parts);
                self.taken = self.taken.saturating_add(parts);
                chain
            }
            Err(error) => {
                self.break_down(error);
                None
            }
        }
    }

    /// Whether so much was taken in this call that what is left is for the next one.
    pub fn has_taken_enough(&self) -> bool {
        self.taken >= TAKEN_MAX
    }

    /// Gives `chain` of queue `queue` back with `written` bytes written, and interrupts if the driver wants that.
    pub fn finish(&mut self, queue: u16, chain: &Chain, written: u32) {
        self.finish_quietly(queue, chain, written);
        self.announce(queue);
    }

    /// Gives `chain` back as [`Self::finish`] does, without an interrupt yet.
    pub fn finish_quietly(&mut self, queue: u16, chain: &Chain, written: u32) {
        if !self.is_running() {
            return;
        }
        let Some(it) = self.common.queues.get_mut(usize::from(queue)).filter(|queue| queue.enabled) else {
            return;
        };
        if let Err(error) = it.push(self.ports.dma, chain.head, written) {
            self.break_down(error);
        }
    }

    /// Interrupts for what was given back of `queue`, if the driver wants that.
    pub fn announce(&mut self, queue: u16) {
        if !self.is_running() {
            return;
        }
        let event_index = self.event_index();
        let Some(it) = self.common.queues.get_mut(usize::from(queue)).filter(|queue| queue.enabled) else {
            return;
        };
        match it.wants_interrupt(self.ports.dma, event_index) {
            Ok(true) => {
                let vector = it.vector;
                self.interrupt(vector, ISR_QUEUE);
            }
            Ok(false) => {}
            Err(error) => self.break_down(error),
        }
    }

    /// Gives `chain` back as [`Self::finish`] does where it was `written` to; else its memory is where the device may not be.
    pub fn settle(&mut self, queue: u16, chain: &Chain, written: Result<usize, DmaFault>) {
        match written {
            Ok(bytes) => self.finish(queue, chain, u32::try_from(bytes).unwrap_or(u32::MAX)),
            Err(fault) => self.fault(fault),
        }
    }

    /// Tells the trace that job `seqno` of the device's first engine begins, for `queue`.
    pub fn job_starts(&mut self, queue: u16, seqno: u64, kind: JobKind) {
        let engine = self.ports.engine(0);
        self.ports.trace.record(Event::JobStart { engine, queue: queue.into(), seqno, kind });
    }

    /// Tells the trace that it is over.
    pub fn job_ends(&mut self, queue: u16, seqno: u64, ok: bool) {
        let engine = self.ports.engine(0);
        self.ports.trace.record(Event::JobEnd { engine, queue: queue.into(), seqno, ok });
    }

    /// The device's configuration has changed: tells the driver.
    pub fn config_changed(&mut self) {
        self.common.generation = self.common.generation.wrapping_add(1);
        if self.common.status & DRIVER_OK != 0 {
            self.interrupt(self.common.config_vector, ISR_CONFIG);
        }
    }

    /// The chain's memory is where the device may not be: the device needs a reset.
    pub fn fault(&mut self, fault: DmaFault) {
        self.break_down(QueueError::Memory(fault));
    }

    /// A chain that the device's own rules do not allow at all: the device needs a reset. Requests that are merely wrong are
    /// answered with the device's error status instead.
    pub fn malformed(&mut self, why: &'static str) {
        self.break_down(QueueError::Chain(why));
    }

    /// 2.1.2: a device that cannot recover says so, and tells the driver.
    fn break_down(&mut self, _: QueueError) {
        self.common.broken = self.common.broken.saturating_add(1);
        if self.common.status & NEEDS_RESET == 0 {
            self.common.status |= NEEDS_RESET;
            self.config_changed();
        }
    }

    /// By a message, or by the line where the driver has given no vector: the adapter lets out what is enabled.
    fn interrupt(&mut self, vector: u16, reason: u8) {
        if vector == NO_VECTOR {
            self.common.isr |= reason;
            self.ports.msi.set_line(true);
        } else {
            self.ports.msi.raise(vector);
        }
    }

    /// Queue `queue`, as the driver has set it up.
    pub fn queue(&self, queue: u16) -> Option<&Queue> {
        self.common.queues.get(usize::from(queue))
    }
}
