//! KTAP (Linux, Documentation/dev-tools/ktap.rst) and TAP 13 and 14, as kunit, kselftest and plain programs write them.
//!
//! [`parse`] takes any text: kernel messages and other output may stand before, between and behind the results. Nested tests are found
//! by their indentation, kselftest's by the `# ` before each line. What is not as the plan says is a [`Problem`].

mod judge;
mod line;
mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

pub use judge::{Known, judge};
pub use parser::parse;

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ktap {
    /// Every result, in the order in which they came: subtests before their test.
    pub tests: Vec<Test>,
    /// What is wrong with the text as KTAP.
    pub problems: Vec<Problem>,
    /// Why everything was skipped: the plan `1..0 # SKIP why` of a whole text.
    pub skipped: Option<String>,
}

/// A word that gives a result another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directive {
    /// It was not run.
    Skip,
    /// It is not finished, and may fail.
    Todo,
    /// It is expected to fail, and did.
    Xfail,
    /// It was expected to fail, and passed (kselftest).
    Xpass,
    /// It took too long.
    Timeout,
    /// It could not be run to its end.
    Error,
}

/// What a result comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was not run.
    Skipped,
    /// It failed, and the test says itself that it does.
    ExpectedFailure,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The names of the tests that it is nested in, and its own: at least one.
    pub path: Vec<String>,
    /// Its number, if it has one.
    pub number: Option<u32>,
    /// `ok` or `not ok`.
    pub ok: bool,
    /// Its directive.
    pub directive: Option<Directive>,
    /// What follows the directive.
    pub reason: String,
    /// The lines between the result before it and it, and its YAML block: the last ones, if there are many.
    pub diagnostics: Vec<String>,
    /// The line of the text, counted from 1.
    pub line: usize,
    /// How many results are nested in it, at any depth.
    pub subtests: usize,
}

impl Test {
    /// Its path as one name, joined by `: `.
    pub fn name(&self) -> String {
        self.path.join(": ")
    }

    /// What it comes to.
    pub fn status(&self) -> Status {
        match (self.directive, self.ok) {
            (Some(Directive::Skip), _) => Status::Skipped,
            // kselftest writes `ok 3 # XFAIL`, TAP `not ok 3 # TODO`.
            (Some(Directive::Xfail), _) | (Some(Directive::Todo), false) => Status::ExpectedFailure,
            (Some(Directive::Timeout | Directive::Error), _) | (_, false) => Status::Failed,
            (_, true) => Status::Passed,
        }
    }
}

/// Something that is wrong with a text as KTAP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The names of the tests around it; empty outside of all.
    pub path: Vec<String>,
    /// The line of the text, counted from 1.
    pub line: usize,
    /// What.
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is no result.
    Nothing,
    /// `Bail out!`, and why.
    Bail(String),
    /// Fewer or more results than planned.
    Count {
        /// As the plan says.
        planned: u32,
        /// As there are.
        came: u32,
    },
    /// A TAP text has no plan, so that nobody knows whether all came.
    NoPlan,
    /// A second plan for the same tests.
    SecondPlan,
    /// A number came twice.
    Duplicate(u32),
    /// A number that is not the next.
    Order {
        /// The next.
        expected: u32,
        /// This one.
        came: u32,
    },
    /// Subtests came, and not the result of their test.
    Unfinished,
    /// More than a reader may take: the rest was not looked at.
    TooMuch(&'static str),
}

impl ProblemKind {
    /// What should have been there.
    pub fn expected(&self) -> String {
        match self {
            ProblemKind::Nothing => "KTAP results".into(),
            ProblemKind::Bail(_) => "all tests run".into(),
            ProblemKind::Count { planned, .. } => format!("{planned} results, as its plan says"),
            ProblemKind::NoPlan => "a plan, `1..N`".into(),
            ProblemKind::SecondPlan => "one plan".into(),
            ProblemKind::Duplicate(_) => "each number once".into(),
            ProblemKind::Order { expected, .. } => format!("number {expected} next"),
            ProblemKind::Unfinished => "a result for the test behind its subtests".into(),
            ProblemKind::TooMuch(limit) => format!("at most {limit}"),
        }
    }

    /// What was there.
    pub fn came(&self) -> String {
        match self {
            ProblemKind::Nothing => "none".into(),
            ProblemKind::Bail(why) if why.is_empty() => "the tests bailed out".into(),
            ProblemKind::Bail(why) => format!("the tests bailed out: {why}"),
            ProblemKind::Count { came, .. } => format!("{came} came"),
            ProblemKind::NoPlan => "none came: nobody knows whether all results are there".into(),
            ProblemKind::SecondPlan => "another one".into(),
            ProblemKind::Duplicate(number) => format!("number {number} came again"),
            ProblemKind::Order { came, .. } => format!("number {came} came"),
            ProblemKind::Unfinished => "none came".into(),
            ProblemKind::TooMuch(_) => "more came; the rest was not looked at".into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}; {}", self.line, self.kind.expected(), self.kind.came())
    }
}
