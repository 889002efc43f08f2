//! The cache with damage, dead writers and too many kernels in it.

use std::fs::File;

use fencepost_firmware::kernel::KernelFile;

use super::*;

/// A bzImage of protocol 2.15 whose gzip payload is a vmlinux of one segment at 16 MiB that holds `code`.
fn packed(code: &[u8]) -> Packed {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("bzImage");
    fs::write(&path, crate::kernel::tests::bz_image(code)).expect("written");
    let file = File::open(&path).expect("readable");
    match KernelFile::read("packed".into(), file, 64 << 20).expect("a kernel") {
        KernelFile::Packed(packed) => packed,
        _ => panic!("not packed"),
    }
}

fn put(cache: &Cache, code: &[u8]) -> PathBuf {
    let packed = packed(code);
    cache.put(&packed, &packed.unpack().expect("it is whole")).expect("room");
    cache.entry(&packed).expect("readable")
}

fn names(cache: &Cache) -> Vec<String> {
    let name =
        |entry: io::Result<fs::DirEntry>| entry.expect("readable").file_name().into_string().expect("text");
    let mut names: Vec<_> = fs::read_dir(cache.folder()).expect("readable").map(name).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_entry_is_whole_until_it_is_damaged() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (cache, packed) = (Cache::new(folder.path()), packed(b"code"));
    assert!(matches!(cache.get(&packed), Ok(None)));
    let entry = put(&cache, b"code");
    assert_eq!(names(&cache).len(), 1);
    assert!(matches!(cache.get(&packed), Ok(Some(_))));
    let good = fs::read(&entry).expect("readable");
    let mut altered = good.clone();
    altered[20] ^= 1;
    for damage in [&b""[..], &good[..good.len() - 1], &altered, &vec![0; good.len()]] {
        fs::write(&entry, damage).expect("written");
        assert!(matches!(cache.get(&packed), Err(Damaged)));
        put(&cache, b"code");
        assert!(matches!(cache.get(&packed), Ok(Some(_))));
    }
    fs::remove_file(&entry).expect("removed");
    fs::create_dir(&entry).expect("made");
    assert!(matches!(cache.get(&packed), Err(Damaged)));
    assert!(cache.put(&packed, &packed.unpack().expect("whole")).is_err());
    assert_eq!(names(&cache).len(), 1, "the temporary file is gone after a failure");
}

#[test]
fn the_kernels_used_longest_ago_are_removed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cache = Cache::new(folder.path());
    let entries: Vec<PathBuf> = (0..MOST_KERNELS as u8).map(|n| put(&cache, &[n])).collect();
    assert_eq!(names(&cache).len(), MOST_KERNELS);
    for (age, entry) in entries.iter().enumerate() {
        let used = SystemTime::now() - Duration::from_secs(1000 - age as u64);
        File::options().write(true).open(entry).expect("ours").set_modified(used).expect("ours");
    }
    // The oldest is used again, so the next one goes.
    assert!(matches!(cache.get(&packed(&[0])), Ok(Some(_))));
    fs::write(cache.folder().join("notes"), "not ours").expect("written");
    put(&cache, b"new");
    assert_eq!(names(&cache).len(), MOST_KERNELS + 1);
    assert!(entries[0].exists() && !entries[1].exists() && entries[2].exists());
    // Sparse, so it costs nothing here; its length counts.
    File::options().write(true).open(&entries[7]).expect("ours").set_len(MOST_BYTES).expect("sparse");
    put(&cache, b"newer");
    assert!(!entries[7].exists());
}

#[test]
fn leftovers_of_dead_processes_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cache = Cache::new(folder.path());
    fs::create_dir_all(cache.folder()).expect("made");
    // It is over and waited for, so its number is free.
    let mut dead = std::process::Command::new("true").spawn().expect("true runs");
    dead.wait().expect("it ends");
    let (dead, mine) = (dead.id(), std::process::id());
    let sha = "ab".repeat(32);
    let stale = [format!("{PARTIAL}{dead}-x1"), format!("{sha}.partial-{dead}")];
    let old = format!("{PARTIAL}{mine}-old");
    let stay = [format!("{PARTIAL}{mine}-x1"), "partial-".into(), "partial-x".into(), "partial--1".into()];
    for name in stale.iter().chain(&stay).chain([&old]) {
        fs::write(cache.folder().join(name), "half").expect("written");
    }
    let long_ago = SystemTime::now() - 2 * PARTIAL_AGE_MAX;
    let file = File::options().write(true).open(cache.folder().join(&old)).expect("ours");
    file.set_modified(long_ago).expect("ours");
    let entry = put(&cache, b"code");
    let mut expected: Vec<String> = stay.to_vec();
    expected.extend(entry.file_name().and_then(OsStr::to_str).map(str::to_owned));
    expected.sort_unstable();
    assert_eq!(names(&cache), expected);
}
