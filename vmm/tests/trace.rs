//! `fencepost trace`: what it refuses, what it says of small traces with known contents, and its exit statuses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fencepost_trace::file::{FileWriter, Header};
use fencepost_trace::testing::{CAMERA, CAMERA_ENGINE, DISPLAY, DISPLAY_ENGINE, GPU, GPU_ENGINE, header};
use fencepost_trace::{Accel, Event, JobKind, Record, Stamp};

fn fencepost(arguments: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_fencepost")).arg("trace").args(arguments))
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Refused with status 2 and one line that has all of `names`.
fn refused(arguments: &[&str], names: &[&str]) {
    let output = fencepost(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(output.stdout.is_empty());
    for name in names {
        assert!(said.contains(name), "{name} is not in: {said}");
    }
}

/// The devices' events of a frame that begins at `begin`: written after 100 cycles, converted from 150 to 150 + `job`,
/// latched at 1000.
fn frame(number: u64, begin: u64, job: u64) -> Vec<(u64, Event)> {
    let sequence = number as u32;
    let dma = |rid, gpa| (rid, 0x9000_0000 + gpa, gpa, 8192);
    let write = |(rid, iova, gpa, len)| Event::DmaWrite { rid, iova, gpa, len };
    let read = |(rid, iova, gpa, len)| Event::DmaRead { rid, iova, gpa, len };
    let (source, screen) = (0x10_0000, 0x80_0000);
    let end = 150 + job;
    let gpu = (GPU_ENGINE, 0u32, number + 1);
    let start = |kind| Event::JobStart { engine: gpu.0, queue: gpu.1, seqno: gpu.2, kind };
    let done = || Event::JobEnd { engine: gpu.0, queue: gpu.1, seqno: gpu.2, ok: true };
    let events = [
        (0, Event::FrameStart { engine: CAMERA_ENGINE, sequence, buffer: Some(0) }),
        (100, write(dma(CAMERA, source))),
        (100, Event::FrameEnd { engine: CAMERA_ENGINE, sequence, buffer: 0, bytes: 8192, crc: 0 }),
        (150, start(JobKind::Convert)),
        (end, read(dma(GPU, source))),
        (end, write(dma(GPU, screen))),
        (end, done()),
        (end, start(JobKind::Fence)),
        (end, Event::FenceWrite { engine: GPU_ENGINE, queue: 0, seqno: number + 1 }),
        (end, done()),
        (1000, Event::Latch { engine: DISPLAY_ENGINE, frame: number, commit: number + 1 }),
        (1000, Event::Flip { engine: DISPLAY_ENGINE, frame: number, flip: number + 1 }),
        (1200, read(dma(DISPLAY, screen))),
        (1200, Event::ScanOut { engine: DISPLAY_ENGINE, frame: number, crc: 0 }),
    ];
    events.into_iter().map(|(at, event)| (begin + at, event)).collect()
}

fn bytes(events: impl IntoIterator<Item = (u64, Event)>) -> Vec<u8> {
    bytes_of(&header(), events)
}

fn bytes_of(header: &Header, events: impl IntoIterator<Item = (u64, Event)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::new(&mut bytes, header).expect("memory takes it");
    for (cycles, event) in events {
        writer.record(&Record { stamp: Stamp { cycles, ns: 2 * cycles }, event }).expect("memory takes it");
    }
    writer.finish().expect("memory takes it");
    bytes
}

fn save(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("the folder takes it");
    path
}

fn frames(count: u64, job: u64) -> Vec<(u64, Event)> {
    (0..count).flat_map(|number| frame(number, 2000 * number, job)).collect()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stdout)))
}

#[test]
fn wrong_arguments_and_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = save(folder.path(), "good", &bytes(frames(2, 50)));
    let good = good.to_str().expect("a name");
    let foreign = save(folder.path(), "foreign", b"\x7fELF and so on");
    refused(&["report", "/nowhere/trace"], &["/nowhere/trace", "No such file", "--trace"]);
    refused(&["report", "/"], &["directory", "/"]);
    refused(&["report", foreign.to_str().expect("a name")], &["foreign", "not a Fencepost trace"]);
    refused(&["report"], &["FILE"]);
    refused(&["report", good, "--complete", "3"], &["--check"]);
    refused(&["query", good], &["--frame"]);
    refused(&["query", good, "--frame", "9"], &["no frame 9", "2 frames"]);
    refused(&["query", good, "--buffer", "inode:12"], &["inode 12", "no dma-buf"]);
    refused(&["query", good, "--buffer", "2"], &["no buffer 2", "2 buffers"]);
    refused(&["query", good, "--buffer", "page:0x5000"], &["0x5000", "2 buffers"]);
    refused(&["convert", good, "--to", "svg", "-o", "-", "--frame", "99999"], &["99999", "2"]);
    refused(&["query", good, "--buffer", "colour:12"], &["colour", "inode"]);
    refused(&["query", good, "--fence", "4:1"], &["no fence 4:1"]);
    refused(&["query", good, "--fence", "ring0:77"], &["77"]);
    refused(&["query", good, "--frame", "0", "--categories", "dance"], &["dance", "guest"]);
    refused(&["convert", good, "--to", "gif", "-o", "-"], &["gif", "svg"]);
    refused(&["convert", good, "--to", "jsonl", "-o", "/nowhere/out"], &["/nowhere/out"]);
    refused(&["diff", good], &["AFTER"]);
    refused(&["diff", good, good, "--fail-above", "-3"], &["--fail-above"]);
}

#[test]
fn a_report_has_the_times_that_the_trace_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = save(folder.path(), "t", &bytes(frames(4, 50)));
    let output =
        fencepost(&["report", file.to_str().expect("a name"), "--json", "--check", "--complete", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json(&output);
    assert_eq!(report["frames"]["complete"], 4);
    assert_eq!(report["guest"], false);
    let screen = report["buffers"].as_array().expect("a list").iter().find(|one| one["id"] == 1);
    assert_eq!(screen.expect("two")["functions"], serde_json::json!(["gpu", "display"]));
    assert_eq!(report["buffers"][0]["bytes"], 8192);
    let handoffs = report["handoffs"].as_array().expect("a list");
    let of = |kind: &str| handoffs.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("{kind}"));
    for (kind, cycles, part) in [
        ("camera-to-gpu-devices-only", 50, "queue"),
        ("gpu-to-fence-devices-only", 50, "device"),
        ("fence-to-display-devices-only", 800, "wait"),
    ] {
        let one = of(kind);
        assert_eq!((&one["count"], &one["p50"]["cycles"]), (&4.into(), &cycles.into()), "{kind}");
        assert_eq!(one["worst"]["ns"], 2 * cycles, "{kind}");
        assert_eq!(one["split"][part]["cycles"], 4 * cycles, "{kind}");
    }
    assert_eq!(of("whole-journey-camera-to-display")["p99"]["cycles"], 1000);
}

#[test]
fn a_check_fails_on_a_violation_and_on_too_few_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut torn = frames(2, 50);
    // The GPU writes the screen between the display's latch and its read.
    torn.extend([
        (3100, Event::JobStart { engine: GPU_ENGINE, queue: 0, seqno: 9, kind: JobKind::Fill }),
        (3150, Event::DmaWrite { rid: GPU, iova: 0x9080_0000, gpa: 0x80_0000, len: 8192 }),
        (3150, Event::JobEnd { engine: GPU_ENGINE, queue: 0, seqno: 9, ok: true }),
    ]);
    let torn = bytes(torn);
    let cut = save(folder.path(), "cut", &torn[..torn.len() - 1]);
    let said = text(&fencepost(&["report", cut.to_str().expect("a name")]).stdout);
    assert!(said.contains("1 violations") && said.contains("events are missing"), "{said}");
    let file = save(folder.path(), "torn", &torn);
    let file = file.to_str().expect("a name");
    let output = fencepost(&["report", file, "--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("1 violations of causality (write-while-shown)"),
        "{}",
        text(&output.stderr)
    );
    assert!(text(&output.stdout).contains("write-while-shown: an engine wrote"), "{}", text(&output.stdout));
    assert!(!text(&output.stdout).contains("events are missing"));
    assert_eq!(fencepost(&["report", file]).status.code(), Some(0));
    let few = save(folder.path(), "few", &bytes(frames(2, 50)));
    let output = fencepost(&["report", few.to_str().expect("a name"), "--check", "--complete", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("2 complete journeys, 3 wanted"));
}

#[test]
fn of_a_cut_or_damaged_file_the_rest_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes(frames(3000, 50));
    let cut = save(folder.path(), "cut", &whole[..whole.len() * 2 / 3]);
    let output = fencepost(&["report", cut.to_str().expect("a name"), "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("not complete"), "{}", text(&output.stderr));
    let report = json(&output);
    let complete = report["frames"]["complete"].as_u64().expect("a number");
    assert!((1000..3000).contains(&complete), "{complete}");
    assert_eq!(report["lost"]["complete"], false);
    let output = fencepost(&["report", cut.to_str().expect("a name"), "--check"]);
    assert_eq!(output.status.code(), Some(1), "damage is objected to");
    let no_header = save(folder.path(), "short", &whole[..20]);
    refused(&["report", no_header.to_str().expect("a name")], &["header is damaged"]);
}

#[test]
fn a_difference_names_what_grew_and_fails_above_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = [50, 60].map(|job| save(folder.path(), &format!("job-{job}"), &bytes(frames(5, job))));
    let [before, after] = names.each_ref().map(|path| path.to_str().expect("a name"));
    let same = fencepost(&["diff", before, before, "--fail-above", "0"]);
    assert_eq!(same.status.code(), Some(0));
    assert!(text(&same.stdout).contains("the same in every record"));
    let output = fencepost(&["diff", before, after, "--fail-above", "25"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("50 -> 60 (+10, +20.0 %)"), "{}", text(&output.stdout));
    let output = fencepost(&["diff", before, after, "--fail-above", "19.5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("50 -> 60"), "{}", text(&output.stderr));
    let output = fencepost(&["diff", before, after, "--json"]);
    assert_eq!(json(&output)["verdict"], "changed");
}

#[test]
fn queries_show_a_frame_a_buffer_and_a_fence() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = save(folder.path(), "t", &bytes(frames(3, 50)));
    let file = file.to_str().expect("a name");
    let lines = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let output = fencepost(&[&["query", file, "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let head = lines(&["--frame", "1", "--categories", "dma,engine"]).remove(0);
    assert_eq!(head["schema"], "fencepost-trace-query/1");
    assert_eq!(head["query"], serde_json::json!({ "frame": 1 }));
    assert_eq!(head["categories"], serde_json::json!(["dma", "engine"]));
    assert_eq!((&head["events"], &head["lost"]["complete"]), (&11.into(), &true.into()));
    let asked = |arguments: &[&str]| lines(arguments).remove(0)["query"].clone();
    assert_eq!(asked(&["--buffer", "page:0x100123"]), serde_json::json!({ "page": 0x10_0000 }));
    assert_eq!(asked(&["--fence", "ring0:2"]), serde_json::json!({ "ring": 0, "seqno": 2 }));
    let lines = |arguments: &[&str]| lines(arguments).split_off(1);
    let frame = lines(&["--frame", "1"]);
    // All 14 of its events but the fence's own job and the scan-out's end.
    assert_eq!(frame.len(), 11, "{frame:#?}");
    let cycles: Vec<u64> = frame.iter().map(|line| line["cycles"].as_u64().expect("a number")).collect();
    assert!(cycles.is_sorted() && cycles[0] == 2000 && cycles[10] == 3200, "{cycles:?}");
    let dma = lines(&["--buffer", "page:0x100000", "--categories", "dma"]);
    assert_eq!(dma.len(), 6, "three writes, three reads: {dma:#?}");
    assert_eq!(lines(&["--buffer", "0", "--categories", "dma"]), dma);
    let fence = lines(&["--fence", "ring0:2"]);
    assert_eq!(fence.len(), 3, "a job's begin and end and the write: {fence:#?}");
}

#[test]
fn every_record_becomes_a_line_of_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = save(folder.path(), "t", &bytes(frames(3, 50)));
    let out = folder.path().join("out.jsonl");
    let (file, path) = (file.to_str().expect("a name"), out.to_str().expect("a name"));
    let output = fencepost(&["convert", file, "--to", "jsonl", "-o", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = std::fs::read_to_string(&out).expect("written");
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 1 + 3 * 14);
    assert_eq!(lines[1]["event"]["FrameStart"]["sequence"], 0);
    assert_eq!(lines[1]["category"], "engine");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = save(folder.path(), "t", &bytes(frames(20_000, 50)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["trace", "convert", file.to_str().expect("a name"), "--to", "jsonl", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

/// The name of a file as an argument.
fn name(path: &Path) -> &str {
    path.to_str().expect("a name")
}

/// All that `fencepost trace` can print of a trace.
fn outputs(file: &str) -> Vec<(Vec<&str>, String)> {
    let mut all = vec![
        vec!["report", file],
        vec!["report", file, "--json"],
        vec!["diff", file, file],
        vec!["diff", file, file, "--json"],
        vec!["query", file, "--frame", "1"],
        vec!["query", file, "--frame", "1", "--json"],
    ];
    all.extend(["perfetto", "html", "svg", "jsonl"].map(|to| vec!["convert", file, "--to", to, "-o", "-"]));
    all.into_iter()
        .map(|arguments| {
            let output = fencepost(&arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
            (arguments, text(&output.stdout))
        })
        .collect()
}

#[test]
fn every_output_says_what_its_stamps_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let kvm = Header { accel: Accel::Kvm, ..header() };
    let mut moved = frames(3, 50);
    moved.extend([(4500, Event::Moved { to: Accel::Kvm }), (4900, Event::Moved { to: Accel::Soft })]);
    let traces = [
        ("soft", bytes(frames(3, 50)), "exact cycles: 1 instruction = 1 cycle"),
        ("kvm", bytes_of(&kvm, frames(3, 50)), "TSC, 1000 MHz, taken by the host when it saw the event"),
        ("moved", bytes(moved), "by turns, 1000 MHz: the machine moved between soft and kvm 2 times"),
    ];
    for (kind, bytes, says) in traces {
        let file = save(folder.path(), kind, &bytes);
        for (arguments, said) in outputs(name(&file)) {
            assert!(said.contains(says), "{kind}: {arguments:?}: {said}");
        }
        let out = folder.path().join("out");
        let convert = ["convert", name(&file), "--to", "svg", "-o", name(&out), "--json"];
        assert!(json(&fencepost(&convert))["stamps"].as_str().is_some_and(|stamps| stamps.contains(says)));
        // Only where every stamp is exact is a difference one of the runs.
        let diff = json(&fencepost(&["diff", name(&file), name(&file), "--json"]));
        assert_eq!(diff["exact"], kind == "soft", "{kind}");
    }
}

#[test]
fn a_conversion_says_what_it_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes(frames(3000, 50));
    let file = save(folder.path(), "t", &whole);
    let out = folder.path().join("out");
    for to in ["perfetto", "html", "svg", "jsonl"] {
        let said = json(&fencepost(&["convert", name(&file), "--to", to, "-o", name(&out), "--json"]));
        assert_eq!((&said["schema"], &said["to"]), (&"fencepost-trace-convert/2".into(), &to.into()));
        assert_eq!(said["output"], name(&out));
        assert_eq!(said["bytes"], std::fs::metadata(&out).expect("written").len());
        assert_eq!((&said["records"]["engine"], &said["records"]["dma"]), (&30_000.into(), &12_000.into()));
        assert_eq!((&said["frames"]["total"], &said["frames"]["complete"]), (&3000.into(), &3000.into()));
        assert_eq!(
            said["lost"],
            serde_json::json!({"complete": true, "events": 0, "guest_events": 0, "beyond_limit": 0, "damage": []})
        );
        assert_eq!(said["frame"], if to == "svg" { 0.into() } else { serde_json::Value::Null });
    }
    let cut = save(folder.path(), "cut", &whole[..whole.len() / 2]);
    let said = json(&fencepost(&["convert", name(&cut), "--to", "jsonl", "-o", name(&out), "--json"]));
    assert_eq!(
        (&said["lost"]["complete"], said["lost"]["damage"].as_array().map(Vec::len)),
        (&false.into(), Some(1))
    );
    for output in ["-", "/dev/stdout"] {
        refused(
            &["convert", name(&file), "--to", "html", "-o", output, "--json"],
            &["--json", "standard output"],
        );
    }
}

#[test]
fn a_file_that_is_not_a_trace_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes(frames(30, 50));
    let good = save(folder.path(), "good", &whole);
    let perfetto = folder.path().join("perfetto");
    assert!(fencepost(&["convert", name(&good), "--to", "perfetto", "-o", name(&perfetto)]).status.success());
    let mut other_version = whole.clone();
    other_version[8] = 7;
    let mut header = whole.clone();
    header[30] ^= 4;
    for (bytes, says) in [
        (&b""[..], "is empty"),
        (b"hand-off, guest cycles\n", "not a Fencepost trace"),
        (&std::fs::read(&perfetto).expect("written"), "not a Fencepost trace"),
        (&whole[..5], "not a Fencepost trace"),
        (&other_version, "version 7; this Fencepost reads version 3"),
        (&whole[..10], "header is damaged"),
        (&whole[..60], "header is damaged"),
        (&header, "header is damaged"),
    ] {
        let file = save(folder.path(), "bad", bytes);
        let out = folder.path().join("out");
        let (file, out) = (name(&file), name(&out));
        refused(&["report", file, "--check"], &[file, says]);
        refused(&["diff", name(&good), file], &[file, says]);
        refused(&["query", file, "--frame", "0"], &[file, says]);
        refused(&["convert", file, "--to", "html", "-o", out], &[file, says]);
        assert!(!Path::new(out).exists());
    }
    for file in ["/dev/null", "/dev/zero", "/"] {
        refused(&["report", file], &[file]);
    }
}

#[test]
fn an_output_is_whole_or_what_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes(frames(300, 50));
    let file = save(folder.path(), "t", &whole);
    let convert = |output: &str| ["convert", name(&file), "--to", "jsonl", "-o", output].map(String::from);
    let refused =
        |output: &str, names: &[&str]| refused(&convert(output).each_ref().map(|one| &one[..]), names);
    // The trace itself, by any name.
    let (link, hard) = (folder.path().join("link"), folder.path().join("hard"));
    std::os::unix::fs::symlink("t", &link).expect("a link");
    std::fs::hard_link(&file, &hard).expect("a link");
    for itself in [&file, &link, &hard, &folder.path().join(".").join("t")] {
        refused(name(itself), &[name(itself), "the trace itself", "-o"]);
    }
    assert_eq!(std::fs::read(&file).expect("still there"), whole);
    refused("/dev/full", &["/dev/full", "No space left"]);
    refused(name(&folder.path().join("none/out")), &["none/out", "No such file"]);
    refused(name(folder.path()), &["directory"]);
    // A disk that is full in the middle: the shell's limit for files stands in for it.
    let out = save(folder.path(), "out", b"what was there");
    let limited = |output: &str| {
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" trace \"$@\"";
        let program = env!("CARGO_BIN_EXE_fencepost");
        run(Command::new("sh").args(["-c", script, program]).args(convert(output)))
    };
    for output in [name(&out), name(&folder.path().join("fresh"))] {
        let said = limited(output);
        assert_eq!(said.status.code(), Some(2), "{}", text(&said.stderr));
        assert_eq!(text(&said.stderr).lines().count(), 1, "{}", text(&said.stderr));
        assert!(text(&said.stderr).contains(output));
    }
    assert_eq!(std::fs::read(&out).expect("still there"), b"what was there");
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|one| one.expect("one").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["hard", "link", "out", "t"], "nothing half-written is left");
    // Through a link, and with the permissions that were there.
    let link = folder.path().join("to-out");
    std::os::unix::fs::symlink("out", &link).expect("a link");
    std::fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("set");
    assert!(
        run(Command::new(env!("CARGO_BIN_EXE_fencepost")).arg("trace").args(convert(name(&link))))
            .status
            .success()
    );
    assert!(link.is_symlink());
    let written = std::fs::metadata(&out).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&written.permissions()) & 0o777, 0o640);
    assert!(written.len() > 14);
    // Standard output by its name is what - is.
    let [dash, by_name] =
        ["-", "/dev/stdout"].map(|output| fencepost(&convert(output).each_ref().map(|one| &one[..])));
    assert_eq!(dash.stdout, by_name.stdout);
    assert_eq!(by_name.status.code(), Some(0));
}

/// What a hostile trace's texts are: control characters of both kinds, a line of their own, and a turn of the writing's direction.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\nCausality: fine";

#[test]
fn texts_of_a_trace_have_no_power_over_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hostile = header();
    hostile.functions.iter_mut().for_each(|function| function.name = HOSTILE.into());
    hostile.costs = vec![(HOSTILE.into(), HOSTILE.into())];
    let bad = save(folder.path(), "bad", &bytes_of(&hostile, frames(2, 50)));
    let good = save(folder.path(), "good", &bytes(frames(2, 50)));
    let (bad, good) = (name(&bad), name(&good));
    for arguments in [
        &["report", bad][..],
        &["diff", good, bad],
        &["query", bad, "--frame", "0"],
        &["report", bad, "--json"],
        &["diff", good, bad, "--json"],
        &["query", bad, "--frame", "0", "--json"],
        &["convert", bad, "--to", "jsonl", "-o", "-"],
    ] {
        let output = fencepost(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        for shown in [text(&output.stdout), text(&output.stderr)] {
            let odd = shown.chars().find(|letter| !fencepost_trace::is_plain(*letter) && *letter != '\n');
            assert_eq!(odd, None, "{arguments:?}: {shown:?}");
            assert!(!shown.lines().any(|line| line.starts_with("Causality: fine")), "{arguments:?}: {shown}");
        }
    }
    // JSON keeps what the trace has.
    let report = json(&fencepost(&["report", bad, "--json"]));
    assert!(report["costs"].to_string().contains("31m"), "{report}");
    assert_eq!(report["costs"][0][0], HOSTILE, "{}", report["costs"]);
}
