//! What the host could not do for a device while the guest ran: the guest gets an error, the host's user one line at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// For each thing and what the guest got, the first reason and how often.
type Noted = BTreeMap<(String, &'static str), (String, u64)>;

/// The failures of one run. Clones are of the same.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<Noted>>);

impl Failures {
    /// `thing` failed, for the reason `why`; `counted` says in words what is counted.
    pub fn add(&self, thing: &str, why: &str, counted: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((thing.to_string(), counted)).or_insert_with(|| (why.to_string(), 0)).1 += 1;
    }

    /// For each thing the first reason, and how often, as a line.
    pub fn lines(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |((thing, counted), (why, count)): (&(String, &str), &(String, u64))| {
            format!("{thing}: {why}; {counted}: {count}")
        };
        all.iter().map(line).collect()
    }
}
