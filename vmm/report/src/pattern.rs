//! Regular expressions of a scenario.

use regex::Regex;

/// A pattern that is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pattern `{pattern}` is no regular expression: {why}; write it in the syntax of Rust's crate regex"
)]
pub struct PatternError {
    pattern: String,
    why: String,
}

impl PatternError {
    fn new(pattern: &str, error: &regex::Error) -> PatternError {
        // The last line says what is wrong; those before it draw where.
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        PatternError { pattern: crate::text::cut(&crate::text::one_line(pattern), 100), why }
    }
}

/// One that fits anywhere in a text.
pub fn within(pattern: &str) -> Result<Regex, PatternError> {
    Regex::new(pattern).map_err(|error| PatternError::new(pattern, &error))
}

/// One that fits a whole text.
pub fn whole(pattern: &str) -> Result<Regex, PatternError> {
    // By itself first: `a)(b` is a pattern only within brackets.
    within(pattern)?;
    within(&format!("^(?:{pattern})$"))
}
