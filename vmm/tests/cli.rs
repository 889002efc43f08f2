//! The command itself: bad input is one clear line and exit status 2, before any guest starts.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

fn fencepost(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the command starts")
}

fn refused(arguments: &[&str], names: &[&str]) {
    let output = fencepost(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    assert!(output.stdout.is_empty());
    for name in names {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}

fn tiny_kernel(folder: &Path, memory_bytes: u64) -> PathBuf {
    common::kernel(folder, &common::SPIN, memory_bytes)
}

#[test]
fn a_missing_kernel_is_named() {
    refused(&["run", "--kernel", "/nowhere/vmlinux"], &["--kernel", "/nowhere/vmlinux", "No such file"]);
}

#[test]
fn a_file_that_is_no_kernel_is_named() {
    refused(&["run", "--kernel", MEDIA], &["Cargo.toml", "not a kernel", "--kernel"]);
}

#[test]
fn a_folder_is_no_kernel() {
    refused(&["run", "--kernel", "/"], &["folder"]);
}

#[test]
fn unknown_values_and_options_are_named() {
    refused(&["run", "--kernel", MEDIA, "--accel", "warp"], &["warp", "--accel", "soft"]);
    refused(&["run", "--kernel", MEDIA, "--memory", "3M"], &["3M", "--memory"]);
    refused(&["run", "--kernel", MEDIA, "--iommu", "maybe"], &["maybe", "--iommu"]);
    refused(&["run", "--kernel", MEDIA, "--gpu", "speed=9"], &["speed", "--gpu"]);
    refused(&["run", "--kernel", MEDIA, "--timeout", "-1"], &["--timeout"]);
    refused(
        &["run", "--kernel", MEDIA, "--seed", "1", "--date", "now"],
        &["--date now", "--seed", "write the date"],
    );
    refused(&["run"], &["--kernel"]);
    refused(&["fly"], &["fly"]);
}

#[test]
fn too_little_memory_for_the_kernel_is_reported_with_the_fix() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = tiny_kernel(folder.path(), 64 << 20);
    let kernel = kernel.to_str().expect("UTF-8");
    refused(&["run", "--kernel", kernel, "--memory", "32M"], &["memory", "--memory"]);
}

#[test]
fn an_initramfs_that_is_missing_or_too_large_is_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = tiny_kernel(folder.path(), 4096);
    let kernel = kernel.to_str().expect("UTF-8");
    refused(&["run", "--kernel", kernel, "--initrd", "/nowhere/initrd"], &["--initrd", "/nowhere/initrd"]);
    let initrd = folder.path().join("initrd");
    std::fs::File::create(&initrd).and_then(|f| f.set_len(17 << 20)).expect("written");
    let initrd = initrd.to_str().expect("UTF-8");
    refused(&["run", "--kernel", kernel, "--initrd", initrd, "--memory", "16M"], &["initramfs", "--memory"]);
}

#[test]
fn outputs_that_cannot_be_written_are_named_before_the_guest_starts() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = tiny_kernel(folder.path(), 4096);
    let kernel = kernel.to_str().expect("UTF-8");
    refused(&["run", "--kernel", kernel, "--trace", "/nowhere/log"], &["--trace", "/nowhere/log"]);
    refused(&["run", "--kernel", kernel, "--trace-categories", "dmaa"], &["dmaa", "iotlb"]);
    refused(&["run", "--kernel", kernel, "--frames", "/proc/none"], &["--frames", "/proc/none"]);
}

#[test]
fn a_source_that_the_demo_cannot_show_is_named_with_the_fix() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("small.y4m");
    let mut video = b"YUV4MPEG2 W16 H16 F30:1 Cmono\nFRAME\n".to_vec();
    video.extend_from_slice(&[7; 256]);
    std::fs::write(&source, video).expect("written");
    let source = source.to_str().expect("UTF-8");
    let demo = ["demo", "--kernel", MEDIA, "--initrd", MEDIA, "--camera-source"];
    refused(&[&demo[..], &[source]].concat(), &["small.y4m", "16x16", "64x64", "scale"]);
    refused(&[&demo[..], &["/nowhere/x.y4m"]].concat(), &["--camera-source /nowhere/x.y4m", "No such file"]);
    let gone = fencepost(&[&demo[..], &["/nowhere/x.y4m"]].concat());
    assert!(!String::from_utf8_lossy(&gone.stderr).contains("os error"));
}

#[test]
fn a_demo_that_is_interrupted_ends_with_its_summary_and_status_130() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (kernel, out) = (tiny_kernel(folder.path(), 4096), folder.path().join("out"));
    let demo = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["demo", "--accel", "soft", "--timeout", "60", "--initrd", MEDIA, "--kernel"])
        .arg(kernel)
        .arg("--out")
        .arg(&out)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    // The folder is made when the signals are watched; a while later all threads are there.
    while !out.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let sent = Command::new("bash").args(["-c", &format!("kill -INT {}", demo.id())]).status();
    assert!(sent.expect("bash runs").success());
    let output = demo.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 of 120 frames were shown"));
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let output = fencepost(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
    }
    let list = fencepost(&["run", "--device", "help"]);
    assert_eq!((list.status.code(), &list.stderr[..]), (Some(0), &b""[..]));
    for part in ["gpu: ", "camera: ", "display: ", "scanout=always|on-flip", "bytes-per-cycle=1..1048576"] {
        assert!(String::from_utf8_lossy(&list.stdout).contains(part), "{part}");
    }
    let help = fencepost(&["run", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Ctrl-]"), "the escape key is documented");
}

#[test]
fn camera_pictures_are_checked_before_the_guest_starts() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = tiny_kernel(folder.path(), 4096);
    let kernel = kernel.to_str().expect("UTF-8");
    refused(
        &["run", "--kernel", kernel, "--camera", "source=/nowhere/a.y4m"],
        &["camera in slot 2", "/nowhere/a.y4m"],
    );
    refused(&["run", "--kernel", kernel, "--camera", &format!("source={MEDIA}")], &["Cargo.toml", "Y4M"]);
    let odd = folder.path().join("odd.y4m");
    std::fs::write(&odd, "YUV4MPEG2 W17 H16 F30:1 Ip C420\nFRAME\n").expect("written");
    let odd = format!("source={}", odd.display());
    refused(&["run", "--kernel", kernel, "--camera", &odd], &["odd.y4m", "17x16"]);
    refused(&["run", "--kernel", kernel, "--display", "width=9"], &["--display", "width=9"]);
    refused(
        &["run", "--kernel", kernel, "--display", "width=4000,height=4000"],
        &["display in slot 3", "4000x4000@60"],
    );
    refused(&["run", "--kernel", kernel, "--device", "gpu,slot=2"], &["--device gpu", "slot 2", "camera"]);
}
