//! Compares what a run gave with what its scenario expects.

use fencepost_report::{Check, Failure, Verdict};
use regex::bytes::Regex;

use super::play::{Ended, Played};
use crate::scenario::Step;

/// Lines of a step's output that a failure shows.
const SHOWN_LINES: usize = 12;
/// Characters of each.
const SHOWN_CHARACTERS: usize = 200;

/// What was looked at, and what was not as expected.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// In order.
    pub checks: Vec<Check>,
    /// In order.
    pub failures: Vec<Failure>,
}

impl Judged {
    /// Something was as expected.
    pub fn pass(&mut self, name: &str) {
        self.checks.push(Check { name: name.to_string(), verdict: Verdict::Passed, message: String::new() });
    }

    /// Something was not.
    pub fn fail(&mut self, failure: Failure) {
        let message = format!("expected {}; {}", failure.expected, failure.came);
        self.checks.push(Check { name: failure.at.clone(), verdict: Verdict::Failed, message });
        self.failures.push(failure);
    }

    /// Adds what another one found.
    pub fn add(&mut self, other: Judged) {
        self.checks.extend(other.checks);
        self.failures.extend(other.failures);
    }
}

/// Compares a step with what came of it. `name` is the check's, `line` the step's in its file.
pub fn step(step: &Step, name: &str, line: Option<u32>, played: &Played) -> Judged {
    let mut judged = Judged::default();
    let output = lines(&played.output.bytes, SHOWN_LINES);
    let wrong = |expected: String, came: String| Failure {
        at: name.to_string(),
        line,
        expected,
        came,
        output: output.clone(),
    };
    let wanted = step.status.unwrap_or(0);
    match &played.ended {
        Some(Ended::Status(status)) if *status == wanted => {
            if let Some(pattern) = step.output.as_deref()
                && !Regex::new(pattern).is_ok_and(|it| it.is_match(&played.output.bytes))
            {
                judged.fail(wrong(format!("output that matches '{pattern}'"), "it does not".to_string()));
            }
        }
        Some(Ended::Status(status)) => {
            judged.fail(wrong(format!("exit status {wanted}"), exit_status(*status)))
        }
        Some(Ended::Done) => {}
        Some(Ended::Refused(why)) => judged.fail(wrong("that it can be done".to_string(), why.clone())),
        Some(Ended::TimedOut) => {
            let after = played.ns.1.saturating_sub(played.ns.0);
            let came = format!("it still ran after {:.3} s of the guest's time", after as f64 / 1e9);
            judged.fail(wrong(format!("exit status {wanted}"), came));
        }
        None => judged.fail(wrong(format!("exit status {wanted}"), "the guest ended before it".to_string())),
    }
    if judged.failures.is_empty() {
        judged.pass(name);
    }
    judged
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
            let judged = step(wanted, "step 1", Some(4), &played(ended.clone(), text));
            match came {
                None => assert!(judged.failures.is_empty(), "{ended:?}"),
                Some(words) => assert!(judged.failures[0].came.contains(words), "{ended:?}: {judged:?}"),
            }
            assert_eq!(judged.checks.len(), 1);
        }
    }

    #[test]
    fn what_the_guest_wrote_is_safe_to_show() {
        let shown = lines(b"one\n\n\x1b[31mtwo\x07\r\n\xff\xfe three\n", 2);
        assert_eq!(shown, ["?[31mtwo?", "\u{fffd}\u{fffd} three"]);
        assert!(lines("x".repeat(100_000).as_bytes(), 3)[0].len() <= SHOWN_CHARACTERS);
    }
}
