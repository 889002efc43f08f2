//! The events that a machine can record.

use serde::{Deserialize, Serialize};

/// A part of the machine that does work of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Engine {
    /// The GPU's command processor.
    Gpu,
    /// The camera's capture engine.
    Camera,
    /// The display's scan-out engine.
    Display,
}

/// What an event is about; recording is switched on and off by category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Register accesses and doorbells.
    Register,
    /// DMA by devices.
    Dma,
    /// IOMMU look-ups, invalidations and faults.
    Iommu,
    /// Engine jobs, fences, frames, flips.
    Engine,
    /// Interrupts, from the device's write to the guest's end-of-interrupt.
    Interrupt,
}

/// One thing that happened. `rid` is a PCI requester id (bus << 8 | device << 3 | function).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// The guest read a device register.
    RegisterRead { rid: u16, offset: u64, value: u64 },
    /// The guest wrote a device register (a doorbell is one).
    RegisterWrite { rid: u16, offset: u64, value: u64 },
    /// A device fetched a descriptor or packet.
    DescriptorFetch { rid: u16, iova: u64, len: u64 },
    /// A device read guest memory.
    DmaRead { rid: u16, iova: u64, len: u64 },
    /// A device wrote guest memory.
    DmaWrite { rid: u16, iova: u64, len: u64 },
    /// The IOMMU dropped cached translations (`domain` is None for a global invalidation).
    IotlbInvalidate { domain: Option<u16>, iova: u64, len: u64 },
    /// A translation was not in the IOTLB and the page tables were walked.
    IotlbMiss { rid: u16, iova: u64 },
    /// The IOMMU refused an access.
    IommuFault { rid: u16, iova: u64, write: bool, reason: u8 },
    /// An engine began a job; `queue` and `seqno` name it.
    JobStart { engine: Engine, queue: u32, seqno: u64 },
    /// An engine ended a job.
    JobEnd { engine: Engine, queue: u32, seqno: u64, ok: bool },
    /// The GPU wrote a fence's sequence number.
    FenceWrite { queue: u32, seqno: u64 },
    /// A 64-bit memory semaphore was signalled.
    SemaphoreSignal { iova: u64, value: u64 },
    /// A wait on a memory semaphore was satisfied.
    SemaphoreAcquire { iova: u64, value: u64 },
    /// The camera began a frame.
    FrameStart { sequence: u32, buffer: Option<u32> },
    /// The camera completed a frame in `buffer`, with the CRC-32 of its bytes.
    FrameEnd { sequence: u32, buffer: u32, bytes: u32, crc: u32 },
    /// The camera had no buffer for a frame.
    FrameDropped { sequence: u32 },
    /// A vertical blank began.
    Vblank { frame: u64 },
    /// The display latched new registers at vblank (`flip`: its cookie, counted by the display).
    Flip { frame: u64, flip: u64 },
    /// The display composed a frame, with the CRC-32 of its XRGB8888 bytes, padding byte as zero.
    ScanOut { frame: u64, crc: u32 },
    /// The display could not fetch its framebuffer in time, or at all.
    Underrun { frame: u64 },
    /// A function raised one of its MSI-X vectors.
    MsiRaised { rid: u16, vector: u16 },
    /// The CPU took an interrupt.
    InterruptDelivered { cpu: u32, vector: u8 },
    /// The CPU signalled end-of-interrupt.
    EndOfInterrupt { cpu: u32, vector: u8 },
}

impl Event {
    /// The category that switches this event on and off.
    pub fn category(&self) -> Category {
        use Event::*;
        match self {
            RegisterRead { .. } | RegisterWrite { .. } => Category::Register,
            DescriptorFetch { .. } | DmaRead { .. } | DmaWrite { .. } => Category::Dma,
            IotlbInvalidate { .. } | IotlbMiss { .. } | IommuFault { .. } => Category::Iommu,
            JobStart { .. }
            | JobEnd { .. }
            | FenceWrite { .. }
            | SemaphoreSignal { .. }
            | SemaphoreAcquire { .. }
            | FrameStart { .. }
            | FrameEnd { .. }
            | FrameDropped { .. }
            | Vblank { .. }
            | Flip { .. }
            | ScanOut { .. }
            | Underrun { .. } => Category::Engine,
            MsiRaised { .. } | InterruptDelivered { .. } | EndOfInterrupt { .. } => Category::Interrupt,
        }
    }
}
