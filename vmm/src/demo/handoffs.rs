//! How long each hand-off of a buffer took, in guest cycles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fencepost_trace::{Event, Record};

use crate::machine::log::Keep;

use super::guest_report::Journey;

/// How many frames the camera had no buffer for; counted as it happens, so that no bound of a recorder matters.
#[derive(Clone, Debug, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// The number so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the events that [`Handoffs::join`] reads, and counts dropped frames.
pub fn keep(dropped: Dropped) -> Keep {
    Box::new(move |event| {
        if let Event::FrameDropped { .. } = event {
            dropped.0.fetch_add(1, Ordering::Relaxed);
        }
        matches!(event, Event::FrameEnd { .. } | Event::Latch { .. })
    })
}

/// Running mean and worst of one hand-off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    count: u64,
    sum: u64,
    /// The longest.
    pub worst: u64,
}

impl Cycles {
    /// Adds one duration.
    pub fn add(&mut self, cycles: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(cycles);
        self.worst = self.worst.max(cycles);
    }

    /// The mean, rounded down; None before the first.
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

/// The hand-offs of a flow, in the order a frame meets them.
#[derive(Debug, Default)]
pub struct Handoffs {
    /// Camera's last DMA write to VIDIOC_DQBUF's return.
    pub camera_to_guest: Cycles,
    /// DQBUF's return to the GPU job's submission.
    pub guest_to_gpu: Cycles,
    /// Submission to the signalled dma-fence.
    pub gpu_fence: Cycles,
    /// Signalled fence to the latch at vblank.
    pub fence_to_latch: Cycles,
    /// Latch to the flip event in the guest's hands.
    pub latch_to_event: Cycles,
    /// Camera's last DMA write to the latch: the whole way.
    pub camera_to_screen: Cycles,
}

impl Handoffs {
    /// Joins the guest's journeys with the devices' events: a camera frame by its sequence number, a flip by the
    /// display's frame counter. A stamp that is missing or out of order adds nothing and is counted.
    pub fn join<'a>(
        journeys: impl Iterator<Item = &'a Journey>,
        records: impl Iterator<Item = &'a Record>,
    ) -> (Self, u64) {
        let (mut captured, mut latched) = (BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record.event {
                Event::FrameEnd { sequence, .. } => captured.insert(sequence, record.stamp.cycles),
                Event::Latch { frame, .. } => latched.insert(frame, record.stamp.cycles),
                _ => None,
            };
        }
        let (mut all, mut missing) = (Handoffs::default(), 0);
        for journey in journeys {
            let way = all.one(journey, captured.get(&journey.sequence), latched.get(&journey.vblank));
            missing += u64::from(way.is_none());
        }
        (all, missing)
    }

    fn one(&mut self, journey: &Journey, captured: Option<&u64>, latched: Option<&u64>) -> Option<()> {
        let (stamps, captured, latched) = (journey.stamps?, *captured?, *latched?);
        let steps = [
            stamps.dqbuf.checked_sub(captured)?,
            stamps.submit.checked_sub(stamps.dqbuf)?,
            stamps.fenced.checked_sub(stamps.submit)?,
            latched.checked_sub(stamps.fenced)?,
            stamps.flip.checked_sub(latched)?,
            latched.checked_sub(captured)?,
        ];
        for ((_, sum), step) in self.rows_mut().into_iter().zip(steps) {
            sum.add(step);
        }
        Some(())
    }

    fn rows_mut(&mut self) -> [(&'static str, &mut Cycles); 6] {
        [
            ("camera done -> guest (DQBUF)", &mut self.camera_to_guest),
            ("guest -> GPU (submit)", &mut self.guest_to_gpu),
            ("GPU submit -> fence signalled", &mut self.gpu_fence),
            ("fence -> latched at vblank", &mut self.fence_to_latch),
            ("latched -> flip event", &mut self.latch_to_event),
            ("camera done -> on screen", &mut self.camera_to_screen),
        ]
    }

    /// Name, mean and worst of each hand-off.
    pub fn rows(&mut self) -> Vec<(&'static str, u64, u64)> {
        self.rows_mut().into_iter().map(|(name, c)| (name, c.mean().unwrap_or(0), c.worst)).collect()
    }
}

#[cfg(test)]
mod tests {
    use fencepost_trace::Stamp;
    use fencepost_trace::testing::{CAMERA_ENGINE, DISPLAY_ENGINE};

    use super::super::guest_report::Stamps;
    use super::*;

    fn record(cycles: u64, event: Event) -> Record {
        Record { stamp: Stamp { cycles, ns: cycles }, event }
    }

    #[test]
    fn a_journey_is_joined_by_sequence_and_vblank() {
        let records = [
            record(100, Event::FrameEnd { engine: CAMERA_ENGINE, sequence: 9, buffer: 0, bytes: 0, crc: 0 }),
            record(700, Event::Latch { engine: DISPLAY_ENGINE, frame: 31, commit: 1 }),
        ];
        let stamps = Stamps { dqbuf: 110, submit: 150, fenced: 300, commit: 320, flip: 710 };
        let journey = Journey { sequence: 9, vblank: 31, stamps: Some(stamps) };
        let (mut all, missing) = Handoffs::join([journey].iter(), records.iter());
        assert_eq!(missing, 0);
        let means: Vec<u64> = all.rows().iter().map(|row| row.1).collect();
        assert_eq!(means, [10, 40, 150, 400, 10, 600]);
    }

    #[test]
    fn dropped_frames_are_counted_and_not_kept() {
        let dropped = Dropped::default();
        let mut keep = keep(dropped.clone());
        assert!(!keep(&Event::FrameDropped { engine: CAMERA_ENGINE, sequence: 3 }));
        assert!(keep(&Event::Latch { engine: DISPLAY_ENGINE, frame: 1, commit: 1 }));
        assert!(keep(&Event::FrameEnd { engine: CAMERA_ENGINE, sequence: 4, buffer: 0, bytes: 0, crc: 0 }));
        assert!(!keep(&Event::Vblank { engine: DISPLAY_ENGINE, frame: 2 }));
        assert_eq!(dropped.count(), 1);
    }

    #[test]
    fn a_stamp_before_its_cause_is_counted_as_missing() {
        let records = [record(
            100,
            Event::FrameEnd { engine: CAMERA_ENGINE, sequence: 0, buffer: 0, bytes: 0, crc: 0 },
        )];
        let journey = Journey { sequence: 0, vblank: 1, stamps: Some(Stamps::default()) };
        let (_, missing) = Handoffs::join([journey].iter(), records.iter());
        assert_eq!(missing, 1);
    }
}
