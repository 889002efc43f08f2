//! `fencepost doctor`: what this host can do for a guest, and how to fix what it cannot, on one screen.

pub mod facts;
mod probe;
pub mod report;

use std::io::Write;

use self::report::Report;

/// Why `/dev/kvm` does not open, and the fix, for a command that needs it; none when it opens.
pub fn kvm_refusal() -> Option<(String, String)> {
    report::refusal(&probe::kvm_facts())
}

/// Probes the host, prints what was found, as one JSON object if asked for, and gives the exit status (see [`report::Class::status`]).
pub fn doctor(json: bool) -> i32 {
    let facts = probe::facts();
    let report = Report::of(&facts);
    let text = if json { report.json(&facts) } else { report.lines().join("\n") };
    // Whoever closed the pipe early has read enough; the status is still the answer.
    let _ = writeln!(std::io::stdout(), "{text}");
    report.class.status()
}
