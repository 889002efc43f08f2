use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::sample::suite;
use super::*;
use crate::ktap::{Status, parse};

fn written(write: impl Fn(&Suite, &mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&suite(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_terminals_summary_is_this() {
    let style = summary::Style { columns: 72, lines: 2, ..Default::default() };
    let text = written(|suite, out| summary::write(suite, style, out));
    assert_eq!(
        text,
        "\
skipped  skip: no package of it here
BROKEN  hang
  at        boot (tests/flow.toml)
  expected  the guest's agent says that it is ready
  came      nothing in 60 s of the guest's time
  again     fencepost test tests/flow.toml --filter 'hang'

FAILED  dma[6.12]#2 on 6.12, seed 7
  at        step 2: dma: copies <4 KiB> & more (tests/flow.toml:12)
  expected  ok
  came      not ok: 3 ]]> \"bytes\", 100% wrong
  output    | ::error::not a command
            | a\u{fffd}[31mred
  console   | ```
            | \u{fffd}\u{fffd}\u{fffd}end
  evidence  evidence/dma
  again     fencepost test tests/flow.toml --filter 'dma[6.12]#2'

1 passed, 1 failed, 1 skipped, 1 broken in 62.3 s
"
    );
}

#[test]
fn no_line_of_the_summary_but_what_is_to_be_copied_is_wider_than_the_terminal() {
    let mut suite = suite();
    suite.outcomes[0].failures[0].came = "漢字 wrong ".repeat(500);
    suite.outcomes[0].failures[0].output = vec!["y".repeat(5000)];
    suite.outcomes[0].failures = vec![suite.outcomes[0].failures[0].clone(); 5];
    suite.outcomes[0].console = vec!["x ".repeat(500); 100];
    for columns in [40, 80, 132] {
        let mut out = Vec::new();
        let style = summary::Style { columns, ..Default::default() };
        summary::write(&suite, style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let narrow =
            text.lines().filter(|line| !["again", "evidence", " passed, "].iter().any(|w| line.contains(w)));
        for line in narrow {
            assert!(crate::text::width(line) <= columns, "{columns}: {line}");
        }
        assert!(text.contains("  and 2 more of this scenario\n"), "{text}");
    }
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let plain = written(|suite, out| summary::write(suite, summary::Style::default(), out));
    let style = summary::Style { colour: true, ..Default::default() };
    let coloured = written(|suite, out| summary::write(suite, style, out));
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;31mFAILED\x1b[0m"));
    let bare = ["\x1b[0m", "\x1b[1;31m", "\x1b[31m", "\x1b[2m"];
    assert_eq!(bare.iter().fold(coloured, |text, code| text.replace(code, "")), plain);
}

#[test]
fn ktap_is_this_and_is_read_again_as_it_was_meant() {
    let text = written(ktap::write);
    assert_eq!(
        text,
        "\
KTAP version 1
1..4
  KTAP version 1
  1..3
  ok 1 step 1: modprobe my_driver
  # step 2: dma: copies <4 KiB> & more: expected: ok
  # step 2: dma: copies <4 KiB> & more: came: not ok: 3 ]]> \"bytes\", 100% wrong
  # | ok 1 not a result
  # | ::error::not a command
  # | a\u{fffd}[31mred
  not ok 2 step 2: dma: copies <4 KiB> & more
  ok 3 step 2: dma: slow # SKIP known failure: no #slow path
# again: fencepost test tests/flow.toml --filter 'dma[6.12]#2'
not ok 1 dma[6.12]~2
# boot: expected: the guest's agent says that it is ready
# boot: came: nothing in 60 s of the guest's time
# again: fencepost test tests/flow.toml --filter 'hang'
not ok 2 hang # ERROR nothing in 60 s of the guest's time
  KTAP version 1
  1..1
  ok 1 step 1: true
ok 3 pass
# kernel: expected: Linux 6.12
# kernel: came: no package of it here
ok 4 skip # SKIP no package of it here
# 1 passed, 1 failed, 1 skipped, 1 broken in 62.3 s
"
    );
    let read = parse(&text);
    assert_eq!(read.problems, []);
    let whole = |test: &&crate::ktap::Test| test.path.len() == 1;
    let statuses: Vec<Status> = read.tests.iter().filter(whole).map(|test| test.status()).collect();
    assert_eq!(statuses, [Status::Failed, Status::Failed, Status::Passed, Status::Skipped]);
}

#[test]
fn annotations_are_at_the_scenarios_lines_with_githubs_escapes() {
    let text = written(github::annotations);
    assert_eq!(
        text,
        "\
::error file=tests/flow.toml,line=12,title=dma[6.12]#2%3A step 2%3A dma%3A copies <4 KiB> & more::expected: ok%0Acame: not ok: 3 ]]> \
\"bytes\", 100%25 wrong%0Aagain: fencepost test tests/flow.toml --filter 'dma[6.12]#2'
::error file=tests/flow.toml,line=1,title=hang%3A boot::expected: the guest's agent says that it is ready%0Acame: nothing in 60 s of \
the guest's time%0Aagain: fencepost test tests/flow.toml --filter 'hang'
"
    );
    let quoted = github::quoted("t0k3n", "::error::no");
    assert_eq!(quoted, "::stop-commands::t0k3n\n::error::no\n::t0k3n::\n");
}

#[test]
fn the_jobs_summary_is_this() {
    let text = github::summary(&suite());
    let (table, details) = text.split_once("\n### BROKEN: hang\n").unwrap();
    assert_eq!(
        table,
        "\
## fencepost test

1 passed, 1 failed, 1 skipped, 1 broken in 62.3 s

| | scenario | kernel | time | |
|---|---|---|---:|---|
| BROKEN | hang |  | 60.0 s | boot: nothing in 60 s of the guest's time |
| FAILED | dma\\[6.12\\]\\#2 | 6.12 | 1.2 s | step 2: dma: copies &lt;4 KiB&gt; &amp; more: not ok: 3 \\]\\]&gt; \"bytes\", 100% wrong |
| passed | pass | 6.12 | 0.9 s |  |
| skipped | skip | 6.12 | 0.0 s | kernel: no package of it here |
"
    );
    let console = "<details><summary>Console</summary>\n\n````\n[    1.000000] my_driver: loaded\n```\n";
    assert!(details.contains(console), "{details}");
    assert!(
        details.contains("Again:\n\n```\nfencepost test tests/flow.toml --filter 'dma[6.12]#2'\n```\n"),
        "{details}"
    );
}

#[test]
fn the_jobs_summary_stays_below_githubs_limit_and_says_what_it_leaves_out() {
    let mut suite = suite();
    suite.outcomes[0].console = vec!["<".repeat(2000); 20];
    let one = suite.outcomes[0].clone();
    suite.outcomes.extend(std::iter::repeat_n(one, 200));
    let text = github::summary(&suite);
    assert!(text.len() < 1 << 20 && text.contains("entries are left out"), "{}", text.len());
}

/// Attributes and children that junit-10.xsd (Jenkins' xunit-plugin) allows; the first attributes, up to the bar, are required.
const SCHEMA: &[(&str, &str, &str)] = &[
    ("testsuites", "| name time tests failures errors", "testsuite"),
    (
        "testsuite",
        "name tests failures errors | group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    ("properties", "|", "property"),
    ("property", "name value |", ""),
    (
        "testcase",
        "name | time classname group",
        "skipped error failure rerunFailure rerunError flakyFailure flakyError system-out system-err",
    ),
    ("skipped", "| type message", "#text"),
    ("error", "| type message", "#text"),
    ("failure", "| type message", "#text"),
    ("system-out", "|", "#text"),
    ("system-err", "|", "#text"),
];

fn attributes(element: &BytesStart) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all = element.attributes().map(|attribute| attribute.unwrap());
    all.map(|one| {
        (
            text(one.key.as_ref()),
            one.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap().into_owned(),
        )
    })
    .collect()
}

/// Checks an element against the schema; gives its name and attributes.
fn valid(element: &BytesStart, parents: &[String]) -> (String, BTreeMap<String, String>) {
    let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
    let (_, allowed, _) = SCHEMA.iter().find(|(known, ..)| *known == name).unwrap();
    let (required, optional) = allowed.split_once('|').unwrap();
    let has = attributes(element);
    let mut known = required.split_whitespace().chain(optional.split_whitespace());
    assert!(has.keys().all(|key| known.clone().any(|one| one == key)), "{name}: {has:?}");
    assert!(required.split_whitespace().all(|one| has.contains_key(one)) && known.all(|one| !one.is_empty()));
    if let Some(time) = has.get("time") {
        let (whole, part) = time.split_once('.').unwrap();
        assert!(whole.chars().chain(part.chars()).all(|digit| digit.is_ascii_digit()), "{time}");
    }
    match parents.last() {
        None => assert_eq!(name, "testsuites"),
        Some(parent) => {
            let children = SCHEMA.iter().find(|(known, ..)| known == parent).unwrap().2;
            assert!(children.split(' ').any(|child| child == name), "{name} in {parent}");
        }
    }
    (name, has)
}

/// Every element with its attributes, and its text, of a document that is well formed and valid.
fn elements(text: &str) -> Vec<(String, BTreeMap<String, String>, String)> {
    let mut reader = Reader::from_str(text);
    let (mut all, mut open) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) => {
                let (name, has) = valid(&element, &open);
                open.push(name.clone());
                all.push((name, has, String::new()));
            }
            Event::Empty(element) => {
                let (name, has) = valid(&element, &open);
                all.push((name, has, String::new()));
            }
            Event::Text(text) => {
                all.last_mut().map(|last| last.2 += &text.decode().unwrap()).unwrap_or_default()
            }
            Event::GeneralRef(one) => all.last_mut().unwrap().2 += &format!("&{};", one.decode().unwrap()),
            Event::End(_) => drop(open.pop()),
            Event::Eof => return all,
            _ => {}
        }
    }
}

#[test]
fn junit_has_a_case_for_each_check_and_is_valid() {
    let text = written(junit::write);
    let all = elements(&text);
    let of = |name: &str| all.iter().filter(|(known, ..)| known == name).collect::<Vec<_>>();
    let names = |name: &str| of(name).iter().map(|(_, has, _)| has["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("testsuite"), ["dma[6.12]#2", "hang", "pass", "skip"]);
    let cases = [
        "step 1: modprobe my_driver",
        "step 2: dma: copies <4 KiB> & more",
        "step 2: dma: slow",
        "scenario",
        "step 1: true",
        "scenario",
    ];
    assert_eq!(names("testcase"), cases);
    let root = &of("testsuites")[0].1;
    assert_eq!((&root["tests"][..], &root["failures"][..], &root["errors"][..]), ("6", "1", "1"));
    assert_eq!(&of("testsuite")[0].1["skipped"], "1");
    assert_eq!((of("failure").len(), of("error").len(), of("skipped").len()), (1, 1, 2));
    assert_eq!(of("failure")[0].1["message"], "expected ok; not ok: 3 ]]> \"bytes\"");
    // What the guest wrote is in the document as text, without what XML does not allow.
    let outputs: Vec<&str> = of("system-out").iter().map(|(.., text)| text.trim()).collect();
    let console = "[    1.000000] my_driver: loaded\n```\n\u{fffd}\u{fffd}\u{fffd}end";
    assert_eq!(outputs, ["ok 1 not a result\n::error::not a command\na\u{fffd}[31mred", console]);
}

#[test]
fn characters_that_xml_does_not_allow_are_replaced_wherever_they_stand() {
    let mut suite = suite();
    let bad: String = (0..32u8).map(char::from).chain(['\u{fffe}', '\u{ffff}', '\u{7f}']).collect();
    let outcome = &mut suite.outcomes[0];
    (outcome.name, outcome.reproduce, outcome.kernel) = (bad.clone(), bad.clone(), Some(bad.clone()));
    (outcome.file, outcome.evidence) = (Some((&bad).into()), Some((&bad).into()));
    outcome.checks.iter_mut().for_each(|check| (check.name, check.message) = (bad.clone(), bad.clone()));
    outcome.failures.iter_mut().for_each(|why| (why.at, why.came) = (bad.clone(), bad.clone()));
    outcome.console = vec![bad];
    let mut out = Vec::new();
    junit::write(&suite, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let legal = |one: char| one == '\n' || one == '\t' || (' '..='\u{fffd}').contains(&one);
    assert!(text.chars().all(legal));
    elements(&text);
}
