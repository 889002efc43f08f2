//! What must not lead out of the directory, and what must not be opened.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use fencepost_devices::virtio_fs::Access;
use rustix::fs::{CWD, FileType, Mode};

use super::guest::{Guest, nul};

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const ENOTDIR: i32 = 20;
const EINVAL: i32 = 22;
const EROFS: i32 = 30;
const ENAMETOOLONG: i32 = 36;
const ESTALE: i32 = 116;

/// A folder with `shared` in it, and a secret beside that.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("shared/sub")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(folder.path().join("shared/sub/file"), "inside").unwrap();
    folder
}

fn guest(folder: &Path, access: Access) -> Guest {
    Guest::new(&folder.join("shared"), access)
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let folder = folder();
    let shared = folder.path().join("shared");
    symlink("/", shared.join("absolute")).unwrap();
    symlink("../secret", shared.join("up")).unwrap();
    symlink("/proc/self/root", shared.join("magic")).unwrap();
    let mut guest = guest(folder.path(), Access::Rw);
    let sub = guest.lookup(1, "sub").unwrap();
    for name in ["..", ".", "", "../secret", "sub/file", "/", "/etc", "sub/"] {
        for node in [1, sub] {
            assert_eq!(guest.lookup(node, name), Err(EINVAL), "{name}");
            assert_eq!(guest.create(node, name, 0o644), Err(EINVAL), "{name}");
            // UNLINK, RMDIR, SYMLINK, MKDIR.
            assert_eq!(guest.ask(10, node, &nul(name)), Err(EINVAL), "{name}");
            assert_eq!(guest.ask(11, node, &nul(name)), Err(EINVAL), "{name}");
            assert_eq!(guest.ask(6, node, &[nul(name), nul("x")].concat()), Err(EINVAL), "{name}");
            assert_eq!(guest.ask(9, node, &[&[0; 8][..], &nul(name)].concat()), Err(EINVAL), "{name}");
            // RENAME, from and to.
            let to_root = 1u64.to_le_bytes();
            for pair in [[nul("sub"), nul(name)], [nul(name), nul("new")]] {
                let body = [&to_root[..], &pair.concat()].concat();
                assert_eq!(guest.ask(12, node, &body), Err(EINVAL), "{name}");
            }
        }
    }
    assert_eq!(guest.lookup(1, &"n".repeat(256)), Err(ENAMETOOLONG));
    assert_eq!(guest.ask(1, 1, b"sub"), Err(EINVAL), "a name without an end");
    for (link, target) in [("absolute", "/"), ("up", "../secret"), ("magic", "/proc/self/root")] {
        let node = guest.lookup(1, link).unwrap();
        assert_eq!(guest.ask(5, node, &[]).unwrap(), target.as_bytes(), "the text of a link");
        assert_eq!(guest.lookup(node, "etc"), Err(ENOTDIR), "{link}");
        assert_eq!(guest.read(node, 0, 100), Err(EACCES), "{link}");
        assert_eq!(guest.open(node), Err(EACCES), "{link}");
        let error = guest.create(1, link, 0o644).unwrap_err();
        assert_eq!(error, 17, "{link}: EEXIST");
    }
    assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "secret");
}

#[test]
fn other_file_systems_below_are_refused() {
    let mut root = Guest::new(Path::new("/"), Access::Ro);
    assert_eq!(root.lookup(1, "proc"), Err(EACCES));
    let listed = root.list(1, true);
    assert!(listed.iter().any(|(name, ino)| name == "proc" && *ino == 0xffff_ffff), "{listed:?}");
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let folder = folder();
    let shared = folder.path().join("shared");
    fs::create_dir(folder.path().join("outside")).unwrap();
    fs::write(folder.path().join("outside/file"), "secret").unwrap();
    let mut guest = guest(folder.path(), Access::Ro);
    let file = guest.walk("sub/file").unwrap();
    let sub = guest.lookup(1, "sub").unwrap();
    // What is open stays what it was.
    let read = guest.read(file, 0, 100).unwrap();
    fs::rename(shared.join("sub"), shared.join("old")).unwrap();
    symlink("../outside", shared.join("sub")).unwrap();
    assert_eq!((guest.read(file, 0, 100).unwrap(), read), (b"inside".to_vec(), b"inside".to_vec()));
    // One that must be found again by its name is not found.
    let saved = fencepost_devices::virtio_fs::FileServer::save(&guest.server);
    let mut guest = super::guest::Guest::new(&shared, Access::Ro);
    fencepost_devices::virtio_fs::FileServer::restore(&mut guest.server, &saved).unwrap();
    assert_eq!(guest.read(file, 0, 100), Err(ESTALE));
    assert_eq!(guest.lookup(sub, "file"), Err(ESTALE));
}

#[test]
fn special_files_are_refused_and_nothing_waits_for_them() {
    let folder = folder();
    let shared = folder.path().join("shared");
    rustix::fs::mknodat(CWD, shared.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = UnixListener::bind(shared.join("socket")).unwrap();
    let mut guest = guest(folder.path(), Access::Rw);
    for name in ["pipe", "socket"] {
        assert_eq!(guest.lookup(1, name), Err(EACCES), "{name}");
        assert_eq!(guest.create(1, name, 0o644), Err(EACCES), "{name}");
        assert!(guest.list(1, true).contains(&(name.to_string(), 0xffff_ffff)), "{name} is listed");
    }
    // A file that the guest knows becomes a pipe: it is another one, and is not opened.
    fs::remove_file(shared.join("sub/file")).unwrap();
    fs::write(shared.join("sub/file"), "x").unwrap();
    let file = guest.walk("sub/file").unwrap();
    fs::rename(shared.join("pipe"), shared.join("sub/file")).unwrap();
    let saved = fencepost_devices::virtio_fs::FileServer::save(&guest.server);
    fencepost_devices::virtio_fs::FileServer::restore(&mut guest.server, &saved).unwrap();
    assert_eq!(guest.read(file, 0, 10), Err(ESTALE));
    assert_eq!(guest.open(file), Err(ESTALE));
    // MKNOD: a pipe, a socket, devices.
    for kind in [0o010000u32, 0o140000, 0o020000, 0o060000] {
        let body = [[kind | 0o644, 0x103, 0, 0].map(u32::to_le_bytes).concat(), nul("new")].concat();
        assert_eq!(guest.ask(8, 1, &body), Err(EPERM));
    }
    assert!(!shared.join("new").exists());
}

#[test]
fn a_number_that_the_host_gives_to_a_file_of_another_kind_is_stale() {
    let folder = folder();
    let shared = folder.path().join("shared");
    let mut guest = guest(folder.path(), Access::Rw);
    let file = guest.walk("sub/file").unwrap();
    fs::remove_file(shared.join("sub/file")).unwrap();
    rustix::fs::mknodat(CWD, shared.join("sub/file"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    // As a file system does that has given the pipe the file's number.
    let pipe = fs::symlink_metadata(shared.join("sub/file")).unwrap();
    guest.server.tree.nodes.get_mut(&file).unwrap().host = Some((pipe.dev(), pipe.ino()));
    assert_eq!(guest.read(file, 0, 10), Err(ESTALE));
    assert_eq!(guest.open(file), Err(ESTALE));
    assert_eq!(guest.ask(3, file, &[0; 16]), Err(ESTALE));
}

#[test]
fn what_may_only_be_read_is_not_changed() {
    let folder = folder();
    let mut guest = guest(folder.path(), Access::Ro);
    let file = guest.walk("sub/file").unwrap();
    let before = fs::metadata(folder.path().join("shared/sub/file")).unwrap().modified().unwrap();
    // SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, SETXATTR, CREATE, FALLOCATE, RENAME2, TMPFILE.
    for opcode in [4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 35, 43, 45, 51] {
        for node in [1, file] {
            assert_eq!(guest.ask(opcode, node, &[0; 96]), Err(EROFS), "{opcode}");
        }
    }
    let after = fs::metadata(folder.path().join("shared/sub/file")).unwrap();
    assert_eq!((after.modified().unwrap(), after.len()), (before, 6));
}

#[test]
fn a_large_tree_takes_few_descriptors() {
    let folder = folder();
    let shared = folder.path().join("shared");
    for number in 0..1000 {
        fs::create_dir(shared.join(format!("d{number}"))).unwrap();
        fs::write(shared.join(format!("d{number}/f")), number.to_string()).unwrap();
    }
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut guest = guest(folder.path(), Access::Ro);
    let files: Vec<u64> = (0..1000).map(|number| guest.walk(&format!("d{number}/f")).unwrap()).collect();
    for _ in 0..2 {
        for (number, file) in files.iter().enumerate() {
            assert_eq!(guest.read(*file, 0, 100).unwrap(), number.to_string().as_bytes());
        }
    }
    // Two for each of 128, and other tests' in this process.
    assert!(open() < before + 600, "{} descriptors, {before} before", open());
}
