//! What a single line is in KTAP's and TAP's grammar.

use super::Directive;
use crate::printk;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `KTAP version 1`, `TAP version 13`: whether it is KTAP's.
    Version { ktap: bool },
    /// `1..N`, with the reason when everything is skipped.
    Plan { count: u32, skipped: Option<&'a str> },
    /// A result.
    Result(Found<'a>),
    /// `Bail out!`, with its reason.
    Bail(&'a str),
    /// `# Subtest: name`.
    Subtest(&'a str),
    /// Any other line, without the `# ` of a comment; whether it is one.
    Text { text: &'a str, comment: bool },
}

/// A result's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    pub ok: bool,
    pub number: Option<u32>,
    /// With TAP's escapes taken out.
    pub name: String,
    pub directive: Option<Directive>,
    /// What follows the directive, or the `#` where there is none.
    pub reason: &'a str,
}

/// A line, and where its text begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Columns before the text: spaces, and the `# ` of kselftest's nested tests.
    pub column: usize,
    /// Whether a `# ` stands before it.
    pub hashed: bool,
    pub kind: Kind<'a>,
}

/// Reads a line. `None` if there is nothing on it.
pub fn read(line: &str) -> Option<Line<'_>> {
    let line = printk::message(line.trim_end());
    let mut text = line.trim_start_matches(' ');
    let comment_column = line.len() - text.len();
    if text.is_empty() {
        return None;
    }
    let comment = text.strip_prefix('#').map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
    if let Some(name) = comment.and_then(|comment| comment.strip_prefix("Subtest: ")) {
        return Some(Line { column: comment_column, hashed: false, kind: Kind::Subtest(name.trim()) });
    }
    // kselftest puts `# ` before each line of a program, and again for a program's programs.
    while let Some(rest) = text.strip_prefix("# ") {
        text = rest.trim_start_matches(' ');
    }
    let column = line.len() - text.len();
    let hashed = comment.is_some();
    let kind = statement(text).unwrap_or(match comment {
        Some(comment) => Kind::Text { text: comment, comment: true },
        None => Kind::Text { text, comment: false },
    });
    let column = if matches!(kind, Kind::Text { .. }) { comment_column } else { column };
    Some(Line { column, hashed, kind })
}

fn statement(text: &str) -> Option<Kind<'_>> {
    version(text).or_else(|| plan(text)).or_else(|| bail(text)).or_else(|| result(text).map(Kind::Result))
}

fn version(text: &str) -> Option<Kind<'_>> {
    let (ktap, number) = match text.strip_prefix("KTAP version ") {
        Some(number) => (true, number),
        None => (false, text.strip_prefix("TAP version ")?),
    };
    number.trim().parse::<u32>().is_ok().then_some(Kind::Version { ktap })
}

fn plan(text: &str) -> Option<Kind<'_>> {
    let rest = text.strip_prefix("1..")?;
    let (count, rest) = digits(rest)?;
    let reason = rest.trim_start();
    let comment = reason.strip_prefix('#').map(str::trim_start);
    if !reason.is_empty() && comment.is_none() {
        return None;
    }
    let comment = comment.unwrap_or_default();
    let why = match directive(comment) {
        Some((Directive::Skip, why)) => why,
        _ => comment,
    };
    Some(Kind::Plan { count, skipped: (count == 0).then_some(why) })
}

fn bail(text: &str) -> Option<Kind<'_>> {
    let said = "Bail out!";
    let start = text.get(..said.len())?;
    start.eq_ignore_ascii_case(said).then(|| Kind::Bail(text.get(said.len()..).unwrap_or_default().trim()))
}

/// A number at the start, and what follows it. One that is too large is the largest.
fn digits(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (!number.is_empty()).then(|| (number.parse().unwrap_or(u32::MAX), rest))
}

fn result(text: &str) -> Option<Found<'_>> {
    let (ok, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let (number, rest) = match digits(rest) {
        Some((number, behind)) if behind.is_empty() || behind.starts_with([' ', '#']) => {
            (Some(number), behind.trim_start())
        }
        _ => (None, rest),
    };
    let rest = rest.strip_prefix("- ").unwrap_or(if rest == "-" { "" } else { rest });
    let (name, directive, reason) = split(rest);
    // kselftest's `ok 3 # SKIP what it tests`: the test has no other name.
    let name = if name.is_empty() { reason } else { name };
    Some(Found { ok, number, name: unescape(name), directive, reason })
}

/// A description, its directive, and what follows that.
fn split(text: &str) -> (&str, Option<Directive>, &str) {
    let mut first = None;
    for (at, _) in text.match_indices('#') {
        let (before, behind) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        if !(before.is_empty() || before.ends_with(' ')) {
            continue;
        }
        if let Some((directive, reason)) = directive(behind.trim_start()) {
            return (before.trim(), Some(directive), reason);
        }
        // KTAP allows data without a directive, where TAP would take it for a part of the name.
        first.get_or_insert((before.trim(), None, behind.trim()));
    }
    first.unwrap_or((text.trim(), None, ""))
}

fn directive(text: &str) -> Option<(Directive, &str)> {
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let directive = match &word.to_ascii_uppercase()[..] {
        // TAP 13 allows "skipped" and the like.
        "SKIP" | "SKIPPED" => Directive::Skip,
        "TODO" => Directive::Todo,
        "XFAIL" => Directive::Xfail,
        "XPASS" => Directive::Xpass,
        "TIMEOUT" => Directive::Timeout,
        "ERROR" => Directive::Error,
        _ => return None,
    };
    let whole = rest.is_empty() || rest.starts_with([' ', ':']);
    whole.then(|| (directive, rest.trim_start_matches([' ', ':'])))
}

/// TAP 14, "Escaping".
fn unescape(text: &str) -> String {
    text.replace("\\#", "#").replace("\\\\", "\\")
}
