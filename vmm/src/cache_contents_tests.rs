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
fn own_folders_are_listed_by_entry_and_others_whole() {
    let folder = filled();
    let listed = list(folder.path()).expect("readable");
    let partial = format!("kernels/partial-{}-x", std::process::id());
    let expected =
        ["kernel", "kernel-6.1", KERNELS[0], KERNELS[1], &partial, "root/archives", "snapshots/cc33"];
    assert_eq!(names(&listed), expected);
    let archives = &listed[5];
    assert_eq!((archives.files, archives.bytes, archives.own), (2, 300, true));
    assert_eq!((listed[1].files, listed[1].bytes, listed[1].own), (1, 50, false));
    assert_eq!(
        (listed[0].files, listed[0].bytes),
        (1, "kernel-6.1".len() as u64),
        "the link, not the folder"
    );
    assert_eq!(list(&folder.path().join("nowhere")).expect("nothing"), []);
    assert!(list(&folder.path().join("kernel-6.1/vmlinuz")).is_err(), "a file is no cache");
}

#[test]
fn without_names_all_of_fenceposts_own_is_removed() {
    let folder = filled();
    let removed = clear(folder.path(), &[]).expect("ours");
    assert_eq!(names(&removed), [KERNELS[0], KERNELS[1], "root/archives", "snapshots/cc33"]);
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
    fs::remove_dir_all(folder.path().join("snapshots")).expect("ours");
    assert_eq!(clear(folder.path(), &["snapshots".to_owned()]).expect("an empty group"), []);
}
