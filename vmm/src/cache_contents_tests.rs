//! A cache folder as runs, roots and scripts leave it.

use std::os::unix::fs::symlink;

use super::*;

const KERNELS: [&str; 2] = ["kernels/aa11", "kernels/bb22"];

fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |name: &str, bytes: usize| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("made");
        fs::write(path, vec![0; bytes]).expect("written");
    };
    for (name, bytes) in [
        (KERNELS[0], 1000),
        (KERNELS[1], 2000),
        (&*format!("kernels/partial-{}-x", std::process::id()), 5),
        ("snapshots/cc33", 10),
        ("snapshots/dd44", 20),
        ("booted/ee55.snapshot", 500),
        ("booted/ee55.json", 3),
        ("module-builds/ff66/log", 7),
        ("module-index/6.1-77", 8),
        ("module-index/lock", 0),
        ("root/archives/a.deb", 100),
        ("root/archives/deep/b.deb", 200),
        ("root/lock", 0),
        ("kernel-6.1/vmlinuz", 50),
        ("kernel.lock", 0),
    ] {
        write(name, bytes);
    }
    symlink("kernel-6.1", folder.path().join("kernel")).expect("linked");
    folder
}

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn own_folders_are_listed_by_entry_where_these_are_few_and_others_whole() {
    let folder = filled();
    fs::create_dir(folder.path().join("stages")).expect("made");
    let listed = list(folder.path()).expect("readable");
    let partial = format!("kernels/partial-{}-x", std::process::id());
    let expected = [
        ("booted", 2, 503, true),
        ("kernel", 1, "kernel-6.1".len() as u64, false),
        ("kernel-6.1", 1, 50, false),
        (KERNELS[0], 1, 1000, true),
        (KERNELS[1], 1, 2000, true),
        (&partial, 1, 5, true),
        ("module-builds/ff66", 1, 7, true),
        ("module-index/6.1-77", 1, 8, true),
        ("root/archives", 2, 300, true),
        ("snapshots", 2, 30, true),
    ];
    let seen = listed.iter().map(|it| (it.name.as_str(), it.files, it.bytes, it.own)).collect::<Vec<_>>();
    assert_eq!(seen, expected, "of `kernel` the link, not the folder");
    assert_eq!(list(&folder.path().join("nowhere")).expect("nothing"), []);
    assert!(list(&folder.path().join("kernel-6.1/vmlinuz")).is_err(), "a file is no cache");
}

#[test]
fn without_names_all_of_fenceposts_own_is_removed() {
    let folder = filled();
    let removed = clear(folder.path(), &[]).expect("ours");
    let expected = [
        "booted",
        KERNELS[0],
        KERNELS[1],
        "module-builds/ff66",
        "module-index/6.1-77",
        "root/archives",
        "snapshots",
    ];
    assert_eq!(names(&removed), expected);
    assert_eq!(names(&list(folder.path()).expect("readable"))[..2], ["kernel", "kernel-6.1"]);
    for left in
        [format!("kernels/partial-{}-x", std::process::id()), "root/lock".into(), "kernel.lock".into()]
    {
        assert!(folder.path().join(&left).exists(), "{left}");
    }
}

#[test]
fn a_name_means_an_entry_a_folder_or_a_beginning() {
    for (name, expected) in [
        ("kernels/aa11", &KERNELS[..1]),
        ("kernels/b", &KERNELS[1..]),
        ("kernels/", &KERNELS[..]),
        ("kernel", &["kernel"]),
        ("kernel-6.1", &["kernel-6.1"]),
    ] {
        let folder = filled();
        let removed = clear(folder.path(), &[name.to_owned()]).expect("it is there");
        assert_eq!(names(&removed), expected);
        assert!(expected.iter().all(|name| fs::symlink_metadata(folder.path().join(name)).is_err()));
        assert_eq!(folder.path().join("kernel-6.1/vmlinuz").exists(), name != "kernel-6.1");
    }
}

#[test]
fn what_a_fencepost_root_uses_is_left() {
    let folder = filled();
    let lock = lock_root(folder.path()).expect("free");
    let refused = clear(folder.path(), &[]).expect_err("in use").to_string();
    assert!(refused.contains("fencepost root uses it"), "{refused}");
    assert!(folder.path().join(KERNELS[0]).exists(), "nothing is removed");
    clear(folder.path(), &["kernels".to_owned()]).expect("nobody uses that");
    drop(lock);
    clear(folder.path(), &[]).expect("free again");
}

#[test]
fn a_name_that_is_not_listed_removes_nothing() {
    let folder = filled();
    let before = list(folder.path()).expect("readable");
    for (name, said) in [
        ("nothing", "nothing has"),
        ("kern", "several"),
        ("../x", "nothing"),
        ("", "nothing"),
        ("/", "nothing"),
        (".", "nothing"),
    ] {
        let refused = clear(folder.path(), &["kernels/aa11".to_owned(), name.to_owned()]).expect_err(name);
        let line = refused.to_string();
        assert!(line.contains(said) && refused.status() == 2 && !line.contains('\n'), "{line}");
    }
    assert_eq!(list(folder.path()).expect("readable"), before);
    assert!(clear(folder.path(), &["snapshots/cc33".to_owned()]).is_err(), "marks are one entry");
    fs::remove_dir_all(folder.path().join("snapshots")).expect("ours");
    assert_eq!(clear(folder.path(), &["snapshots".to_owned()]).expect("an empty group"), []);
}
