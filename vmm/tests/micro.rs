//! Micro-guests (guest-tests/micro): bare-metal programs, the same binary on both back ends, with the same output,
//! which is compared with a file that was read against the specifications.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fencepost::speed;
use fencepost_skip::Tested;

/// Console output and exit status of a micro-guest, and what fencepost itself said. `accel` is that option's value, with
/// further options behind it; those that the micro-guest always needs are in `NAME.options`.
fn run(folder: &Path, name: &str, accel: &[&str]) -> (String, String) {
    let options = Path::new(common::MICRO_GUESTS).join(format!("{name}.options"));
    let options = std::fs::read_to_string(options).unwrap_or_default();
    let output = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["run", "--memory", "32M", "--timeout", "120", "--append", "a b c", "--kernel"])
        .arg(folder.join(name))
        .arg("--accel")
        .args(accel)
        .args(options.split_whitespace())
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

/// What a KVM may have for showing something else than the machine's model.
#[derive(Clone, Copy)]
enum Excuse {
    /// Nothing.
    None,
    /// Only that it has no hardware under it: what such a KVM does, and how the expected lines start that it may change.
    Slow(&'static str, &'static [&'static str]),
    /// The same for every KVM.
    Kvm(&'static str, &'static [&'static str]),
}

// What a KVM without hardware under it shows, by micro-guest (docs/micro.md).
const FEATURES: Excuse =
    Excuse::Slow("shows the host's own feature leaves", &["00000001.", "00000007.", "0000000d."]);
const GATES: Excuse =
    Excuse::Slow("does not look at gates for INT at CPL 3", &["INT3, not allowed", "INT 14", "INT 90"]);
const LAZYFPU: Excuse = Excuse::Slow(
    "lets CPL 3 use the FPU whatever CR0 and CR4 say",
    &["SSE without", "x87 while", "SSE while", "FWAIT while"],
);
const SYSCALL: Excuse = Excuse::Slow(
    "runs on at CPL 3 after SYSCALL",
    &["result", "calls", "return address", "carry", "CS", "SS", "flags"],
);
const LOWEST: Excuse =
    Excuse::Kvm("chooses by the vector's number, not by priority", &["priorities", "the last two"]);
const TSCSET: Excuse =
    Excuse::Slow("cannot move a guest's counter", &["it can be set", "the MSR", "auxiliary", "RDTSCP 1234"]);

/// Whether KVM emulates kernel code, measured once.
fn kvm_is_slow() -> bool {
    static SLOW: OnceLock<bool> = OnceLock::new();
    *SLOW.get_or_init(|| speed::measure().is_ok_and(|mips| mips < speed::KVM_WORTH_MIPS))
}

/// Runs one micro-guest on one back end.
fn check(name: &str, accel: &[&str], excuse: Excuse) -> Tested {
    let on = accel.join(" ");
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    let kvm = accel.iter().any(|word| word.contains("kvm"));
    if kvm && !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let expected =
        std::fs::read_to_string(Path::new(common::MICRO_GUESTS).join(format!("{name}.expected"))).unwrap();
    let (got, said) = run(folder, name, accel);
    let different = differences(&expected, &got);
    let excused = |(whose, what, lines): (&str, &str, &[&str])| {
        let one = |(wanted, _): &(&str, &str)| lines.iter().any(|start| wanted.starts_with(start));
        let all = kvm && !different.is_empty() && different.iter().all(one);
        all.then(|| Tested::skipped(format_args!("{whose} {what}; {} lines differ", different.len())))
    };
    let skipped = match excuse {
        Excuse::Slow(what, lines) if kvm_is_slow() => excused(("a KVM without hardware", what, lines)),
        Excuse::Kvm(what, lines) => excused(("KVM", what, lines)),
        _ => None,
    };
    if let Some(skipped) = skipped {
        return skipped;
    }
    assert!(different.is_empty(), "{name} on {on}: {different:#?}\nall of it:\n{got}\n{said}");
    Tested::Ran
}

/// A test of each micro-guest on each back end, and the list of their names.
macro_rules! micro_guests {
    ($($name:ident: $excuse:expr,)*) => {
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(mod $name {
            use super::*;

            #[test]
            fn soft() -> Tested {
                check(stringify!($name), &["soft"], Excuse::None)
            }

            #[test]
            fn kvm() -> Tested {
                check(stringify!($name), &["kvm"], $excuse)
            }
        })*
    };
}

/// The micro-guests (docs/micro.md). ci/test runs them first, by this module's name.
mod micro_guest {
    use super::{Excuse, FEATURES, GATES, LAZYFPU, LOWEST, SYSCALL, TSCSET, Tested, check};

    /// One that moves from one back end to the other and back at each of its marks.
    mod moving {
        use super::{Excuse, Tested, check};

        #[test]
        fn soft_kvm() -> Tested {
            check("moves", &["soft", "--move", "1=kvm", "--move", "2=soft"], Excuse::None)
        }

        #[test]
        fn kvm_soft() -> Tested {
            check("moves", &["kvm", "--move", "1=soft", "--move", "2=kvm"], Excuse::None)
        }

        #[test]
        fn cpus_soft_kvm() -> Tested {
            let moves = ["--move", "1=kvm", "--move", "2=soft", "--move", "3=kvm", "--move", "4=soft"];
            check("cpus", &[&["soft"], &moves[..]].concat(), Excuse::None)
        }

        #[test]
        fn cpus_kvm_soft() -> Tested {
            let moves = ["--move", "1=soft", "--move", "2=kvm", "--move", "3=soft", "--move", "4=kvm"];
            check("cpus", &[&["kvm"], &moves[..]].concat(), Excuse::None)
        }
    }

    /// A device that reaches memory without an IOMMU between.
    mod untranslated {
        use super::{Excuse, Tested, check};

        #[test]
        fn edu_soft() -> Tested {
            check("edu", &["soft", "--iommu", "off"], Excuse::None)
        }

        #[test]
        fn edu_kvm() -> Tested {
            check("edu", &["kvm", "--iommu", "off"], Excuse::None)
        }
    }

    micro_guests! {
        acpi: Excuse::None,
        assist: Excuse::None,
        bells: Excuse::None,
        camera: Excuse::None,
        cpuid: Excuse::None,
        cpus: Excuse::None,
        display: Excuse::None,
        edu: Excuse::None,
        exceptions: Excuse::None,
        exit: Excuse::None,
        features: FEATURES,
        fence: Excuse::None,
        fpu: Excuse::None,
        gates: GATES,
        hello: Excuse::None,
        iommu: Excuse::None,
        iotlb: Excuse::None,
        ipi: Excuse::None,
        lazyfpu: LAZYFPU,
        lowest: LOWEST,
        mmio: Excuse::None,
        moves: Excuse::None,
        msix: Excuse::None,
        pagefaults: Excuse::None,
        panicked: Excuse::None,
        pci: Excuse::None,
        ports: Excuse::None,
        privilege: Excuse::None,
        pvpanic: Excuse::None,
        selfmod: Excuse::None,
        semaphore: Excuse::None,
        serial: Excuse::None,
        syscall: SYSCALL,
        timer: Excuse::None,
        tsc: Excuse::None,
        tscset: TSCSET,
        typed: Excuse::None,
    }
}

/// Pacing only waits: the digest of all events and of memory is the same, and so is what `timer` and `display` say of their time.
#[test]
fn a_paced_run_has_the_events_of_one_that_skips_idle_time() -> Tested {
    let Some(folder) = common::micro_guests() else {
        return Tested::skipped(common::NO_MAKE);
    };
    for name in ["timer", "display"] {
        let realtime = |when| run(folder, name, &["soft", "--memory-hash", when]);
        let [paced, skipped] = ["--realtime=on", "--realtime=off"].map(realtime);
        assert!(skipped.1.contains("events: "), "{skipped:?}");
        assert_eq!(paced, skipped, "{name}");
    }
    Tested::Ran
}

#[test]
fn every_expectation_is_tested() {
    let mut expected: Vec<String> = std::fs::read_dir(common::MICRO_GUESTS)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let is_one = path.extension().is_some_and(|extension| extension == "expected");
            is_one.then(|| path.file_stem().unwrap().to_string_lossy().into_owned())
        })
        .collect();
    expected.sort();
    assert_eq!(expected, micro_guest::NAMES);
}
