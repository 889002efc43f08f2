//! Who waited for whose fences.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Stamp;
use crate::file::TraceFile;
use crate::journey::{FenceTimeline, Journeys, Wait, add, between};

/// A thread's waits for the fences of one timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitLine {
    /// The thread.
    pub pid: u32,
    /// Its name, where the trace has it.
    pub thread: Option<String>,
    /// The driver whose fences they are.
    pub driver: String,
    /// The timeline's name.
    pub timeline: String,
    /// The timeline's context.
    pub context: u64,
    /// Waits that ended.
    pub count: usize,
    /// Waits whose end is not in the trace.
    pub open: usize,
    /// The sum of those that ended.
    pub total: Stamp,
    /// The longest of them.
    pub worst: Stamp,
    /// The sequence number of its fence.
    pub worst_seqno: Option<u64>,
}

/// All waits, the longest sums first.
pub(super) fn waits(trace: &TraceFile, journeys: &Journeys) -> Vec<WaitLine> {
    let mut all: BTreeMap<(u32, u64), WaitLine> = BTreeMap::new();
    for timeline in &journeys.timelines {
        for point in &timeline.points {
            for wait in &point.waits {
                let line = all
                    .entry((wait.pid, timeline.context))
                    .or_insert_with(|| WaitLine::new(trace, wait.pid, timeline));
                line.add(wait, point.seqno);
            }
        }
    }
    let mut lines: Vec<WaitLine> = all.into_values().collect();
    // Stable: of equal sums, by thread and context.
    lines.sort_by_key(|line| std::cmp::Reverse(line.total.cycles));
    lines
}

impl WaitLine {
    fn new(trace: &TraceFile, pid: u32, timeline: &FenceTimeline) -> WaitLine {
        WaitLine {
            pid,
            thread: trace.tasks.get(&pid).cloned(),
            driver: timeline.driver.clone(),
            timeline: timeline.name.clone(),
            context: timeline.context,
            count: 0,
            open: 0,
            total: Stamp::default(),
            worst: Stamp::default(),
            worst_seqno: None,
        }
    }

    /// The thread, in words.
    pub fn who(&self) -> String {
        format!("{} {}", self.thread.as_deref().unwrap_or("thread"), self.pid)
    }

    /// The timeline, in words.
    pub fn whose(&self) -> String {
        format!("{} {}, context {}", self.driver, self.timeline, self.context)
    }

    fn add(&mut self, wait: &Wait, seqno: u64) {
        let Some(to) = wait.to else {
            self.open += 1;
            return;
        };
        let took = between(wait.from.stamp, to.stamp);
        self.count += 1;
        add(&mut self.total, took);
        if self.worst_seqno.is_none() || took.cycles > self.worst.cycles {
            (self.worst, self.worst_seqno) = (took, Some(seqno));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journey::synthetic::{Machine, NS};
    use crate::report::Report;
    use crate::timeline::{Group, Timeline};

    const BEGIN: &str = "dma_fence_wait_start";
    const END: &str = "dma_fence_wait_end";

    /// Thread 100 waits for two fences of a timeline, thread 7 for one of them meanwhile, and for one that never comes.
    fn trace() -> TraceFile {
        let mut machine = Machine::new(true);
        let fence = |seqno| ("drm_sched", "gpu", 5, seqno);
        for (at, name, pid, seqno) in [
            (100, BEGIN, 100, 1),
            (110, BEGIN, 7, 1),
            (150, END, 7, 1),
            (400, END, 100, 1),
            (500, BEGIN, 100, 2),
            (510, END, 100, 2),
            (600, BEGIN, 7, 3),
        ] {
            machine.fence(at, name, pid, fence(seqno));
        }
        let mut trace = machine.trace();
        trace.tasks.insert(100, "flow".into());
        trace
    }

    #[test]
    fn each_thread_has_its_own_waits_the_longest_sum_first() {
        let trace = trace();
        let lines = waits(&trace, &Journeys::build(&trace));
        let cycles = |cycles| Stamp { cycles, ns: cycles * NS };
        let flow = WaitLine {
            pid: 100,
            thread: Some("flow".into()),
            driver: "drm_sched".into(),
            timeline: "gpu".into(),
            context: 5,
            count: 2,
            open: 0,
            total: cycles(310),
            worst: cycles(300),
            worst_seqno: Some(1),
        };
        let other = WaitLine {
            pid: 7,
            thread: None,
            count: 1,
            open: 1,
            total: cycles(40),
            worst: cycles(40),
            ..flow.clone()
        };
        assert_eq!(lines, [flow, other]);
    }

    #[test]
    fn the_report_and_the_threads_lanes_show_them() {
        let trace = trace();
        let journeys = Journeys::build(&trace);
        let mut text = Vec::new();
        Report::new(&trace, &journeys).write_text(&mut text).expect("memory takes it");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("flow 100 for drm_sched gpu, context 5"), "{text}");
        assert!(text.contains("thread 7 for drm_sched gpu, context 5"), "{text}");
        assert!(text.contains("1 waits do not end"), "{text}");
        let timeline = Timeline::build(&trace, &journeys);
        let lane = |name: &str| {
            let lane = timeline.lanes.iter().find(|lane| lane.group == Group::Guest && lane.name == name);
            let slices = lane.expect("a lane").rows.iter().flatten();
            let slice = |one: &crate::timeline::Slice| {
                (one.name.clone(), one.from.stamp.cycles, (!one.open).then_some(one.to.stamp.cycles))
            };
            slices.map(slice).collect::<Vec<_>>()
        };
        let named = |seqno| format!("waits for drm_sched gpu #{seqno}");
        assert_eq!(lane("flow 100"), [(named(1), 100, Some(400)), (named(2), 500, Some(510))]);
        assert_eq!(lane("thread 7"), [(named(1), 110, Some(150)), (named(3), 600, None)]);
    }
}
