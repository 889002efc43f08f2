//! Two copies of a directory look the same; so does one that was saved and restored.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fencepost_devices::virtio_fs::{Access, FileServer};

use super::guest::{Guest, u64_at};

const ESTALE: i32 = 116;

/// The same files, made in an order of its own.
fn copy(dir: &Path, backwards: bool) {
    let mut names: Vec<String> = (0..40).map(|number| format!("name-{}", number * 7919 % 40)).collect();
    if backwards {
        names.reverse();
        (0..100).for_each(|number| fs::write(dir.join(format!("gone-{number}")), "x").unwrap());
        (0..100).for_each(|number| fs::remove_file(dir.join(format!("gone-{number}"))).unwrap());
    }
    fs::create_dir(dir.join("sub")).unwrap();
    for name in &names {
        fs::write(dir.join("sub").join(name), name.repeat(100)).unwrap();
    }
    fs::hard_link(dir.join("sub/name-3"), dir.join("link")).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let touch = |path: &Path| fs::File::open(path).unwrap().set_modified(then).unwrap();
    names.iter().for_each(|name| touch(&dir.join("sub").join(name)));
    touch(&dir.join("sub"));
    touch(dir);
}

/// Every reply of a walk through the whole of it.
fn replies(guest: &mut Guest) -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    let sub = guest.lookup(1, "sub").unwrap();
    for node in [1, sub] {
        for opcode in [28, 44] {
            replies.push(guest.ask(opcode, node, &super::guest::read_in(0, 0, 1 << 20)).unwrap());
        }
        replies.push(guest.ask(3, node, &[0; 16]).unwrap());
    }
    for number in 0..40 {
        let file = guest.lookup(sub, &format!("name-{number}")).unwrap();
        replies.push(guest.ask(3, file, &[0; 16]).unwrap());
        replies.push(guest.read(file, 0, 1 << 20).unwrap());
    }
    replies
}

#[test]
fn two_copies_look_the_same() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(one.path(), false);
    copy(other.path(), true);
    let [one, other] = [one.path(), other.path()].map(|dir| replies(&mut Guest::new(dir, Access::Ro)));
    assert_eq!(one, other);
    assert!(one.iter().any(|reply| reply.len() > 40 * 128));
}

#[test]
fn names_are_sorted_and_each_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), true);
    let mut guest = Guest::new(folder.path(), Access::Ro);
    let sub = guest.lookup(1, "sub").unwrap();
    let mut expected: Vec<String> = (0..40).map(|number| format!("name-{number}")).collect();
    expected.extend([".".to_string(), "..".to_string()]);
    expected.sort();
    for plus in [false, true] {
        let names: Vec<String> = guest.list(sub, plus).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
    }
    assert_eq!(guest.lookup(1, "link"), guest.lookup(sub, "name-3"), "one file with two names");
}

#[test]
fn a_restored_share_goes_on_and_what_is_gone_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), false);
    let mut guest = Guest::new(folder.path(), Access::Rw);
    let sub = guest.lookup(1, "sub").unwrap();
    let (kept, gone) = (guest.lookup(sub, "name-1").unwrap(), guest.lookup(sub, "name-2").unwrap());
    let handle = guest.open(kept).unwrap();
    let half = guest.read(kept, 0, 300).unwrap();
    let saved = guest.server.save();
    fs::remove_file(folder.path().join("sub/name-2")).unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    guest.server.restore(&saved).unwrap();
    assert_eq!(guest.server.save(), saved);
    let rest = guest.read(kept, 300, 1 << 20).unwrap();
    assert_eq!([half, rest].concat(), "name-1".repeat(100).into_bytes());
    assert_eq!(guest.write(kept, handle, 0, b"NAME"), Ok(4));
    assert_eq!(guest.read(gone, 0, 10), Err(ESTALE));
    assert_eq!(guest.lookup(sub, "name-1"), Ok(kept), "it is known by its number");
    let next = guest.ask(1, sub, b"name-9\0").unwrap();
    assert!(u64_at(&next, 0) > gone, "no number comes twice");
}
