//! Where the serial ports beside the console lead on the host.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The host's end of a serial line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SerialEnd {
    /// Nobody: what is sent is lost, and nothing comes.
    Null,
    /// A pseudo-terminal, whose name is said at the start.
    Pty,
    /// This file gets what is sent; nothing comes.
    File(PathBuf),
    /// A Unix socket of this name, at which one client at a time is served.
    Unix(PathBuf),
}

impl FromStr for SerialEnd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let end = match text.split_once(':') {
            None if text == "null" => Some(SerialEnd::Null),
            None if text == "pty" => Some(SerialEnd::Pty),
            Some(("file", path)) if !path.is_empty() => Some(SerialEnd::File(path.into())),
            Some(("unix", path)) if !path.is_empty() => Some(SerialEnd::Unix(path.into())),
            _ => None,
        };
        end.ok_or_else(|| {
            format!("'{text}' is no end of a serial line: write null, pty, file:FILE or unix:FILE")
        })
    }
}

impl fmt::Display for SerialEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SerialEnd::Null => out.write_str("null"),
            SerialEnd::Pty => out.write_str("pty"),
            SerialEnd::File(path) => write!(out, "file:{}", path.display()),
            SerialEnd::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl TryFrom<String> for SerialEnd {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SerialEnd> for String {
    fn from(end: SerialEnd) -> String {
        end.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_written_as_it_is_read() {
        for text in ["null", "pty", "file:/tmp/a:b", "unix:s"] {
            assert_eq!(text.parse().map(|end: SerialEnd| end.to_string()), Ok(text.to_string()));
        }
        for wrong in ["", "file", "file:", "unix:", "tcp:1", "pty:x", "NULL"] {
            assert!(wrong.parse::<SerialEnd>().is_err_and(|why| why.contains("unix:FILE")), "{wrong}");
        }
    }
}
