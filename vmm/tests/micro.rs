//! Micro-guests (guest-tests/micro): bare-metal programs, the same binary on both back ends, with the same output,
//! which is compared with a file that was written from the specifications.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tests/micro")
}

/// Builds all micro-guests once; `None` when there is no C compiler.
fn built() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("micro");
        let make = Command::new("make")
            .arg("-C")
            .arg(sources())
            .arg(format!("OUT={}", folder.display()))
            .stdout(Stdio::null())
            .output()
            .ok()?;
        assert!(make.status.success(), "make: {}", String::from_utf8_lossy(&make.stderr));
        Some(folder)
    };
    FOLDER.get_or_init(build).as_deref()
}

/// Console output and exit status of a micro-guest, and what fencepost itself said.
fn run(folder: &Path, name: &str, accel: &str) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args([
            "run",
            "--memory",
            "32M",
            "--timeout",
            "120",
            "--append",
            "a b c",
            "--accel",
            accel,
            "--kernel",
        ])
        .arg(folder.join(name))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let status = output.status.code().map_or("signal".to_owned(), |code| code.to_string());
    let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    (format!("{console}status {status}\n"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The lines that differ, as pairs.
fn differences<'a>(expected: &'a str, got: &'a str) -> Vec<(&'a str, &'a str)> {
    let (mut left, mut right) = (expected.lines(), got.lines());
    let mut found = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return found,
            (a, b) if a == b => {}
            (a, b) => found.push((a.unwrap_or_default(), b.unwrap_or_default())),
        }
    }
}

/// Runs one micro-guest on one back end; `host_lines` start with what a KVM may replace by its own values.
fn check(name: &str, accel: &str, host_lines: &[&str]) {
    let skip = |why: &str| println!("skipped: micro-guest {name} on {accel}: {why}");
    let Some(folder) = built() else {
        return skip("make is not installed");
    };
    let kvm = accel == "kvm";
    if kvm && std::fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return skip("/dev/kvm does not open");
    }
    let expected = std::fs::read_to_string(sources().join(format!("{name}.expected"))).unwrap();
    let (got, said) = run(folder, name, accel);
    if kvm && said.contains("an instruction that it does not know") {
        return skip("this KVM cannot emulate one of its instructions");
    }
    let different = differences(&expected, &got);
    let host_made = |(wanted, _): &(&str, &str)| host_lines.iter().any(|start| wanted.starts_with(start));
    if kvm && !different.is_empty() && different.iter().all(host_made) {
        return skip(&format!("this KVM changes {different:?}"));
    }
    assert!(different.is_empty(), "{name} on {accel}: {different:#?}\nall of it:\n{got}\n{said}");
}

/// A test of a micro-guest on each back end.
macro_rules! micro_guest {
    ($name:ident $(, $host_line:literal)*) => {
        mod $name {
            #[test]
            fn soft() {
                super::check(stringify!($name), "soft", &[$($host_line),*]);
            }

            #[test]
            fn kvm() {
                super::check(stringify!($name), "kvm", &[$($host_line),*]);
            }
        }
    };
}

micro_guest!(hello);
// Feature bits and the XSAVE leaf: a KVM without hardware virtualization puts the host's in.
micro_guest!(cpuid, "00000001.", "00000007.", "0000000d.");
micro_guest!(exceptions);
micro_guest!(timer);
micro_guest!(pci);
micro_guest!(fence);
micro_guest!(iommu);
