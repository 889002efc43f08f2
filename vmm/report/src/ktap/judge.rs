//! Results against a list of known failures.

use regex::Regex;

use super::{Directive, Ktap, Status, Test};
use crate::judged::Judged;
use crate::pattern::{PatternError, whole};

/// A failure that is known, by the test's name or by a pattern for names.
#[derive(Clone, Debug)]
pub struct Known {
    which: Which,
    reason: String,
}

#[derive(Clone, Debug)]
enum Which {
    Name(String),
    Pattern(Box<Regex>),
}

impl Known {
    /// The test whose whole name this is ([`Test::name`]), with its subtests.
    pub fn name(name: impl Into<String>, reason: impl Into<String>) -> Known {
        Known { which: Which::Name(name.into()), reason: reason.into() }
    }

    /// Every test to whose whole name the regular expression fits, with its subtests.
    pub fn pattern(pattern: &str, reason: impl Into<String>) -> Result<Known, PatternError> {
        Ok(Known { which: Which::Pattern(Box::new(whole(pattern)?)), reason: reason.into() })
    }

    /// The name or the pattern.
    pub fn text(&self) -> &str {
        match &self.which {
            Which::Name(name) => name,
            Which::Pattern(pattern) => pattern.as_str().trim_start_matches("^(?:").trim_end_matches(")$"),
        }
    }

    fn is(&self, name: &str) -> bool {
        match &self.which {
            Which::Name(known) => known == name,
            Which::Pattern(pattern) => pattern.is_match(name),
        }
    }

    /// Whether a test of this path, or one around it, is the known one.
    fn covers(&self, path: &[String]) -> bool {
        (1..=path.len()).any(|end| self.is(&path.get(..end).unwrap_or_default().join(": ")))
    }
}

/// What the results come to: a check for each test that has no subtests, for each test that fails or is skipped and does not only repeat
/// what its subtests say, for each problem, and for each known failure that did not come. Names begin with `prefix` and `: `.
pub fn judge(ktap: &Ktap, known: &[Known], prefix: &str) -> Judged {
    let mut judged = Judged::default();
    let mut seen = vec![false; known.len()];
    for (at, test) in ktap.tests.iter().enumerate() {
        let nested = ktap.tests.get(at.saturating_sub(test.subtests)..at).unwrap_or_default();
        let which = known.iter().position(|known| known.covers(&test.path));
        if let Some(seen) = which.and_then(|which| seen.get_mut(which)) {
            *seen = true;
        }
        let known = which.and_then(|which| known.get(which));
        let itself = known.is_some_and(|known| known.is(&test.name()));
        if !repeats(test, nested) || itself {
            judge_test(&mut judged, test, known, itself, named(prefix, &test.name()));
        }
    }
    if let Some(why) = &ktap.skipped {
        judged.skipped(named(prefix, "all tests"), or(why, "the program skips all of them"));
    }
    for problem in &ktap.problems {
        let place = if problem.path.is_empty() { "KTAP".into() } else { problem.path.join(": ") };
        let name = named(prefix, &place);
        match known.iter().find(|known| known.covers(&problem.path)) {
            Some(known) => judged.skipped(name, format!("known failure: {}", known.reason)),
            None => judged.failed(name, problem.kind.expected(), problem.kind.came(), Vec::new()),
        }
    }
    for known in known.iter().zip(seen).filter(|(_, seen)| !seen).map(|(known, _)| known) {
        let name = named(prefix, known.text());
        judged.skipped(name, format!("a known failure ({}), but no test of this name came", known.reason));
    }
    judged
}

/// Whether a test with subtests says no more than they do.
fn repeats(test: &Test, nested: &[Test]) -> bool {
    let any = |status: Status| nested.iter().any(|test| test.status() == status);
    !nested.is_empty()
        && match test.status() {
            Status::Passed => true,
            Status::Failed => any(Status::Failed) && test.directive.is_none(),
            Status::Skipped => any(Status::Skipped),
            Status::ExpectedFailure => any(Status::ExpectedFailure),
        }
}

fn judge_test(judged: &mut Judged, test: &Test, known: Option<&Known>, itself: bool, name: String) {
    let known_failure = |known: &Known| format!("known failure: {}", known.reason);
    match (test.status(), known) {
        (Status::Failed, Some(known)) => judged.skipped(name, known_failure(known)),
        (Status::Failed, None) => judged.failed(name, "ok", not_ok(test), test.diagnostics.clone()),
        // What is nested in a known failure may pass.
        (Status::Passed, Some(known)) if itself => {
            let expected = format!("a failure, which is known: {}", known.reason);
            let came = "it passed: take it from the list of known failures".to_owned();
            judged.failed(name, expected, came, test.diagnostics.clone());
        }
        (Status::Passed, _) if test.directive == Some(Directive::Todo) => {
            judged.passed(name, "passed, though marked TODO");
        }
        (Status::Passed, _) if test.directive == Some(Directive::Xpass) => {
            judged.passed(name, "passed, though it was expected to fail");
        }
        (Status::Passed, _) => judged.passed(name, ""),
        (Status::Skipped, _) => judged.skipped(name, or(&test.reason, "the test does not say why")),
        (Status::ExpectedFailure, _) => {
            judged.skipped(
                name,
                format!("expected to fail: {}", or(&test.reason, "the test does not say why")),
            );
        }
    }
}

fn not_ok(test: &Test) -> String {
    let what = match test.directive {
        Some(Directive::Timeout) => "it timed out",
        Some(Directive::Error) => "it could not be run",
        _ => "not ok",
    };
    if test.reason.is_empty() { what.to_owned() } else { format!("{what}: {}", test.reason) }
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text.to_owned() }
}

fn named(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}: {name}") }
}
