//! Tests that cannot run on every host.
//!
//! Such a test returns a [`Tested`]. What it returns is all that is counted: one that was skipped has done nothing
//! else, and is counted once. Rust's own harness knows no skipped test and counts it as passed; so each leaves a file in the
//! folder that `FENCEPOST_SKIPPED` names, where ci/test finds it, and without that folder a line on standard error, which
//! the harness does not capture.
//!
//! ```
//! use fencepost_skip::Tested;
//!
//! fn reads_the_clock() -> Tested {
//!     let Ok(clock) = std::fs::read("/dev/rtc0") else {
//!         return Tested::skipped("/dev/rtc0 does not open");
//!     };
//!     assert_ne!(clock, [0]);
//!     Tested::Ran
//! }
//! ```
#![warn(missing_docs)]

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder for the records.
pub const FOLDER: &str = "FENCEPOST_SKIPPED";

/// What a test came to, unless it failed.
#[must_use = "a test returns it"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    /// It tested what it is there for.
    Ran,
    /// It cannot run here: why.
    Skipped(String),
}

impl Tested {
    /// A test that cannot run here.
    pub fn skipped(why: impl Display) -> Self {
        Tested::Skipped(why.to_string())
    }
}

/// Recorded by the harness, in the test's thread.
impl Termination for Tested {
    fn report(self) -> ExitCode {
        if let Tested::Skipped(why) = self {
            let line = format!("{}: {why}", test_name());
            match std::env::var_os(FOLDER) {
                Some(folder) => record(Path::new(&folder), &program(), &line),
                None => writeln!(io::stderr(), "skipped: {line}"),
            }
            .unwrap_or_else(|error| panic!("skipped, but {FOLDER} cannot be written: {error}: {line}"));
        }
        ExitCode::SUCCESS
    }
}

/// The harness names a test's thread after the test, unless it runs the tests one by one.
fn test_name() -> String {
    static UNNAMED: AtomicU64 = AtomicU64::new(1);
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("unnamed test {}", UNNAMED.fetch_add(1, Ordering::Relaxed)),
    }
}

/// The test program's name with its hash: another one in each crate and target.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file of its own for each test: its name and why.
fn record(folder: &Path, program: &str, line: &str) -> io::Result<()> {
    let name = line.split(": ").next().unwrap_or_default().replace(|c: char| !c.is_alphanumeric(), "_");
    std::fs::write(folder.join(format!("{program}-{name}")), format!("{}\n", line.replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_skipped_test_is_one_record_however_often_it_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for _ in 0..2 {
            record(folder.path(), "micro-1", "gates::kvm: no\nreason").expect("written");
            record(folder.path(), "micro-1", "gates::soft: another: reason").expect("written");
            record(folder.path(), "macro-2", "gates::kvm: no reason").expect("written");
        }
        let mut found: Vec<String> = std::fs::read_dir(folder.path())
            .expect("there")
            .map(|entry| std::fs::read_to_string(entry.expect("readable").path()).expect("readable"))
            .collect();
        found.sort();
        assert_eq!(
            found,
            ["gates::kvm: no reason\n", "gates::kvm: no reason\n", "gates::soft: another: reason\n"]
        );
    }

    fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden && !path.ends_with("target") {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn no_test_of_the_workspace_skips_by_printing() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &mut found);
        assert!(found.len() > 100);
        let prints = concat!("println!(\"", "skipped");
        for path in found {
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(!text.contains(prints), "{}: return Tested::skipped(...) instead", path.display());
        }
    }

    #[test]
    fn the_harness_names_threads_after_tests() {
        assert_eq!(test_name(), "tests::the_harness_names_threads_after_tests");
    }

    #[test]
    fn a_record_that_cannot_be_written_fails() {
        assert!(record(Path::new("/nowhere"), "a", "b: c").is_err());
    }
}
