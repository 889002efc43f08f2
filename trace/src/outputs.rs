//! What every output says of a trace: which stamps, what was lost, what is damaged.

use crate::file::TraceFile;
use crate::journey::{Journeys, Outcome};

/// Facts of the trace as name and text, the stamps first.
pub fn facts(trace: &TraceFile, journeys: &Journeys) -> Vec<(String, String)> {
    let mut facts = vec![
        ("stamps".to_string(), trace.header.stamps()),
        ("made by".to_string(), format!("Fencepost {}", env!("CARGO_PKG_VERSION"))),
    ];
    let mut add = |name: &str, text: String| facts.push((name.to_string(), text));
    let categories: Vec<&str> = trace.header.categories.iter().map(|one| one.name()).collect();
    add("traced", categories.join(", "));
    if let Some(seed) = trace.header.seed {
        add("seed", seed.to_string());
    }
    for (name, cost) in &trace.header.costs {
        add(&format!("cost model: {name}"), cost.clone());
    }
    add("events", trace.records.len().to_string());
    add("lost", lost(trace));
    let complete = journeys.frames.iter().filter(|frame| frame.outcome == Outcome::Complete).count();
    add("frames", format!("{}, of which {complete} complete", journeys.frames.len()));
    if !journeys.guest {
        add("guest", "its tracepoints are not in this trace: only the devices' half is shown".to_string());
    }
    if !journeys.violations.is_empty() {
        add("events before their cause", journeys.violations.len().to_string());
    }
    for damage in &trace.damage {
        add("damage", damage.to_string());
    }
    facts
}

/// What of the trace was lost, in words.
fn lost(trace: &TraceFile) -> String {
    match trace.totals {
        Some(totals) if totals.lost == 0 && totals.guest_lost == 0 => "nothing".to_string(),
        Some(totals) => {
            format!("{} of the machine's events, {} of the guest's", totals.lost, totals.guest_lost)
        }
        None => "not known: the trace has no end".to_string(),
    }
}
