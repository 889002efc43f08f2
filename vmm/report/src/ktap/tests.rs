use fencepost_random::Random;

use super::*;
use crate::outcome::Verdict;

/// Documentation/dev-tools/ktap.rst, "Example KTAP output".
const KTAP: &str = "\
KTAP version 1
1..1
  KTAP version 1
  1..3
    KTAP version 1
    1..1
    # test_1: initializing test_1
    ok 1 test_1
  ok 1 example_test_1
    KTAP version 1
    1..2
    ok 1 test_1 # SKIP test_1 skipped
    ok 2 test_2
  ok 2 example_test_2
    KTAP version 1
    1..3
    ok 1 test_1
    # test_2: FAIL
    not ok 2 test_2
    ok 3 test_3 # SKIP test_3 skipped
  not ok 3 example_test_3
not ok 1 main_test
";

/// kunit's modules as Linux 6.12 loads them, in the form of the kernel's log.
const KUNIT: &str = "\
<5>[    9.100000] random: crng init done
<6>[   10.000001] KTAP version 1
<6>[   10.000002] 1..2
<6>[   10.000003]     KTAP version 1
<6>[   10.000004]     # Subtest: list
<6>[   10.000005]     # module: list_test
<6>[   10.000006]     1..2
<6>[   10.000007]     ok 1 list_init
<3>[   10.000008]     # list_add: EXPECTATION FAILED at lib/list-test.c:20
<3>[   10.000009]     Expected a == b, but
<4>[   10.000010] usb 1-1: new device
<6>[   10.000011]     not ok 2 list_add
<6>[   10.000012] # list: pass:1 fail:1 skip:0 total:2
<6>[   10.000013] # Totals: pass:1 fail:1 skip:0 total:2
<6>[   10.000014] not ok 1 list
<6>[   10.000015]     KTAP version 1
<6>[   10.000016]     # Subtest: params
<6>[   10.000017]     1..1
<6>[   10.000018]         KTAP version 1
<6>[   10.000019]         # Subtest: by_size
<6>[   10.000020]         ok 1 one
<6>[   10.000021]         ok 2 two # SKIP too large
<6>[   10.000022]     # by_size: pass:1 fail:0 skip:1 total:2
<6>[   10.000023]     ok 1 by_size
<6>[   10.000024] ok 2 params
";

/// tools/testing/selftests/kselftest/runner.sh with programs that use kselftest.h.
const KSELFTEST: &str = "\
TAP version 13
1..3
# timeout set to 45
# selftests: dma: dma_map
# TAP version 13
# 1..3
# ok 1 maps
# ok 2 # SKIP needs a device
# ok 3 # XFAIL unmaps twice
# # Totals: pass:1 fail:0 xfail:1 xpass:0 skip:1 error:0
ok 1 selftests: dma: dma_map
# timeout set to 45
# selftests: dma: run.sh
# ok, that is not a result
# nor is # ok 7 this
not ok 2 selftests: dma: run.sh # exit=1
# selftests: dma: slow
not ok 3 selftests: dma: slow # TIMEOUT 45 seconds
";

/// testanything.org, TAP 14: "Subtests", "YAML Diagnostics", "Escaping".
const TAP14: &str = "\
TAP version 14
1..3
# Subtest: foo.tap
    1..2
    ok 1
    ok 2 - this passed
ok 1 - foo.tap
not ok 2 - \\# is a hash
  ---
  message: wrong
  ok 9 not a result
  ...
# Subtest: bar.tap
    # Subtest: inner
        ok - one
        1..1
    ok 1 - inner
    1..1
ok 3 - bar.tap # TODO later
";

fn seen(ktap: &Ktap) -> Vec<(String, Status)> {
    ktap.tests.iter().map(|test| (test.name(), test.status())).collect()
}

fn names(all: &[(&str, Status)]) -> Vec<(String, Status)> {
    all.iter().map(|(name, status)| (name.to_string(), *status)).collect()
}

fn problems(text: &str) -> Vec<ProblemKind> {
    parse(text).problems.into_iter().map(|problem| problem.kind).collect()
}

use Status::{ExpectedFailure, Failed, Passed, Skipped};

#[test]
fn the_example_of_the_specification_has_the_tests_it_says() {
    let ktap = parse(KTAP);
    let expected = names(&[
        ("main_test: example_test_1: test_1", Passed),
        ("main_test: example_test_1", Passed),
        ("main_test: example_test_2: test_1", Skipped),
        ("main_test: example_test_2: test_2", Passed),
        ("main_test: example_test_2", Passed),
        ("main_test: example_test_3: test_1", Passed),
        ("main_test: example_test_3: test_2", Failed),
        ("main_test: example_test_3: test_3", Skipped),
        ("main_test: example_test_3", Failed),
        ("main_test", Failed),
    ]);
    assert_eq!((seen(&ktap), ktap.problems), (expected, vec![]));
    assert_eq!(ktap.tests[0].diagnostics, ["test_1: initializing test_1"]);
    assert_eq!((&ktap.tests[2].reason[..], ktap.tests[9].subtests), ("test_1 skipped", 9));
}

#[test]
fn kunit_in_the_kernels_log_is_read_with_what_stands_between() {
    let ktap = parse(KUNIT);
    let expected = names(&[
        ("list: list_init", Passed),
        ("list: list_add", Failed),
        ("list", Failed),
        ("params: by_size: one", Passed),
        ("params: by_size: two", Skipped),
        ("params: by_size", Passed),
        ("params", Passed),
    ]);
    assert_eq!((seen(&ktap), ktap.problems), (expected, vec![]));
    let said = &ktap.tests[1].diagnostics;
    assert_eq!(said[0], "list_add: EXPECTATION FAILED at lib/list-test.c:20");
    assert_eq!(said[2], "usb 1-1: new device");
}

#[test]
fn kunits_modules_of_linux_6_1_have_neither_version_nor_plan_and_count_on() {
    let text = "    # Subtest: two\n    1..1\n    ok 1 - a\nok 2 - two\n    # Subtest: three\n    1..1\n    ok 1 - a\nok 3 - three\n";
    let ktap = parse(text);
    let expected = names(&[("two: a", Passed), ("two", Passed), ("three: a", Passed), ("three", Passed)]);
    assert_eq!((seen(&ktap), ktap.problems), (expected, vec![]));
}

#[test]
fn kselftests_dialect_nests_by_hashes() {
    let ktap = parse(KSELFTEST);
    let expected = names(&[
        ("selftests: dma: dma_map: maps", Passed),
        ("selftests: dma: dma_map: needs a device", Skipped),
        ("selftests: dma: dma_map: unmaps twice", ExpectedFailure),
        ("selftests: dma: dma_map", Passed),
        ("selftests: dma: run.sh", Failed),
        ("selftests: dma: slow", Failed),
    ]);
    assert_eq!((seen(&ktap), ktap.problems), (expected, vec![]));
    assert_eq!((&ktap.tests[4].reason[..], ktap.tests[4].directive), ("exit=1", None));
    assert_eq!(ktap.tests[4].diagnostics.len(), 4);
    assert_eq!(ktap.tests[5].directive, Some(Directive::Timeout));
}

#[test]
fn tap_14_has_yaml_escapes_and_subtests_without_numbers() {
    let ktap = parse(TAP14);
    let expected = names(&[
        ("foo.tap: test 1", Passed),
        ("foo.tap: this passed", Passed),
        ("foo.tap", Passed),
        ("# is a hash", Failed),
        ("bar.tap: inner: one", Passed),
        ("bar.tap: inner", Passed),
        ("bar.tap", Passed),
    ]);
    assert_eq!((seen(&ktap), ktap.problems), (expected, vec![]));
    assert_eq!(ktap.tests[3].diagnostics, ["message: wrong", "ok 9 not a result"]);
}

#[test]
fn what_is_not_as_the_plan_says_is_a_problem() {
    let count = |planned, came| ProblemKind::Count { planned, came };
    let order = |expected, came| ProblemKind::Order { expected, came };
    for (text, expected) in [
        ("", vec![ProblemKind::Nothing]),
        ("hello\nok then\n", vec![ProblemKind::Nothing]),
        ("KTAP version 1\n1..2\nok 1 a\n", vec![count(2, 1)]),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b\n", vec![count(1, 2)]),
        ("KTAP version 1\n1..3\nok 1 a\nok 3 b\nok 4 c\n", vec![order(2, 3)]),
        ("KTAP version 1\n1..2\nok 1 a\nok 1 a\n", vec![ProblemKind::Duplicate(1)]),
        ("KTAP version 1\n1..1\n1..1\nok 1 a\n", vec![ProblemKind::SecondPlan]),
        ("TAP version 13\nok 1 a\n", vec![ProblemKind::NoPlan]),
        ("KTAP version 1\nok 1 a\n", vec![]),
        ("KTAP version 1\n1..5\nok 1 a\nBail out! no disk\n", vec![ProblemKind::Bail("no disk".into())]),
        ("1..1\nok 1 a\n1..1\nok 1 b\n", vec![]),
        ("KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n1..2\nok 1 b\n", vec![count(2, 1)]),
    ] {
        assert_eq!(problems(text), expected, "{text}");
    }
}

#[test]
fn a_text_that_is_cut_off_within_subtests_says_so_and_keeps_their_names() {
    let ktap = parse(&KUNIT[..KUNIT.find("# list: pass").unwrap()]);
    assert_eq!(seen(&ktap), names(&[("list: list_init", Passed), ("list: list_add", Failed)]));
    let kinds: Vec<ProblemKind> = ktap.problems.iter().map(|problem| problem.kind.clone()).collect();
    assert_eq!(kinds, [ProblemKind::Unfinished, ProblemKind::Count { planned: 2, came: 0 }]);
    assert_eq!(ktap.problems[0].path, ["list"]);
}

#[test]
fn a_plan_of_none_skips_everything() {
    let ktap = parse("TAP version 13\n1..0 # SKIP no such device\n");
    assert_eq!(
        (ktap.skipped.as_deref(), ktap.tests.len(), ktap.problems.len()),
        (Some("no such device"), 0, 0)
    );
    let judged = judge(&ktap, &[], "step 1");
    assert_eq!(judged.checks[0].name, "step 1: all tests");
    assert_eq!((judged.checks[0].verdict, judged.failures.len()), (Verdict::Skipped, 0));
}

#[test]
fn a_line_is_a_result_only_where_one_can_be() {
    for (text, tests) in [
        ("ok\n", 0),
        ("okay 1 a\n", 0),
        ("  ok 1 a\n", 0),
        ("# ok 1 a\n", 0),
        ("ok 1 a\n", 1),
        ("not ok 1\n", 1),
        ("KTAP version 1\n1..1\nok then\nok 1 a\n", 1),
        ("TAP version 13\n1..1\nok then\n", 1),
        ("KTAP version 1\n1..1\n# ok 1 of the tests\nok 1 a\n", 1),
    ] {
        assert_eq!(parse(text).tests.len(), tests, "{text}");
    }
}

fn verdicts(judged: &crate::Judged) -> Vec<(&str, Verdict)> {
    judged.checks.iter().map(|check| (&check.name[..], check.verdict)).collect()
}

#[test]
fn each_failure_is_told_once_and_not_again_by_the_tests_around_it() {
    let judged = judge(&parse(KTAP), &[], "step 3");
    let failed: Vec<&str> = judged.failures.iter().map(|failure| &failure.at[..]).collect();
    assert_eq!(failed, ["step 3: main_test: example_test_3: test_2"]);
    assert_eq!(judged.failures[0].output, ["test_2: FAIL"]);
    assert_eq!(judged.checks.len(), 6);
    // Here only the test around them fails.
    let judged =
        judge(&parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 b\n"), &[], "");
    assert_eq!(verdicts(&judged), [("b: a", Verdict::Passed), ("b", Verdict::Failed)]);
}

#[test]
fn a_known_failure_is_fine_and_an_unexpected_pass_is_not() {
    let text = "KTAP version 1\n1..3\nok 1 a\nnot ok 2 b\nnot ok 3 c\n";
    let known = [
        Known::name("a", "issue 1"),
        Known::name("b", "issue 2"),
        Known::name("d", "issue 3"),
        Known::pattern("[x-z].*", "issue 4").unwrap(),
    ];
    let judged = judge(&parse(text), &known, "");
    let expected = [
        ("a", Verdict::Failed),
        ("b", Verdict::Skipped),
        ("c", Verdict::Failed),
        ("d", Verdict::Skipped),
        ("[x-z].*", Verdict::Skipped),
    ];
    assert_eq!(verdicts(&judged), expected);
    assert_eq!(judged.checks[1].message, "known failure: issue 2");
    assert!(judged.failures[0].came.contains("take it from the list"), "{judged:?}");
    assert!(judged.checks[3].message.contains("no test of this name came"), "{judged:?}");
}

#[test]
fn a_known_failure_covers_what_is_nested_in_it_and_a_pattern_fits_the_whole_name() {
    let known = [Known::name("main_test: example_test_3", "issue 5")];
    let judged = judge(&parse(KTAP), &known, "");
    assert_eq!(judged.failures, []);
    let part = [Known::pattern("example_test_3|test_2", "issue 5").unwrap()];
    assert_eq!(judge(&parse(KTAP), &part, "").failures.len(), 1);
    let cut_off = "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 x\nnot ok 1 main\n";
    assert_eq!(judge(&parse(cut_off), &[], "").failures.len(), 2);
    assert_eq!(judge(&parse(cut_off), &[Known::name("main", "it ends early")], "").failures, []);
}

#[test]
fn a_pattern_that_is_none_is_refused_in_one_line() {
    for pattern in ["(", "a)(b", "[z-a]"] {
        let error = Known::pattern(pattern, "").unwrap_err().to_string();
        assert!(error.contains(pattern) && !error.contains('\n') && error.len() < 300, "{error}");
    }
}

#[test]
fn too_much_is_cut_and_said() {
    let many: String = (1..=70_000).map(|number| format!("ok {number} x\n")).collect();
    let ktap = parse(&many);
    assert_eq!(ktap.tests.len(), 65_536);
    assert!(
        matches!(ktap.problems[..], [Problem { kind: ProblemKind::TooMuch(_), .. }]),
        "{:?}",
        ktap.problems
    );
    let deep: String = (0..40).map(|depth| format!("{}KTAP version 1\n", "  ".repeat(depth))).collect();
    assert!(problems(&deep).contains(&ProblemKind::TooMuch("16 levels of nesting")));
    let long = format!("ok 1 {}\n{}ok 2 b\n", "x".repeat(100_000), "note\n".repeat(10_000));
    let ktap = parse(&long);
    assert_eq!(
        (ktap.tests.len(), ktap.tests[0].path[0].len(), ktap.tests[1].diagnostics.len()),
        (2, 512, 40)
    );
}

/// Parts that mean something, between which mutations put each other.
const PARTS: &[&str] = &[
    "ok",
    "not ok",
    " ",
    "    ",
    "# ",
    "#",
    "\n",
    "1..",
    "KTAP version 1\n",
    "TAP version 13\n",
    "Bail out!",
    "# SKIP",
    "# TODO",
    "# Subtest: x\n",
    "---\n",
    "...\n",
    "4294967295",
    "99999999999999999999",
    "\\#",
    "ä",
    "\u{0}",
    "[    1.000000] ",
    "<6>",
    "-",
    "\r",
];

fn mutated(random: &mut Random, sample: &str) -> String {
    let mut text: Vec<char> = sample.chars().collect();
    for _ in 0..=random.below(8) {
        let at = random.below(text.len() as u64 + 1) as usize;
        let end = (at + random.below(20) as usize).min(text.len());
        let part: Vec<char> = match random.below(4) {
            0 => text[at..end].to_vec(),
            1 => vec![],
            _ => random.pick(PARTS).chars().collect(),
        };
        let end = if random.once_in(2) { at } else { end };
        text.splice(at..end, part);
    }
    text.into_iter().collect()
}

#[test]
fn no_text_makes_it_panic_and_all_that_comes_is_bounded_and_consistent() {
    let mut random = Random::new(12);
    for _ in 0..4_000 {
        let sample = random.pick(&[KTAP, KUNIT, KSELFTEST, TAP14]);
        let text = mutated(&mut random, sample);
        let ktap = parse(&text);
        for (at, test) in ktap.tests.iter().enumerate() {
            assert!((1..=16).contains(&test.path.len()) && test.subtests <= at, "{text}");
            for nested in &ktap.tests[at - test.subtests..at] {
                assert!(nested.path.starts_with(&test.path), "{text}");
            }
        }
        let lines = text.lines().count();
        assert!(ktap.problems.iter().all(|problem| problem.line <= lines), "{text}");
        assert!(!ktap.tests.is_empty() || !ktap.problems.is_empty() || ktap.skipped.is_some(), "{text}");
        let judged = judge(&ktap, &[Known::name("main_test", "x")], "step 1");
        let failed = judged.checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
        assert_eq!(judged.failures.len(), failed, "{text}");
    }
}
