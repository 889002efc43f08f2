//! What a user sees while scenarios run: a line for each that is done, and on a terminal a line that says how far it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fencepost_report::{Outcome, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Tells the user.
pub type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// The state of the line.
pub struct Telling<'a> {
    bar: ProgressBar,
    running: Mutex<Vec<String>>,
    tell: Tell<'a>,
}

impl<'a> Telling<'a> {
    /// Of so many scenarios none is done. A `still` line is not shown: the terminal is the guest's.
    pub fn new(count: usize, still: bool, tell: Tell<'a>) -> Self {
        let target = if still { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(count as u64), target);
        let style = ProgressStyle::with_template("{pos}/{len} done, {elapsed} gone, {eta} left {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Telling { bar, running: Mutex::default(), tell }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| (self.tell)(text));
    }

    /// One has begun.
    pub fn begun(&self, name: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push(name.to_string());
        self.bar.set_message(running.join(", "));
    }

    /// One is done.
    pub fn done(&self, outcome: &Outcome) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|name| *name != outcome.name);
        self.bar.set_message(running.join(", "));
        drop(running);
        let word = match outcome.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
            Verdict::Broken => "BROKEN",
        };
        let why = outcome.failures.first().map(|it| format!(": {}: {}", it.at, it.came)).unwrap_or_default();
        let seconds = outcome.wall_ms as f64 / 1e3;
        self.line(&format!("{word:7} {} ({seconds:.1} s){why}", outcome.name));
        self.bar.inc(1);
    }
}

impl Drop for Telling<'_> {
    /// Nothing of the line is left on the terminal, however the suite ended.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
