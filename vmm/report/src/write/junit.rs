//! JUnit's XML, as Jenkins and GitLab read it: valid against junit-10.xsd of Jenkins' xunit-plugin.
//!
//! A scenario is a `testsuite`, a check of it a `testcase`. Checks have no times of their own; the scenario's is at its `testsuite`.

use std::borrow::Cow;
use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::checks;
use crate::outcome::{Check, Failure, Outcome, Suite, Verdict};

type Xml<'a> = Writer<&'a mut dyn Write>;

/// Writes a suite.
pub fn write(suite: &Suite, out: &mut impl Write) -> io::Result<()> {
    let all: Vec<Vec<Check>> = suite.outcomes.iter().map(checks).collect();
    let mut xml: Xml = Writer::new_with_indent(out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut root = BytesStart::new("testsuites");
    attribute(&mut root, "name", "fencepost");
    counts(&mut root, all.iter().flatten(), suite.wall_ms);
    xml.write_event(Event::Start(root))?;
    for (outcome, checks) in suite.outcomes.iter().zip(&all) {
        write_outcome(&mut xml, outcome, checks)?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuites")))?;
    xml.into_inner().write_all(b"\n")
}

fn counts<'a>(element: &mut BytesStart, checks: impl Iterator<Item = &'a Check> + Clone, wall_ms: u64) {
    let count = |verdict| checks.clone().filter(|check| check.verdict == verdict).count().to_string();
    attribute(element, "tests", &checks.clone().count().to_string());
    attribute(element, "failures", &count(Verdict::Failed));
    attribute(element, "errors", &count(Verdict::Broken));
    attribute(element, "time", &format!("{}.{:03}", wall_ms / 1000, wall_ms % 1000));
}

fn write_outcome(xml: &mut Xml, outcome: &Outcome, checks: &[Check]) -> io::Result<()> {
    let mut element = BytesStart::new("testsuite");
    attribute(&mut element, "name", &outcome.name);
    counts(&mut element, checks.iter(), outcome.wall_ms);
    let skipped = checks.iter().filter(|check| check.verdict == Verdict::Skipped).count();
    attribute(&mut element, "skipped", &skipped.to_string());
    if let Some(file) = &outcome.file {
        attribute(&mut element, "file", &file.to_string_lossy());
    }
    xml.write_event(Event::Start(element))?;
    write_properties(xml, outcome)?;
    for check in checks {
        write_check(xml, outcome, check)?;
    }
    if !outcome.console.is_empty() {
        write_text(xml, "system-out", &outcome.console.join("\n"))?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuite")))
}

fn write_properties(xml: &mut Xml, outcome: &Outcome) -> io::Result<()> {
    xml.write_event(Event::Start(BytesStart::new("properties")))?;
    let mut property = |name: &str, value: &str| {
        let mut element = BytesStart::new("property");
        attribute(&mut element, "name", name);
        attribute(&mut element, "value", value);
        xml.write_event(Event::Empty(element))
    };
    if let Some(kernel) = &outcome.kernel {
        property("kernel", kernel)?;
    }
    if let Some(seed) = outcome.seed {
        property("seed", &seed.to_string())?;
    }
    property("guest_ns", &outcome.guest_ns.to_string())?;
    if let Some(evidence) = &outcome.evidence {
        property("evidence", &evidence.to_string_lossy())?;
    }
    property("reproduce", &outcome.reproduce)?;
    xml.write_event(Event::End(BytesEnd::new("properties")))
}

fn write_check(xml: &mut Xml, outcome: &Outcome, check: &Check) -> io::Result<()> {
    let mut element = BytesStart::new("testcase");
    attribute(&mut element, "name", &check.name);
    attribute(&mut element, "classname", &outcome.name);
    let tag = match check.verdict {
        Verdict::Passed => return xml.write_event(Event::Empty(element)),
        Verdict::Skipped => "skipped",
        Verdict::Failed => "failure",
        Verdict::Broken => "error",
    };
    xml.write_event(Event::Start(element))?;
    let mut why = BytesStart::new(tag);
    attribute(&mut why, "message", &check.message);
    let failures: Vec<&Failure> = match check.name == super::WHOLE {
        true => outcome.failures.iter().collect(),
        false => outcome.failures.iter().filter(|failure| failure.at == check.name).collect(),
    };
    if check.verdict == Verdict::Skipped || failures.is_empty() {
        xml.write_event(Event::Empty(why))?;
    } else {
        xml.write_event(Event::Start(why))?;
        let said: Vec<String> = failures.iter().map(|failure| words(failure, outcome)).collect();
        xml.write_event(Event::Text(BytesText::new(&legal(&said.join("\n")))))?;
        xml.write_event(Event::End(BytesEnd::new(tag)))?;
        let output: Vec<&str> =
            failures.iter().flat_map(|failure| &failure.output).map(String::as_str).collect();
        if !output.is_empty() {
            write_text(xml, "system-out", &output.join("\n"))?;
        }
    }
    xml.write_event(Event::End(BytesEnd::new("testcase")))
}

fn words(failure: &Failure, outcome: &Outcome) -> String {
    let line = failure.line.zip(outcome.file.as_ref());
    let place = line.map(|(line, file)| format!(" ({}:{line})", file.display())).unwrap_or_default();
    let Failure { at, expected, came, .. } = failure;
    format!("{at}{place}\nexpected: {expected}\ncame: {came}\nagain: {}", outcome.reproduce)
}

fn write_text(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.write_event(Event::Start(BytesStart::new(name)))?;
    xml.write_event(Event::Text(BytesText::new(&legal(text))))?;
    xml.write_event(Event::End(BytesEnd::new(name)))
}

fn attribute(element: &mut BytesStart, name: &str, value: &str) {
    element.push_attribute((name, &*legal(value)));
}

/// The text with each character that XML 1.0 does not allow (section 2.2, Char) replaced by U+FFFD. A carriage return is replaced too: a
/// reader would turn it into an end of line.
fn legal(text: &str) -> Cow<'_, str> {
    let allowed = |character: char| matches!(character, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(allowed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|one| if allowed(one) { one } else { '\u{fffd}' }).collect())
}
