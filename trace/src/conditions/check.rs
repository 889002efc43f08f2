//! What a trace says to a condition.

use super::grammar::{Count, Limit, What};
use super::{Finding, counts, limits};
use crate::Stamp;
use crate::engine::EngineId;
use crate::event::Category;
use crate::file::TraceFile;
use crate::journey::{At, Journeys};
use crate::outputs::gaps;

/// A trace and what it means.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub trace: &'a TraceFile,
    pub journeys: &'a Journeys,
}

/// Checks a condition.
pub fn check(what: &What, trace: &TraceFile, journeys: &Journeys) -> Finding {
    let scene = Scene { trace, journeys };
    let missing = needs(what).iter().find(|category| !trace.header.categories.contains(category));
    if let Some(category) = missing {
        return Finding::Unknown(format!("the trace was made without the category '{}'", category.name()));
    }
    let finding = match what {
        What::EveryFrameShown { of, within } => limits::every_frame_shown(scene, of, *within),
        What::FramesShown { of, count } => counts::frames_shown(scene, of, *count),
        What::NoFrameDropped { of } => counts::no_frame_dropped(scene, of),
        What::NoFrameLost { of } => counts::no_frame_lost(scene, of),
        What::NoUnderrun => counts::no_underrun(scene),
        What::NoFenceWaits { limit } => limits::no_fence_waits(scene, *limit),
        What::EveryJobEnds { of, well } => counts::every_job_ends(scene, of, *well),
        What::NoJobTakes { of, limit } => limits::no_job_takes(scene, of, *limit),
        What::JobsEnd { of, count } => counts::jobs_end(scene, of, *count),
        What::NoIommuFault => counts::no_iommu_fault(scene),
        What::IommuFaults { count } => counts::iommu_faults(scene, *count),
        What::NoInterruptLate { limit } => limits::no_interrupt_late(scene, *limit),
        What::Causality => counts::causality(scene),
    };
    // What is not in the trace cannot make less of what is.
    match (finding, gaps(trace)) {
        (Finding::Holds(seen), Some(gaps)) if !is_lower_bound(what) => Finding::Unknown(format!(
            "nothing in the trace contradicts it ({seen}), but not all is there. {gaps}"
        )),
        (finding, _) => finding,
    }
}

fn is_lower_bound(what: &What) -> bool {
    let count = match what {
        What::FramesShown { count, .. } | What::JobsEnd { count, .. } | What::IommuFaults { count } => *count,
        _ => return false,
    };
    matches!(count, Count::AtLeast(_))
}

/// The categories that a condition is about.
pub fn needs(what: &What) -> &'static [Category] {
    match what {
        // The buffer that is shown is known by DMA.
        What::EveryFrameShown { .. } | What::NoFrameLost { .. } | What::Causality => {
            &[Category::Engine, Category::Dma]
        }
        What::FramesShown { of: Some(_), .. } => &[Category::Engine, Category::Dma],
        What::NoFenceWaits { .. } => &[Category::Guest],
        What::NoIommuFault | What::IommuFaults { .. } => &[Category::Iommu],
        What::NoInterruptLate { .. } => &[Category::Interrupt],
        _ => &[Category::Engine],
    }
}

impl Scene<'_> {
    /// Whether an engine is meant by a name: its own, its function's, or what outputs call it. All are, where there is none.
    pub fn is(&self, engine: EngineId, name: &Option<String>) -> bool {
        let Some(name) = name else { return true };
        let header = &self.trace.header;
        let own = header.engine(engine).map(|engine| engine.name.clone());
        let function = header.functions.iter().find(|it| it.rid == engine.rid).map(|it| it.name.clone());
        let all = [own, function, Some(header.engine_label(engine))];
        all.iter().flatten().any(|one| one.eq_ignore_ascii_case(name))
    }

    /// Why there is no such engine, if there is none.
    pub fn unknown_name(&self, name: &Option<String>) -> Option<Finding> {
        let header = &self.trace.header;
        if header.engines().any(|(engine, _)| self.is(engine, name)) {
            return None;
        }
        let all: Vec<String> = header.engines().map(|(engine, _)| header.engine_label(engine)).collect();
        let name = name.as_deref().unwrap_or("any");
        Some(Finding::Unknown(format!("the machine has no engine '{name}': it has {}", all.join(", "))))
    }

    /// The time of the trace's last event.
    pub fn end(&self) -> Stamp {
        self.trace.records.last().map(|record| record.stamp).unwrap_or_default()
    }

    pub fn label(&self, engine: EngineId) -> String {
        self.trace.header.engine_label(engine)
    }
}

/// A finding that contradicts the condition, at a time.
pub fn broken(says: String, at: At) -> Finding {
    Finding::Broken { says: format!("{says}, at {}", when(at.stamp)), at: Some(at.stamp) }
}

/// A time in words.
pub fn when(stamp: Stamp) -> String {
    format!("cycle {} ({:.6} ms)", stamp.cycles, stamp.ns as f64 / 1e6)
}

/// A duration in words, in the unit of its limit.
pub fn took(took: Stamp, limit: Limit) -> String {
    match limit {
        Limit::Cycles(_) => format!("{} cycles", took.cycles),
        _ if took.ns < 1_000_000 => format!("{} us", took.ns as f64 / 1e3),
        _ => format!("{} ms", took.ns as f64 / 1e6),
    }
}

/// Whether a duration is longer than its limit. Vertical blanks are counted elsewhere.
pub fn exceeds(took: Stamp, limit: Limit) -> bool {
    match limit {
        Limit::Ns(ns) => took.ns > ns,
        Limit::Cycles(cycles) => took.cycles > cycles,
        Limit::Vblanks(_) => false,
    }
}
