//! GitHub Actions: annotations at the scenarios' lines, and a summary of the job.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{counts, seconds};
use crate::outcome::{Failure, Outcome, Suite, Verdict};
use crate::text::{at_most, lines, one_line};

/// Bytes of a job's summary: GitHub takes 1 MiB for each step, and nothing of more.
const SUMMARY_MAX_BYTES: usize = 900 << 10;

/// Lines of a console or an output that the job's summary shows.
const LINES_MAX: usize = 20;

/// Writes an annotation for each failure: workflow commands, for the standard output of a step.
pub fn annotations(suite: &Suite, out: &mut impl Write) -> io::Result<()> {
    for outcome in &suite.outcomes {
        let level = match outcome.verdict {
            Verdict::Failed | Verdict::Broken => "error",
            Verdict::Passed | Verdict::Skipped => continue,
        };
        for failure in &outcome.failures {
            writeln!(out, "{}", annotation(level, outcome, failure))?;
        }
        if outcome.failures.is_empty() {
            writeln!(out, "::{level} title={}::{}", property(&outcome.name), data(&outcome.reproduce))?;
        }
    }
    Ok(())
}

fn annotation(level: &str, outcome: &Outcome, failure: &Failure) -> String {
    let mut properties = Vec::new();
    if let Some(file) = &outcome.file {
        properties.push(format!("file={}", property(&file.to_string_lossy())));
        properties.push(format!("line={}", failure.line.unwrap_or(1)));
    }
    properties.push(format!("title={}", property(&format!("{}: {}", outcome.name, failure.at))));
    let Failure { expected, came, .. } = failure;
    let text = format!("expected: {expected}\ncame: {came}\nagain: {}", outcome.reproduce);
    format!("::{level} {}::{}", properties.join(","), data(&text))
}

/// Text that a guest or a scenario has chosen, for a step's output in which the runner shall see no command: between commands that
/// turn commands off and on again. `token` must be one that the text's author cannot know, of letters and digits.
pub fn quoted(token: &str, text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("::stop-commands::{token}\n{text}{end}::{token}::\n")
}

/// A command's text, escaped as actions/toolkit does (packages/core/src/command.ts, escapeData).
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A command's property, escaped as escapeProperty there does.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The summary of a job, for the file that `$GITHUB_STEP_SUMMARY` names: GitHub's Markdown.
pub fn summary(suite: &Suite) -> String {
    let mut text = format!("## fencepost test\n\n{}\n", markdown(&counts(suite)));
    text += "\n| | scenario | kernel | time | |\n|---|---|---|---:|---|\n";
    // The worst first: a long summary loses its end.
    let mut outcomes: Vec<&Outcome> = suite.outcomes.iter().collect();
    outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.verdict.max(Verdict::Skipped)));
    let mut left_out = 0;
    for outcome in &outcomes {
        let row = row(outcome);
        if text.len() + row.len() > SUMMARY_MAX_BYTES / 2 {
            left_out += 1;
        } else {
            text += &row;
        }
    }
    let bad = |outcome: &&&Outcome| matches!(outcome.verdict, Verdict::Failed | Verdict::Broken);
    let mut full = false;
    for outcome in outcomes.iter().filter(bad) {
        let details = if full { String::new() } else { details(outcome) };
        full |= text.len() + details.len() > SUMMARY_MAX_BYTES;
        if full {
            left_out += 1;
        } else {
            text += &details;
        }
    }
    if left_out > 0 {
        let _ = write!(text, "\n{left_out} entries are left out: GitHub takes no longer summary.\n");
    }
    text
}

fn row(outcome: &Outcome) -> String {
    let why = outcome.failures.first().map(|why| format!("{}: {}", why.at, why.came)).unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {} |\n",
        super::summary::word(outcome.verdict),
        cell(&outcome.name),
        cell(outcome.kernel.as_deref().unwrap_or_default()),
        seconds(outcome.wall_ms),
        cell(&why)
    )
}

fn details(outcome: &Outcome) -> String {
    let word = super::summary::word(outcome.verdict);
    let mut text = format!("\n### {word}: {}\n", markdown(&outcome.name));
    for failure in &outcome.failures {
        let _ = write!(
            text,
            "\n- **{}**\n  - expected: {}\n  - came: {}\n",
            markdown(&failure.at),
            markdown(&failure.expected),
            markdown(&failure.came)
        );
        text += &fold("Output", &failure.output);
    }
    text += &fold("Console", &outcome.console);
    text += &format!("\nAgain:\n\n{}", fenced(std::slice::from_ref(&outcome.reproduce)));
    text
}

/// The last of some lines, folded away.
fn fold(title: &str, all: &[String]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let last = all.get(all.len().saturating_sub(LINES_MAX)..).unwrap_or_default();
    format!("\n<details><summary>{title}</summary>\n\n{}\n</details>\n", fenced(last))
}

/// Lines as they are, within a fence that is longer than any in them.
fn fenced(all: &[String]) -> String {
    let text: Vec<String> = all.iter().flat_map(|line| lines(at_most(line, 2000))).collect();
    let text = text.join("\n");
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{text}\n{fence}\n")
}

/// A text on one line in which nothing is Markdown or HTML.
fn markdown(text: &str) -> String {
    let mut safe = String::new();
    for character in one_line(at_most(text, 2000)).chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            // A mention would send someone a message.
            '@' => safe += "&#64;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            _ => safe.push(character),
        }
    }
    safe
}

fn cell(text: &str) -> String {
    markdown(at_most(text, 400))
}
