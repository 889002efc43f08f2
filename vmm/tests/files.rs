//! Files that the command reads and writes: none is lost, whatever its kind, and a refusal is one line.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fencepost_skip::Tested;

/// `mov al, 7; out 0xf4, al`
const EXIT_7: [u8; 4] = [0xb0, 7, 0xe6, 0xf4];

struct Folder(tempfile::TempDir);

impl Folder {
    /// With a kernel, `kernel`, an initramfs, `initrd`, and a source for the camera, `source.y4m`.
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("temporary folder"));
        common::kernel(folder.0.path(), &EXIT_7, 0x1000);
        fs::write(folder.path("initrd"), "070701 or so").expect("written");
        let video = [&b"YUV4MPEG2 W64 H64 F30:1 Cmono\nFRAME\n"[..], &[7; 64 * 64]].concat();
        fs::write(folder.path("source.y4m"), video).expect("written");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Has a shell run `fencepost` in this folder.
    fn shell(&self, line: &str) -> Output {
        Command::new("bash")
            .args(["-c", &line.replace("fencepost", env!("CARGO_BIN_EXE_fencepost"))])
            .current_dir(self.0.path())
            .env("FENCEPOST_CACHE", self.path("cache"))
            .stdin(Stdio::null())
            .output()
            .expect("bash runs")
    }

    fn refused(&self, line: &str, names: &[&str]) {
        let output = self.shell(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{line}: {said}");
        for name in names {
            assert!(said.contains(name), "{line}: {name} is not in: {said}");
        }
    }
}

fn content(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Long before the machine is there, which may take seconds.
#[test]
fn a_record_that_cannot_be_replayed_is_refused_before_the_kernel_is_read() {
    let folder = Folder::new();
    fs::write(folder.path("bad"), "no record\n").expect("written");
    folder.refused("fencepost run --kernel source.y4m --replay-input nosuch", &["nosuch", "No such file"]);
    folder.refused("fencepost run --kernel source.y4m --replay-input bad", &["--replay-input bad:1"]);
}

#[test]
fn no_output_overwrites_an_input_or_another_output() {
    let folder = Folder::new();
    let inputs = ["kernel", "initrd", "source.y4m"].map(|name| folder.path(name));
    let before = content(&inputs);
    fs::hard_link(&inputs[0], folder.path("hard")).expect("linked");
    symlink("initrd", folder.path("soft")).expect("linked");
    fs::create_dir(folder.path("shots")).expect("made");
    fs::hard_link(&inputs[2], folder.path("shots/flip-000001.png")).expect("linked");
    fs::create_dir(folder.path("out")).expect("made");
    symlink("out/console.log", folder.path("log")).expect("linked");
    let run = "fencepost run --accel soft --kernel kernel --initrd initrd --camera source=source.y4m";
    let demo =
        "fencepost demo --accel soft --kernel kernel --initrd initrd --camera-source source.y4m --out out";
    for (options, names) in [
        ("--trace kernel", ["--trace kernel", "--kernel kernel"]),
        ("--trace ./hard", ["--trace ./hard", "--kernel kernel"]),
        ("--trace soft", ["--trace soft", "--initrd initrd"]),
        ("--trace source.y4m", ["--trace source.y4m", "camera"]),
        ("--frames shots", ["--frames shots", "camera"]),
        ("--frames shots --trace shots/flip-000009.png", ["--frames shots", "overwrite"]),
        ("--trace new >new", ["--trace new", "standard output"]),
        ("--trace new 3>>new <&3", ["--trace new", "standard input"]),
        (">>kernel", ["standard output", "--kernel kernel"]),
    ] {
        folder.refused(&format!("{run} {options}"), &names);
    }
    for (options, names) in [
        ("--trace kernel", ["--trace kernel", "--kernel kernel"]),
        ("--trace out/console.log", ["console.log", "--trace"]),
        ("--trace log", ["console.log", "--trace log"]),
        ("--trace out/frame-0007.png", ["--out out", "--trace"]),
    ] {
        folder.refused(&format!("{demo} {options}"), &names);
    }
    assert!(content(&inputs) == before, "an input was changed");
    assert_eq!(fs::read_dir(folder.path("out")).expect("readable").count(), 0);
}

#[test]
fn an_old_trace_stays_when_the_command_is_refused() {
    let folder = Folder::new();
    fs::write(folder.path("old"), "precious").expect("written");
    folder.refused("fencepost run --kernel kernel --trace old --display width=9", &["--display"]);
    folder.refused("fencepost run --kernel kernel --trace old --camera source=nothing", &["nothing"]);
    assert_eq!(fs::read(folder.path("old")).expect("there"), b"precious");
    assert_eq!(folder.shell("fencepost run --accel soft --kernel kernel --trace old").status.code(), Some(7));
    let written = fs::read(folder.path("old")).expect("there");
    assert!(written.starts_with(b"FPTRACE\n"));
}

#[test]
fn kernel_and_initramfs_may_come_out_of_pipes() {
    let folder = Folder::new();
    let ran = folder.shell("fencepost run --accel soft --kernel <(cat kernel) --initrd <(cat initrd)");
    assert_eq!(ran.status.code(), Some(7), "{}", String::from_utf8_lossy(&ran.stderr));
    folder.refused("fencepost run --kernel <(head -c 3000 kernel)", &["not a kernel", "--kernel"]);
    folder.refused("fencepost run --kernel <(true)", &["it is empty"]);
    folder.refused("fencepost run --kernel kernel --initrd <(true)", &["--initrd", "is empty"]);
    folder.refused(
        "fencepost run --kernel kernel --memory 16M --initrd <(head -c 20M /dev/zero)",
        &["--initrd", "too small", "MiB", "--memory"],
    );
}

/// Files of 6 GiB, with 2 GiB of address space: what is too large is seen without reading it.
#[test]
fn the_size_of_an_input_bounds_nothing_but_its_message() {
    let folder = Folder::new();
    for name in ["bzImage", "sparse", "empty.y4m", "picture.png"] {
        fs::File::create(folder.path(name)).and_then(|file| file.set_len(6 << 30)).expect("sparse");
    }
    let head = |name: &str, at: u64, bytes: &[u8]| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(folder.path(name)).expect("ours");
        file.write_all_at(bytes, at).expect("written");
    };
    // A payload of 4 GiB - 1 in a kernel that needs as much.
    for (at, bytes) in
        [(0x202, &b"HdrS\x0f\x02"[..]), (0x236, &[1]), (0x24c, &[0xff; 4]), (0x260, &[0xff; 4])]
    {
        head("bzImage", at, bytes);
    }
    head("empty.y4m", 0, b"YUV4MPEG2 W64 H64 F30:1 Cmono\nFRAME\n");
    head("picture.png", 0, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x40\0\0\0\x40\x08\x02\0\0\0\x25\x0b\xe6\x89\x7f\xff\xff\xfftEXt");
    let bounded = |line: &str, names: &[&str]| {
        folder.refused(&format!("ulimit -v 2000000; fencepost run --accel soft {line}"), names);
    };
    bounded("--kernel bzImage", &["bzImage", "too small", "--memory"]);
    bounded("--kernel bzImage --memory 64G", &["bzImage", "longer than the 1073741824 bytes"]);
    bounded("--kernel sparse", &["sparse", "not a kernel"]);
    bounded(
        "--kernel kernel --initrd sparse --memory 64G",
        &["--initrd sparse", "however much", "make it smaller"],
    );
    bounded("--kernel kernel --initrd sparse", &["--initrd sparse", "however much"]);
    bounded("--kernel kernel --camera source=empty.y4m", &["empty.y4m", "frame 1"]);
    bounded("--kernel kernel --camera source=picture.png", &["picture.png", "PNG"]);
    bounded("--kernel kernel --camera source=sparse", &["sparse", "neither Y4M nor PNG"]);
}

#[test]
fn programs_and_other_files_are_no_kernels() {
    let folder = Folder::new();
    folder.refused("fencepost run --kernel /bin/sh", &["/bin/sh is not a kernel", "user space", "--kernel"]);
    folder.refused("fencepost run --kernel initrd", &["initramfs", "--kernel"]);
    folder.refused("fencepost run --kernel /dev/null", &["it is empty"]);
    folder.refused("fencepost run --kernel .", &["folder"]);
    folder.refused(
        "fencepost run --kernel kernel --camera source=/dev/zero",
        &["/dev/zero", "no regular file"],
    );
    folder.refused(
        "mkfifo f; fencepost run --kernel kernel --camera source=f",
        &["source f: is no regular file"],
    );
}

#[test]
fn a_static_program_is_no_kernel() -> Tested {
    if !Path::new("/bin/busybox").exists() {
        return Tested::skipped("/bin/busybox is not installed");
    }
    let folder = Folder::new();
    folder.refused("fencepost run --kernel /bin/busybox", &["busybox is not a kernel", "user space"]);
    Tested::Ran
}
