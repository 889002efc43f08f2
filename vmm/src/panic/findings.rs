//! What was found of the kernel's reports, counted by class, and how it is put into words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use fencepost_report::class::Class;

/// Bytes kept of a report's text, and of its place.
const TEXT_MAX_BYTES: usize = 240;

/// The start of a text, as much as is kept of it.
pub fn kept(text: &str) -> String {
    let end = (0..=TEXT_MAX_BYTES.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().trim_end().to_owned()
}

/// The reports of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// How many there were.
    pub count: u64,
    /// The first one's first line.
    pub text: String,
    /// Where the first one's CPU was, if the text does not say it.
    pub place: Option<String>,
}

impl Reports {
    /// Them in words.
    fn words(&self, class: Class) -> String {
        let [one, several] = class.names();
        let place = self.place.iter().map(|place| format!(", at {place}")).collect::<String>();
        match self.count {
            1 => format!("1 {one} ({}{place})", self.text),
            count => format!("{count} {several} (the first: {}{place})", self.text),
        }
    }
}

/// Everything that a guest's kernel has reported of its own failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Why it has panicked, if it has; empty if it did not say why.
    pub panic: Option<String>,
    /// Whether the pvpanic device told of a panic that a crash kernel deals with.
    pub crash_loaded: bool,
    /// Its other reports.
    pub reports: BTreeMap<Class, Reports>,
}

impl Findings {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Findings::default()
    }

    /// Counts a report.
    pub fn add(&mut self, class: Class, text: &str) {
        let first = || Reports { count: 0, text: kept(text), place: None };
        let reports = self.reports.entry(class).or_insert_with(first);
        reports.count = reports.count.saturating_add(1);
    }

    /// The place of the newest report of a class: kept of the first.
    pub fn set_place(&mut self, class: Class, place: &str) {
        if let Some(reports) = self.reports.get_mut(&class).filter(|reports| reports.count == 1) {
            reports.place.get_or_insert_with(|| kept(place));
        }
    }

    /// Notes a panic; of several the first.
    pub fn add_panic(&mut self, why: &str) {
        let known = self.panic.get_or_insert_default();
        if known.is_empty() {
            *known = kept(why);
        }
    }

    /// These and `others`, which were found of the same kernel: of a class as many as there were in either.
    pub fn with(&self, others: &Findings) -> Findings {
        let mut all = self.clone();
        others.panic.iter().for_each(|why| all.add_panic(why));
        all.crash_loaded |= others.crash_loaded;
        for (class, theirs) in &others.reports {
            let ours = all.reports.entry(*class).or_insert_with(|| theirs.clone());
            ours.count = ours.count.max(theirs.count);
            ours.place = ours.place.take().or_else(|| theirs.place.clone());
        }
        all
    }

    /// All of it as one line; none if there is nothing.
    pub fn line(&self) -> Option<String> {
        let reports: Vec<String> =
            self.reports.iter().map(|(class, reports)| reports.words(*class)).collect();
        let reports = reports.join(", ");
        let crash = if self.crash_loaded { "a panic that a crash kernel was to deal with" } else { "" };
        let others: Vec<&str> = [crash, &reports].into_iter().filter(|words| !words.is_empty()).collect();
        let others = others.join(", ");
        match &self.panic {
            None if others.is_empty() => None,
            None => Some(format!("the guest's kernel reported {others}")),
            Some(why) => {
                let why = if why.is_empty() { "it did not say why" } else { why };
                let others = if others.is_empty() { others } else { format!("; it also reported {others}") };
                Some(format!("the guest's kernel panicked: {why}{others}"))
            }
        }
    }
}
