//! Files with what is refused, what a hole costs, and what two restored machines share.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::*;
use crate::machine::memory::{MEMORY_MIN_BYTES, digest, map};

struct Bench {
    folder: tempfile::TempDir,
    memory: GuestMemoryMmap,
}

impl Bench {
    /// 16 MiB of RAM with something in three of its pages.
    fn new() -> Self {
        let memory = map(MEMORY_MIN_BYTES).expect("mapped");
        for (at, value) in [(0x10u64, 1u8), (0x3000, 2), (MEMORY_MIN_BYTES - 1, 3)] {
            memory.write_obj(value, GuestAddress(at)).expect("RAM");
        }
        Bench { folder: tempfile::tempdir().expect("folder"), memory }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("snapshot")
    }

    fn saved(&self) -> PathBuf {
        write(&self.path(), &self.memory, b"the state").expect("written");
        self.path()
    }

    /// What is said of the file when `change` has been at it.
    fn refused(&self, change: impl FnOnce(&File)) -> String {
        let path = self.saved();
        change(&File::options().read(true).write(true).open(&path).expect("opened"));
        let opened = Snapshot::open(&path).and_then(|snapshot| snapshot.check_memory());
        opened.expect_err("must be refused").to_string()
    }
}

fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

#[test]
fn memory_and_state_come_back() {
    let bench = Bench::new();
    let snapshot = Snapshot::open(&bench.saved()).expect("whole");
    snapshot.check_memory().expect("whole");
    assert_eq!((snapshot.state(), snapshot.memory_bytes()), (&b"the state"[..], MEMORY_MIN_BYTES));
    let restored = snapshot.map_memory().expect("mapped");
    assert_eq!(digest(&restored).expect("readable"), digest(&bench.memory).expect("readable"));
}

#[test]
fn a_page_of_zeroes_takes_no_room() {
    let bench = Bench::new();
    let used = std::fs::metadata(bench.saved()).expect("there").blocks() * 512;
    // Header, three pages, checksums with the state.
    assert!(used <= 8 * 4096, "{used} bytes on the disk");
}

#[test]
fn data_is_where_something_was_and_nowhere_else() {
    let bench = Bench::new();
    let snapshot = Snapshot::open(&bench.saved()).expect("whole");
    let ranges = snapshot.data_ranges();
    let has = |gpa: u64| ranges.iter().any(|&(start, end)| (start..end).contains(&(MEMORY_AT + gpa)));
    assert!(has(0x10) && has(0x3000) && has(MEMORY_MIN_BYTES - 1));
    assert!(!has(0x10_0000) && !has(0x80_0000), "{ranges:?}");
}

#[test]
fn writes_of_one_restored_machine_are_invisible_to_others() {
    let bench = Bench::new();
    let snapshot = Snapshot::open(&bench.saved()).expect("whole");
    let [one, other] = [(); 2].map(|()| snapshot.map_memory().expect("mapped"));
    one.write_obj(9u8, GuestAddress(0x3000)).expect("RAM");
    assert_eq!(other.read_obj::<u8>(GuestAddress(0x3000)).expect("RAM"), 2);
    snapshot.check_memory().expect("the file is as it was");
}

#[test]
fn memory_above_four_gib_comes_back_where_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let bytes = (3 << 30) + (16 << 20);
    let memory = map(bytes).expect("mapped lazily");
    memory.write_obj(7u8, GuestAddress((4 << 30) + 5)).expect("RAM");
    let path = folder.path().join("large");
    write(&path, &memory, b"").expect("written");
    let snapshot = Snapshot::open(&path).expect("whole");
    snapshot.check_memory().expect("whole");
    let restored = snapshot.map_memory().expect("mapped");
    assert_eq!(restored.read_obj::<u8>(GuestAddress((4 << 30) + 5)).expect("RAM"), 7);
    assert!(std::fs::metadata(&path).expect("there").blocks() * 512 < 1 << 20);
}

#[test]
fn damage_is_refused_wherever_it_is() {
    let bench = Bench::new();
    let end = MEMORY_AT + MEMORY_MIN_BYTES;
    let damaged = |what| format!("damaged: its {what} does not have the checksum that was saved");
    assert_eq!(bench.refused(|file| flip(file, 20)), damaged("header"));
    assert_eq!(bench.refused(|file| flip(file, 1000)), damaged("header"));
    assert_eq!(bench.refused(|file| flip(file, MEMORY_AT + 0x3000)), damaged("memory"));
    assert_eq!(bench.refused(|file| flip(file, MEMORY_AT + 0x50_0000)), damaged("memory"), "in a hole");
    assert_eq!(bench.refused(|file| flip(file, end)), damaged("checksums"));
    assert_eq!(bench.refused(|file| flip(file, end + 16 * 4)), damaged("state"));
}

#[test]
fn other_files_and_other_lengths_are_refused() {
    let bench = Bench::new();
    let whole = std::fs::metadata(bench.saved()).expect("there").len();
    assert_eq!(bench.refused(|file| flip(file, 0)), "not a snapshot");
    assert_eq!(bench.refused(|file| file.set_len(100).expect("cut")), "not a snapshot");
    assert_eq!(bench.refused(|file| file.set_len(0).expect("cut")), "not a snapshot");
    let cut = format!("cut off: {} of {whole} bytes", whole - 1);
    assert_eq!(bench.refused(|file| file.set_len(whole - 1).expect("cut")), cut);
    let format = bench.refused(|file| file.write_all_at(&[9], 8).expect("written"));
    assert_eq!(format, "a snapshot of format 9; this fencepost reads format 1");
    assert!(matches!(Snapshot::open(bench.folder.path()), Err(FileError::Foreign)));
    assert!(matches!(Snapshot::open(&bench.folder.path().join("none")), Err(FileError::Io(_))));
}
