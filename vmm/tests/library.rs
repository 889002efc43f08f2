//! `fencepost::run::run` as other programs call it: hooks, outcome, and the same run twice to the byte.

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fencepost::backend::End;
use fencepost::config::Accel;
use fencepost::control::StopReason;
use fencepost::launch::Launch;
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, Outcome, run};
use fencepost_skip::Tested;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn soft(name: &str) -> Option<(Outcome, String)> {
    seeded(name, None)
}

fn seeded(name: &str, seed: Option<u64>) -> Option<(Outcome, String)> {
    let kernel = common::micro_guests().map(|folder| folder.join(name))?;
    let mut args = Launch {
        memory_hash: true,
        timeout: Some(Duration::from_secs(300)),
        ..common::launch(kernel, Accel::Soft, 32)
    };
    args.machine.seed = seed;
    let screen = Screen::default();
    let outcome = run(&args, Hooks::new(Box::new(screen.clone()))).expect("a good machine");
    let text = String::from_utf8(screen.0.lock().expect("not poisoned").clone()).expect("ASCII");
    Some((outcome, text))
}

#[test]
fn the_outcome_tells_end_output_and_figures() -> Tested {
    let Some((outcome, console)) = soft("hello") else { return Tested::skipped(common::NO_MAKE) };
    assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(42)));
    assert_eq!(outcome.status(), 42);
    assert!(console.contains("command line"), "{console}");
    let instructions = outcome.stats.instructions.expect("counted");
    assert!((100..10_000_000).contains(&instructions), "{instructions}");
    assert_eq!(outcome.stats.unknown, []);
    Tested::Ran
}

#[test]
fn two_runs_are_the_same_to_the_byte() -> Tested {
    for name in ["fence", "iommu", "timer"] {
        let (Some((first, said)), Some((second, again))) = (soft(name), soft(name)) else {
            return Tested::skipped(common::NO_MAKE);
        };
        assert_eq!(first.end, End::Guest(GuestEnd::Exit(0)), "{name}: {said}");
        assert_eq!(said, again, "{name}");
        assert!(first.log.count > 0, "{name} leaves events");
        assert_eq!((first.log.count, &first.log.digest), (second.log.count, &second.log.digest), "{name}");
        assert_eq!(first.memory_digest, second.memory_digest, "{name}");
        let figures = |outcome: &Outcome| (outcome.stats.instructions, outcome.stats.cycles);
        assert_eq!(figures(&first), figures(&second), "{name}");
    }
    Tested::Ran
}

#[test]
fn a_seed_gives_the_same_run_again_and_another_seed_another_that_says_the_same() -> Tested {
    for name in ["fence", "iommu"] {
        let Some((plain, said)) = soft(name) else { return Tested::skipped(common::NO_MAKE) };
        let mut digests = BTreeSet::from([plain.log.digest]);
        for seed in 0..4 {
            let once = seeded(name, Some(seed)).expect("built");
            let again = seeded(name, Some(seed)).expect("built");
            assert_eq!(once.1, said, "{name} with seed {seed}");
            assert_eq!(once.0.log.digest, again.0.log.digest, "{name} with seed {seed}");
            assert_eq!(once.0.memory_digest, again.0.memory_digest, "{name} with seed {seed}");
            digests.insert(once.0.log.digest);
        }
        assert_eq!(digests.len(), 5, "{name}");
    }
    Tested::Ran
}

#[test]
fn a_seed_is_for_virtual_time() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    let mut args = common::launch(kernel, Accel::Kvm, 16);
    args.machine.seed = Some(1);
    let refused = run(&args, Hooks::new(Box::new(std::io::sink()))).err().expect("no seed under kvm");
    assert_eq!(refused.status(), 2);
    assert!(refused.to_string().starts_with("--seed"), "{refused}");
}

#[test]
fn different_guests_leave_different_digests() -> Tested {
    let (Some((fence, _)), Some((iommu, _))) = (soft("fence"), soft("iommu")) else {
        return Tested::skipped(common::NO_MAKE);
    };
    assert_ne!(fence.log.digest, iommu.log.digest);
    assert_ne!(fence.memory_digest, iommu.memory_digest);
    Tested::Ran
}

fn a_caller_can_stop_a_guest_that_never_ends(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    let accel = if accel == "kvm" { Accel::Kvm } else { Accel::Soft };
    let args = common::launch(&kernel, accel, 16);
    let hooks = Hooks::new(Box::new(std::io::sink()));
    hooks.control.stop(StopReason::Quit);
    let outcome = run(&args, hooks).expect("a good machine");
    assert_eq!(outcome.end, End::Host(StopReason::Quit));
    let limited = Launch { timeout: Some(Duration::from_millis(50)), ..args };
    let outcome = run(&limited, Hooks::new(Box::new(std::io::sink()))).expect("a good machine");
    assert_eq!((outcome.end.clone(), outcome.status()), (End::Host(StopReason::Timeout), 124));
    Tested::Ran
}

on_each_back_end!(a_caller_can_stop_a_guest_that_never_ends);

/// Cuts a file short when the guest has said its first line.
struct Cutter(Screen, Option<std::path::PathBuf>);

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(path) = self.1.take() {
            std::fs::File::options().write(true).open(path)?.set_len(60)?;
        }
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_camera_source_that_becomes_unreadable_is_reported_and_counted() -> Tested {
    let Some(kernel) = common::micro_guests().map(|folder| folder.join("camera")) else {
        return Tested::skipped(common::NO_MAKE);
    };
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("source.y4m");
    let frame = [b"FRAME\n".as_slice(), &[0x80; 16 * 16 * 3 / 2]].concat();
    let video = [b"YUV4MPEG2 W16 H16 F30:1 C420jpeg\n".as_slice(), &frame, &frame].concat();
    std::fs::write(&source, video).expect("written");
    let mut args =
        Launch { timeout: Some(Duration::from_secs(300)), ..common::launch(kernel, Accel::Soft, 32) };
    let camera = args.machine.devices.iter_mut().find(|device| device.kind == "camera").expect("one");
    *camera = camera.clone().with("source", source.to_str().expect("UTF-8"));
    let screen = Screen::default();
    let console = Box::new(Cutter(screen.clone(), Some(source.clone())));
    let outcome = run(&args, Hooks::new(console)).expect("a good machine");
    let said = String::from_utf8(screen.0.lock().expect("not poisoned").clone()).expect("ASCII");
    assert!(said.contains("status 8"), "SOURCE is in the record: {said}");
    let lines = fencepost::report::lines(&args, true, &outcome);
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("source.y4m")).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    assert!(told[0].contains("cannot read frame 0 any more (it has become shorter); leave"), "{told:?}");
    let counted = lines.iter().find(|line| line.contains("source-errors")).expect("counted");
    let counters = outcome.stats.counters.iter().flat_map(|(_, counters)| counters);
    let count =
        counters.filter(|counter| counter.name == "source-errors").map(|counter| counter.value).sum::<u64>();
    assert!(count > 0 && counted.contains(&format!("source-errors {count}")), "{counted}");
    assert!(told[0].ends_with(&format!("errors: {count}")), "{told:?}");
    assert_eq!(outcome.with_outputs(0), 1, "not a success");
    Tested::Ran
}
