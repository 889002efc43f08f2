//! The report for people.

use std::io::{self, Write};

use crate::Stamp;
use crate::journey::Component;
use crate::outputs::{self, duration, plain_text};
use crate::report::{EventLine, FrameLine, Report, Summary, WaitLine};

/// So many violations are shown; JSON has all.
const VIOLATIONS_SHOWN: usize = 20;
/// So many buffers are shown.
const BUFFERS_SHOWN: usize = 16;
/// So many pairs of a thread and a timeline are shown.
const WAITS_SHOWN: usize = 16;

pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    head(report, out)?;
    if report.handoffs.is_empty() {
        writeln!(out, "\nNo hand-off: no frame went from one owner to another in this trace.")?;
    } else {
        writeln!(out)?;
        handoffs(&report.handoffs, out)?;
    }
    waits(&report.waits, out)?;
    if let Some(frame) = &report.worst_frame {
        worst(frame, out)?;
    }
    violations(report, out)
}

fn head(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Stamps: {}", report.stamps)?;
    if let Some(seed) = report.seed {
        writeln!(out, "Seed: {seed}")?;
    }
    if let Some(cycles) = report.snapshot {
        writeln!(out, "Began: at a snapshot, at cycle {cycles}; what came before is not in this trace")?;
    }
    if let Some(paced) = report.paced {
        writeln!(out, "Idle time: {}", outputs::idle_time(paced))?;
    }
    for (name, cost) in &report.costs {
        writeln!(out, "Cost model: {}", plain_text(&format!("{name}: {cost}")))?;
    }
    for (of, text) in outputs::counters(report.counters.iter().map(|c| (&c.of[..], &c.name[..], c.value))) {
        writeln!(out, "Counted by {}", plain_text(&format!("{of}: {text}")))?;
    }
    let total: u64 = report.records.values().sum();
    let kinds: Vec<String> = report.records.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(out, "Records: {total} ({})", kinds.join(", "))?;
    let lost = &report.lost;
    if let Some(beyond @ 1..) = lost.beyond_limit {
        writeln!(out, "Cut: {beyond} events came when the file had reached its limit (--trace-limit)")?;
    }
    match (lost.events, lost.guest_events) {
        (Some(0), Some(0)) => {
            writeln!(out, "Lost: nothing{}", if lost.beyond_limit == Some(0) { "" } else { " else" })?
        }
        (Some(events), Some(guest)) => {
            writeln!(out, "Lost: {events} events by the recorder, {guest} by the guest")?;
        }
        _ => writeln!(out, "Lost: not known, the file has no end")?,
    }
    for damage in &lost.damage {
        writeln!(out, "Damage: {damage}")?;
    }
    if !report.guest {
        writeln!(out, "Guest: no tracepoints of its kernel; what follows is the devices' half")?;
    }
    let frames = &report.frames;
    let ends: Vec<String> = frames.outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
    writeln!(out, "Frames: {}{}{}", frames.total, if ends.is_empty() { "" } else { ": " }, ends.join("; "))?;
    for (way, count) in &frames.ways {
        writeln!(out, "  {count} went {}", plain_text(way))?;
    }
    for (frame, _, stage) in frames.missing.iter().take(VIOLATIONS_SHOWN) {
        writeln!(out, "  frame {frame} has no \"{}\"", plain_text(stage))?;
    }
    buffers(report, out)
}

fn buffers(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for buffer in report.buffers.iter().take(BUFFERS_SHOWN) {
        let inodes: String = buffer.inodes.iter().map(|inode| format!(", inode {inode}")).collect();
        let functions = plain_text(&buffer.functions.join(", "));
        writeln!(out, "Buffer {}: {} bytes{inodes}; {functions}", buffer.id, buffer.bytes)?;
    }
    match report.buffers.len().checked_sub(BUFFERS_SHOWN + 1) {
        Some(more) => writeln!(out, "and {} more buffers", more + 1),
        None => Ok(()),
    }
}

/// Cycles and nanoseconds in one cell.
fn time(stamp: Stamp) -> String {
    format!("{} ({})", stamp.cycles, ns(stamp.ns))
}

/// Nanoseconds in the unit that fits, for a terminal.
fn ns(ns: u64) -> String {
    duration(ns).replace('µ', "u")
}

fn handoffs(summaries: &[Summary], out: &mut impl Write) -> io::Result<()> {
    let mut rows: Vec<Vec<String>> =
        vec![["hand-off", "count", "p50 cycles (time)", "p99", "worst", "frame"].map(String::from).to_vec()];
    rows[0].extend(Component::ALL.map(|component| component.name().to_string()));
    for one in summaries {
        let mut row = vec![
            plain_text(&one.name),
            one.count.to_string(),
            time(one.p50),
            time(one.p99),
            time(one.worst),
            one.worst_frame.to_string(),
        ];
        row.extend(Component::ALL.map(|component| share(one.split.part(component), one.total)));
        rows.push(row);
    }
    table(&rows, out)?;
    writeln!(out, "The last five columns say where the time of all went, in parts of 100.")
}

fn waits(lines: &[WaitLine], out: &mut impl Write) -> io::Result<()> {
    let heads = ["who waited for whose fences", "count", "sum of cycles (time)", "worst", "seqno"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for one in lines.iter().take(WAITS_SHOWN) {
        rows.push(vec![
            plain_text(&format!("{} for {}", one.who(), one.whose())),
            one.count.to_string(),
            time(one.total),
            time(one.worst),
            one.worst_seqno.map_or("-".into(), |seqno| seqno.to_string()),
        ]);
    }
    if rows.len() > 1 {
        writeln!(out)?;
        table(&rows, out)?;
    }
    if let Some(more) = lines.len().checked_sub(WAITS_SHOWN + 1) {
        writeln!(out, "and {} more", more + 1)?;
    }
    let open: usize = lines.iter().map(|line| line.open).sum();
    if open > 0 {
        writeln!(out, "{open} waits do not end in this trace.")?;
    }
    Ok(())
}

/// A part of a whole in parts of 100, with one decimal.
fn share(part: Stamp, whole: Stamp) -> String {
    let thousandths = u128::from(part.cycles) * 1000 / u128::from(whole.cycles.max(1));
    match thousandths {
        0 if part.cycles == 0 => "-".to_string(),
        0 => "<0.1".to_string(),
        _ => format!("{}.{}", thousandths / 10, thousandths % 10),
    }
}

/// Aligned columns: the first to the left, the others to the right.
fn table(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn worst(frame: &FrameLine, out: &mut impl Write) -> io::Result<()> {
    let took = frame.took.map(time).unwrap_or_default();
    writeln!(
        out,
        "\nThe longest journey: frame {}{}, {took}",
        frame.number,
        frame.sequence.map_or(String::new(), |sequence| format!(" (the source's sequence {sequence})"))
    )?;
    let mut rows = vec![["step", "cycles", "+ cycles", "+ time", "spent on"].map(String::from).to_vec()];
    for (number, step) in frame.steps.iter().enumerate() {
        let spent = if number == 0 { "" } else { step.component.name() };
        rows.push(vec![
            plain_text(&step.name),
            step.at.cycles.to_string(),
            step.after.cycles.to_string(),
            ns(step.after.ns),
            spent.to_string(),
        ]);
    }
    table(&rows, out)
}

fn violations(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let all = &report.violations;
    if all.is_empty() {
        return writeln!(out, "\nCausality: no event stands before its cause.");
    }
    writeln!(out, "\nCausality: {} violations", all.len())?;
    let lost = &report.lost;
    if !lost.damage.is_empty() || lost.events.unwrap_or(0) > 0 || lost.guest_events.unwrap_or(0) > 0 {
        writeln!(out, "  (events are missing from this trace: some of these may come of that)")?;
    }
    for one in all.iter().take(VIOLATIONS_SHOWN) {
        let frame = one.frame.map(|frame| format!(" (frame {frame})")).unwrap_or_default();
        writeln!(out, "  {}: {}{frame}", one.rule.name(), one.says)?;
        let mut line = |what: &str, event: &EventLine| {
            writeln!(out, "    {what} at {}: {}", event.at.cycles, event.event)
        };
        line("effect", &one.effect)?;
        if let Some(cause) = &one.cause {
            line("cause ", cause)?;
        }
    }
    if let Some(more) = all.len().checked_sub(VIOLATIONS_SHOWN + 1) {
        writeln!(out, "  and {} more", more + 1)?;
    }
    Ok(())
}
