//! `fencepost doctor` on the host that the tests run on, whatever it is, with a cache of the test's own.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::{fs, path::Path};

fn doctor(cache: &Path) -> (Option<i32>, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["doctor", "--json"])
        .env("FENCEPOST_CACHE", cache)
        .output()
        .expect("the command starts");
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

fn check<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).expect("looked at")
}

#[test]
fn the_exit_status_is_the_class() {
    let cache = tempfile::tempdir().expect("a folder");
    let (status, report) = doctor(cache.path());
    let class = report["class"].as_str().expect("text");
    let of_class = ["native", "slow", "none"].iter().position(|name| *name == class).expect("a class");
    assert_eq!(status, Some([0, 10, 11][of_class]));
    assert_eq!(report["status"], [0, 10, 11][of_class]);
}

#[test]
fn a_kernel_is_cached_when_every_part_of_it_is_there() {
    let cache = tempfile::tempdir().expect("a folder");
    assert_eq!(check(&doctor(cache.path()).1, "kernel")["fix"], "ci/kernel");
    let folder = cache.path().join("kernel-6.12.0");
    for part in ["modules", "headers/scripts"] {
        fs::create_dir_all(folder.join(part)).expect("a folder");
    }
    for part in ["vmlinuz", "modules/modules.dep", "headers/Makefile"] {
        fs::write(folder.join(part), "").expect("a file");
    }
    symlink("kernel-6.12.0", cache.path().join("kernel")).expect("a link");
    let (_, report) = doctor(cache.path());
    assert_eq!(check(&report, "kernel")["found"], "is cached without version");
    fs::write(folder.join("version"), "6.12.0\n").expect("a file");
    let (_, report) = doctor(cache.path());
    assert_eq!(check(&report, "kernel")["found"], "6.12.0 is cached");
    assert_eq!(check(&report, "kernel-stable")["fix"], "ci/kernel --stable");
}
