use std::fs;
use std::path::Path;

use super::*;
use crate::machine::memory;

const MEMORY: u64 = 64 << 20;

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn files_are_read_behind_each_other_to_the_end_of_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = [written(folder.path(), "a", b"abcde"), written(folder.path(), "b", &[7; 5000])];
    let memory = memory::map(MEMORY).expect("memory");

    let ahead = Ahead::of(&paths, MEMORY).expect("usual");
    let placed = ahead.placed();
    assert!(ahead.read(&memory));

    // 8 + 5000 bytes, down to a page's start.
    let start = MEMORY - 8192;
    assert_eq!((placed.start, placed.size), (start, 5008));
    assert_eq!(placed.files, [(start, 5), (start + 8, 5000)]);
    let mut bytes = vec![1; 5009];
    memory.read_slice(&mut bytes, GuestAddress(start)).expect("memory");
    assert_eq!(bytes, [&b"abcde\0\0\0"[..], &[7; 5000], &[0]].concat());
}

#[test]
fn what_is_unusual_is_left_to_be_read_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, length: usize| vec![written(folder.path(), name, &vec![1; length])];
    assert!(Ahead::of(&[], MEMORY).is_none(), "none");
    assert!(Ahead::of(&[folder.path().into()], MEMORY).is_none(), "a folder");
    assert!(Ahead::of(&["/dev/null".into()], MEMORY).is_none(), "a device");
    assert!(Ahead::of(&[folder.path().join("none")], MEMORY).is_none(), "nothing");
    assert!(Ahead::of(&path("large", 4 << 20), 4 << 20).is_none(), "no room");
    let memory = memory::map(MEMORY).expect("memory");
    for change in [4999, 5001] {
        let paths = path("changed", 5000);
        let ahead = Ahead::of(&paths, MEMORY).expect("usual");
        fs::OpenOptions::new().write(true).open(&paths[0]).expect("there").set_len(change).expect("changed");
        assert!(!ahead.read(&memory), "{change}");
    }
    let both = [path("one", 5), path("empty", 0)].concat();
    assert!(!Ahead::of(&both, MEMORY).expect("usual").read(&memory), "an empty one");
}
