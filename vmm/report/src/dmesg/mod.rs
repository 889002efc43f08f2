//! A kernel's messages: what in them says that something is wrong.
//!
//! [`find`] takes the text of a console, of `dmesg` or of `dmesg --raw`, and gives one [`Event`] for each report, however many lines it
//! has. [`judge`] compares them with what a scenario allows.

mod finder;
mod judge;
mod kind;
#[cfg(test)]
mod tests;

pub use finder::find;
pub use judge::{Allowed, Policy, judge};
pub use kind::Kind;

/// Something that the kernel says is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: Kind,
    /// The line that says so, without its stamp.
    pub text: String,
    /// What else belongs to it: what stands before the line in a WARN's block, and the first lines behind it, without registers and with
    /// the first calls of its traces.
    pub lines: Vec<String>,
    /// The line of the text, counted from 1.
    pub line: usize,
    /// Seconds since the kernel began, as the line has them.
    pub stamp: Option<String>,
    /// How many of the same text came in a row, this one included.
    pub times: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of their first lines.
    pub events: Vec<Event>,
    /// How many more there were than are kept.
    pub more: u64,
}
