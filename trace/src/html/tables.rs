//! The page's tables.

use crate::journey::{Component, Split};
use crate::outputs::{duration, escape, thousands};
use crate::report::{Report, Summary, WaitLine};
use crate::svg::component_tone;
use crate::timeline::Tone;

/// So many pairs of a thread and a timeline are in the table, those that waited longest.
const WAITS_SHOWN: usize = 100;

/// What must not be overlooked: losses, damage, missing stages, effects before causes, a timeline that was cut.
pub(super) fn warnings(report: &Report, cut: Option<&str>) -> String {
    let mut lines = report.lost.damage.clone();
    lines.extend(report.objections(0));
    lines.extend(cut.map(|cut| format!("Not everything is drawn: {cut}")));
    lines.iter().map(|line| format!("<p class=\"bad\" role=\"alert\">{}</p>\n", escape(line))).collect()
}

/// What the colours mean.
pub(super) fn key() -> String {
    let one = |tone: Tone| {
        let name = match tone {
            Tone::Engine => "other engine".to_string(),
            Tone::Bad => "lost or failed".to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        format!("<span class=\"key\" style=\"background:{}\"></span>{name}", tone.colour())
    };
    Tone::ALL.map(one).concat()
}

fn parts(split: &Split, whole: u64) -> String {
    let bar = |component: Component| {
        let part = split.part(component).cycles;
        let percent = (u128::from(part) * 100 / u128::from(whole.max(1))) as u64;
        let title = format!("{} {} cycles, {percent} %", component.name(), thousands(part));
        let colour = component_tone(component).colour();
        format!("<span style=\"flex:{part};background:{colour}\" title=\"{title}\"></span>")
    };
    format!("<div class=\"parts\">{}</div>", Component::ALL.map(bar).concat())
}

/// Count, median, p99, worst of each kind of hand-off, and where its time went.
pub(super) fn handoffs(report: &Report) -> String {
    let head = ["count", "p50 cycles", "p50", "p99 cycles", "p99", "worst cycles", "worst", "worst frame"];
    let head: String = head.iter().map(|name| format!("<th scope=\"col\" class=\"n\">{name}</th>")).collect();
    let key: String = Component::ALL
        .map(|component| {
            let colour = component_tone(component).colour();
            format!("<span class=\"key\" style=\"background:{colour}\"></span>{}", component.name())
        })
        .concat();
    let rows: String = report.handoffs.iter().map(row).collect();
    format!(
        "<div class=\"scroll\"><table id=\"handoffs\">\n<caption>Where the time of all frames went: {key}</caption>\n\
         <thead><tr><th scope=\"col\">hand-off</th>{head}<th scope=\"col\">where the time went</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn row(one: &Summary) -> String {
    let mut cells = vec![one.count.to_string()];
    for time in [one.p50, one.p99, one.worst] {
        cells.extend([thousands(time.cycles), duration(time.ns)]);
    }
    cells.push(one.worst_frame.to_string());
    let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
    format!(
        "<tr data-kind=\"{}\"><th scope=\"row\">{}</th>{cells}<td>{}</td></tr>\n",
        escape(&one.kind),
        escape(&one.name),
        parts(&one.split, one.total.cycles)
    )
}

/// Who waited for whose fences; nothing where nobody did.
pub(super) fn waits(report: &Report) -> String {
    if report.waits.is_empty() {
        return String::new();
    }
    let row = |one: &WaitLine| {
        let mut cells = vec![one.count.to_string()];
        for time in [one.total, one.worst] {
            cells.extend([thousands(time.cycles), duration(time.ns)]);
        }
        cells.push(one.worst_seqno.map_or(String::new(), |seqno| seqno.to_string()));
        let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
        let (who, whose) = (escape(&one.who()), escape(&one.whose()));
        format!("<tr><th scope=\"row\">{who}</th><td>{whose}</td>{cells}</tr>\n")
    };
    let head = ["count", "sum of cycles", "sum", "worst cycles", "worst", "its seqno"];
    let head: String = head.iter().map(|name| format!("<th scope=\"col\" class=\"n\">{name}</th>")).collect();
    let rows: String = report.waits.iter().take(WAITS_SHOWN).map(row).collect();
    let more = report.waits.len().saturating_sub(WAITS_SHOWN);
    let left_out = match more {
        0 => String::new(),
        _ => format!("<caption>The longest; {more} more are in the report's JSON</caption>\n"),
    };
    format!(
        "<h2>Who waited for whose fences</h2>\n<div class=\"scroll\"><table id=\"waits\">\n{left_out}<thead><tr><th scope=\"col\">thread</th>\
         <th scope=\"col\">for fences of</th>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// The steps of the frame whose journey took longest.
pub(super) fn worst(report: &Report) -> String {
    let Some(frame) = &report.worst_frame else {
        return "<p id=\"worst-frame\">Nothing in this trace came to a screen.</p>\n".to_string();
    };
    let begin = frame.steps.first().map(|step| step.at.cycles).unwrap_or_default();
    let mut rows = String::new();
    for step in &frame.steps {
        rows += &format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
            escape(&step.name),
            thousands(step.at.cycles),
            thousands(step.at.cycles.saturating_sub(begin)),
            thousands(step.after.cycles),
            duration(step.after.ns),
            step.component.name(),
        );
    }
    format!(
        "<div class=\"scroll\"><table id=\"worst-frame\" data-frame=\"{}\">\n<caption>Frame {}{}: {}</caption>\n\
         <thead><tr><th>step</th><th class=\"n\">cycle</th><th class=\"n\">since its start</th><th class=\"n\">+ cycles</th>\
         <th class=\"n\">+ time</th><th>spent on</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
        frame.number,
        frame.number,
        frame.sequence.map_or(String::new(), |number| format!(", the source's number {number}")),
        escape(frame.outcome.name())
    )
}
