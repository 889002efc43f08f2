//! Split virtqueues (Virtual I/O Device 1.2, 2.7), by the DMA port.
//!
//! The crate `virtio-queue` asks for memory whose slices outlive the call, which the DMA port, that lends them for one visit,
//! cannot give without unsafe code. So the rings are read and written here; the tests compare with that crate.

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Span};
use crate::ports::{Dma, DmaExt, DmaFault, Iova};

/// Bytes of a descriptor.
const DESCRIPTOR_BYTES: u64 = 16;
/// Descriptor: the chain goes on at `next`.
const NEXT: u16 = 1;
/// Descriptor: the device writes it.
const WRITE: u16 = 2;
/// Descriptor: it names a table of descriptors.
const INDIRECT: u16 = 4;
/// Available ring's flags: the driver wants no interrupt.
const NO_INTERRUPT: u16 = 1;
/// The most descriptors of a chain, those of an indirect table included.
const CHAIN_MAX: usize = 1024;

/// What is wrong with a queue. The device needs a reset then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The rings or a table are where the device may not be.
    #[error(transparent)]
    Memory(#[from] DmaFault),
    /// More buffers than the queue has room for.
    #[error("{0} buffers in a queue of {1}")]
    TooMany(u16, u16),
    /// A chain that is none: a descriptor outside the table, too many of them, an order or flags that are not allowed.
    #[error("A descriptor chain {0}")]
    Chain(&'static str),
}

/// A queue: what the driver has set, and how far the device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Descriptors at most.
    pub max: u16,
    /// Descriptors that the driver chose: a power of two.
    pub size: u16,
    /// The driver has enabled it.
    pub enabled: bool,
    /// The MSI-X vector of its interrupts; 0xffff: none.
    pub vector: u16,
    /// Where the descriptor table is.
    pub descriptors: u64,
    /// Where the driver's ring is.
    pub driver: u64,
    /// Where the device's ring is.
    pub device: u64,
    /// The next of the driver's entries to take.
    pub next_available: u16,
    /// The next of the device's entries to fill.
    pub next_used: u16,
    /// How far the device's entries were announced by an interrupt, or weighed for one.
    pub announced: u16,
}

/// What no vector is.
pub const NO_VECTOR: u16 = 0xffff;

/// One descriptor.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    span: Span,
    flags: u16,
    next: u16,
}

impl Queue {
    /// A queue of at most `max` descriptors, a power of two, after reset.
    pub fn new(max: u16) -> Self {
        Queue {
            max,
            size: max,
            enabled: false,
            vector: NO_VECTOR,
            descriptors: 0,
            driver: 0,
            device: 0,
            next_available: 0,
            next_used: 0,
            announced: 0,
        }
    }

    /// Whether a queue of at most `max` descriptors can be in this state.
    pub fn is_possible(&self, max: u16) -> bool {
        self.max == max && self.size.is_power_of_two() && self.size <= max
    }

    fn slot(&self, index: u16) -> u64 {
        u64::from(index & self.size.wrapping_sub(1))
    }

    /// Takes the next chain, if there is one. Asks the driver to be told of the one after it when there is none.
    ///
    /// # Errors
    ///
    /// A queue that is broken.
    pub fn pop(&mut self, dma: &mut dyn Dma, event_index: bool) -> Result<Option<Chain>, QueueError> {
        if !self.enabled {
            return Ok(None);
        }
        if !self.is_waiting(dma)? {
            if event_index {
                let place = self.device.wrapping_add(4).wrapping_add(u64::from(self.size).wrapping_mul(8));
                dma.write(Iova(place), &self.next_available.to_le_bytes())?;
            }
            // Another CPU may have added one before it could see that.
            if !self.is_waiting(dma)? {
                return Ok(None);
            }
        }
        let entry = self.driver.wrapping_add(4).wrapping_add(self.slot(self.next_available).wrapping_mul(2));
        let head = read_u16(dma, entry)?;
        let chain = self.chain(dma, head)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(chain))
    }

    /// Whether the driver has made a chain available.
    fn is_waiting(&self, dma: &mut dyn Dma) -> Result<bool, QueueError> {
        let index = read_u16(dma, self.driver.wrapping_add(2))?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting > self.size {
            return Err(QueueError::TooMany(waiting, self.size));
        }
        Ok(waiting != 0)
    }

    /// The chain that starts at descriptor `head`.
    fn chain(&self, dma: &mut dyn Dma, head: u16) -> Result<Chain, QueueError> {
        let mut chain = Chain { head, ..Chain::default() };
        let (mut table, mut length, mut index, mut inside) = (self.descriptors, self.size, head, false);
        for _ in 0..CHAIN_MAX {
            if index >= length {
                return Err(QueueError::Chain("leaves its table"));
            }
            let descriptor = descriptor(dma, table, index)?;
            if descriptor.flags & INDIRECT != 0 {
                if inside || descriptor.flags & (NEXT | WRITE) != 0 {
                    return Err(QueueError::Chain("has an indirect table where none may be"));
                }
                let bytes = u64::from(descriptor.span.bytes);
                let entries = u16::try_from(bytes / DESCRIPTOR_BYTES).ok().filter(|&entries| entries != 0);
                let whole = bytes % DESCRIPTOR_BYTES == 0;
                length =
                    entries.filter(|_| whole).ok_or(QueueError::Chain("has an indirect table of no use"))?;
                (table, index, inside) = (descriptor.span.iova, 0, true);
                continue;
            }
            if descriptor.flags & WRITE != 0 {
                chain.writable.push(descriptor.span);
            } else if chain.writable.is_empty() {
                chain.readable.push(descriptor.span);
            } else {
                return Err(QueueError::Chain("has a part to read behind one to write"));
            }
            if descriptor.flags & NEXT == 0 {
                return Ok(chain);
            }
            index = descriptor.next;
        }
        Err(QueueError::Chain("has no end"))
    }

    /// Gives a chain back, with `written` bytes in its writable part.
    ///
    /// # Errors
    ///
    /// A ring where the device may not write.
    pub fn push(&mut self, dma: &mut dyn Dma, head: u16, written: u32) -> Result<(), QueueError> {
        let entry = self.device.wrapping_add(4).wrapping_add(self.slot(self.next_used).wrapping_mul(8));
        let element = u64::from(head) | u64::from(written) << 32;
        dma.write(Iova(entry), &element.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        dma.write(Iova(self.device.wrapping_add(2)), &self.next_used.to_le_bytes())?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back since this was asked last.
    ///
    /// # Errors
    ///
    /// A ring where the device may not read.
    pub fn wants_interrupt(&mut self, dma: &mut dyn Dma, event_index: bool) -> Result<bool, QueueError> {
        let (old, new) = (self.announced, self.next_used);
        if old == new {
            return Ok(false);
        }
        self.announced = new;
        if !event_index {
            return Ok(read_u16(dma, self.driver)? & NO_INTERRUPT == 0);
        }
        let place = self.driver.wrapping_add(4).wrapping_add(u64::from(self.size).wrapping_mul(2));
        let event = read_u16(dma, place)?;
        // 2.7.7.2: the entry that the driver waits for is one of those from `old` to `new`.
        Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old))
    }
}

fn read_u16(dma: &mut dyn Dma, iova: u64) -> Result<u16, DmaFault> {
    let mut bytes = [0; 2];
    dma.read(Iova(iova), &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

fn descriptor(dma: &mut dyn Dma, table: u64, index: u16) -> Result<Descriptor, DmaFault> {
    let mut bytes = [0; DESCRIPTOR_BYTES as usize];
    dma.read(Iova(table.wrapping_add(DESCRIPTOR_BYTES.wrapping_mul(index.into()))), &mut bytes)?;
    let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
    Ok(Descriptor {
        span: Span {
            iova: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            bytes: u32::from_le_bytes([l0, l1, l2, l3]),
        },
        flags: u16::from_le_bytes([f0, f1]),
        next: u16::from_le_bytes([n0, n1]),
    })
}
