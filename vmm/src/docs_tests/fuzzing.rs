//! docs/fuzzing.md: every fuzz target is on the page, is built, and has a corpus that `ci/test` replays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The targets: each is a file.
fn targets() -> BTreeSet<String> {
    let files = std::fs::read_dir(fuzz().join("fuzz_targets")).expect("a folder");
    let names = files.map(|file| file.expect("an entry").path());
    names.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn every_target_is_on_the_page() {
    let page = text(fuzz().join("../docs/fuzzing.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.flat_map(|row| row.split(" | ").next().unwrap_or_default().split('`'));
    let listed = names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_string);
    assert_eq!(listed.collect::<BTreeSet<_>>(), targets());
}

#[test]
fn every_target_is_built_and_the_monitors_are_said_to_be() {
    let manifest: toml::Table = toml::from_str(&text(fuzz().join("Cargo.toml"))).expect("TOML");
    let built = manifest["bin"].as_array().expect("an array");
    let names = built.iter().map(|bin| bin["name"].as_str().expect("text").to_string());
    assert_eq!(names.collect::<BTreeSet<_>>(), targets());
    for bin in built {
        let name = bin["name"].as_str().expect("text");
        let source = text(fuzz().join("fuzz_targets").join(name).with_extension("rs"));
        assert_eq!(source.contains("use fencepost::"), bin.get("required-features").is_some(), "{name}");
    }
}

#[test]
fn every_target_has_a_small_corpus() {
    const BYTES_MAX: u64 = 2 << 20;
    let mut bytes = 0;
    for target in targets() {
        let files = std::fs::read_dir(fuzz().join("corpus").join(&target));
        let files: Vec<_> = files.unwrap_or_else(|_| panic!("{target} has no corpus")).collect();
        assert!(!files.is_empty(), "{target} has an empty corpus");
        bytes += files
            .iter()
            .map(|file| file.as_ref().expect("an entry").metadata().expect("a file").len())
            .sum::<u64>();
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes are too many to be kept in the repository");
}
