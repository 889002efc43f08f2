//! JSON: all of it, to be read again.

use std::io::{self, Write};

use serde::Deserialize;

use crate::outcome::{Suite, VERSION};

/// Why a text is not a suite.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON, or not this JSON.
    #[error("it is no report of `fencepost test --json`: {0}")]
    NotReport(#[from] serde_json::Error),
    /// It is of another version of Fencepost.
    #[error(
        "it has layout {0}, and this Fencepost reads layout {VERSION}; make it with the same version of Fencepost"
    )]
    Version(u64),
}

/// Writes a suite, with an end of line behind it.
pub fn write(suite: &Suite, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, suite)?;
    out.write_all(b"\n")
}

/// Reads a suite.
pub fn read(text: &str) -> Result<Suite, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let head: Head = serde_json::from_str(text)?;
    if head.version != u64::from(VERSION) {
        return Err(ReadError::Version(head.version));
    }
    Ok(serde_json::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample::suite;

    fn text() -> String {
        let mut out = Vec::new();
        write(&suite(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&text()).unwrap(), suite());
        assert!(text().ends_with("}\n"));
    }

    #[test]
    fn another_version_is_refused_even_if_it_has_other_keys() {
        let error = read(r#"{"version": 2, "new": []}"#).unwrap_err().to_string();
        assert!(error.contains("layout 2") && error.contains("layout 1"), "{error}");
    }

    #[test]
    fn other_texts_are_refused_with_the_place() {
        let unknown = text().replacen("\"suite\"", "\"sweet\"", 1);
        for (text, says) in
            [("", "line 1"), ("[]", "line 1"), ("{}", "`version`"), (&unknown[..], "unknown field `sweet`")]
        {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
