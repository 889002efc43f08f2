//! The files in which a suite is told, as options name them: each is written whole or not at all.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::outcome::Suite;
use crate::text::plain;
use crate::whole;
use crate::write::{github, json, junit, ktap};

/// Which files are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// `--json`.
    pub json: Option<PathBuf>,
    /// `--junit`.
    pub junit: Option<PathBuf>,
    /// `--ktap`.
    pub ktap: Option<PathBuf>,
    /// The file that `$GITHUB_STEP_SUMMARY` names: the summary is added at its end.
    pub step_summary: Option<PathBuf>,
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{option} {}: {}; name a file in a folder that can be written and has room", path.display(), plain(error))]
pub struct ReportError {
    option: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl Reports {
    /// Writes all of them. Tries each, and gives those that could not be written.
    pub fn write(&self, suite: &Suite) -> Vec<ReportError> {
        let mut missing = Vec::new();
        let mut done = |option, path: &Path, result: io::Result<()>| {
            let failed = result.err().map(|error| ReportError { option, path: path.to_owned(), error });
            missing.extend(failed);
        };
        if let Some(path) = &self.json {
            done("--json", path, file(path, |out| json::write(suite, out)));
        }
        if let Some(path) = &self.junit {
            done("--junit", path, file(path, |out| junit::write(suite, out)));
        }
        if let Some(path) = &self.ktap {
            done("--ktap", path, file(path, |out| ktap::write(suite, out)));
        }
        if let Some(path) = &self.step_summary {
            done("GITHUB_STEP_SUMMARY", path, append(path, &github::summary(suite)));
        }
        missing
    }
}

/// The whole report, before its file is begun.
fn file(path: &Path, write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let mut text = Vec::new();
    write(&mut text)?;
    whole::write(path, &text)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::write::sample::suite;

    #[test]
    fn each_file_that_is_named_is_written_and_nothing_else_is_left() {
        let folder = std::env::temp_dir().join(format!("fencepost-reports-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| Some(folder.join(name));
        let reports =
            Reports { json: at("a.json"), junit: at("b.xml"), ktap: at("c.ktap"), step_summary: at("d.md") };
        fs::write(folder.join("d.md"), "before\n").unwrap();
        (0..2).for_each(|_| assert!(reports.write(&suite()).is_empty()));
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(json::read(&read("a.json")).unwrap(), suite());
        assert!(read("b.xml").starts_with("<?xml") && read("c.ktap").starts_with("KTAP version 1\n"));
        assert_eq!(read("d.md"), format!("before\n{0}{0}", github::summary(&suite())));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        let bad = Reports {
            json: Some("/dev/full".into()),
            junit: at("none/b.xml"),
            ktap: at("e.ktap"),
            ..Reports::default()
        };
        let errors: Vec<String> = bad.write(&suite()).iter().map(ToString::to_string).collect();
        let [full, none] = &errors[..] else { panic!("{errors:?}") };
        assert!(full.contains("--json /dev/full: No space left on device; name"), "{full}");
        assert!(none.contains("--junit") && none.contains("No such file"), "{none}");
        assert!(read("e.ktap").len() > 10);
        fs::remove_dir_all(&folder).unwrap();
    }
}
