//! Conditions on a trace, in sentences: "every camera frame is scanned out within 3 vblanks".
//!
//! `docs/trace-conditions.md` has the table of all forms, which a test compares with [`forms`].
//!
//! ```
//! use fencepost_trace::conditions::Condition;
//!
//! let condition: Condition = "no fence waits longer than 5 ms".parse()?;
//! assert_eq!(condition.to_string(), "no fence waits longer than 5 ms");
//! let error = "no fence waits more than 5 ms".parse::<Condition>().unwrap_err().to_string();
//! assert!(error.contains("the nearest form is 'no fence waits longer than TIME'"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod counts;
mod grammar;
mod limits;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::Stamp;
use crate::event::Category;
use crate::file::TraceFile;
use crate::journey::Journeys;

use grammar::What;
pub use grammar::forms;

/// A sentence that holds for a trace, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    sentence: String,
    what: What,
}

/// What a trace says to a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It holds; what was looked at, in words.
    Holds(String),
    /// It does not hold.
    Broken {
        /// The first thing that contradicts it, in words, with its time.
        says: String,
        /// That time, where it has one.
        at: Option<Stamp>,
    },
    /// The trace does not tell: why, in words.
    Unknown(String),
}

/// A sentence that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{sentence}' is no condition on a trace: {why}; docs/trace-conditions.md has all forms")]
pub struct ConditionError {
    sentence: String,
    why: String,
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Condition, ConditionError> {
        let shown: String = crate::plain_text(text.trim()).chars().take(80).collect();
        match grammar::parse(text) {
            Ok(what) => Ok(Condition { sentence: text.trim().to_owned(), what }),
            Err(why) => Err(ConditionError { sentence: shown, why }),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Condition {
    /// Whether it is about events that the guest's own kernel records.
    pub fn needs_guest(&self) -> bool {
        check::needs(&self.what).contains(&Category::Guest)
    }

    /// What `trace`, whose journeys are `journeys`, says to it. Where events are missing that could contradict it, the trace does not tell.
    pub fn check(&self, trace: &TraceFile, journeys: &Journeys) -> Finding {
        check::check(&self.what, trace, journeys)
    }
}
