//! `fencepost test merge`: the reports of a suite's parts become the report of the suite.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::outcome::{Suite, VERSION};
use crate::text::plain;
use crate::write::json::{ReadError, read};

/// Why reports are not the parts of one suite.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// No file is named.
    #[error("no report is named; name the file that each part wrote with --json")]
    Nothing,
    /// A file cannot be read.
    #[error("the report {0}: {reason}; name a file that `fencepost test --json` wrote", reason = plain(.1))]
    File(PathBuf, std::io::Error),
    /// A file is no report.
    #[error("the report {0}: {1}")]
    Report(PathBuf, ReadError),
    /// A report is of a whole suite.
    #[error("the report {0} is not of a part: it was made without --shard; merge only reports of parts")]
    Whole(PathBuf),
    /// A report is of another suite.
    #[error("the report {0} is of other scenarios than {1}; run all parts on the same scenarios")]
    Foreign(PathBuf, PathBuf),
    /// A report is of a suite in another number of parts.
    #[error("the report {0} is part {1} of {2}, and {3} is of {4} parts; split the suite in one way")]
    Parts(PathBuf, u32, u32, PathBuf, u32),
    /// A part is there twice.
    #[error("the report {0} is part {1} of {2}, and so is {3}; name each part once")]
    Duplicate(PathBuf, u32, u32, PathBuf),
    /// Parts are not there.
    #[error("part {0} of {1} is missing{2}; name the reports of all parts")]
    Missing(u32, u32, String),
    /// A scenario is in two parts.
    #[error("the scenario '{0}' is in {1} and in {2}; run all parts with the same durations")]
    Twice(String, PathBuf, PathBuf),
}

/// Reads the reports that the files hold, and joins them.
pub fn merge_files(files: &[PathBuf]) -> Result<Suite, MergeError> {
    let part = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| MergeError::File(path.clone(), error))?;
        let suite = read(&text).map_err(|error| MergeError::Report(path.clone(), error))?;
        Ok((path.clone(), suite))
    };
    merge(files.iter().map(part).collect::<Result<_, _>>()?)
}

/// Joins the parts of a suite, each with the file that it is from: all parts, each once. The outcomes are in the order of their names; the
/// time is that of the longest part, since parts run beside each other.
pub fn merge(parts: Vec<(PathBuf, Suite)>) -> Result<Suite, MergeError> {
    let (first, suite, count) = match parts.first() {
        None => return Err(MergeError::Nothing),
        Some((path, suite)) => match suite.shard {
            None => return Err(MergeError::Whole(path.clone())),
            Some((_, count)) => (path.clone(), suite.suite.clone(), count),
        },
    };
    let mut seen: BTreeMap<u32, &Path> = BTreeMap::new();
    for (path, part) in &parts {
        let Some((number, of)) = part.shard else { return Err(MergeError::Whole(path.clone())) };
        if part.suite != suite {
            return Err(MergeError::Foreign(path.clone(), first));
        }
        if of != count {
            return Err(MergeError::Parts(path.clone(), number, of, first, count));
        }
        if let Some(other) = seen.insert(number, path) {
            return Err(MergeError::Duplicate(path.clone(), number, of, other.to_owned()));
        }
    }
    let mut missing = (1..=count).filter(|number| !seen.contains_key(number));
    if let Some(number) = missing.next() {
        let more = missing.count();
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        return Err(MergeError::Missing(number, count, more));
    }
    let wall_ms = parts.iter().map(|(_, part)| part.wall_ms).max().unwrap_or(0);
    let mut places: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for (path, part) in parts {
        for outcome in part.outcomes {
            if let Some(other) = places.insert(outcome.name.clone(), path.clone()) {
                return Err(MergeError::Twice(outcome.name, other, path));
            }
            outcomes.push(outcome);
        }
    }
    outcomes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Suite { version: VERSION, suite, shard: None, wall_ms, outcomes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample;

    /// The sample's outcomes in three parts, the first with two.
    fn parts() -> Vec<(PathBuf, Suite)> {
        let whole = sample::suite();
        let of = |part: u32| {
            let all = whole.outcomes.iter().enumerate();
            let outcomes =
                all.filter(|(at, _)| at % 3 + 1 == part as usize).map(|(_, it)| it.clone()).collect();
            let wall_ms = u64::from(part) * 100;
            (
                format!("{part}.json").into(),
                Suite { shard: Some((part, 3)), wall_ms, outcomes, ..whole.clone() },
            )
        };
        vec![of(2), of(3), of(1)]
    }

    fn refused(change: impl Fn(&mut Vec<(PathBuf, Suite)>)) -> String {
        let mut parts = parts();
        change(&mut parts);
        merge(parts).unwrap_err().to_string()
    }

    #[test]
    fn parts_become_the_whole_whatever_their_order() {
        let mut whole = Suite { shard: None, wall_ms: 300, ..sample::suite() };
        whole.outcomes.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(merge(parts()).unwrap(), whole);
        let mut turned = parts();
        turned.reverse();
        assert_eq!(merge(turned).unwrap(), whole);
    }

    #[test]
    fn what_is_no_part_of_the_same_suite_is_refused_with_its_file() {
        type Change = fn(&mut Vec<(PathBuf, Suite)>);
        let cases: [(Change, &str); 8] = [
            (|parts| parts.clear(), "no report is named"),
            (|parts| drop(parts.pop()), "part 1 of 3 is missing; name"),
            (|parts| parts.truncate(1), "part 1 of 3 is missing, and 1 more"),
            (|parts| parts[2].1.shard = None, "1.json is not of a part"),
            (|parts| parts[0].1.shard = None, "2.json is not of a part"),
            (|parts| parts[1].1.suite = "other".into(), "3.json is of other scenarios than 2.json"),
            (|parts| parts[2].1.shard = Some((1, 4)), "1.json is part 1 of 4, and 2.json is of 3 parts"),
            (|parts| parts[2].1.shard = Some((3, 3)), "1.json is part 3 of 3, and so is 3.json"),
        ];
        for (change, says) in cases {
            let error = refused(change);
            assert!(error.contains(says) && error.len() < 300, "{error}");
        }
        let error = refused(|parts| parts[1].1.outcomes = parts[2].1.outcomes.clone());
        assert!(error.contains("is in 3.json and in 1.json"), "{error}");
    }

    #[test]
    fn files_are_read_and_named_when_they_are_none() {
        let folder = std::env::temp_dir().join(format!("fencepost-merge-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut files = Vec::new();
        for (name, part) in parts() {
            let mut out = Vec::new();
            crate::write::json::write(&part, &mut out).unwrap();
            files.push(folder.join(name));
            std::fs::write(files.last().unwrap(), out).unwrap();
        }
        assert_eq!(merge_files(&files).unwrap(), merge(parts()).unwrap());
        let text = std::fs::read_to_string(&files[0]).unwrap();
        for (text, says) in [("{}", "missing field"), (&text.replacen("1", "7", 1)[..], "layout 7")] {
            std::fs::write(&files[0], text).unwrap();
            let error = merge_files(&files).unwrap_err().to_string();
            assert!(error.contains("2.json") && error.contains(says), "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(merge_files(&files).unwrap_err().to_string().contains("2.json"));
    }
}
