//! The events that a machine can record.

use serde::{Deserialize, Serialize};

use crate::engine::EngineId;
use crate::fault::FaultKind;
use crate::guest::GuestEvent;

/// What an event is about; recording is switched on and off by category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    /// Register accesses.
    Register,
    /// DMA by devices: descriptors and data.
    Dma,
    /// IOMMU invalidations and faults.
    Iommu,
    /// IOTLB hits and misses.
    Iotlb,
    /// Engine jobs, doorbells, fences, frames, flips, faults that were asked for; and moves between back ends, which change what stamps are worth.
    Engine,
    /// Interrupts, from the device's write to the guest's end-of-interrupt.
    Interrupt,
    /// What makes a vCPU leave the guest.
    Vcpu,
    /// The guest's own tracepoints.
    Guest,
}

impl Category {
    /// All of them, in order.
    pub const ALL: [Category; 8] = [
        Category::Register,
        Category::Dma,
        Category::Iommu,
        Category::Iotlb,
        Category::Engine,
        Category::Interrupt,
        Category::Vcpu,
        Category::Guest,
    ];
    /// Those that are on unless the command line says otherwise.
    pub const DEFAULT: [Category; 6] = [
        Category::Register,
        Category::Dma,
        Category::Iommu,
        Category::Engine,
        Category::Interrupt,
        Category::Guest,
    ];

    /// Its name on the command line and in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Category::Register => "register",
            Category::Dma => "dma",
            Category::Iommu => "iommu",
            Category::Iotlb => "iotlb",
            Category::Engine => "engine",
            Category::Interrupt => "interrupt",
            Category::Vcpu => "vcpu",
            Category::Guest => "guest",
        }
    }
}

/// What runs the guest's CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Accel {
    /// The software CPU: cycles are exact.
    Soft,
    /// KVM: cycles are stamps of the guest's TSC.
    Kvm,
}

/// Why a vCPU left the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExitReason {
    /// A port was read or written; `address` is the port.
    Port,
    /// Memory outside RAM was read or written; `address` is guest-physical.
    Mmio,
    /// HLT.
    Halt,
    /// The host wanted the vCPU's thread.
    Kick,
    /// An instruction that KVM could not emulate; `address` is its RIP.
    Assist,
    /// Triple fault.
    Shutdown,
    /// Anything else.
    Other,
}

/// One thing that happened. `rid` is a PCI requester id (bus << 8 | device << 3 | function).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Event {
    /// A CPU read a device register: `offset` has its BAR's number in the top four bits.
    RegisterRead { cpu: u32, rid: u16, offset: u64, value: u64 },
    /// A CPU wrote a device register, named likewise.
    RegisterWrite { cpu: u32, rid: u16, offset: u64, value: u64 },
    /// An engine was told of new work: `queue` is the ring (or 0), `tail` what it was told of: a ring's tail, a commit's number.
    Doorbell { engine: EngineId, queue: u32, tail: u64 },
    /// A device fetched a descriptor, packet or scatter-gather list.
    DescriptorFetch { rid: u16, iova: u64, len: u64 },
    /// A device read guest memory: one physically contiguous range.
    DmaRead { rid: u16, iova: u64, gpa: u64, len: u64 },
    /// A device wrote guest memory: one physically contiguous range.
    DmaWrite { rid: u16, iova: u64, gpa: u64, len: u64 },
    /// The IOMMU dropped cached translations (`domain` is None for a global invalidation).
    IotlbInvalidate { domain: Option<u16>, iova: u64, len: u64 },
    /// A translation was in the IOTLB.
    IotlbHit { rid: u16, iova: u64 },
    /// A translation was not in the IOTLB and the page tables were walked.
    IotlbMiss { rid: u16, iova: u64 },
    /// The IOMMU refused an access.
    IommuFault { rid: u16, iova: u64, write: bool, reason: u8 },
    /// An engine began a job; `queue` and `seqno` name it, `kind` is the device's own word for it.
    JobStart { engine: EngineId, queue: u32, seqno: u64, kind: JobKind },
    /// An engine ended a job.
    JobEnd { engine: EngineId, queue: u32, seqno: u64, ok: bool },
    /// An engine wrote a fence's sequence number.
    FenceWrite { engine: EngineId, queue: u32, seqno: u64 },
    /// A 64-bit memory semaphore was signalled.
    SemaphoreSignal { engine: EngineId, iova: u64, value: u64 },
    /// A wait on a memory semaphore was satisfied.
    SemaphoreAcquire { engine: EngineId, iova: u64, value: u64 },
    /// A source began a frame; `buffer` is the index of the buffer in its queue.
    FrameStart { engine: EngineId, sequence: u32, buffer: Option<u32> },
    /// A source completed a frame in `buffer`, with the CRC-32 of its bytes.
    FrameEnd { engine: EngineId, sequence: u32, buffer: u32, bytes: u32, crc: u32 },
    /// A source had no buffer for a frame.
    FrameDropped { engine: EngineId, sequence: u32 },
    /// A vertical blank of a sink began.
    Vblank { engine: EngineId, frame: u64 },
    /// A sink latched commit number `commit` at the vertical blank that began `frame`.
    Latch { engine: EngineId, frame: u64, commit: u64 },
    /// What was latched is another buffer than before (`flip`: the commit's number): its flip is done.
    Flip { engine: EngineId, frame: u64, flip: u64 },
    /// A sink composed a frame, with the CRC-32 of its XRGB8888 bytes, padding byte as zero.
    ScanOut { engine: EngineId, frame: u64, crc: u32 },
    /// A sink could not fetch what it should show in time, or at all.
    Underrun { engine: EngineId, frame: u64 },
    /// A function raised one of its MSI-X vectors.
    MsiRaised { rid: u16, vector: u16 },
    /// The CPU took an interrupt.
    InterruptDelivered { cpu: u32, vector: u8 },
    /// The CPU signalled end-of-interrupt.
    EndOfInterrupt { cpu: u32, vector: u8 },
    /// A vCPU left the guest.
    VcpuExit { cpu: u32, reason: ExitReason, address: u64 },
    /// The machine moved to another back end.
    Moved { to: Accel },
    /// A tracepoint of the guest's kernel fired.
    Guest(Box<GuestEvent>),
    /// A fault that was asked for took place in a function, or in the IOMMU (then `rid` names whose access or 0): the `occasion`th
    /// that it could take place at.
    Fault { rid: u16, kind: FaultKind, occasion: u64 },
    /// Somebody has put a mark here, from a debugger.
    Mark { text: Box<str> },
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// Nothing.
    Nop,
    /// Fill.
    Fill,
    /// Copy.
    Copy,
    /// Colour conversion.
    Convert,
    /// Waits on a semaphore.
    SemaphoreWait,
    /// Signals a semaphore.
    SemaphoreSignal,
    /// Writes a fence.
    Fence,
    /// A word that the device does not know.
    Unknown,
    /// Scales pixels.
    Scale,
    /// Blends pixels over others.
    Blend,
    /// Turns and flips a picture.
    Rotate,
    /// Sums up bytes.
    Checksum,
    /// Runs a program.
    Compute,
}

impl Event {
    /// The category that switches this event on and off.
    pub fn category(&self) -> Category {
        use Event::*;
        match self {
            RegisterRead { .. } | RegisterWrite { .. } => Category::Register,
            DescriptorFetch { .. } | DmaRead { .. } | DmaWrite { .. } => Category::Dma,
            IotlbInvalidate { .. } | IommuFault { .. } => Category::Iommu,
            IotlbHit { .. } | IotlbMiss { .. } => Category::Iotlb,
            Doorbell { .. }
            | JobStart { .. }
            | JobEnd { .. }
            | FenceWrite { .. }
            | SemaphoreSignal { .. }
            | SemaphoreAcquire { .. }
            | FrameStart { .. }
            | FrameEnd { .. }
            | FrameDropped { .. }
            | Vblank { .. }
            | Latch { .. }
            | Flip { .. }
            | ScanOut { .. }
            | Underrun { .. }
            | Moved { .. }
            | Fault { .. }
            | Mark { .. } => Category::Engine,
            MsiRaised { .. } | InterruptDelivered { .. } | EndOfInterrupt { .. } => Category::Interrupt,
            VcpuExit { .. } => Category::Vcpu,
            Guest(_) => Category::Guest,
        }
    }
}
