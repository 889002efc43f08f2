//! Hand-offs: how long each took, and where the time went.

use serde::Serialize;

use crate::Stamp;
use crate::journey::{At, Component, Flip, Frame, Stage};

/// A way between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandoffKind {
    /// Frame written -> dequeued by the program.
    CameraToGuest,
    /// Dequeued -> the GPU begins.
    GuestToGpu,
    /// The GPU begins -> the fence is signalled in the kernel.
    GpuToFence,
    /// Fence signalled -> latched at a vertical blank.
    FenceToLatch,
    /// Latched -> the flip's event.
    LatchToEvent,
    /// The GPU's end -> the buffer is the camera's again.
    BackToCamera,
    /// The devices' half of the first two: frame written -> the GPU begins.
    CameraToGpu,
    /// The devices' half of the third: the GPU begins -> the fence is written.
    GpuToFenceWrite,
    /// The devices' half of the fourth: fence written -> latched.
    FenceWriteToLatch,
    /// Without a GPU: frame written -> latched.
    CameraToLatch,
    /// The camera begins -> on the screen.
    Whole,
}

impl HandoffKind {
    /// All of them, in order.
    pub const ALL: [HandoffKind; 11] = [
        HandoffKind::CameraToGuest,
        HandoffKind::GuestToGpu,
        HandoffKind::GpuToFence,
        HandoffKind::FenceToLatch,
        HandoffKind::LatchToEvent,
        HandoffKind::BackToCamera,
        HandoffKind::CameraToGpu,
        HandoffKind::GpuToFenceWrite,
        HandoffKind::FenceWriteToLatch,
        HandoffKind::CameraToLatch,
        HandoffKind::Whole,
    ];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            HandoffKind::CameraToGuest => "camera -> guest",
            HandoffKind::GuestToGpu => "guest -> GPU",
            HandoffKind::GpuToFence => "GPU -> fence signalled",
            HandoffKind::FenceToLatch => "fence -> latched",
            HandoffKind::LatchToEvent => "latched -> flip event",
            HandoffKind::BackToCamera => "buffer back to the camera",
            HandoffKind::CameraToGpu => "camera -> GPU (devices only)",
            HandoffKind::GpuToFenceWrite => "GPU -> fence written (devices only)",
            HandoffKind::FenceWriteToLatch => "fence written -> latched (devices only)",
            HandoffKind::CameraToLatch => "camera -> latched (no GPU)",
            HandoffKind::Whole => "whole journey",
        }
    }

    /// Its name in JSON and on command lines.
    pub fn key(self) -> &'static str {
        match self {
            HandoffKind::CameraToGuest => "camera-to-guest",
            HandoffKind::GuestToGpu => "guest-to-gpu",
            HandoffKind::GpuToFence => "gpu-to-fence",
            HandoffKind::FenceToLatch => "fence-to-latch",
            HandoffKind::LatchToEvent => "latch-to-event",
            HandoffKind::BackToCamera => "back-to-camera",
            HandoffKind::CameraToGpu => "camera-to-gpu",
            HandoffKind::GpuToFenceWrite => "gpu-to-fence-write",
            HandoffKind::FenceWriteToLatch => "fence-write-to-latch",
            HandoffKind::CameraToLatch => "camera-to-latch",
            HandoffKind::Whole => "whole",
        }
    }

    /// The stages on the way: the first and the last are its ends, those between may be missing.
    pub fn path(self) -> &'static [Stage] {
        use Stage::*;
        match self {
            HandoffKind::CameraToGuest => {
                &[FrameEnd, CaptureMsi, CaptureDelivered, CaptureHandler, BufferDone, Dequeued]
            }
            HandoffKind::GuestToGpu => &[Dequeued, Submitted, Scheduled, FenceMade, GpuDoorbell, JobStart],
            HandoffKind::GpuToFence => {
                &[JobStart, JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled]
            }
            HandoffKind::FenceToLatch => &[FenceSignaled, Commit, Latch],
            HandoffKind::LatchToEvent => {
                &[Latch, Flip, FlipMsi, FlipDelivered, FlipHandler, OutFence, FlipEvent]
            }
            HandoffKind::BackToCamera => {
                &[JobEnd, FenceWrite, FenceMsi, FenceDelivered, FenceHandler, FenceSignaled, Requeued]
            }
            HandoffKind::CameraToGpu => &[FrameEnd, CaptureMsi, CaptureDelivered, GpuDoorbell, JobStart],
            HandoffKind::GpuToFenceWrite => &[JobStart, JobEnd, FenceWrite],
            HandoffKind::FenceWriteToLatch => &[FenceWrite, FenceMsi, FenceDelivered, Commit, Latch],
            HandoffKind::CameraToLatch => {
                &[FrameEnd, CaptureMsi, CaptureDelivered, BufferDone, Dequeued, Commit, Latch]
            }
            HandoffKind::Whole => &[
                FrameStart,
                FrameEnd,
                CaptureMsi,
                CaptureDelivered,
                CaptureHandler,
                BufferDone,
                Dequeued,
                Submitted,
                Scheduled,
                FenceMade,
                GpuDoorbell,
                JobStart,
                JobEnd,
                FenceWrite,
                FenceMsi,
                FenceDelivered,
                FenceHandler,
                FenceSignaled,
                Commit,
                Latch,
                Flip,
            ],
        }
    }

    /// Whether it stands in for one whose guest half is not in the frame.
    fn applies(self, frame: &Frame) -> bool {
        let has = |stage| frame.at(stage).is_some();
        match self {
            HandoffKind::CameraToGpu => !has(Stage::Dequeued),
            HandoffKind::GpuToFenceWrite | HandoffKind::FenceWriteToLatch => !has(Stage::FenceSignaled),
            HandoffKind::CameraToLatch => !has(Stage::JobStart),
            _ => true,
        }
    }
}

/// Where a hand-off's time went, by [`Component`]. The parts sum to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Split {
    /// Standing in a queue.
    pub queue: Stamp,
    /// A device at work.
    pub device: Stamp,
    /// From an interrupt's being raised to its effect.
    pub interrupt: Stamp,
    /// Guest threads.
    pub scheduler: Stamp,
    /// Waiting for something of no concern to the frame.
    pub wait: Stamp,
}

impl Split {
    /// A part.
    pub fn part(&self, component: Component) -> Stamp {
        match component {
            Component::Queue => self.queue,
            Component::Device => self.device,
            Component::Interrupt => self.interrupt,
            Component::Scheduler => self.scheduler,
            Component::Wait => self.wait,
        }
    }

    /// Adds a time to a part.
    pub fn add(&mut self, component: Component, time: Stamp) {
        let part = match component {
            Component::Queue => &mut self.queue,
            Component::Device => &mut self.device,
            Component::Interrupt => &mut self.interrupt,
            Component::Scheduler => &mut self.scheduler,
            Component::Wait => &mut self.wait,
        };
        add(part, time);
    }
}

/// A hand-off of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Handoff {
    /// Which.
    pub kind: HandoffKind,
    /// [`Frame::number`].
    pub frame: usize,
    /// Its begin.
    pub from: At,
    /// Its end.
    pub to: At,
    /// How long it took.
    pub took: Stamp,
    /// Where the time went.
    pub split: Split,
}

/// The time from `from` to `to`, zero when it runs backwards.
pub(crate) fn between(from: Stamp, to: Stamp) -> Stamp {
    Stamp { cycles: to.cycles.saturating_sub(from.cycles), ns: to.ns.saturating_sub(from.ns) }
}

/// Adds a time to a sum of times.
pub(crate) fn add(sum: &mut Stamp, time: Stamp) {
    sum.cycles = sum.cycles.saturating_add(time.cycles);
    sum.ns = sum.ns.saturating_add(time.ns);
}

/// The hand-offs of all frames. One whose end is before its begin is left out; the causality check names it.
pub(super) fn measure(frames: &[Frame], flips: &[Flip]) -> Vec<Handoff> {
    let kinds = |frame| HandoffKind::ALL.into_iter().filter_map(move |kind| one(kind, frame, flips));
    frames.iter().flat_map(kinds).collect()
}

fn one(kind: HandoffKind, frame: &Frame, flips: &[Flip]) -> Option<Handoff> {
    if !kind.applies(frame) {
        return None;
    }
    let path = kind.path();
    let (first, last) = (path.first()?, path.last()?);
    let (from, to) = (frame.at(*first)?, frame.at(*last)?);
    if to.stamp.cycles < from.stamp.cycles {
        return None;
    }
    let mut split = Split::default();
    let mut before = from.stamp;
    for stage in path.get(1..)? {
        let Some(at) = frame.at(*stage) else { continue };
        // A stage that is not between its neighbours (a fence that was polled before its interrupt) parts nothing.
        if at.stamp.cycles < before.cycles || at.stamp.cycles > to.stamp.cycles {
            continue;
        }
        let mut begin = before;
        if *stage == Stage::Commit
            && let Some(free) = frame.flip.and_then(|flip| screen_free(flip, flips))
            && free.cycles > begin.cycles
            && free.cycles <= at.stamp.cycles
        {
            split.add(Component::Wait, between(begin, free));
            begin = free;
        }
        split.add(stage.component(), between(begin, at.stamp));
        before = at.stamp;
    }
    Some(Handoff { kind, frame: frame.number, from, to, took: between(from.stamp, to.stamp), split })
}

/// When the display could take this commit: the flip before was done.
fn screen_free(flip: usize, flips: &[Flip]) -> Option<Stamp> {
    flips.get(flip)?.before.map(|before| before.stamp)
}
