//! What can go wrong on the host, each as one line that names the thing and the mend.

use std::path::Path;

/// A failure of the host, its user's input or its configuration. Never the guest's doing.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Input that the user can mend; found before the guest starts.
    #[error("{0}")]
    Input(String),
    /// The host refused something while the guest ran, or a back end failed.
    #[error("{0}")]
    Host(String),
}

impl HostError {
    /// Bad input: `what` is wrong, `mend` says what to do.
    pub fn input(what: impl std::fmt::Display, mend: impl std::fmt::Display) -> Self {
        HostError::Input(format!("{what}; {mend}"))
    }

    /// A file that cannot be used.
    pub fn file(role: &str, path: &Path, error: &std::io::Error, mend: &str) -> Self {
        HostError::Input(format!("{role} {}: {}; {mend}", path.display(), plain(error)))
    }

    /// The exit status of the process: 2 for bad input, 1 otherwise.
    pub fn status(&self) -> i32 {
        match self {
            HostError::Input(_) => 2,
            HostError::Host(_) => 1,
        }
    }
}

/// An I/O error without "(os error N)".
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
