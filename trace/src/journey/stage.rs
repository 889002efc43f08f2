//! The stages of a journey.

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
    /// One stage, in the order in which a content meets them on its way from a source through a processor to a sink. In its name, `{}`
    /// stands for the engine's.
    Stage {
        /// A source begins to write the frame (`FrameStart`).
        FrameStart => "{}: frame starts",
        /// It is done (`FrameEnd`).
        FrameEnd => "{}: frame written",
        /// Its interrupt is raised.
        CaptureMsi => "{}: MSI raised",
        /// The CPU takes it.
        CaptureDelivered => "cpu: {} interrupt taken",
        /// The driver's handler begins (`irq_handler_entry`).
        CaptureHandler => "guest: {} handler",
        /// The driver gives the buffer to vb2 (`vb2_buf_done`).
        BufferDone => "guest: vb2 buffer done",
        /// The program has it (`vb2_dqbuf`).
        Dequeued => "guest: buffer dequeued",
        /// A job is given to the scheduler (`drm_sched_job`).
        Submitted => "guest: {} job submitted",
        /// The scheduler gives it to the driver (`drm_run_job`).
        Scheduled => "guest: {} job scheduled",
        /// The device's fence is made (`dma_fence_init`).
        FenceMade => "guest: dma-fence made",
        /// The driver rings the engine.
        JobDoorbell => "{}: doorbell",
        /// The engine begins the job.
        JobStart => "{}: job starts",
        /// It ends it.
        JobEnd => "{}: job ends",
        /// It writes the fence's sequence number.
        FenceWrite => "{}: fence written",
        /// Its interrupt is raised.
        FenceMsi => "{}: fence MSI raised",
        /// The CPU takes it.
        FenceDelivered => "cpu: {} fence interrupt taken",
        /// The driver's handler begins.
        FenceHandler => "guest: {} fence handler",
        /// The fence is signalled in the kernel (`dma_fence_signaled`).
        FenceSignaled => "guest: dma-fence signalled",
        /// The driver submits the commit to a sink.
        Commit => "{}: commit",
        /// The commit is latched at a vertical blank.
        Latch => "{}: latched at vblank",
        /// What is shown is another buffer than before.
        Flip => "{}: flip",
        /// Its interrupt is raised.
        FlipMsi => "{}: flip MSI raised",
        /// The CPU takes it.
        FlipDelivered => "cpu: {} flip interrupt taken",
        /// The driver's handler begins.
        FlipHandler => "guest: {} flip handler",
        /// The sink's OUT_FENCE is signalled.
        OutFence => "guest: OUT_FENCE signalled",
        /// The flip's event is in the program's hands (`drm_vblank_event_delivered`).
        FlipEvent => "guest: flip event",
        /// The capture buffer is the source's again (`vb2_buf_queue`).
        Requeued => "guest: buffer queued again",
    }
}

impl Stage {
    /// Its name in outputs, with the engine's in it.
    pub fn text(self, engine: &str) -> String {
        self.name().replace("{}", engine)
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
            Dequeued | Submitted | FenceMade | JobDoorbell | Commit | Requeued => Component::Scheduler,
            Scheduled | JobStart => Component::Queue,
        }
    }
}
