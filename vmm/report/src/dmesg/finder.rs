//! From lines to events: where each begins and ends.

use std::collections::VecDeque;

use super::kind::{is_harmless, of};
use super::{Event, Found, Kind};
use crate::class::{Class, is_die_header};
use crate::printk::{Prefix, split, stamped};
use crate::text::{at_most, one_line};

/// Events that are kept.
const EVENTS_MAX: usize = 1000;
/// Lines that are kept of an event, and bytes of each.
const LINES_MAX: usize = 24;
const LINE_MAX_BYTES: usize = 400;
/// Calls that are kept of each trace.
const CALLS_MAX: usize = 6;
/// Lines after which an event whose end is not recognised has ended.
const EVENT_MAX_LINES: usize = 120;
/// The longest pause within an event, in seconds of the kernel's.
const PAUSE_MAX: f64 = 1.0;

/// Finds what is wrong in a kernel's messages: the text of a console, of `dmesg`, or of `dmesg --raw`.
///
/// Once a line has a time stamp or a level, only lines that have one are the kernel's.
pub fn find(text: &str) -> Found {
    let mut finder = Finder::default();
    let marked = |line: &str| split(line).0 != Prefix::default() || stamped(line).next().is_some();
    finder.marked = text.lines().any(|line| marked(at_most(line, 4096)));
    for (at, line) in text.lines().enumerate() {
        finder.line(at + 1, at_most(line.trim_end(), 4096));
    }
    finder.close();
    std::mem::take(&mut finder.faults).into_iter().for_each(|fault| finder.keep(fault.event));
    finder.found.events.sort_by_key(|event| event.line);
    finder.found
}

#[derive(Default)]
struct Finder {
    /// The kernel's lines have stamps or levels.
    marked: bool,
    open: Option<Open>,
    /// Faults of VT-d's IOMMUs that wait for the line that says which, the oldest first. Another CPU's lines may stand between.
    faults: VecDeque<Open>,
    /// The lines of a WARN's block before the one that says what it is.
    head: Option<Vec<String>>,
    found: Found,
}

/// An event that is being read.
struct Open {
    event: Event,
    seconds: Option<f64>,
    /// All its lines so far.
    count: usize,
    /// Calls of the trace that is being read.
    calls: Option<usize>,
}

impl Finder {
    fn line(&mut self, at: usize, line: &str) {
        let (prefix, message) = split(line);
        if prefix != Prefix::default() || !self.marked {
            return self.message(at, prefix, message);
        }
        // Behind what a program has left unfinished on the console.
        let found = line.match_indices('[').find_map(|(start, _)| {
            let (prefix, message) = split(line.get(start..)?);
            prefix.stamp.is_some().then_some((prefix, message))
        });
        if let Some((prefix, message)) = found {
            self.message(at, prefix, message);
        }
    }

    fn message(&mut self, at: usize, prefix: Prefix, message: &str) {
        let seconds = prefix.stamp.and_then(|stamp| stamp.parse::<f64>().ok());
        self.give_up_faults(seconds);
        if self.joins_fault(message) {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.is_over(seconds)) {
            self.close();
        }
        if message.starts_with("------------[ cut here ]") {
            self.close();
            self.head = Some(Vec::new());
            return;
        }
        let kind = of(message).filter(|_| !is_harmless(message));
        let inner = kind.is_some_and(|kind| self.is_inner(kind, message));
        match kind.filter(|_| !inner) {
            Some(kind) => self.begin(at, prefix, seconds, kind, message),
            None if self.open.is_some() => self.follow(message, seconds),
            None => match prefix.level {
                Some(level @ 0..=3)
                    if self.head.is_none() && !is_rule(message) && !message.trim().is_empty() =>
                {
                    self.begin(at, prefix, seconds, Kind::Error(level), message);
                    self.close();
                }
                _ => self.head(message),
            },
        }
    }

    /// Whether a line that could begin an event is a part of the one that is open.
    fn is_inner(&self, kind: Kind, message: &str) -> bool {
        let Some(open) = &self.open else { return false };
        match (open.event.kind, kind) {
            // The second line of an oops, with its number.
            (Kind::Report(Class::Oops), Kind::Report(Class::Oops)) => {
                is_die_header(message) && !is_die_header(&open.event.text)
            }
            _ => false,
        }
    }

    /// VT-d's IOMMU says that there is a fault, and a line behind it which. That one tells more; with it, the event is whole.
    fn joins_fault(&mut self, message: &str) -> bool {
        if !message.starts_with("DMAR: [") {
            return false;
        }
        let Some(Open { mut event, .. }) = self.faults.pop_front() else { return false };
        event.text = kept(message);
        self.keep(event);
        true
    }

    /// Keeps the faults of which nothing more is to come as they are.
    fn give_up_faults(&mut self, seconds: Option<f64>) {
        self.faults.iter_mut().for_each(|fault| fault.count += 1);
        while self.faults.front().is_some_and(|fault| fault.is_over(seconds)) {
            self.faults.pop_front().into_iter().for_each(|fault| self.keep(fault.event));
        }
    }

    fn begin(&mut self, at: usize, prefix: Prefix, seconds: Option<f64>, kind: Kind, message: &str) {
        // What stands between `cut here` and the line with the place is the WARN's own message, or what is corrupt.
        let head = match kind {
            Kind::Report(Class::Warning | Class::Oops | Class::Sanitizer) => self.head.take(),
            Kind::Corruption | Kind::DmaApi if self.head.is_some() => return self.head(message),
            _ => None,
        };
        let waits = message.starts_with("DMAR: DRHD");
        if !waits {
            self.close();
        }
        let lines = head.unwrap_or_default();
        let kind = lines.iter().find_map(|line| of(line)).unwrap_or(kind);
        let event = Event {
            kind,
            text: kept(message),
            lines,
            line: at,
            stamp: prefix.stamp.map(str::to_owned),
            times: 1,
        };
        let open = Open { event, seconds, count: 1, calls: None };
        if waits {
            return self.faults.push_back(open);
        }
        self.open = Some(open);
        if !has_more(kind, message) {
            self.close();
        }
    }

    fn follow(&mut self, message: &str, seconds: Option<f64>) {
        let Some(open) = &mut self.open else { return };
        open.take(message, seconds);
        let rule = is_rule(message) && open.count > 2;
        let sanitizer = open.event.kind == Kind::Report(Class::Sanitizer);
        let ends = match () {
            () if message.starts_with("---[ end ") => true,
            () if sanitizer => rule,
            () => message.trim() == "</TASK>" && !of(&open.event.text).is_some_and(ends_by_itself),
        };
        if ends {
            self.close();
        }
    }

    /// A line that belongs to nothing, unless a WARN's block has begun.
    fn head(&mut self, message: &str) {
        let full = self.head.as_ref().is_some_and(|head| head.len() >= LINES_MAX);
        if full {
            self.head = None;
        }
        if let Some(head) = &mut self.head {
            head.push(kept(message));
        }
    }

    /// The open event is whole.
    fn close(&mut self) {
        self.head = None;
        let Some(Open { mut event, .. }) = self.open.take() else { return };
        event.lines.truncate(LINES_MAX);
        self.keep(event);
    }

    fn keep(&mut self, event: Event) {
        let events = &mut self.found.events;
        if let Some(last) =
            events.last_mut().filter(|last| (last.kind, &last.text) == (event.kind, &event.text))
        {
            last.times = last.times.saturating_add(1);
        } else if events.len() < EVENTS_MAX {
            events.push(event);
        } else {
            self.found.more = self.found.more.saturating_add(1);
        }
    }
}

impl Open {
    fn is_over(&self, seconds: Option<f64>) -> bool {
        let pause = self.seconds.zip(seconds).is_some_and(|(last, now)| now - last > PAUSE_MAX);
        pause || self.count >= EVENT_MAX_LINES
    }

    /// Takes a line that belongs to it, and keeps it if it says something to a reader.
    fn take(&mut self, message: &str, seconds: Option<f64>) {
        self.count += 1;
        self.seconds = seconds.or(self.seconds);
        let text = message.trim_start();
        if text.starts_with("Call Trace:") {
            self.calls = Some(0);
        } else if let Some(calls) = &mut self.calls {
            let is_call = message.starts_with(' ') && (text.contains("+0x") || text.starts_with('<'));
            match is_call {
                // `? f+0x1/0x2` is only what was found on the stack.
                true if text.starts_with(['<', '?']) => return,
                true => {
                    *calls += 1;
                    if *calls > CALLS_MAX {
                        return;
                    }
                }
                false => self.calls = None,
            }
        }
        if self.event.lines.len() < LINES_MAX && !is_noise(text) {
            self.event.lines.push(kept(message));
        }
    }
}

/// Whether lines follow the first one.
fn has_more(kind: Kind, message: &str) -> bool {
    match kind {
        Kind::Error(_) | Kind::IommuFault => false,
        // Of these only a failed allocation has a trace.
        Kind::Memory => message.contains("page allocation failure"),
        _ => true,
    }
}

/// Whether the end is told by `---[ end`.
fn ends_by_itself(kind: Kind) -> bool {
    matches!(kind, Kind::Panic | Kind::Report(Class::Oops | Class::Warning))
}

/// The lines that stand before and behind a sanitizer's and lockdep's reports.
fn is_rule(message: &str) -> bool {
    let message = message.trim();
    message.len() > 20 && message.bytes().all(|byte| byte == b'=')
}

/// Registers, code bytes and the like.
fn is_noise(text: &str) -> bool {
    const STARTS: [&str; 17] = [
        "RSP:",
        "RAX:",
        "RDX:",
        "RBP:",
        "R10:",
        "R13:",
        "FS:",
        "CS:",
        "CR2:",
        "DR0:",
        "DR3:",
        "PKRU:",
        "Code:",
        "Modules linked in:",
        "Hardware name:",
        "<TASK>",
        "</TASK>",
    ];
    text.trim().is_empty() || is_rule(text) || STARTS.iter().any(|start| text.starts_with(start))
}

fn kept(message: &str) -> String {
    one_line(at_most(message.trim_end(), LINE_MAX_BYTES))
}
