//! Snapshots: a machine that was saved and restored is the machine that never was, at whatever moment and whatever it does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fencepost::cli::RunArgs;
use fencepost::options::{Accel, Size, SnapshotAt};
use fencepost::run::{Hooks, Outcome, run};
use fencepost_skip::Tested;
use fencepost_trace::Record;

mod common;

/// Bare-metal guests that reach every device and most of the CPU. The others of their kind want KVM, or end at once.
const GUESTS: [&str; 12] = [
    "bells",
    "camera",
    "display",
    "fence",
    "iotlb",
    "ipi",
    "msix",
    "pagefaults",
    "selfmod",
    "semaphore",
    "timer",
    "tscset",
];
/// Moments at which each is saved.
const MOMENTS: u64 = 4;

#[derive(Clone, Default)]
struct Console(Arc<Mutex<Vec<u8>>>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a run leaves that must be the same.
struct Left {
    console: Vec<u8>,
    records: Vec<Record>,
    outcome: Outcome,
}

fn left(args: &RunArgs) -> Left {
    let console = Console::default();
    let hooks = Hooks { records: 1 << 20, say: Box::new(|_| {}), ..Hooks::new(Box::new(console.clone())) };
    let outcome = run(args, hooks).unwrap_or_else(|error| panic!("{error}"));
    let records = outcome.log.recorder.records().cloned().collect();
    let console = console.0.lock().expect("not poisoned").clone();
    Left { console, records, outcome }
}

fn args(kernel: &Path) -> RunArgs {
    RunArgs { accel: Accel::Soft, memory: Size(32 << 20), memory_hash: true, ..RunArgs::new(kernel) }
}

fn restored(file: &Path) -> RunArgs {
    RunArgs {
        kernel: None,
        restore: Some(file.into()),
        accel: Accel::Soft,
        memory_hash: true,
        ..RunArgs::new("")
    }
}

/// Asserts that `part` is what `whole` was from the snapshot on.
fn assert_goes_on(whole: &Left, part: &Left, what: &str) {
    assert_eq!(part.outcome.end, whole.outcome.end, "{what}");
    assert_eq!(part.outcome.memory_digest, whole.outcome.memory_digest, "{what}: memory");
    assert_eq!(part.outcome.stats.cycles, whole.outcome.stats.cycles, "{what}: time");
    assert_eq!(part.outcome.stats.instructions, whole.outcome.stats.instructions, "{what}: instructions");
    assert!(whole.console.ends_with(&part.console), "{what}: {}", String::from_utf8_lossy(&part.console));
    assert!(whole.records.ends_with(&part.records), "{what}: events");
}

/// A file beside the kernel.
fn beside(kernel: &Path, name: &str) -> PathBuf {
    kernel.with_file_name(format!("{}-{name}", kernel.file_name().expect("a name").to_string_lossy()))
}

/// Saves `kernel`'s guest at `at` and compares the rest of three runs: the uninterrupted, the saved and the restored.
fn save_and_restore(kernel: &Path, whole: &Left, base: &RunArgs, at: SnapshotAt) -> Left {
    let file = beside(kernel, "snapshot");
    let saving = RunArgs { snapshot: Some(file.clone()), snapshot_at: vec![at], ..base.clone() };
    let saved = left(&saving);
    let what = format!("{} saved at {at:?}", kernel.display());
    assert_goes_on(whole, &saved, &what);
    assert_eq!((&saved.console, saved.records.len()), (&whole.console, whole.records.len()), "{what}");
    let again = left(&restored(&file));
    assert_goes_on(whole, &again, &format!("{what} and restored"));
    again
}

#[test]
fn a_restored_guest_is_the_one_that_was_not_interrupted() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let mut shared = 0;
    for name in GUESTS {
        let kernel = folder.join(name);
        let base = args(&kernel);
        let whole = left(&base);
        let end_ns = whole.outcome.stats.cycles;
        for moment in 1..=MOMENTS {
            // Not at round numbers, and not at the same part of each.
            let at_ns = end_ns * moment / (MOMENTS + 1) + 7 * name.len() as u64;
            let again = save_and_restore(&kernel, &whole, &base, SnapshotAt::Time(at_ns));
            shared += again.records.len();
        }
    }
    assert!(shared > 1000, "only {shared} events after the snapshots");
    Tested::Ran
}

#[test]
fn a_seed_goes_on_where_it_was() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    for name in ["display", "semaphore"] {
        let kernel = folder.join(name);
        let base = RunArgs { seed: Some(5), ..args(&kernel) };
        let whole = left(&base);
        let at_ns = whole.outcome.stats.cycles / 2;
        save_and_restore(&kernel, &whole, &base, SnapshotAt::Time(at_ns));
    }
    Tested::Ran
}

#[test]
fn a_restored_machine_saves_the_same_file() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let kernel = folder.join("display");
    let (first, second) = (beside(&kernel, "first"), beside(&kernel, "second"));
    let half_ns = left(&args(&kernel)).outcome.stats.cycles / 2;
    let at = vec![SnapshotAt::Time(half_ns)];
    left(&RunArgs { snapshot: Some(first.clone()), snapshot_at: at.clone(), ..args(&kernel) });
    // Its time is past that moment already: it is saved before its first instruction.
    left(&RunArgs { snapshot: Some(second.clone()), snapshot_at: at, ..restored(&first) });
    let read = |path| std::fs::read(path).expect("readable");
    assert!(read(&first) == read(&second), "the files differ");
    Tested::Ran
}
