//! What is said over the channel of a guest's agent (vmm/src/root/agent.sh): orders in lines, and behind the output of each a mark.

use data_encoding::BASE64;

/// What a mark begins with.
pub const BEGIN: &[u8] = b"\x1efencepost ";
/// A mark is no longer than this, with the end of its line.
pub const MARK_MAX_BYTES: usize = 64;

/// What the agent writes when it has carried out an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the order, or `ready`.
    pub order: String,
    /// The exit status.
    pub status: u8,
}

impl Mark {
    /// The mark that a line is, without the line's end; none if it is none.
    pub fn parse(line: &[u8]) -> Option<Mark> {
        let text = std::str::from_utf8(line.strip_prefix(BEGIN)?).ok()?;
        let (order, status) = text.split_once(' ')?;
        Some(Mark { order: order.to_string(), status: status.parse().ok()? })
    }
}

/// The line that orders a script for the guest's `/bin/sh`.
pub fn run(number: impl std::fmt::Display, script: &str) -> String {
    format!("run {number} {}\n", BASE64.encode(script.as_bytes()))
}

/// The line that orders nothing but the mark.
pub fn hello(number: impl std::fmt::Display) -> String {
    format!("hello {number}\n")
}
