//! What can go wrong on the host, each as one line that names the thing and the fix.

pub use fencepost_report::text::plain;
use std::path::Path;

use crate::control::StopReason;

/// A failure of the host, its user's input or its configuration. Never the guest's doing.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Input that the user can fix; found before the guest starts.
    #[error("{0}")]
    Input(String),
    /// The host refused something while the guest ran, or a back end failed.
    #[error("{0}")]
    Host(String),
    /// The time of `--timeout` was over before the guest started.
    #[error("{0}")]
    TimedOut(String),
}

impl HostError {
    /// Bad input: `what` is wrong, `fix` says what to do.
    pub fn input(what: impl std::fmt::Display, fix: impl std::fmt::Display) -> Self {
        HostError::Input(format!("{what}; {fix}"))
    }

    /// A file that cannot be used.
    pub fn file(role: &str, path: &Path, error: &std::io::Error, fix: &str) -> Self {
        HostError::Input(format!("{role} {}: {}; {fix}", path.display(), plain(error)))
    }

    /// An output that cannot be begun. Where it took nothing until the time was over, that is no bad input.
    pub fn output(role: &str, path: &Path, error: &std::io::Error, fix: &str) -> Self {
        match (error.kind(), HostError::file(role, path, error, fix)) {
            (std::io::ErrorKind::TimedOut, HostError::Input(line)) => HostError::TimedOut(line),
            (_, other) => other,
        }
    }

    /// The exit status of the process: 2 for bad input, 124 for time that was over, 1 otherwise.
    pub fn status(&self) -> i32 {
        match self {
            HostError::Input(_) => 2,
            HostError::Host(_) => 1,
            HostError::TimedOut(_) => StopReason::Timeout.status(),
        }
    }
}
