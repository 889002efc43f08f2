//! What every output says of a trace: which stamps, what was lost, what is damaged.

use crate::file::TraceFile;
use crate::journey::{Journeys, Outcome};

/// Facts of the trace as name and text, the stamps first.
pub fn facts(trace: &TraceFile, journeys: &Journeys) -> Vec<(String, String)> {
    let mut facts = vec![
        ("stamps".to_string(), trace.stamps()),
        ("made by".to_string(), format!("Fencepost {}", env!("CARGO_PKG_VERSION"))),
    ];
    let mut add = |name: &str, text: String| facts.push((name.to_string(), text));
    let categories: Vec<&str> = trace.header.categories.iter().map(|one| one.name()).collect();
    add("traced", categories.join(", "));
    if let Some(seed) = trace.header.seed {
        add("seed", seed.to_string());
    }
    if let Some(cycles) = trace.header.snapshot {
        add("began", format!("at a snapshot, at cycle {cycles}"));
    }
    if let Some(paced) = trace.header.paced {
        add("idle time", idle_time(paced).into());
    }
    for (name, cost) in &trace.header.costs {
        add(&format!("cost model: {name}"), cost.clone());
    }
    for (of, text) in counters(trace.counters()) {
        add(&format!("counted by {of}"), text);
    }
    add("events", trace.records.len().to_string());
    add("lost", lost(trace));
    let complete = journeys.frames.iter().filter(|frame| frame.outcome == Outcome::Complete).count();
    add("frames", format!("{}, of which {complete} complete", journeys.frames.len()));
    if !journeys.guest {
        add("guest", "its tracepoints are not in this trace: only the devices' half is shown".to_string());
    }
    if !journeys.violations.is_empty() {
        add("events before their cause", journeys.violations.len().to_string());
    }
    for damage in &trace.damage {
        add("damage", damage.to_string());
    }
    facts
}

/// What became of the time in which the guest was idle, in words.
pub fn idle_time(paced: bool) -> &'static str {
    if paced { "passed as the host's (--realtime)" } else { "skipped" }
}

/// What each part of the machine counted, in words.
pub fn counters<'a>(all: impl Iterator<Item = (&'a str, &'a str, Option<u64>)>) -> Vec<(&'a str, String)> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for (of, name, value) in all {
        let one = match value {
            Some(value) => format!("{name} {value}"),
            // The values are in the last frame.
            None => format!("{name} not known"),
        };
        match lines.last_mut().filter(|(last, _)| *last == of) {
            Some((_, line)) => *line += &format!(", {one}"),
            None => lines.push((of, one)),
        }
    }
    lines
}

/// What of the trace was lost, in words.
fn lost(trace: &TraceFile) -> String {
    match trace.totals {
        Some(totals) if totals.none_lost() => "nothing".to_string(),
        Some(totals) => {
            let cut = match totals.beyond_limit {
                0 => String::new(),
                beyond => format!(", {beyond} beyond the file's limit"),
            };
            format!("{} of the machine's events, {} of the guest's{cut}", totals.lost, totals.guest_lost)
        }
        None => "not known: the trace has no end".to_string(),
    }
}

/// What is not in the trace that should be, in a line; none where nothing is known to be missing.
pub fn gaps(trace: &TraceFile) -> Option<String> {
    let damage = match trace.damage.len() {
        0 if trace.totals.is_some_and(|totals| totals.none_lost()) => return None,
        0 => String::new(),
        1 => "; one place of the file is damaged".to_string(),
        places => format!("; {places} places of the file are damaged"),
    };
    Some(format!("Lost: {}{damage}", lost(trace)))
}

/// `text` as the content of an XML or HTML element or attribute. What no page should get from a guest, control characters and those
/// that turn the writing's direction, becomes U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(plain(letter)),
        }
    }
    escaped
}

/// Whether a character has no power over the text around it: it is no control character, does not turn the writing's direction, and
/// is a character at all.
pub fn is_plain(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let not_a_character = matches!(letter, '\u{fffe}' | '\u{ffff}');
    !(letter.is_control() || turns || not_a_character)
}

fn plain(letter: char) -> char {
    if is_plain(letter) { letter } else { '\u{fffd}' }
}

/// `text` with every character plain.
pub fn plain_text(text: &str) -> String {
    text.chars().map(plain).collect()
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// Nanoseconds in the unit in which they are a short number, rounded.
pub fn duration(ns: u64) -> String {
    let rounded = |last_digit: u64| ns.saturating_add(last_digit / 2) / last_digit;
    match ns {
        0..=9_999 => format!("{ns} ns"),
        10_000..=9_999_999 => {
            let tenths = rounded(100);
            format!("{}.{} µs", tenths / 10, tenths % 10)
        }
        10_000_000..=9_999_999_999 => {
            let hundredths = rounded(10_000);
            format!("{}.{:02} ms", hundredths / 100, hundredths % 100)
        }
        _ => {
            let hundredths = rounded(10_000_000);
            format!("{}.{:02} s", hundredths / 100, hundredths % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_guest_are_only_text() {
        assert_eq!(escape("<b a='1' c=\"2\">&"), "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;");
        assert_eq!(escape("a\u{202e}b\u{0}c\u{7f}d\né"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}é");
        assert_eq!(plain_text("<\u{1}>"), "<\u{fffd}>");
    }

    #[test]
    fn numbers_are_easy_to_read() {
        let groups = [0, 999, 1000, 1_234_567].map(|n| thousands(n).replace('\u{202f}', " "));
        assert_eq!(groups, ["0", "999", "1 000", "1 234 567"]);
        let times = [0, 9_999, 10_049, 10_050, 15_622_798, 12_345_678_901].map(duration);
        assert_eq!(times, ["0 ns", "9999 ns", "10.0 µs", "10.1 µs", "15.62 ms", "12.35 s"]);
        assert_eq!(duration(u64::MAX), "18446744073.70 s");
    }
}
