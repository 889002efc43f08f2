//! What a check gives: a list of what was looked at, and what was wrong with it.

use crate::outcome::{Check, Failure, Verdict};

/// Checks and failures of one part of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Everything that was looked at, in order.
    pub checks: Vec<Check>,
    /// What was not as expected, in the same order; its `at` is the check's name.
    pub failures: Vec<Failure>,
}

impl Judged {
    /// All was well with this; `message` is empty, or a note.
    pub fn passed(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.check(name, Verdict::Passed, message);
    }

    /// This was not looked at, or does not count.
    pub fn skipped(&mut self, name: impl Into<String>, why: impl Into<String>) {
        self.check(name, Verdict::Skipped, why);
    }

    /// This is not as expected. `output` is what belongs to it of what the guest wrote.
    pub fn failed(
        &mut self,
        name: impl Into<String>,
        expected: impl Into<String>,
        came: impl Into<String>,
        output: Vec<String>,
    ) {
        let (name, expected, came) = (name.into(), expected.into(), came.into());
        self.check(name.clone(), Verdict::Failed, format!("expected {expected}; {came}"));
        self.failures.push(Failure { at: name, line: None, expected, came, output });
    }

    /// Adds what another part gave.
    pub fn append(&mut self, other: Judged) {
        self.checks.extend(other.checks);
        self.failures.extend(other.failures);
    }

    fn check(&mut self, name: impl Into<String>, verdict: Verdict, message: impl Into<String>) {
        self.checks.push(Check { name: name.into(), verdict, message: message.into() });
    }
}
