//! Every message: one line that names the thing, the reason and the fix.

use std::os::unix::ffi::OsStringExt;

use super::*;

fn refusal(words: &[OsString]) -> String {
    let arguments: Vec<OsString> = [OsString::from("fencepost")].into_iter().chain(words.to_vec()).collect();
    match parse_from(&arguments) {
        Err(Over::Refused(line)) => line,
        Err(Over::Help(_) | Over::List(_)) => panic!("{words:?} is help"),
        Ok(_) => panic!("{words:?} is taken"),
    }
}

/// A command line, its words apart by blanks (`''` is an empty word), and what its message must have.
type Case = (&'static str, &'static [&'static str]);

fn check(prefix: &str, cases: &[Case]) {
    for (line, names) in cases {
        let words = format!("{prefix} {line}");
        let word = |word: &str| OsString::from(if word == "''" { "" } else { word });
        let said = refusal(&words.split_whitespace().map(word).collect::<Vec<_>>());
        assert!(!said.contains('\n') && said.len() < 300, "{words}: {said}");
        for name in *names {
            assert!(said.contains(name), "{words}: {name:?} is not in: {said}");
        }
        for jargon in ["digit found", "os error", "tip:", "Usage", "error:", "none was supplied"] {
            assert!(!said.contains(jargon), "{words}: {said}");
        }
    }
}

#[test]
fn values_of_run_and_demo() {
    let cases: &[Case] = &[
        ("--accel fast", &["--accel", "'fast'", "auto, kvm, soft"]),
        ("--accel sofd", &["'sofd'", "did you mean soft?"]),
        ("--accel ''", &["--accel", "lacks its value", "soft"]),
        ("--accel", &["--accel", "lacks its value", "soft"]),
        ("--iommu maybe", &["--iommu", "'maybe'", "on, intremap, off, virtio"]),
        ("--memory", &["--memory", "lacks its value", "--help'"]),
        ("--memory ''", &["--memory", "such as 256M"]),
        ("--memory lots", &["--memory", "'lots'", "such as 256M"]),
        ("--memory -1G", &["--memory", "'-1G'", "such as 256M"]),
        ("--memory 1M", &["--memory", "1M", "at least 16M"]),
        ("--memory 1T", &["--memory", "1T", "at most 64G"]),
        ("--memory 268435456", &["--memory", "at most 64G", "is MiB"]),
        ("--memory 0.3G", &["--memory", "0.3G", "whole MiB"]),
        ("--memory 99999999999999999999G", &["--memory", "such as 256M"]),
        ("--seed abc", &["--seed", "'abc'", "whole number from 0 to 18446744073709551615"]),
        ("--seed -1", &["--seed", "'-1'", "whole number"]),
        ("--seed 18446744073709551616", &["--seed", "whole number"]),
        ("--seed 1.5", &["--seed", "whole number"]),
        ("--timeout soon", &["--timeout", "'soon'", "such as 60"]),
        ("--timeout 0", &["--timeout", "more than 0"]),
        ("--timeout -5", &["--timeout", "'-5'", "more than 0"]),
        ("--timeout 1e300", &["--timeout", "1e300", "write seconds"]),
        ("--timeout nan", &["--timeout", "write seconds"]),
        ("--move 1", &["--move", "'1'", "MARK=kvm"]),
        ("--move 256=kvm", &["--move", "256", "0 to 255"]),
        ("--gpu speed=9", &["--gpu", "'speed'", "bytes-per-cycle"]),
        ("--gpu latency", &["--gpu", "'latency'", "KEY=VALUE"]),
        ("--gpu latency=-1", &["--gpu", "latency=-1", "whole number from 0"]),
        ("--gpu latency=1,latency=2", &["--gpu", "latency", "twice"]),
        ("--trace-categories dmaa", &["--trace-categories", "dmaa", "iotlb"]),
        ("--trace", &["--trace", "lacks its value"]),
        ("--trace ''", &["--trace", "lacks its value"]),
        ("--memory-hash=yes", &["--memory-hash", "takes no value", "'yes'", "leave it out"]),
    ];
    check("run --kernel k", cases);
    check("demo --kernel k --initrd i", cases);
    check(
        "run --kernel k",
        &[
            ("--camera size=3", &["--camera", "'size'", "width"]),
            ("--camera widht=640", &["--camera", "'widht'", "did you mean width?"]),
            ("--camera source=", &["--camera", "source=", "name of a file"]),
            ("--device", &["--device", "lacks its value"]),
            ("--device disk", &["--device", "'disk'", "gpu, camera, display", "--device help"]),
            ("--device gup", &["'gup'", "did you mean gpu?"]),
            ("--disk ''", &["--disk", "name of a file first"]),
            ("--disk a.img,rw", &["--disk", "'rw'", "ro, snapshot, format=raw"]),
            ("--disk a.img,ro,snapshot", &["--disk", "only one"]),
            ("--share =/tmp", &["--share", "tag=", "1 to 36 bytes"]),
            ("--share src=", &["--share", "dir=", "the name of a file"]),
            ("--device gpu,slot=0", &["--device", "slot=0", "1 to 31"]),
            ("--device gpu,slot=32", &["slot=32", "1 to 31"]),
            ("--device gpu,slot=x", &["slot=x", "1 to 31"]),
            ("--device gpu,slot=4,slot=5", &["slot", "twice"]),
            ("--device gpu,latency", &["'latency'", "KEY=VALUE"]),
            ("--device gpu,latecy=1", &["'latecy'", "did you mean latency?"]),
            ("--device gpu,latency=x", &["latency=x", "whole number from 0"]),
            ("--camera width=17", &["--camera", "width=17", "even"]),
            ("--camera width=99999999999", &["--camera", "width=99999999999", "4096"]),
            ("--camera fps=30,fps=60", &["--camera", "fps", "twice"]),
            ("--display mood=1", &["--display", "mood"]),
            ("--display width=banana", &["--display", "width=banana", "whole number"]),
            ("--display width=9", &["--display", "width=9", "from 64 to 4095"]),
            ("--display scanout=never", &["--display", "scanout=never", "always or on-flip"]),
            ("--watchdog x", &["--watchdog", "such as 60"]),
            ("--realtime=often", &["--realtime", "'often'", "auto, on, off"]),
            ("--date 2026", &["--date", "'2026'", "RFC 3339", "@SECONDS", "now"]),
            ("--date @4000000000", &["--date", "1970 to 2069"]),
            ("--console-size 80", &["--console-size", "'80'", "COLUMNSxROWS", "120x40"]),
            ("--serial tcp:1", &["--serial", "'tcp:1'", "unix:FILE"]),
            ("--console-log", &["--console-log", "lacks its value"]),
            ("--eof maybe", &["--eof", "'maybe'", "ignore, send, end"]),
            ("--input", &["--input", "lacks its value"]),
            ("--view=far", &["--view", "'far'", "127.0.0.1:PORT"]),
            ("--view=65536", &["--view", "'65536'", "0 (any) to 65535"]),
            ("--vnc=0.0.0.0:5900", &["--vnc", "other computers can reach it", "ssh -L"]),
            ("--vnc=", &["--vnc", "''", "127.0.0.1:PORT"]),
            ("--view 8000", &["'8000'", "--view=8000"]),
            ("--on-panic", &["--on-panic", "lacks its value"]),
            ("--on-panic crash", &["--on-panic", "'crash'", "write exit, dump or gdb"]),
            ("--gdb", &["--gdb", "lacks its value"]),
            ("--gdb far:1234", &["--gdb", "'far:1234'", "unix:PATH", "127.0.0.1:PORT"]),
            ("--gdb 0.0.0.0:1234", &["--gdb", "other computers can reach it", "ssh -L"]),
            ("--snapshot", &["--snapshot", "lacks its value", "--help'"]),
            ("--snapshot a --snapshot b", &["--snapshot", "given twice"]),
            ("--snapshot-at 2s", &["lacks --snapshot"]),
            ("--snapshot a --snapshot-at 5", &["--snapshot-at", "'5'", "mark:N", "1500ms"]),
            ("--snapshot a --snapshot-at mark:256", &["'mark:256'", "0 to 255"]),
            ("--restore a", &["--restore", "cannot be used with", "leave one of them out"]),
            ("--slow-output maybe", &["--slow-output", "'maybe'", "wait, drop"]),
            ("--kernel b", &["--kernel", "twice", "leave one out"]),
            ("--seed 1 --seed 2", &["--seed", "twice", "leave one out"]),
        ],
    );
    check(
        "demo --kernel k --initrd i",
        &[
            ("--frames 0", &["--frames", "'0'", "whole number from 1 to 100000"]),
            ("--frames many", &["--frames", "'many'", "whole number from 1 to 100000"]),
            ("--rate 241", &["--rate", "'241'", "1 to 240"]),
            ("--format rgb", &["--format", "'rgb'", "nv12, yuyv"]),
        ],
    );
}

#[test]
fn options_and_commands_that_are_not_there() {
    check(
        "run --kernel k",
        &[
            ("--wings", &["'fencepost run'", "--wings", "see 'fencepost run --help'"]),
            ("--memroy 1G", &["--memroy", "did you mean --memory?"]),
            ("--kernal x", &["--kernal", "did you mean --kernel?"]),
            ("--out x", &["--out", "'fencepost demo' has it"]),
            ("--stats=1", &["--stats", "takes no value"]),
            ("vmlinuz", &["'vmlinuz'", "--kernel FILE"]),
            ("-m 512", &["no -m:", "--memory SIZE"]),
            ("-m512", &["no -m512", "--memory SIZE"]),
            ("--mem=512", &["no --mem:", "--memory SIZE"]),
            ("-smp 2", &["no -smp:", "--cpus N"]),
            ("--smp 2", &["no --smp:", "--cpus N"]),
            ("--cpus 0", &["--cpus", "from 1 to 64"]),
            ("--cpus=65", &["--cpus", "from 1 to 64"]),
            ("--cpus two", &["--cpus", "from 1 to 64"]),
            ("-kernel x", &["no -kernel:", "--kernel FILE"]),
            ("-append x", &["no -append:", "--append STRING"]),
            ("--cmdline x", &["no --cmdline:", "--append STRING"]),
            ("-initrd x", &["no -initrd:", "--initrd FILE"]),
            ("--volume a", &["no --volume:", "use --share"]),
            ("-drive file=a", &["no -drive:", "use --disk"]),
            ("-hda a.img", &["no -hda:", "use --disk"]),
            ("-nic none", &["no -nic:", "--net passt"]),
            ("--net none", &["'none'", "socket=PATH"]),
            ("-netdev user", &["no -netdev:", "--net passt"]),
            ("-nographic", &["no -nographic:", "console"]),
            ("-enable-kvm", &["no -enable-kvm:", "--accel kvm"]),
            ("-cpu host", &["no -cpu:", "--cpu v2"]),
            ("--cpu host", &["--cpu", "baseline, v2"]),
            ("-s", &["no -s:", "--gdb 1234,nowait"]),
            ("-S", &["no -S:", "--gdb ADDR"]),
            ("-display none", &["no -display:", "--frames DIR"]),
        ],
    );
    check(
        "",
        &[
            (
                "fly",
                &[
                    "'fencepost'",
                    "'fly'",
                    "run, demo, doctor, root, cache, test, new, exec, trace",
                    "see 'fencepost --help'",
                ],
            ),
            ("rum", &["'rum'", "did you mean run?"]),
            ("demo --wings", &["see 'fencepost demo --help'"]),
            ("demo --kernel k --initrd i --stats", &["--stats", "'fencepost run' has it"]),
            ("demo --kernel k", &["'fencepost demo' lacks --initrd <FILE>", "see 'fencepost demo --help'"]),
            ("run", &["'fencepost run' lacks --kernel <FILE>", "see 'fencepost run --help'"]),
            ("doctor now", &["'fencepost doctor'", "'now'", "see 'fencepost doctor --help'"]),
            ("doctor --jsn", &["--jsn", "did you mean --json?"]),
            ("cache clean", &["'fencepost cache'", "'clean'"]),
            ("cache clear --jsn", &["--jsn", "see 'fencepost cache clear --help'"]),
            ("--kernel k", &["--kernel", "'fencepost run' has it"]),
        ],
    );
}

#[test]
fn traces() {
    check(
        "trace",
        &[
            (
                "report",
                &["'fencepost trace report' lacks <FILE>", "--trace made", "'fencepost trace report FILE'"],
            ),
            ("diff a", &["'fencepost trace diff' lacks <AFTER>", "'fencepost trace diff BEFORE AFTER'"]),
            ("query", &["lacks", "<FILE>"]),
            ("query f", &["lacks", "--frame <NUMBER>", "--fence <FENCE>"]),
            ("convert f", &["lacks", "--to <TO>", "--output <FILE>"]),
            ("convert f --to png -o x", &["--to", "'png'", "perfetto, html, svg, jsonl"]),
            ("convert f --to svg -o x --frame a", &["--frame", "'a'", "whole number"]),
            ("query f --frame x", &["--frame", "'x'", "whole number"]),
            ("query f --frame 1 --buffer 2", &["--frame", "--buffer", "leave one of them out"]),
            ("query f --buffer node:7", &["--buffer", "'node'", "inode:NUMBER"]),
            ("query f --buffer 0xg", &["--buffer", "'0xg'", "0x"]),
            ("query f --fence 3", &["--fence", "'3'", "CONTEXT:SEQNO"]),
            ("query f --fence ring99999999999:3", &["--fence", "no ring", "ring0:SEQNO"]),
            ("query f --frame 1 --categories dmaa", &["--categories", "dmaa", "iotlb"]),
            ("report f --complete 3", &["--check"]),
            ("report f --check --complete x", &["--complete", "'x'", "whole number"]),
            ("diff a b --fail-above lots", &["--fail-above", "'lots'", "percent"]),
            ("diff a b --fail-above -1", &["--fail-above", "'-1'", "0 or more"]),
            ("show f", &["'fencepost trace'", "'show'", "report, diff, query, convert"]),
            ("reprot f", &["'reprot'", "did you mean report?"]),
            ("report f g", &["'fencepost trace report'", "'g'", "see 'fencepost trace report --help'"]),
        ],
    );
}

#[test]
fn an_argument_that_is_not_text_is_named() {
    let words = |option: &str| {
        [
            OsString::from("run"),
            "--kernel".into(),
            "k".into(),
            option.into(),
            OsString::from_vec(b"a\xff\n".to_vec()),
        ]
    };
    for option in ["--append", "--camera", "--memory"] {
        let said = refusal(&words(option));
        assert!(said.contains(option) && said.contains("not UTF-8; ") && !said.contains('\n'), "{said}");
    }
    let cli = parse_from(&[&[OsString::from("fencepost")][..], &words("--trace")].concat());
    assert!(cli.is_ok(), "a path may be anything");
    // The first argument is no exception.
    assert!(refusal(&[OsString::from_vec(vec![0xff])]).contains("see 'fencepost --help'"));
}

#[test]
fn a_bare_number_of_memory_is_reported_as_mib() {
    let note = |line: &str| {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse_from(&words).map(|(_, note)| note).ok().expect("taken")
    };
    assert_eq!(note("fencepost run --kernel k --memory 512"), Some("--memory 512: taken as 512 MiB".into()));
    assert_eq!(
        note("fencepost demo --kernel k --initrd i --memory 1G --memory 64").as_deref(),
        Some("--memory 64: taken as 64 MiB")
    );
    for quiet in ["fencepost run --kernel k --memory 512M", "fencepost run --kernel k", "fencepost doctor"] {
        assert_eq!(note(quiet), None);
    }
}
