//! What a person reads in ten seconds on a terminal.

use std::io::{self, Write};

use super::counts;
use crate::outcome::{Failure, Outcome, Suite, Verdict};
use crate::text::{cut, one_line, wrap};

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub columns: usize,
    /// Whether there is colour.
    pub colour: bool,
    /// Lines of the console, and of a step's output, at each failure.
    pub lines: usize,
    /// Failures of one scenario that are shown.
    pub failures: usize,
}

impl Default for Style {
    /// For a file or a pipe: 100 columns and no colour.
    fn default() -> Self {
        Style { columns: 100, colour: false, lines: 6, failures: 3 }
    }
}

/// A verdict in a word.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Skipped => "skipped",
        Verdict::Failed => "FAILED",
        Verdict::Broken => "BROKEN",
    }
}

/// Width of the names before what a failure says.
const LABEL: usize = 10;

/// Writes a suite: what was skipped in a line each, each failure with the command that runs it again, and the counts.
pub fn write(suite: &Suite, style: Style, out: &mut impl Write) -> io::Result<()> {
    let with = |verdict| suite.outcomes.iter().filter(move |outcome| outcome.verdict == verdict);
    for outcome in with(Verdict::Skipped) {
        let why = outcome.failures.first().map(|why| why.came.as_str());
        let why = why.filter(|why| !why.is_empty()).map(|why| format!(": {}", one_line(why)));
        let line = format!("skipped  {}{}", one_line(&outcome.name), why.unwrap_or_default());
        writeln!(out, "{}", cut(&line, style.columns))?;
    }
    for outcome in with(Verdict::Broken).chain(with(Verdict::Failed)) {
        write_outcome(outcome, style, out)?;
    }
    let line = counts(suite);
    let code = if suite.status() == 0 { "32" } else { "31" };
    writeln!(out, "{}", coloured(&line, code, style))
}

fn write_outcome(outcome: &Outcome, style: Style, out: &mut impl Write) -> io::Result<()> {
    let kernel = outcome.kernel.iter().map(|kernel| format!(" on {kernel}"));
    let seed = outcome.seed.iter().map(|seed| format!(", seed {seed}"));
    let place: String = kernel.chain(seed).collect();
    let word = coloured(word(outcome.verdict), "1;31", style);
    writeln!(out, "{word}  {}{}", one_line(&outcome.name), one_line(&place))?;
    for failure in outcome.failures.iter().take(style.failures) {
        write_failure(outcome, failure, style, out)?;
    }
    if let Some(more) = outcome.failures.len().checked_sub(style.failures).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more of this scenario")?;
    }
    write_lines("console", &outcome.console, style, out)?;
    if let Some(evidence) = &outcome.evidence {
        // Paths and commands are not cut: they are to be copied.
        writeln!(out, "  {:LABEL$}{}", "evidence", one_line(&evidence.to_string_lossy()))?;
    }
    writeln!(out, "  {:LABEL$}{}\n", "again", one_line(&outcome.reproduce))
}

fn write_failure(outcome: &Outcome, failure: &Failure, style: Style, out: &mut impl Write) -> io::Result<()> {
    let file = outcome.file.as_ref().map(|file| match failure.line {
        Some(line) => format!(" ({}:{line})", file.display()),
        None => format!(" ({})", file.display()),
    });
    let at = format!("{}{}", failure.at, file.unwrap_or_default());
    write_wrapped("at", &at, style, out)?;
    write_wrapped("expected", &failure.expected, style, out)?;
    write_wrapped("came", &failure.came, style, out)?;
    write_lines("output", &failure.output, style, out)
}

/// A text behind its name, in as many lines as it needs, though not more than six.
fn write_wrapped(name: &str, text: &str, style: Style, out: &mut impl Write) -> io::Result<()> {
    let columns = style.columns.saturating_sub(LABEL + 2);
    let mut lines = wrap(&one_line(text), columns);
    if lines.len() > 6 {
        lines.truncate(6);
        let last = lines.pop().unwrap_or_default();
        lines.push(cut(&format!("{last} …"), columns));
    }
    for (at, line) in lines.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        writeln!(out, "  {name:LABEL$}{line}")?;
    }
    Ok(())
}

/// The last of some lines, each with a bar before it and cut.
fn write_lines(name: &str, all: &[String], style: Style, out: &mut impl Write) -> io::Result<()> {
    let last = all.get(all.len().saturating_sub(style.lines)..).unwrap_or_default();
    for (at, line) in last.iter().enumerate() {
        let name = if at == 0 { name } else { "" };
        let line = cut(&one_line(line), style.columns.saturating_sub(LABEL + 4));
        writeln!(out, "  {name:LABEL$}{}", coloured(format!("| {line}").trim_end(), "2", style))?;
    }
    Ok(())
}

fn coloured(text: &str, code: &str, style: Style) -> String {
    if style.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
