//! A self-contained page: the frames' timeline, the hand-off table, the worst frame's steps, and what the trace is worth.
//!
//! Everything is in the one file: style, script, data. Nothing of the guest's becomes markup: what Rust writes is escaped, and the
//! script sets text only.

mod data;
mod tables;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::file::TraceFile;
use crate::journey::Journeys;
use crate::outputs::{escape, facts};
use crate::report::Report;
use crate::timeline::Timeline;

/// At most so many slices and marks are in a page; the timeline is cut at the time where there are more.
pub const MAX_ITEMS: usize = 150_000;

/// Writes the page. The same trace gives the same bytes.
///
/// # Errors
/// Those of `out`.
pub fn write(trace: &TraceFile, journeys: &Journeys, out: impl Write) -> io::Result<()> {
    write_capped(trace, journeys, MAX_ITEMS, out)
}

fn write_capped(trace: &TraceFile, journeys: &Journeys, cap: usize, mut out: impl Write) -> io::Result<()> {
    let timeline = Timeline::build(trace, journeys);
    let report = Report::new(trace, journeys);
    let worst = report.worst_frame.as_ref().map(|frame| frame.number);
    let (data, cut) = data::json(&timeline, journeys, worst, cap);
    let mut facts: String = facts(trace, journeys)
        .iter()
        .map(|(name, text)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(name), escape(text))
        })
        .collect();
    if let Some(cut) = &cut {
        facts += &format!(
            "<tr><th scope=\"row\">drawn</th><td class=\"bad\" id=\"cut\">{}</td></tr>\n",
            escape(cut)
        );
    }
    let page = include_str!("page.html");
    let parts = [
        ("STYLE", include_str!("page.css").to_string()),
        ("STAMPS", escape(&trace.stamps())),
        ("WARNINGS", tables::warnings(&report, cut.as_deref())),
        ("KEY", tables::key()),
        ("HANDOFFS", tables::handoffs(&report)),
        ("WAITS", tables::waits(&report)),
        ("WORST", tables::worst(&report)),
        ("FACTS", facts),
        ("DATA", data),
        ("SCRIPT", include_str!("page.js").to_string()),
    ];
    // Each mark once and in order, so that nothing put in is taken for a mark.
    let mut rest = page;
    for (mark, content) in parts {
        let mark = format!("@{mark}@");
        if let Some((before, after)) = rest.split_once(&mark) {
            out.write_all(before.as_bytes())?;
            out.write_all(content.as_bytes())?;
            rest = after;
        }
    }
    out.write_all(rest.as_bytes())?;
    out.flush()
}
