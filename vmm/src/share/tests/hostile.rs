//! Requests that no kernel makes.

use std::fs;

use fencepost_devices::virtio_fs::{Access, FileServer};
use fencepost_random::Random;

use super::guest::{Guest, nul, request};

/// Everything below a directory: paths and lengths.
fn all(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        found.push((entry.path(), meta.len()));
        if meta.is_dir() {
            found.extend(all(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn requests_of_any_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, outside) = (folder.path().join("shared"), folder.path().join("outside"));
    fs::create_dir_all(shared.join("a/b")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    std::os::unix::fs::symlink("../outside", shared.join("link")).unwrap();
    let before = all(&outside);
    let mut dice = Random::new(0xf5);
    let mut guest = Guest::new(&shared, Access::Rw);
    let names = ["a", "b", "link", "..", ".", "file", "../outside/file", "new", ""];
    let mut answered = 0;
    for at in 0..20_000u64 {
        let opcode = dice.below(54) as u32;
        let small = |dice: &mut Random| (dice.bits() >> dice.below(64)).to_le_bytes();
        let mut body: Vec<u8> = (0..dice.below(6)).flat_map(|_| small(&mut dice)).collect();
        for _ in 0..dice.below(3) {
            body.extend(nul(names[dice.below(names.len() as u64) as usize]));
        }
        let mut bytes = request(opcode, at, dice.below(8), &body);
        match dice.below(8) {
            0 => bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize),
            1 => bytes[0] = dice.bits() as u8,
            _ => {}
        }
        let room = match dice.below(4) {
            0 => dice.below(200) as usize,
            _ => 4096,
        };
        let reply = guest.server.handle(&bytes, room, at);
        assert!(reply.len() <= room, "{opcode}: {} of {room} bytes", reply.len());
        answered += u64::from(reply.len() > 16);
        // A snapshot of whatever state that is can be read back.
        if at % 2000 == 0 {
            let saved = guest.server.save();
            guest.server.restore(&saved).unwrap();
        }
    }
    assert!(answered > 500, "{answered}");
    assert_eq!(all(&outside), before);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "secret");
    assert_eq!(all(folder.path()).iter().filter(|(path, _)| !path.starts_with(&shared)).count(), 2);
}

#[test]
fn a_snapshot_of_any_bytes_is_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    guest.create(1, "file", 0o644).unwrap();
    let saved = guest.server.save();
    let mut dice = Random::new(1);
    let mut refused = 0;
    for _ in 0..2000 {
        let mut bytes = saved.clone();
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] = dice.bits() as u8;
        refused += u32::from(guest.server.restore(&bytes).is_err());
        guest.server.handle(&request(1, 1, 2, b"file\0"), 4096, 0);
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_snapshot_that_leaves_no_numbers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(folder.path(), Access::Rw);
    let saved = guest.server.save();
    // The number of the next file comes first, in groups of seven bits.
    let last = [&[0xff; 9][..], &[1], &saved[1..]].concat();
    assert!(guest.server.restore(&last).is_err());
    guest.server.restore(&saved).unwrap();
    assert!(guest.create(1, "file", 0o644).is_ok());
}
