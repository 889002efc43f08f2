//! Changes, as the host's file system then has them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use fencepost_devices::virtio_fs::Access;

use super::guest::{Guest, nul, u32_at, u64_at};
use crate::allowance::Allowance;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const ENOTEMPTY: i32 = 39;

#[test]
fn files_are_made_written_cut_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    let (file, handle) = guest.create(1, "new", 0o4666).unwrap();
    assert_eq!(guest.write(file, handle, 2, b"abc"), Ok(3));
    assert_eq!(guest.write(file, handle + 1, 0, b"abc"), Err(EBADF));
    let there = fs::metadata(folder.path().join("new")).unwrap();
    assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"\0\0abc");
    // The guest's clock, 5 seconds and 7 ns after 2026-01-01; no set-user-ID bit; not the host's umask.
    assert_eq!((there.mtime(), there.mtime_nsec(), there.mode()), (1_767_225_605, 7, 0o100_666));
    // SETATTR: a size of 3 (FATTR_SIZE).
    let mut size = [0; 88];
    (size[0], size[16]) = (8, 3);
    let attr = guest.ask(4, file, &size).unwrap();
    assert_eq!((u64_at(&attr, 16 + 8), fs::read(folder.path().join("new")).unwrap()), (3, b"\0\0a".to_vec()));
    // What is open stays when its name goes.
    assert_eq!(guest.ask(10, 1, &nul("new")), Ok(vec![]));
    assert!(!folder.path().join("new").exists());
    assert_eq!(guest.write(file, handle, 0, b"x"), Ok(1));
    assert_eq!(guest.read(file, 0, 10).unwrap(), b"x\0a");
    assert_eq!(guest.lookup(1, "new"), Err(ENOENT));
}

#[test]
fn names_move_and_directories_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    let mkdir = |guest: &mut Guest, name| {
        guest.ask(9, 1, &[&0o750u64.to_le_bytes()[..], &nul(name)].concat()).map(|entry| u64_at(&entry, 0))
    };
    let (one, two) = (mkdir(&mut guest, "one").unwrap(), mkdir(&mut guest, "two").unwrap());
    let (file, handle) = guest.create(one, "file", 0o644).unwrap();
    guest.write(file, handle, 0, b"data").unwrap();
    let body = [&two.to_le_bytes()[..], &nul("file"), &nul("moved")].concat();
    assert_eq!(guest.ask(12, one, &body), Ok(vec![]));
    assert_eq!((guest.lookup(two, "moved"), guest.read(file, 0, 10)), (Ok(file), Ok(b"data".to_vec())));
    assert_eq!(guest.ask(11, 1, &nul("two")), Err(ENOTEMPTY));
    assert_eq!(guest.ask(11, 1, &nul("one")), Ok(vec![]));
    // LINK, SYMLINK.
    let linked = guest.ask(13, 1, &[&file.to_le_bytes()[..], &nul("hard")].concat()).unwrap();
    assert_eq!((u64_at(&linked, 0), u32_at(&linked, 40 + 64)), (file, 2));
    assert!(guest.ask(6, 1, &[nul("soft"), nul("/etc/passwd")].concat()).is_ok());
    assert_eq!(fs::read_link(folder.path().join("soft")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(fs::metadata(folder.path().join("two")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(fs::read(folder.path().join("hard")).unwrap(), b"data");
}

#[test]
fn a_files_owner_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    let (file, _) = guest.create(1, "file", 0o644).unwrap();
    // FATTR_UID; the field is at 76.
    let owner = |uid: u32| {
        let mut body = [0; 88];
        body[0] = 2;
        body[76..80].copy_from_slice(&uid.to_le_bytes());
        body
    };
    assert!(guest.ask(4, file, &owner(0)).is_ok(), "what it is already");
    assert_eq!(guest.ask(4, file, &owner(7)), Err(EPERM));
}

#[test]
fn a_guest_writes_no_more_than_it_may() {
    const ENOSPC: i32 = 28;
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    // A file's name is a block of 4096 bytes; a request to write has 40 bytes before its data (`struct fuse_write_in`).
    guest.server.allowance = Allowance::of(Some(4096 + 2 * (40 + 100)));
    let (file, handle) = guest.create(1, "new", 0o644).unwrap();
    assert_eq!(guest.write(file, handle, 0, &[1; 100]), Ok(100));
    assert_eq!(guest.write(file, handle, 0, &[2; 101]), Err(ENOSPC));
    // The same bytes again take as much.
    assert_eq!(guest.write(file, handle, 0, &[3; 100]), Ok(100));
    assert_eq!(guest.write(file, handle, 0, &[4; 1]), Err(ENOSPC));
    // FALLOCATE: handle, offset, length, mode.
    let room = [handle.to_le_bytes(), 0u64.to_le_bytes(), 1u64.to_le_bytes(), [0; 8]].concat();
    assert_eq!(guest.ask(43, file, &room), Err(ENOSPC));
    assert_eq!(guest.create(1, "other", 0o644), Err(ENOSPC));
    assert_eq!(guest.read(file, 0, 200).unwrap(), [3; 100]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
