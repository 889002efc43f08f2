//! Names, folders, and that what is written is whole. That its tests pass, `ci/guide-tests.sh` sees.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::scenario;

fn name(text: &str) -> Result<Name, String> {
    Name::of(Path::new(text), "device").map_err(|error| error.to_string())
}

/// Every file below `folder`, with its text, by ascending path.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// What cargo needs to know of a clone.
fn clone() -> tempfile::TempDir {
    let clone = tempfile::tempdir().unwrap();
    for (name, place) in CRATES {
        fs::create_dir(clone.path().join(place)).unwrap();
        let text = format!("[package]\nname = \"{name}\"\n");
        fs::write(clone.path().join(place).join("Cargo.toml"), text).unwrap();
    }
    fs::write(clone.path().join("Cargo.lock"), "version = 4\n").unwrap();
    clone
}

#[test]
fn a_name_is_the_last_part_of_a_path() {
    for (path, expected) in [("my-sensor2", "my-sensor2"), ("a/b/", "b"), ("/x y/z", "z")] {
        assert_eq!(name(path).unwrap().text(), expected);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("here")).unwrap();
    assert_eq!(Name::of(&folder.path().join("here/."), "device").unwrap().text(), "here");
    let sensor = name("my-sensor2").unwrap();
    assert_eq!((sensor.identifier().as_str(), sensor.module().as_str()), ("my_sensor2", "my_sensor2_drv"));
    assert!(sensor.device_id() >= 0x8000 && sensor.device_id() != name("my-sensor").unwrap().device_id());
}

#[test]
fn a_name_that_cannot_be_is_refused_with_one_like_it() {
    let cases = [
        ("My Sensor", "such as my-sensor"),
        ("2nd_sensor", "such as nd-sensor"),
        ("sensor-", "such as sensor"),
        ("-x", "such as x"),
        ("gerät", "such as ger-t"),
        ("a.b", "such as a-b"),
        (&"a".repeat(41), &"a".repeat(40)),
        ("42", "a letter first"),
        ("", "a letter first"),
        ("/", "a letter first"),
        ("$(reboot)\n", "such as reboot"),
    ];
    for (text, said) in cases {
        let why = name(text).unwrap_err();
        assert!(why.ends_with(said) && why.len() < 300, "{text}: {why}");
    }
    for taken in ["gpu", "virtio-blk", "iommu", "disk", "fn", "test", "std", "fencepost", "help", "build"] {
        let why = name(taken).unwrap().can_be_a_device().unwrap_err().to_string();
        assert!(why.contains(taken) && why.ends_with("take another"), "{why}");
    }
    name("loop-back").unwrap().can_be_a_device().unwrap();
}

#[test]
fn a_scenario_is_one_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/my-driver");
    super::scenario(&path).unwrap();
    let found = scenario::read(&path.join("my-driver.toml")).unwrap();
    assert_eq!(found.scenario.steps.len(), 3);
    assert!(found.scenario.modules.build.unwrap().join("Kbuild").is_file());
}

#[test]
fn nothing_that_is_written_has_a_mark_left_or_lacks_its_file() {
    let (folder, clone) = (tempfile::tempdir().unwrap(), clone());
    super::scenario(&folder.path().join("s")).unwrap();
    device(&folder.path().join("d"), None).unwrap();
    device(&folder.path().join("my-d"), Some(clone.path())).unwrap();
    let written = files(folder.path());
    assert_eq!(written.len(), SCENARIO.len() + 2 * DEVICE.len() + 1);
    for (path, text) in &written {
        let upper = |part: &str| part.chars().all(|c| c.is_uppercase() || c == '_');
        let marked = |text: &str| text.split('@').skip(1).step_by(2).any(upper);
        assert!(!marked(text) && !marked(&path.display().to_string()), "{}", path.display());
    }
    let has = |path: &str| written.iter().any(|(it, _)| *it == folder.path().join(path));
    assert!(has("my-d/driver/my_d_drv.c") && has("my-d/scenarios/my-d.toml") && has("my-d/Cargo.lock"));
    assert!(!has("d/Cargo.lock"));
}

#[test]
fn the_crates_come_from_the_registry_or_from_the_clone() {
    let (folder, clone) = (tempfile::tempdir().unwrap(), clone());
    let read =
        |path: &Path| toml::from_str::<toml::Table>(&fs::read_to_string(path.join("Cargo.toml")).unwrap());
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    device(&one, None).unwrap();
    device(&other, Some(clone.path())).unwrap();
    let (one, other) = (read(&one).unwrap(), read(&other).unwrap());
    for (name, place) in CRATES {
        assert_eq!(one["dependencies"][name].as_str(), Some(VERSION));
        let path = fs::canonicalize(clone.path().join(place)).unwrap();
        let entry = &other["dependencies"][name];
        assert_eq!((entry["version"].as_str(), entry["path"].as_str()), (Some(VERSION), path.to_str()));
    }
}

#[test]
fn what_is_no_clone_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d");
    for wrong in ["none", "."] {
        let why = device(&path, Some(&folder.path().join(wrong))).unwrap_err().to_string();
        assert!(why.starts_with("--crates ") && why.ends_with("a clone of Fencepost"), "{why}");
        assert!(!path.exists());
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/README.md"), "mine").unwrap();
    fs::write(at("file"), "mine").unwrap();
    symlink("nowhere", at("link")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    for (name, said) in [
        ("full", "something in it"),
        ("file", "no folder"),
        ("link", "no folder"),
        ("file/x", "Not a directory"),
    ] {
        let before = files(&at("full"));
        let why = super::scenario(&at(name)).unwrap_err().to_string();
        assert!(why.contains(said) && why.contains(name), "{name}: {why}");
        assert_eq!(files(&at("full")), before);
    }
    super::scenario(&at("empty")).unwrap();
    assert!(super::scenario(&at("empty")).is_err(), "a second time");
}

#[test]
fn what_cannot_be_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    // A file in whose place a folder is needed.
    let files = [File { path: "x", text: "" }, File { path: "x/y", text: "" }];
    let why = Folder::new(&path).unwrap().write(&files, &str::to_string).unwrap_err().to_string();
    assert!(why.contains("a/b"), "{why}");
    assert!(!folder.path().join("a").exists());
}
