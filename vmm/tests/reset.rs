//! A machine that is returned to its snapshot does the same again, to the byte, and no page is forgotten.

use std::path::{Path, PathBuf};

use fencepost::accel::Chosen;
use fencepost::backend::{End, SavedCpus};
use fencepost::config::Accel;
use fencepost::launch::{Launch, SnapshotAt};
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, run};
use fencepost::snapshot::{self, Outputs, Until, Vm};
use fencepost_skip::Tested;
use fencepost_trace::Record;

mod common;

use common::{Console, GUESTS};

/// Saves the guest of `kernel` at `at`; the file, and its cycles at its end.
fn saved(kernel: &Path, at: SnapshotAt) -> (PathBuf, u64) {
    let file = kernel.with_extension("reset");
    let args = Launch {
        snapshot: Some(file.clone()),
        snapshot_at: vec![at],
        ..common::launch(kernel, Accel::Soft, 32)
    };
    let hooks = Hooks { say: Box::new(|_| {}), ..Hooks::new(Box::new(std::io::sink())) };
    let outcome = run(&args, hooks).unwrap_or_else(|error| panic!("{error}"));
    (file, outcome.stats.cycles)
}

fn restore(file: &Path, console: &Console) -> Vm {
    let saved = snapshot::open(file).unwrap_or_else(|error| panic!("{error}"));
    let outputs = Outputs { console: Box::new(console.clone()), records: 1 << 20, ..Outputs::default() };
    Vm::restore(saved, Chosen::Soft, outputs).unwrap_or_else(|error| panic!("{error}"))
}

/// All that a part of a run leaves.
#[derive(Debug, PartialEq)]
struct Left {
    end: End,
    console: Vec<u8>,
    records: Vec<Record>,
    memory: String,
    cpus: SavedCpus,
}

fn left(vm: &mut Vm, console: &Console, until: Until) -> Left {
    let end = vm.run(until).unwrap_or_else(|error| panic!("{error}"));
    Left {
        end,
        console: console.take(),
        records: vm.records().cloned().collect(),
        memory: vm.memory_digest().expect("readable"),
        cpus: vm.cpus().clone(),
    }
}

#[test]
fn a_machine_does_the_same_after_each_reset() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let (mut records, mut pages) = (0, 0);
    for name in GUESTS {
        let kernel = folder.join(name);
        let (_, end_ns) = saved(&kernel, SnapshotAt::Time(1));
        let half_ns = end_ns / 2 + 7 * name.len() as u64;
        let (file, _) = saved(&kernel, SnapshotAt::Time(half_ns));
        let console = Console::default();
        let mut vm = restore(&file, &console);
        let first = left(&mut vm, &console, Until::End);
        records += first.records.len();
        for round in 0..3 {
            pages += vm.reset().unwrap_or_else(|error| panic!("{error}")).pages;
            assert_eq!(vm.differing_pages(), [0; 0], "{name}, round {round}");
            if round == 1 {
                // In the middle of what it does: the next round begins with code decoded and half of the flow done.
                let end =
                    vm.run(Until::Time((half_ns + end_ns) / 2)).unwrap_or_else(|error| panic!("{error}"));
                assert!(Vm::is_there(&end), "{name}: {end:?}");
                vm.reset().unwrap_or_else(|error| panic!("{error}"));
                console.take();
            }
            let again = left(&mut vm, &console, Until::End);
            assert!(again == first, "{name}, round {round}: {} records", again.records.len());
        }
        // A machine that is restored in another process has no code decoded and no page copied.
        assert!(left(&mut restore(&file, &console), &console, Until::End) == first, "{name}: restored");
    }
    assert!(records > 1000 && pages > 100, "only {records} events and {pages} pages");
    Tested::Ran
}

#[test]
fn the_first_snapshot_of_a_machine_is_that_of_the_machine_after_a_reset() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let (file, end_ns) = saved(&folder.join("fence"), SnapshotAt::Time(5000));
    let console = Console::default();
    let mut vm = restore(&file, &console);
    let until = Until::Time(end_ns / 2);
    let first = left(&mut vm, &console, until);
    assert!(Vm::is_there(&first.end));
    vm.reset().unwrap_or_else(|error| panic!("{error}"));
    assert!(left(&mut vm, &console, until) == first);
    // Onwards, in parts: the end is that of a run in one piece.
    let end = left(&mut vm, &console, Until::End);
    vm.reset().unwrap_or_else(|error| panic!("{error}"));
    let again = folder.join("fence-again");
    vm.save(&again).unwrap_or_else(|error| panic!("{error}"));
    assert!(std::fs::read(&again).expect("there") == std::fs::read(&file).expect("there"), "the same file");
    let whole = left(&mut vm, &console, Until::End);
    assert_eq!((end.memory, end.cpus, end.records), (whole.memory, whole.cpus, whole.records));
    Tested::Ran
}

/// `mov al, 7; out 0xf8, al; again: inc dword [0x200000]; jmp again`.
const WRITER: [u8; 15] = [0xb0, 7, 0xe6, 0xf8, 0xff, 0x04, 0x25, 0, 0, 0x20, 0, 0xeb, 0xf7, 0x90, 0x90];
const WRITTEN: u64 = 0x20_0000;

#[test]
fn a_forgotten_page_is_found_and_a_reported_one_goes_back() {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &WRITER, 0x1000);
    let file = folder.path().join("snapshot");
    let args = Launch {
        snapshot: Some(file.clone()),
        snapshot_at: vec![SnapshotAt::Mark(7)],
        timeout: Some(std::time::Duration::from_millis(300)),
        ..common::launch(&kernel, Accel::Soft, 32)
    };
    run(&args, Hooks::new(Box::new(std::io::sink()))).unwrap_or_else(|error| panic!("{error}"));
    let mut vm = restore(&file, &Console::default());
    let start = vm.cpus().current().cycles.0;
    for round in 1..4 {
        let end = vm.run(Until::Time(start + 1000 * round)).unwrap_or_else(|error| panic!("{error}"));
        assert!(Vm::is_there(&end));
        let mut word = [0; 4];
        vm.read(WRITTEN, &mut word).unwrap_or_else(|error| panic!("{error}"));
        assert!(u32::from_le_bytes(word) >= 500);
        assert!(vm.differing_pages().contains(&WRITTEN));
        let taken = vm.reset().unwrap_or_else(|error| panic!("{error}"));
        // Its page, and those of the tables that have its accessed and dirty bits.
        assert!((1..8).contains(&taken.pages), "{taken:?}");
        assert_eq!(vm.differing_pages(), [0; 0]);
    }
    vm.write(0x50_0ffe, &[1; 4]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(vm.differing_pages(), [0x50_0000, 0x50_1000]);
    assert_eq!(vm.reset().unwrap_or_else(|error| panic!("{error}")).pages, 2);
    assert_eq!(vm.differing_pages(), [0; 0]);
    assert!(vm.write(32 << 20, &[1]).is_err() && vm.write(u64::MAX, &[1, 2]).is_err());
    assert!(vm.read((32 << 20) - 1, &mut [0; 2]).is_err() && vm.read(u64::MAX, &mut [0; 2]).is_err());
    assert_eq!(vm.ranges().collect::<Vec<_>>(), [(0, 32 << 20)]);
    // Nobody is told of this one.
    vm.write_untold(0x70_0000, &[1]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(vm.reset().unwrap_or_else(|error| panic!("{error}")).pages, 0);
    assert_eq!(vm.differing_pages(), [0x70_0000], "it must be found");
}

#[test]
fn a_file_that_is_changed_under_a_machine_is_noticed_at_its_reset() {
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    let file = folder.path().join("snapshot");
    let args = Launch {
        snapshot: Some(file.clone()),
        snapshot_at: vec![SnapshotAt::Time(1000)],
        timeout: Some(std::time::Duration::from_millis(300)),
        ..common::launch(&kernel, Accel::Soft, 32)
    };
    run(&args, Hooks::new(Box::new(std::io::sink()))).unwrap_or_else(|error| panic!("{error}"));
    let mut vm = restore(&file, &Console::default());
    vm.reset().unwrap_or_else(|error| panic!("{error}"));
    // Another file under its name is not its file, and this one stays as it was.
    std::fs::copy(&file, folder.path().join("copy")).expect("copied");
    std::fs::rename(folder.path().join("copy"), &file).expect("renamed");
    vm.reset().unwrap_or_else(|error| panic!("{error}"));
    let mut vm = restore(&file, &Console::default());
    std::fs::File::options().write(true).open(&file).expect("opened").set_len(8192).expect("cut");
    let error = vm.reset().expect_err("noticed").to_string();
    assert!(
        error.contains("was changed while a machine ran from it") && error.lines().count() == 1,
        "{error}"
    );
    assert!(vm.run(Until::End).is_err(), "half a machine does not run");
}

/// `mov al, 7; out 0xf8, al; inc dword [0x200000]; mov al, [0x200000]; out 0xf4, al`: leaves with how often it was there.
const COUNTS: [u8; 20] =
    [0xb0, 7, 0xe6, 0xf8, 0xff, 0x04, 0x25, 0, 0, 0x20, 0, 0x8a, 0x04, 0x25, 0, 0, 0x20, 0, 0xe6, 0xf4];

#[test]
fn under_kvm_a_machine_goes_back_too() -> Tested {
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let folder = tempfile::tempdir().expect("folder");
    let kernel = common::kernel(folder.path(), &COUNTS, 0x1000);
    let file = folder.path().join("snapshot");
    let args = Launch {
        snapshot: Some(file.clone()),
        snapshot_at: vec![SnapshotAt::Mark(7)],
        ..common::launch(&kernel, Accel::Kvm, 32)
    };
    run(&args, Hooks::new(Box::new(std::io::sink()))).unwrap_or_else(|error| panic!("{error}"));
    let saved = snapshot::open(&file).unwrap_or_else(|error| panic!("{error}"));
    let mut vm =
        Vm::restore(saved, Chosen::Kvm, Outputs::default()).unwrap_or_else(|error| panic!("{error}"));
    for round in 0..3 {
        let end = vm.run(Until::End).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(end, End::Guest(GuestEnd::Exit(1)), "round {round}");
        assert!(vm.differing_pages().contains(&WRITTEN));
        assert!(vm.reset().unwrap_or_else(|error| panic!("{error}")).pages > 0);
        assert_eq!(vm.differing_pages(), [0; 0], "round {round}");
    }
    Tested::Ran
}
