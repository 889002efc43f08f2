//! Compares what a run gave with what its scenario expects.

use fencepost_report::ktap::{self, Known, Ktap};
use fencepost_report::{Failure, Judged, Verdict};
use regex::bytes::Regex;

use super::play::{Ended, Played};
use crate::error::HostError;
use crate::scenario::{Allowed, Step};

/// Lines of a step's output that a failure shows.
const SHOWN_LINES: usize = 12;
/// Characters of each.
const SHOWN_CHARACTERS: usize = 200;

/// What a scenario that failed says of evidence that was not written.
pub fn missing_evidence(why: &str) -> Failure {
    let expected = "that it is written".to_owned();
    Failure { at: "evidence".to_owned(), line: None, expected, came: why.to_owned(), output: Vec::new() }
}

/// Compares a step with what came of it. `name` is the check's, `line` the step's in its file, `known` the tests that may fail.
pub fn step(step: &Step, name: &str, line: Option<u32>, known: &[Known], played: &Played) -> Judged {
    let mut judged = Judged::default();
    let results = results(step, played);
    let wanted = step.status.unwrap_or(0);
    // A program whose tests fail says so by its status as well.
    let any_status = step.status.is_none() && results.as_ref().is_some_and(|ktap| !ktap.tests.is_empty());
    let expected = format!("exit status {wanted}");
    let wrong = match &played.ended {
        Some(Ended::Status(status)) if *status == wanted || any_status => match step.output.as_deref() {
            Some(pattern) if !Regex::new(pattern).is_ok_and(|it| it.is_match(&played.output.bytes)) => {
                Some((format!("output that matches '{pattern}'"), "it does not".to_string()))
            }
            _ => None,
        },
        Some(Ended::Status(status)) => Some((expected, exit_status(*status))),
        Some(Ended::Done) => None,
        Some(Ended::Refused(why)) => Some(("that it can be done".to_string(), why.clone())),
        Some(Ended::TimedOut) => {
            let after = played.ns.1.saturating_sub(played.ns.0);
            Some((expected, format!("it still ran after {:.3} s of the guest's time", after as f64 / 1e9)))
        }
        None => Some((expected, "the guest ended before it".to_string())),
    };
    match wrong {
        Some((expected, came)) => {
            judged.failed(name, expected, came, lines(&played.output.bytes, SHOWN_LINES))
        }
        None => judged.passed(name, ""),
    }
    if let Some(ktap) = results {
        judged.append(ktap::judge(&ktap, known, name));
    }
    judged.failures.iter_mut().for_each(|failure| failure.line = line);
    judged
}

/// What becomes of `judged` where a failure is expected: one of those that there are is that failure, and then no failure counts.
///
/// # Errors
///
/// `fails` has no regular expression.
pub fn as_failing(mut judged: Judged, fails: &Allowed) -> Result<Judged, HostError> {
    let pattern = Regex::new(&fails.pattern).map_err(|error| HostError::Input(error.to_string()))?;
    let is_it = |failure: &Failure| {
        pattern.is_match(failure.came.as_bytes()) || pattern.is_match(failure.output.join("\n").as_bytes())
    };
    let name = "the failure that is expected";
    let expected = || format!("a failure that matches '{}': {}", fails.pattern, fails.reason);
    if judged.failures.is_empty() {
        judged.failed(name, expected(), "nothing failed", Vec::new());
    } else if !judged.failures.iter().any(is_it) {
        judged.failed(name, expected(), "another failure", Vec::new());
    } else {
        for check in judged.checks.iter_mut().filter(|check| check.verdict == Verdict::Failed) {
            check.verdict = Verdict::Passed;
            check.message = format!("it fails as it should: {}", check.message);
        }
        judged.failures.clear();
        judged.passed(name, fails.reason.as_str());
    }
    Ok(judged)
}

/// The results in a step's output, if it is KTAP.
fn results(step: &Step, played: &Played) -> Option<Ktap> {
    let text = String::from_utf8_lossy(&played.output.bytes);
    let begins = || text.starts_with("KTAP version") || text.starts_with("TAP version");
    (step.run.is_some() && step.ktap.unwrap_or_else(begins)).then(|| ktap::parse(&text))
}

/// An exit status as a shell gives it, in words.
fn exit_status(status: u8) -> String {
    let meaning = match status {
        126 => " (it cannot be executed)".to_string(),
        127 => " (there is no such command)".to_string(),
        129..=192 => format!(" (signal {})", status - 128),
        _ => String::new(),
    };
    format!("exit status {status}{meaning}")
}

/// The last lines of a text of the guest's, safe to show.
pub fn lines(bytes: &[u8], most: usize) -> Vec<String> {
    // So much is enough for the lines, and a flood is not looked at in whole.
    let from = bytes.len().saturating_sub(most * 4 * SHOWN_CHARACTERS);
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let shown = |line: &&str| -> String {
        let safe = line
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .map(|c| if c.is_control() { '?' } else { c });
        safe.take(SHOWN_CHARACTERS).collect()
    };
    lines[lines.len().saturating_sub(most)..].iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::super::heard::Output;
    use super::*;

    fn played(ended: Option<Ended>, output: &str) -> Played {
        Played { task: 0, ended, output: Output { bytes: output.into(), lost: 0 }, ns: (0, 2_000_000_000) }
    }

    #[test]
    fn a_step_is_compared_with_what_it_expects() {
        let plain = Step { run: Some("x".into()), ..Step::default() };
        let status = Step { status: Some(3), ..plain.clone() };
        let output = Step { output: Some("(?m)^done$".into()), ..plain.clone() };
        let cases = [
            (&plain, Some(Ended::Status(0)), "", None),
            (&plain, Some(Ended::Status(1)), "", Some("exit status 1")),
            (&plain, Some(Ended::Status(127)), "", Some("no such command")),
            (&plain, Some(Ended::Status(139)), "", Some("signal 11")),
            (&plain, Some(Ended::TimedOut), "", Some("2.000 s")),
            (&plain, None, "", Some("the guest ended")),
            (&status, Some(Ended::Status(3)), "", None),
            (&status, Some(Ended::Status(0)), "", Some("exit status 0")),
            (&output, Some(Ended::Status(0)), "a\ndone\n", None),
            (&output, Some(Ended::Status(0)), "undone\n", Some("it does not")),
        ];
        for (wanted, ended, text, came) in cases {
            let judged = step(wanted, "step 1", Some(4), &[], &played(ended.clone(), text));
            match came {
                None => assert!(judged.failures.is_empty(), "{ended:?}"),
                Some(words) => assert!(judged.failures[0].came.contains(words), "{ended:?}: {judged:?}"),
            }
            assert_eq!(judged.checks.len(), 1);
        }
    }

    #[test]
    fn a_failure_that_is_expected_is_that_one() {
        let fails = Allowed { pattern: "NOT (done|seen)".into(), reason: "it cannot".into() };
        let of = |failures: &[(&str, &str)]| {
            let mut judged = Judged::default();
            judged.passed("step 1", "");
            for (came, output) in failures {
                judged.failed("step 2", "x", *came, vec![output.to_string()]);
            }
            as_failing(judged, &fails).unwrap()
        };
        for good in
            [&[("NOT done", "")][..], &[("status 1", "it is NOT seen")], &[("other", ""), ("NOT done", "")]]
        {
            let judged = of(good);
            assert!(
                judged.failures.is_empty() && judged.checks.iter().all(|it| it.verdict == Verdict::Passed)
            );
            assert_eq!(judged.checks.last().map(|it| it.message.as_str()), Some("it cannot"));
        }
        assert_eq!(of(&[]).failures[0].came, "nothing failed");
        let other = of(&[("status 1", "segmentation fault")]);
        assert_eq!((other.failures.len(), other.failures[1].came.as_str()), (2, "another failure"));
    }

    #[test]
    fn results_are_read_where_there_are_some() {
        let text = "KTAP version 1\n1..2\nok 1 good\nnot ok 2 bad\n";
        let plain = Step { run: Some("x".into()), ..Step::default() };
        let judged = step(&plain, "step 1", Some(4), &[], &played(Some(Ended::Status(1)), text));
        assert_eq!(judged.checks.len(), 3, "{judged:?}");
        assert_eq!((judged.failures.len(), judged.failures[0].line), (1, Some(4)));
        assert_eq!(judged.failures[0].at, "step 1: bad");
        let known = [Known::pattern("b.d", "it is known").unwrap()];
        let judged = step(&plain, "step 1", None, &known, &played(Some(Ended::Status(1)), text));
        assert!(judged.failures.is_empty(), "{judged:?}");
        // Who says that there are results and has none is wrong.
        let without = Step { ktap: Some(true), ..plain };
        let judged = step(&without, "step 1", None, &[], &played(Some(Ended::Status(0)), "done\n"));
        assert_eq!(judged.failures.len(), 1, "{judged:?}");
    }

    #[test]
    fn what_the_guest_wrote_is_safe_to_show() {
        let shown = lines(b"one\n\n\x1b[31mtwo\x07\r\n\xff\xfe three\n", 2);
        assert_eq!(shown, ["?[31mtwo?", "\u{fffd}\u{fffd} three"]);
        assert!(lines("x".repeat(100_000).as_bytes(), 3)[0].len() <= SHOWN_CHARACTERS);
    }
}
