//! Disks in files: what is refused, what is locked, and that what is written is there.

use std::fs;
use std::path::{Path, PathBuf};

use fencepost_devices::virtio_blk::{Disk, Format, Wanted};
use fencepost_random::Random;
use imago::file::File as ImageFile;
use imago::qcow2::Qcow2;
use imago::{FormatCreateBuilder, Storage, StorageCreateOptions};
use tempfile::TempDir;

use super::open;
use crate::failures::Failures;

const BYTES: u64 = 1 << 20;

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn raw(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let bytes: Vec<u8> = (0..BYTES).map(|at| (at / 512) as u8).collect();
        fs::write(&path, bytes).expect("written");
        path
    }

    fn qcow2(&self, name: &str, backing: Option<&str>) -> PathBuf {
        let path = self.path(name);
        let options = StorageCreateOptions::new().filename(&path);
        let storage = ImageFile::create_open(options).expect("a file");
        let mut image = Qcow2::<ImageFile>::create_builder(storage).size(BYTES);
        if let Some(backing) = backing {
            image = image.backing(backing.to_string(), "raw".to_string());
        }
        image.create().expect("an image");
        path
    }
}

fn wanted(path: &Path, format: Format, writable: bool) -> Wanted<'_> {
    Wanted { path, format, writable }
}

fn disk(path: &Path, format: Format, writable: bool) -> Result<Box<dyn Disk>, String> {
    open(wanted(path, format, writable), Failures::default())
}

fn refused(path: &Path, format: Format, writable: bool) -> String {
    disk(path, format, writable).map(|_| ()).expect_err("must be refused")
}

#[test]
fn what_is_no_disk_is_refused_by_name() {
    let files = Files::new();
    let (empty, odd, raw) = (files.path("empty"), files.path("odd"), files.raw("raw"));
    fs::write(&empty, "").expect("written");
    fs::write(&odd, [0; 1000]).expect("written");
    let pipe = files.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    for (path, format, said) in [
        (&files.path("none"), Format::Auto, "No such file or directory"),
        (&files.0.path().to_path_buf(), Format::Auto, "is a folder; name the file of a disk"),
        (&pipe, Format::Auto, "is no regular file; name the file of a disk"),
        (&empty, Format::Auto, "is empty; give it a size"),
        (&odd, Format::Raw, "has 1000 bytes, which are no whole sectors; `truncate -s 1024"),
        (&raw, Format::Qcow2, "is no qcow2 image; leave out format=qcow2"),
    ] {
        let line = refused(path, format, false);
        assert!(line.starts_with(&format!("{}: ", path.display())) && line.contains(said), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn a_damaged_image_is_refused() {
    let files = Files::new();
    let image = files.qcow2("image", None);
    let bytes = fs::read(&image).expect("read");
    // The version; the size of a cluster; where the first table is.
    for (at, value) in [(7, 9u8), (23, 60), (47, 1)] {
        let mut changed = bytes.clone();
        changed[at] = value;
        fs::write(&image, changed).expect("written");
        let line = refused(&image, Format::Auto, false);
        assert!(line.contains("is no sound qcow2 image: ") && line.contains("qemu-img check"), "{line}");
    }
}

#[test]
fn an_image_that_needs_another_file_is_refused() {
    let files = Files::new();
    files.raw("base");
    let image = files.qcow2("image", Some("base"));
    for writable in [false, true] {
        let line = refused(&image, Format::Auto, writable);
        assert!(line.contains("needs another file, which is never opened; `qemu-img convert"), "{line}");
    }
}

#[test]
fn one_machine_writes_a_disk_or_several_read_it() {
    let files = Files::new();
    for path in [files.raw("raw"), files.qcow2("image", None)] {
        let link = files.path("link");
        let _ = fs::remove_file(&link);
        fs::hard_link(&path, &link).expect("linked");
        let writer = disk(&path, Format::Auto, true).expect("the first");
        for writable in [false, true] {
            let line = refused(&link, Format::Auto, writable);
            assert!(
                line.ends_with(
                    "is in use by another machine; end that one, or give both the disk with ro or snapshot"
                ),
                "{line}"
            );
        }
        drop(writer);
        let readers = [disk(&path, Format::Auto, false), disk(&link, Format::Auto, false)];
        assert!(readers.iter().all(Result::is_ok));
        assert!(refused(&path, Format::Auto, true).contains("is in use by another machine"));
    }
}

#[test]
fn a_raw_disk_cannot_be_made_a_qcow2_image() {
    let files = Files::new();
    let image = fs::read(files.qcow2("image", None)).expect("read");
    let raw = files.raw("raw");
    let failures = Failures::default();
    let mut found = open(wanted(&raw, Format::Auto, true), failures.clone()).expect("a disk");
    assert!(found.write(0, &image[..4096]).is_err());
    assert!(found.write(0, &[0; 512]).is_ok() && found.write(512, &image[..512]).is_ok());
    drop(found);
    let lines = failures.lines();
    assert!(lines.len() == 1 && lines[0].contains("say format=raw if it may"), "{lines:?}");
    // Who said that it is raw gets what was written, in every run.
    let mut said = disk(&raw, Format::Raw, true).expect("a disk");
    said.write(0, &image[..512]).expect("written");
    drop(said);
    assert_eq!(disk(&raw, Format::Raw, true).expect("a disk").bytes(), BYTES);
}

/// Writes, zeros and discards at random; the same done to an array.
#[test]
fn a_disk_holds_what_was_written_when_it_is_opened_again() {
    let files = Files::new();
    for path in [files.raw("raw"), files.qcow2("image", None)] {
        let mut disk = disk(&path, Format::Auto, true).expect("a disk");
        let mut oracle = vec![0; BYTES as usize];
        disk.read(0, &mut oracle).expect("read");
        let mut dice = Random::new(0xd15c);
        let mut discarded = vec![false; BYTES as usize];
        for step in 0..300 {
            let sector = dice.below(BYTES / 512);
            let count = (1 + dice.below(300)).min(BYTES / 512 - sector);
            let (at, place) = (sector * 512, sector as usize * 512..(sector + count) as usize * 512);
            match dice.below(6) {
                0 => {
                    disk.zero(at, count * 512, step % 2 == 0).expect("zeroed");
                    oracle[place.clone()].fill(0);
                    discarded[place].fill(false);
                }
                1 => {
                    disk.discard(at, count * 512).expect("discarded");
                    discarded[place].fill(true);
                }
                2 => disk.flush().expect("flushed"),
                _ => {
                    let data: Vec<u8> = (0..count * 512).map(|_| dice.bits() as u8).collect();
                    disk.write(at, &data).expect("written");
                    oracle[place.clone()].copy_from_slice(&data);
                    discarded[place].fill(false);
                }
            }
        }
        drop(disk);
        let mut again = super::open(wanted(&path, Format::Auto, false), Failures::default()).expect("a disk");
        let mut data = vec![0; BYTES as usize];
        again.read(0, &mut data).expect("read");
        for (at, ((now, then), discarded)) in data.iter().zip(&oracle).zip(&discarded).enumerate() {
            assert!(*discarded || now == then, "{}: byte {at} is {now}, not {then}", path.display());
        }
    }
}

#[test]
fn a_file_that_was_written_has_another_fingerprint() {
    let files = Files::new();
    for path in [files.raw("raw"), files.qcow2("image", None)] {
        let mut first = disk(&path, Format::Auto, true).expect("a disk");
        first.write(0, &[1; 512]).expect("written");
        let before = first.fingerprint();
        assert_eq!(first.fingerprint(), before);
        drop(first);
        let again = disk(&path, Format::Auto, true).expect("a disk");
        assert_eq!(again.fingerprint(), before, "nothing was written since");
        drop(again);
        let file = fs::File::options().write(true).open(&path).expect("opened");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
        assert_ne!(disk(&path, Format::Auto, true).expect("a disk").fingerprint(), before);
    }
}

#[test]
fn what_cannot_be_written_is_one_line_with_its_count() {
    let files = Files::new();
    let raw = files.raw("raw");
    let failures = Failures::default();
    // Opened without the right to write: the host refuses each write.
    let mut disk = open(wanted(&raw, Format::Auto, false), failures.clone()).expect("a disk");
    for _ in 0..3 {
        assert!(disk.write(512, &[1; 512]).is_err());
    }
    let expected = format!(
        "the disk {}: Bad file descriptor; requests that the guest got as I/O errors: 3",
        raw.display()
    );
    assert_eq!(failures.lines(), [expected]);
}

#[test]
fn an_image_whose_header_counts_as_free_is_not_written() {
    let files = Files::new();
    let image = files.qcow2("image", None);
    let whole = fs::read(&image).expect("read");
    // The count of the first cluster; the place of the first block of counts; the clusters of their table.
    for (at, bytes) in [(0x2_0000, 2), (0x1_0000, 8), (56, 4)] {
        let mut changed = whole.clone();
        changed[at..at + bytes].fill(0);
        fs::write(&image, changed).expect("written");
        let line = refused(&image, Format::Auto, true);
        assert!(line.contains("its first cluster counts as free; `qemu-img check"), "{at}: {line}");
        assert!(disk(&image, Format::Auto, false).is_ok(), "{at}: it can be read");
    }
    fs::write(&image, whole).expect("written");
    assert!(disk(&image, Format::Auto, true).is_ok());
}

#[test]
fn no_image_whatever_its_header_says_ends_the_process() {
    let files = Files::new();
    let whole = fs::read(files.qcow2("disk", None)).expect("an image");
    let path = files.path("mutant");
    let mut random = Random::new(0x9c);
    // The fields of the header (QEMU, docs/interop/qcow2.txt): where they are, and how many bytes they have.
    let fields =
        [(4, 4), (8, 8), (16, 4), (20, 4), (24, 8), (32, 4), (36, 4), (40, 8), (48, 8), (56, 4), (60, 4)];
    let fields: Vec<(usize, usize)> =
        fields.into_iter().chain([(64, 8), (72, 8), (80, 8), (88, 8), (96, 4), (100, 4)]).collect();
    let mut opened = 0;
    for _ in 0..600 {
        let mut image = whole.clone();
        for _ in 0..1 + random.below(2) {
            let (at, bytes) = fields[random.below(fields.len() as u64) as usize];
            let value = match random.below(4) {
                0 => u64::MAX >> random.below(64),
                1 => 1u64 << random.below(64),
                2 => random.below(1 << 12) << 16,
                _ => random.below(32),
            };
            image[at..at + bytes].copy_from_slice(&value.to_be_bytes()[8 - bytes..]);
        }
        // Tables with nonsense in them, too.
        if random.below(2) == 0 {
            let at = random.below(image.len() as u64 - 8) as usize;
            image[at..at + 8].copy_from_slice(&random.bits().to_be_bytes());
        }
        fs::write(&path, &image).expect("written");
        let Ok(mut disk) = disk(&path, Format::Auto, true) else { continue };
        opened += 1;
        let mut data = vec![0; 4096];
        let last = disk.bytes().saturating_sub(4096) & !511;
        for at in [0, last] {
            // Either may fail; neither may end the process.
            let _ = (disk.read(at, &mut data), disk.write(at, &data), disk.discard(at, 512), disk.flush());
        }
    }
    assert!(opened > 50, "{opened}");
}
