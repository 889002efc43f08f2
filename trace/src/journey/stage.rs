//! The stages of a frame's journey.

use serde::Serialize;

use crate::journey::listed::listed;

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

listed! {
    /// One stage, in the order in which a frame meets them.
    Stage {
        /// The camera begins to write the frame (`FrameStart`).
        FrameStart => "camera: frame starts",
        /// The camera is done (`FrameEnd`).
        FrameEnd => "camera: frame written",
        /// Its interrupt is raised.
        CaptureMsi => "camera: MSI raised",
        /// The CPU takes it.
        CaptureDelivered => "cpu: camera interrupt taken",
        /// The driver's handler begins (`irq_handler_entry`).
        CaptureHandler => "guest: camera handler",
        /// The driver gives the buffer to vb2 (`vb2_buf_done`).
        BufferDone => "guest: vb2 buffer done",
        /// The program has it (`vb2_dqbuf`).
        Dequeued => "guest: buffer dequeued",
        /// The GPU job is given to the scheduler (`drm_sched_job`).
        Submitted => "guest: GPU job submitted",
        /// The scheduler gives it to the driver (`drm_run_job`).
        Scheduled => "guest: GPU job scheduled",
        /// The device's fence is made (`dma_fence_init`).
        FenceMade => "guest: dma-fence made",
        /// The driver rings the GPU.
        GpuDoorbell => "gpu: doorbell",
        /// The GPU begins the job.
        JobStart => "gpu: job starts",
        /// The GPU ends it.
        JobEnd => "gpu: job ends",
        /// The GPU writes the fence's sequence number.
        FenceWrite => "gpu: fence written",
        /// Its interrupt is raised.
        FenceMsi => "gpu: MSI raised",
        /// The CPU takes it.
        FenceDelivered => "cpu: gpu interrupt taken",
        /// The driver's handler begins.
        FenceHandler => "guest: gpu handler",
        /// The fence is signalled in the kernel (`dma_fence_signaled`).
        FenceSignaled => "guest: dma-fence signalled",
        /// The driver submits the commit to the display.
        Commit => "display: commit",
        /// The commit is latched at a vertical blank.
        Latch => "display: latched at vblank",
        /// What is shown is another buffer than before.
        Flip => "display: flip",
        /// Its interrupt is raised.
        FlipMsi => "display: MSI raised",
        /// The CPU takes it.
        FlipDelivered => "cpu: flip interrupt taken",
        /// The driver's handler begins.
        FlipHandler => "guest: flip handler",
        /// The display's OUT_FENCE is signalled.
        OutFence => "guest: OUT_FENCE signalled",
        /// The flip's event is in the program's hands (`drm_vblank_event_delivered`).
        FlipEvent => "guest: flip event",
        /// The capture buffer is the camera's again (`vb2_buf_queue`).
        Requeued => "guest: buffer queued again",
    }
}

impl Stage {
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
