//! KTAP (Linux, Documentation/dev-tools/ktap.rst): a test for each scenario, its checks nested in it.

use std::io::{self, Write};

use super::checks;
use crate::outcome::{Failure, Outcome, Suite, Verdict};
use crate::text::{lines, one_line};

/// Writes a suite.
pub fn write(suite: &Suite, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "KTAP version 1\n1..{}", suite.outcomes.len())?;
    for (at, outcome) in suite.outcomes.iter().enumerate() {
        write_outcome(outcome, at + 1, out)?;
    }
    writeln!(out, "# {}", super::counts(suite))
}

fn write_outcome(outcome: &Outcome, number: usize, out: &mut impl Write) -> io::Result<()> {
    let checks = checks(outcome);
    // What was not run has no subtests.
    if !outcome.checks.is_empty() {
        writeln!(out, "  KTAP version 1\n  1..{}", checks.len())?;
        for (at, check) in checks.iter().enumerate() {
            for failure in outcome.failures.iter().filter(|failure| failure.at == check.name) {
                write_failure(failure, "  ", out)?;
            }
            writeln!(out, "  {}", result(check.verdict, at + 1, &check.name, &check.message))?;
        }
    }
    let apart =
        outcome.failures.iter().filter(|failure| !outcome.checks.iter().any(|c| c.name == failure.at));
    let mut reason = String::new();
    for failure in apart {
        write_failure(failure, "", out)?;
        if reason.is_empty() {
            reason = failure.came.clone();
        }
    }
    if matches!(outcome.verdict, Verdict::Failed | Verdict::Broken) {
        writeln!(out, "# again: {}", one_line(&outcome.reproduce))?;
    }
    writeln!(out, "{}", result(outcome.verdict, number, &outcome.name, &reason))
}

fn write_failure(failure: &Failure, indent: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{indent}# {}: expected: {}", one_line(&failure.at), one_line(&failure.expected))?;
    writeln!(out, "{indent}# {}: came: {}", one_line(&failure.at), one_line(&failure.came))?;
    // With a bar before it, no output is taken for a result.
    for line in failure.output.iter().flat_map(|line| lines(line)) {
        writeln!(out, "{indent}# | {line}")?;
    }
    Ok(())
}

fn result(verdict: Verdict, number: usize, name: &str, message: &str) -> String {
    // A description has no `#`: kunit's reader takes the line for none otherwise.
    let name = one_line(name).replace('#', "~");
    let message = one_line(message);
    let (result, directive) = match verdict {
        Verdict::Passed => ("ok", String::new()),
        Verdict::Skipped => ("ok", format!(" # SKIP {message}")),
        Verdict::Failed => ("not ok", String::new()),
        Verdict::Broken => ("not ok", format!(" # ERROR {message}")),
    };
    format!("{result} {number} {name}{}", directive.trim_end())
}
