//! What changed between two traces.

use std::io::{self, Write};

use serde::Serialize;

use crate::Stamp;
use crate::file::TraceFile;
use crate::outputs::plain_text;
use crate::report::{Report, Summary, describe};

/// The difference's schema.
const SCHEMA: &str = "fencepost-trace-diff/2";

/// One kind of hand-off in both traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// In the first trace; absent if there is none.
    pub before: Option<Summary>,
    /// In the second trace.
    pub after: Option<Summary>,
}

/// What the difference comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every record is the same.
    Identical,
    /// The records differ, the hand-offs do not.
    SameHandoffs,
    /// Hand-offs differ.
    Changed,
}

/// The first record that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstDifference {
    /// Its place in both.
    pub record: usize,
    /// What the first trace has there.
    pub before: Option<String>,
    /// What the second has.
    pub after: Option<String>,
}

/// Two traces compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    schema: &'static str,
    /// What the stamps of each are worth.
    pub stamps: [String; 2],
    /// Whether both have exact cycles, so that any difference is one of the runs.
    pub exact: bool,
    /// What it comes to.
    pub verdict: Verdict,
    /// The first record that differs.
    pub first_difference: Option<FirstDifference>,
    /// By kind of hand-off.
    pub handoffs: Vec<Change>,
    /// Names and counts in both: frames, complete journeys, violations, lost events.
    pub counts: Vec<(&'static str, [u64; 2])>,
    /// Cost models or seeds that are not the same.
    pub settings: Vec<String>,
}

/// `after` in parts of 100 more than `before`; none from nothing.
fn percent(before: u64, after: u64) -> Option<f64> {
    (before > 0).then(|| (after as f64 - before as f64) * 100.0 / before as f64)
}

impl Diff {
    /// Compares two traces and their reports, the older first.
    pub fn new(traces: [&TraceFile; 2], reports: [&Report; 2]) -> Diff {
        let [before, after] = reports;
        let handoffs = changes(before, after);
        let counts = counts(before).into_iter().zip(counts(after)).map(|((name, b), (_, a))| (name, [b, a]));
        let counts: Vec<_> = counts.collect();
        let first_difference = first_difference(traces);
        let same_counts = counts.iter().all(|(_, [b, a])| b == a);
        let same = handoffs.iter().all(|change| change.before == change.after);
        let verdict = match (&first_difference, same && same_counts) {
            (None, true) => Verdict::Identical,
            (_, true) => Verdict::SameHandoffs,
            (_, false) => Verdict::Changed,
        };
        Diff {
            schema: SCHEMA,
            stamps: [before.stamps.clone(), after.stamps.clone()],
            exact: traces.iter().all(|trace| trace.exact()),
            verdict,
            first_difference,
            handoffs,
            counts,
            settings: settings(before, after),
        }
    }

    /// What is worse by more than `percent`: medians and 99th percentiles, hand-offs that are gone, and any fewer complete
    /// journeys or more violations. One line each.
    pub fn regressions(&self, limit: f64) -> Vec<String> {
        let mut all = Vec::new();
        for change in &self.handoffs {
            let (Some(before), Some(after)) = (&change.before, &change.after) else {
                if change.after.is_none() {
                    all.push(format!("{}: there is none any more", change.name));
                }
                continue;
            };
            for (what, b, a) in [("p50", before.p50, after.p50), ("p99", before.p99, after.p99)] {
                let grew =
                    percent(b.cycles, a.cycles).unwrap_or(if a.cycles > 0 { f64::INFINITY } else { 0.0 });
                if grew > limit {
                    all.push(format!(
                        "{} {what}: {} -> {} cycles ({grew:+.1} %)",
                        change.name, b.cycles, a.cycles
                    ));
                }
            }
        }
        for (name, [before, after]) in &self.counts {
            let worse =
                if *name == COMPLETE { after < before } else { *name == VIOLATIONS && after > before };
            if worse {
                all.push(format!("{name}: {before} -> {after}"));
            }
        }
        all
    }

    /// Writes it as Markdown.
    pub fn write_markdown(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "**{}**\n", self.verdict_line())?;
        if let Some(first) = &self.first_difference
            && self.exact
        {
            let text = |event: &Option<String>| event.clone().unwrap_or_else(|| "no record".into());
            writeln!(
                out,
                "First difference, record {}: `{}` became `{}`\n",
                first.record,
                text(&first.before),
                text(&first.after)
            )?;
        }
        writeln!(out, "| hand-off | count | p50 cycles | p99 cycles | worst cycles |")?;
        writeln!(out, "|---|---:|---:|---:|---:|")?;
        for change in &self.handoffs {
            let pair = |of: fn(&Summary) -> u64| {
                let [before, after] = [&change.before, &change.after].map(|one| one.as_ref().map(of));
                cell(before, after)
            };
            let name = plain_text(&change.name);
            let name = match (&change.before, &change.after) {
                (None, _) => format!("{name} (new)"),
                (_, None) => format!("{name} (gone)"),
                _ => name,
            };
            let cells = [
                pair(|s| s.count as u64),
                pair(|s| s.p50.cycles),
                pair(|s| s.p99.cycles),
                pair(|s| s.worst.cycles),
            ];
            writeln!(out, "| {name} | {} |", cells.join(" | "))?;
        }
        writeln!(out, "\n| | before | after |\n|---|---:|---:|")?;
        for (name, [before, after]) in &self.counts {
            writeln!(out, "| {name} | {before} | {after} |")?;
        }
        for line in &self.settings {
            writeln!(out, "\nNot the same setting: {}", plain_text(line))?;
        }
        let [before, after] = &self.stamps;
        if before == after {
            writeln!(out, "\nStamps: {before}.")
        } else {
            writeln!(out, "\nStamps before: {before}.\nStamps after: {after}.")
        }
    }

    fn verdict_line(&self) -> String {
        match self.verdict {
            Verdict::Identical => "The traces are the same in every record.".into(),
            Verdict::SameHandoffs => "The hand-offs are the same; other records differ.".into(),
            Verdict::Changed => {
                let worst = self.handoffs.iter().filter_map(|change| {
                    let (before, after) = (change.before.as_ref()?, change.after.as_ref()?);
                    Some((percent(before.p50.cycles, after.p50.cycles)?, &change.name))
                });
                let most = worst.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
                let most = match most {
                    Some((percent, name)) if percent != 0.0 => {
                        format!(" The median that moved most: {name}, {percent:+.1} %.")
                    }
                    _ => String::new(),
                };
                let worth = if self.exact {
                    ""
                } else {
                    " Stamps are not exact: runs of the same program differ too."
                };
                format!("The hand-offs changed.{most}{worth}")
            }
        }
    }
}

/// Both numbers and the change, absolute and relative.
fn cell(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!("{before} ="),
        (Some(before), Some(after)) => {
            let change = i128::from(after) - i128::from(before);
            let relative = percent(before, after).map(|p| format!(", {p:+.1} %")).unwrap_or_default();
            format!("{before} -> {after} ({change:+}{relative})")
        }
        (Some(before), None) => format!("{before} -> none"),
        (None, Some(after)) => format!("none -> {after}"),
        (None, None) => String::new(),
    }
}

/// The hand-offs of both, those of the older in its order, then those that only the newer has.
fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let of = |report: &Report, kind: &str| report.handoffs.iter().find(|s| s.kind == kind).cloned();
    let new = after.handoffs.iter().filter(|one| of(before, &one.kind).is_none());
    let change = |one: &Summary| Change {
        kind: one.kind.clone(),
        name: one.name.clone(),
        before: of(before, &one.kind),
        after: of(after, &one.kind),
    };
    before.handoffs.iter().chain(new).map(change).collect()
}

const COMPLETE: &str = "complete journeys";
const VIOLATIONS: &str = "violations of causality";

fn counts(report: &Report) -> [(&'static str, u64); 6] {
    [
        ("records", report.records.values().sum()),
        ("frames", report.frames.total as u64),
        (COMPLETE, report.frames.complete as u64),
        ("frames that lack a stage", report.frames.missing.len() as u64),
        (VIOLATIONS, report.violations.len() as u64),
        ("lost events", report.lost.all()),
    ]
}

fn settings(before: &Report, after: &Report) -> Vec<String> {
    let mut all = Vec::new();
    if before.seed != after.seed {
        let text = |seed: Option<u64>| seed.map_or("none".to_string(), |seed| seed.to_string());
        all.push(format!("seed {} -> {}", text(before.seed), text(after.seed)));
    }
    if before.costs != after.costs {
        let text = |costs: &[(String, String)]| {
            costs.iter().map(|(name, cost)| format!("{name}: {cost}")).collect::<Vec<_>>().join("; ")
        };
        all.push(format!("cost models {} -> {}", text(&before.costs), text(&after.costs)));
    }
    if before.categories != after.categories {
        all.push(format!("categories {} -> {}", before.categories.join(","), after.categories.join(",")));
    }
    all
}

fn first_difference([before, after]: [&TraceFile; 2]) -> Option<FirstDifference> {
    let longest = before.records.len().max(after.records.len());
    let record = (0..longest).find(|at| before.records.get(*at) != after.records.get(*at))?;
    let line = |trace: &TraceFile| {
        let record = trace.records.get(record)?;
        let Stamp { cycles, .. } = record.stamp;
        Some(format!("{cycles}: {}", describe(trace, record)))
    };
    Some(FirstDifference { record, before: line(before), after: line(after) })
}
