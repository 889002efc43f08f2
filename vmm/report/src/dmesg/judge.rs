//! Events against what a scenario allows.

use regex::Regex;

use super::{Event, Found, Kind};
use crate::judged::Judged;
use crate::pattern::{PatternError, within};

/// Something that may be among the messages, and why.
#[derive(Clone, Debug)]
pub struct Allowed {
    pattern: Regex,
    reason: String,
}

impl Allowed {
    /// Every event of which a line fits the regular expression: its own line, or one that is kept with it.
    pub fn new(pattern: &str, reason: impl Into<String>) -> Result<Allowed, PatternError> {
        Ok(Allowed { pattern: within(pattern)?, reason: reason.into() })
    }

    fn is(&self, event: &Event) -> bool {
        self.pattern.is_match(&event.text) || event.lines.iter().any(|line| self.pattern.is_match(line))
    }
}

/// What is allowed.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether messages of errors are wrong, too. Only `dmesg --raw` shows a message's level.
    pub errors: bool,
    /// What may be there.
    pub allowed: Vec<Allowed>,
}

/// What the events come to: a failed check for each that is not allowed, a note for each allowed pattern, and a passed check named
/// `prefix` if nothing is wrong. Names begin with `prefix`.
pub fn judge(found: &Found, policy: &Policy, prefix: &str) -> Judged {
    let mut judged = Judged::default();
    let mut matched = vec![0u64; policy.allowed.len()];
    for event in &found.events {
        if matches!(event.kind, Kind::Error(_)) && !policy.errors {
            continue;
        }
        match policy.allowed.iter().position(|allowed| allowed.is(event)) {
            Some(which) => {
                if let Some(count) = matched.get_mut(which) {
                    *count = count.saturating_add(event.times);
                }
            }
            None => judge_event(&mut judged, event, prefix),
        }
    }
    if found.more > 0 {
        let came = format!("{} more, which were not looked at", found.more);
        judged.failed(format!("{prefix}: too many"), "few such messages", came, Vec::new());
    }
    if judged.failures.is_empty() {
        judged.passed(prefix, "");
    }
    for (allowed, count) in policy.allowed.iter().zip(matched) {
        let name = format!("{prefix}: allowed: {}", allowed.pattern);
        let often = match count {
            0 => "it never came".to_owned(),
            1 => "it came once".to_owned(),
            count => format!("it came {count} times"),
        };
        judged.skipped(name, format!("{often}; allowed: {}", allowed.reason));
    }
    judged
}

fn judge_event(judged: &mut Judged, event: &Event, prefix: &str) {
    let kind = event.kind.name();
    let stamp = event.stamp.iter().map(|stamp| format!(", at {stamp} s of the kernel's time"));
    let times = (event.times > 1).then(|| format!(", {} times in a row", event.times));
    let more: String = stamp.chain(times).collect();
    // The line makes the name one of its own.
    let name = format!("{prefix}: {kind}, line {}", event.line);
    judged.failed(name, format!("no {kind}"), format!("{}{more}", event.text), event.lines.clone());
}
