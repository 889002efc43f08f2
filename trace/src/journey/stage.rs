//! The stages of a frame's journey.

use serde::Serialize;

/// Who saw a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The machine: devices and interrupts.
    Host,
    /// The guest's kernel.
    Guest,
}

/// What a frame waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Work that stands in a queue: the kernel's or the device's.
    Queue,
    /// A device at work.
    Device,
    /// From an interrupt's being raised to what its handler brings about.
    Interrupt,
    /// Guest threads: until one runs, and what it executes.
    Scheduler,
    /// Something of no concern to the frame: the vertical blank, the flip of the frame before.
    Wait,
}

impl Component {
    /// All of them, in order.
    pub const ALL: [Component; 5] =
        [Component::Queue, Component::Device, Component::Interrupt, Component::Scheduler, Component::Wait];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Component::Queue => "queue",
            Component::Device => "device",
            Component::Interrupt => "interrupt",
            Component::Scheduler => "scheduler",
            Component::Wait => "wait",
        }
    }
}

/// One stage, in the order in which a frame meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The camera begins to write the frame (`FrameStart`).
    FrameStart,
    /// The camera is done (`FrameEnd`).
    FrameEnd,
    /// Its interrupt is raised.
    CaptureMsi,
    /// The CPU takes it.
    CaptureDelivered,
    /// The driver's handler begins (`irq_handler_entry`).
    CaptureHandler,
    /// The driver gives the buffer to vb2 (`vb2_buf_done`).
    BufferDone,
    /// The program has it (`vb2_dqbuf`).
    Dequeued,
    /// The GPU job is given to the scheduler (`drm_sched_job`).
    Submitted,
    /// The scheduler gives it to the driver (`drm_run_job`).
    Scheduled,
    /// The device's fence is made (`dma_fence_init`).
    FenceMade,
    /// The GPU is told.
    GpuDoorbell,
    /// The GPU begins the job.
    JobStart,
    /// The GPU ends it.
    JobEnd,
    /// The GPU writes the fence's sequence number.
    FenceWrite,
    /// Its interrupt is raised.
    FenceMsi,
    /// The CPU takes it.
    FenceDelivered,
    /// The driver's handler begins.
    FenceHandler,
    /// The fence is signalled in the kernel (`dma_fence_signaled`).
    FenceSignaled,
    /// The display is told of the commit.
    Commit,
    /// The commit is latched at a vertical blank.
    Latch,
    /// What is shown is another buffer than before.
    Flip,
    /// Its interrupt is raised.
    FlipMsi,
    /// The CPU takes it.
    FlipDelivered,
    /// The driver's handler begins.
    FlipHandler,
    /// The display's OUT_FENCE is signalled.
    OutFence,
    /// The flip's event is in the program's hands (`drm_vblank_event_delivered`).
    FlipEvent,
    /// The capture buffer is the camera's again (`vb2_buf_queue`).
    Requeued,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 27] = [
        Stage::FrameStart,
        Stage::FrameEnd,
        Stage::CaptureMsi,
        Stage::CaptureDelivered,
        Stage::CaptureHandler,
        Stage::BufferDone,
        Stage::Dequeued,
        Stage::Submitted,
        Stage::Scheduled,
        Stage::FenceMade,
        Stage::GpuDoorbell,
        Stage::JobStart,
        Stage::JobEnd,
        Stage::FenceWrite,
        Stage::FenceMsi,
        Stage::FenceDelivered,
        Stage::FenceHandler,
        Stage::FenceSignaled,
        Stage::Commit,
        Stage::Latch,
        Stage::Flip,
        Stage::FlipMsi,
        Stage::FlipDelivered,
        Stage::FlipHandler,
        Stage::OutFence,
        Stage::FlipEvent,
        Stage::Requeued,
    ];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::FrameStart => "camera: frame starts",
            Stage::FrameEnd => "camera: frame written",
            Stage::CaptureMsi => "camera: MSI raised",
            Stage::CaptureDelivered => "cpu: camera interrupt taken",
            Stage::CaptureHandler => "guest: camera handler",
            Stage::BufferDone => "guest: vb2 buffer done",
            Stage::Dequeued => "guest: buffer dequeued",
            Stage::Submitted => "guest: GPU job submitted",
            Stage::Scheduled => "guest: GPU job scheduled",
            Stage::FenceMade => "guest: dma-fence made",
            Stage::GpuDoorbell => "gpu: doorbell",
            Stage::JobStart => "gpu: job starts",
            Stage::JobEnd => "gpu: job ends",
            Stage::FenceWrite => "gpu: fence written",
            Stage::FenceMsi => "gpu: MSI raised",
            Stage::FenceDelivered => "cpu: gpu interrupt taken",
            Stage::FenceHandler => "guest: gpu handler",
            Stage::FenceSignaled => "guest: dma-fence signalled",
            Stage::Commit => "display: commit",
            Stage::Latch => "display: latched at vblank",
            Stage::Flip => "display: flip",
            Stage::FlipMsi => "display: MSI raised",
            Stage::FlipDelivered => "cpu: flip interrupt taken",
            Stage::FlipHandler => "guest: flip handler",
            Stage::OutFence => "guest: OUT_FENCE signalled",
            Stage::FlipEvent => "guest: flip event",
            Stage::Requeued => "guest: buffer queued again",
        }
    }

    /// Who saw it.
    pub fn side(self) -> Side {
        use Stage::*;
        match self {
            CaptureHandler | BufferDone | Dequeued | Submitted | Scheduled | FenceMade | FenceHandler
            | FenceSignaled | FlipHandler | OutFence | FlipEvent | Requeued => Side::Guest,
            _ => Side::Host,
        }
    }

    /// What the time before it was spent on, from the stage before it on a path.
    pub fn component(self) -> Component {
        use Stage::*;
        match self {
            FrameStart | Latch | Flip => Component::Wait,
            FrameEnd | CaptureMsi | JobEnd | FenceWrite | FenceMsi | FlipMsi => Component::Device,
            CaptureDelivered | CaptureHandler | BufferDone | FenceDelivered | FenceHandler
            | FenceSignaled | FlipDelivered | FlipHandler | OutFence | FlipEvent => Component::Interrupt,
            Dequeued | Submitted | FenceMade | GpuDoorbell | Commit | Requeued => Component::Scheduler,
            Scheduled | JobStart => Component::Queue,
        }
    }
}
