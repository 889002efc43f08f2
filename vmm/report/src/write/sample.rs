//! A suite for the writers' tests: one outcome of each verdict, with texts that a hostile guest would choose.

use std::path::PathBuf;

use crate::outcome::{Check, Failure, Outcome, Suite, VERSION, Verdict};

fn check(name: &str, verdict: Verdict, message: &str) -> Check {
    Check { name: name.into(), verdict, message: message.into() }
}

fn outcome(name: &str, verdict: Verdict, wall_ms: u64) -> Outcome {
    Outcome {
        name: name.into(),
        file: Some("tests/flow.toml".into()),
        kernel: Some("6.12".into()),
        seed: Some(7),
        verdict,
        wall_ms,
        guest_ns: 2_500_000_000,
        checks: Vec::new(),
        failures: Vec::new(),
        console: Vec::new(),
        evidence: None,
        reproduce: format!("fencepost test tests/flow.toml --filter '{name}'"),
    }
}

/// The suite.
pub fn suite() -> Suite {
    let mut failed = outcome("dma[6.12]#2", Verdict::Failed, 1234);
    failed.checks = vec![
        check("step 1: modprobe my_driver", Verdict::Passed, ""),
        check("step 2: dma: copies <4 KiB> & more", Verdict::Failed, "expected ok; not ok: 3 ]]> \"bytes\""),
        check("step 2: dma: slow", Verdict::Skipped, "known failure: no #slow path"),
    ];
    failed.failures = vec![Failure {
        at: "step 2: dma: copies <4 KiB> & more".into(),
        line: Some(12),
        expected: "ok".into(),
        came: "not ok: 3 ]]> \"bytes\", 100% wrong".into(),
        output: vec!["ok 1 not a result".into(), "::error::not a command".into(), "a\x1b[31mred".into()],
    }];
    failed.console =
        vec!["[    1.000000] my_driver: loaded".into(), "```".into(), "\u{0}\u{b}\u{fffe}end".into()];
    failed.evidence = Some(PathBuf::from("evidence/dma"));
    let mut broken = outcome("hang", Verdict::Broken, 60_000);
    (broken.kernel, broken.seed) = (None, None);
    broken.failures = vec![Failure {
        at: "boot".into(),
        line: None,
        expected: "the guest's agent says that it is ready".into(),
        came: "nothing in 60 s of the guest's time".into(),
        output: Vec::new(),
    }];
    let mut passed = outcome("pass", Verdict::Passed, 999);
    passed.checks = vec![check("step 1: true", Verdict::Passed, "")];
    let mut skipped = outcome("skip", Verdict::Skipped, 0);
    skipped.failures = vec![Failure {
        at: "kernel".into(),
        line: Some(3),
        expected: "Linux 6.12".into(),
        came: "no package of it here".into(),
        output: Vec::new(),
    }];
    Suite {
        version: VERSION,
        suite: "5f3c".into(),
        shard: Some((2, 3)),
        wall_ms: 62_345,
        outcomes: vec![failed, broken, passed, skipped],
    }
}
