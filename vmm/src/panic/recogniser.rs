//! From a console's bytes to findings, and to the moments at which a report is complete.

use serde::{Deserialize, Serialize};

use super::findings::Findings;
use super::lines::Lines;
use fencepost_report::class::{Class, classify, is_die_header};
use fencepost_report::printk::stamped;

/// A report that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    class: Class,
    /// The line with its number has come.
    numbered: bool,
}

/// A report is whole on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complete {
    /// An oops. The kernel kills the task and goes on, or panics next.
    Oops,
    /// A panic. The kernel still has something to do: it restarts, or waits for that.
    Panic,
    /// A panic, and the kernel will never do anything again.
    Panicked,
}

/// What the console has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recogniser {
    lines: Lines,
    /// The kernel prints time stamps: a line without one is not its.
    stamps: bool,
    open: Option<Open>,
    findings: Findings,
}

/// What a panic's first line and its last one have behind what they begin with (kernel/panic.c).
const NOT_SYNCING: &str = "Kernel panic - not syncing: ";

impl Recogniser {
    /// What was found.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The same, to add what did not come over the console.
    pub fn findings_mut(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// Takes what was written; says whether a report is complete with it, the gravest if there are several.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Complete> {
        let mut complete = None;
        for &byte in bytes {
            if let Some(line) = self.lines.push(byte) {
                complete = complete.max(self.line(&line));
            }
        }
        complete
    }

    fn line(&mut self, line: &str) -> Option<Complete> {
        let mut complete = None;
        for message in stamped(line) {
            self.stamps = true;
            complete = complete.max(self.message(message));
        }
        if self.stamps { complete } else { self.message(line.trim_start()) }
    }

    fn message(&mut self, message: &str) -> Option<Complete> {
        if let Some(why) = message.strip_prefix(NOT_SYNCING) {
            self.findings.add_panic(why);
            return None;
        }
        if let Some(rest) = message.strip_prefix("---[ end ").and_then(|rest| rest.strip_prefix(NOT_SYNCING))
        {
            self.findings.add_panic(rest.strip_suffix(" ]---").unwrap_or(rest));
            return Some(Complete::Panicked);
        }
        let after = ["Kernel Offset: ", "Rebooting in "].iter().any(|start| message.starts_with(start));
        if after && self.findings.panic.is_some() {
            return Some(Complete::Panic);
        }
        if message.starts_with("---[ end trace ") {
            let ended = self.open.take();
            return ended.filter(|open| open.class == Class::Oops).map(|_| Complete::Oops);
        }
        if let (Some(place), Some(open)) = (message.strip_prefix("RIP: 0010:"), self.open) {
            if open.class.has_place() {
                self.findings.set_place(open.class, place);
            }
            return None;
        }
        self.begin(message);
        None
    }

    /// A report begins, or the second line of an oops tells its number.
    fn begin(&mut self, message: &str) {
        let Some((class, text)) = classify(message) else { return };
        let numbered = class == Class::Oops && is_die_header(text);
        if let Some(open) = &mut self.open
            && (open.class, open.numbered, numbered) == (Class::Oops, false, true)
        {
            open.numbered = true;
            return;
        }
        self.open = Some(Open { class, numbered });
        self.findings.add(class, text);
    }
}
