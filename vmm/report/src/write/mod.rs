//! A [`Suite`] in the forms that other programs, and people, read.

pub mod github;
pub mod json;
pub mod junit;
pub mod ktap;
#[cfg(test)]
pub(crate) mod sample;
pub mod summary;
#[cfg(test)]
mod tests;

use crate::outcome::{Check, Outcome, Suite, Verdict};

/// `12.3 s`, from milliseconds.
pub fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// `5 passed, 1 failed, 0 skipped, 0 broken in 12.3 s`.
pub fn counts(suite: &Suite) -> String {
    let count = |verdict| suite.count(verdict);
    format!(
        "{} passed, {} failed, {} skipped, {} broken in {}",
        count(Verdict::Passed),
        count(Verdict::Failed),
        count(Verdict::Skipped),
        count(Verdict::Broken),
        seconds(suite.wall_ms)
    )
}

/// The name of the check that stands for a scenario as a whole.
const WHOLE: &str = "scenario";

/// The checks of an outcome, and one more for the scenario as a whole where no check says what its verdict does, so that a reader of
/// checks alone counts the same failures.
fn checks(outcome: &Outcome) -> Vec<Check> {
    let mut checks = outcome.checks.clone();
    let said = checks.iter().any(|check| check.verdict == outcome.verdict);
    if !said {
        let why = outcome.failures.first();
        let message = why.map(|why| format!("expected {}; {}", why.expected, why.came));
        let message = if outcome.verdict == Verdict::Passed { None } else { message };
        let (name, verdict) = (WHOLE.to_owned(), outcome.verdict);
        checks.push(Check { name, verdict, message: message.unwrap_or_default() });
    }
    checks
}
