//! What a hostile guest or file can cost the host: bytes of memory, bytes of a file. The limits are in docs/limits.md.

mod common;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use fencepost_skip::Tested;
use fencepost_trace::file::{FileWriter, TraceFile};
use fencepost_trace::testing::{CAMERA, CAMERA_ENGINE, DISPLAY, DISPLAY_ENGINE, GPU, GPU_ENGINE, header};
use fencepost_trace::{Event, JobKind, Record, Stamp};

/// Address space that `fencepost` gets: some hundred MiB beyond what it maps for a guest of 16 MiB.
const ADDRESS_SPACE_BYTES: u64 = 768 << 20;

/// Runs `fencepost` with so much address space.
fn bounded(arguments: &[&str]) -> Output {
    within(ADDRESS_SPACE_BYTES, arguments)
}

/// Runs `fencepost` with `bytes` of address space.
fn within(bytes: u64, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(arguments).stdin(Stdio::null());
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: between fork and exec only `setrlimit` is called, which is async-signal-safe.
    let command = unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    };
    command.output().expect("the command starts")
}

/// Runs a guest of `code` under `soft` with a trace. Gives what it said and the trace's bytes.
fn traced(code: &[u8], options: &[&str]) -> (String, Vec<u8>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let kernel = common::kernel(folder.path(), code, code.len() as u64);
    let path = |file: &Path| file.to_str().expect("UTF-8").to_string();
    let (kernel, trace) = (path(&kernel), path(&folder.path().join("trace")));
    let run = [
        "run",
        "--memory",
        "16M",
        "--timeout",
        "300",
        "--accel",
        "soft",
        "--kernel",
        &kernel,
        "--trace",
        &trace,
    ];
    let output = bounded(&[&run[..], options].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    (said, std::fs::read(&trace).expect("written"))
}

/// A frame of the trace port's stream (docs/trace-agent.md).
fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame =
        [&kind.to_le_bytes()[..], &[0, 0], &(payload.len() as u32).to_le_bytes(), payload].concat();
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// A tracepoint of `count` fields at offset 8 that are declared alike.
fn format(count: usize, declaration: &str, size: usize) -> Vec<u8> {
    let mut text = "demo\nname: hostile\nID: 78\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
        .to_string();
    for field in 0..count {
        text += &format!("\tfield:{declaration} f{field};\toffset:8;\tsize:{size};\tsigned:0;\n");
    }
    frame(2, text.as_bytes())
}

/// A page of the kernel's ring buffer that holds `records`.
fn page(records: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    for record in records {
        // The length follows, in bytes behind the first word; it counts itself.
        data.extend(0u32.to_le_bytes());
        data.extend((record.len() as u32 + 4).to_le_bytes());
        data.extend(record);
    }
    frame(4, &[&1u64.to_le_bytes()[..], &(data.len() as u64).to_le_bytes(), &data].concat())
}

/// A guest that sends `once`, and then `again` so many times, to the trace port, and leaves with status 0.
fn sends(once: &[u8], again: &[u8], times: u32) -> Vec<u8> {
    const BASE: u32 = 0x10_0000;
    const CODE_BYTES: u32 = 64;
    let send = |address: u32, bytes: &[u8]| {
        // mov esi, address; mov ecx, length; mov dx, 0x610; rep outsb
        [
            &[0xbe][..],
            &address.to_le_bytes(),
            &[0xb9],
            &(bytes.len() as u32).to_le_bytes(),
            &[0x66, 0xba, 0x10, 0x06, 0xf3, 0x6e],
        ]
        .concat()
    };
    let (first, second) = (BASE + CODE_BYTES, BASE + CODE_BYTES + once.len() as u32);
    let mut code = send(first, once);
    // mov ebx, times; 1: ...; dec ebx; jnz 1b
    code.push(0xbb);
    code.extend(times.to_le_bytes());
    let body = send(second, again);
    code.extend(&body);
    code.extend([0xff, 0xcb, 0x75, (-(body.len() as i8) - 4) as u8]);
    // mov al, 0; out 0xf4, al; hlt
    code.extend([0xb0, 0, 0xe6, 0xf4, 0xf4]);
    assert!(code.len() <= CODE_BYTES as usize);
    code.resize(CODE_BYTES as usize, 0x90);
    [&code[..], once, again].concat()
}

const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
    \tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";

/// A page of 64 KiB became one event of 25 MB, and 20 of them 495 MB of file and 3.4 GiB of memory.
#[test]
fn fields_that_share_bytes_multiply_neither_memory_nor_file() {
    const PAGES: u32 = 100;
    let string =
        [&[78, 0, 0, 0, 1, 0, 0, 0][..], &(12u32 | 65_000 << 16).to_le_bytes(), &[0xff; 65_000]].concat();
    let small = [&[78, 0, 0, 0, 1, 0, 0, 0][..], &[0xff; 4]].concat();
    for (layout, records, taken) in [
        (format(127, "__data_loc char[]", 4), vec![string.clone()], false),
        (format(127, "u32", 4), vec![small.clone(); 3000], false),
        (format(1, "__data_loc char[]", 4), vec![string], true),
        (format(1, "u32", 4), vec![small; 3000], true),
    ] {
        let once = [frame(1, HEADER_PAGE.as_bytes()), layout].concat();
        let (said, bytes) = traced(&sends(&once, &page(&records), PAGES), &[]);
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        let (sent, count) = (PAGES as usize * (64 << 10), PAGES as usize * records.len());
        // A byte that is no UTF-8 becomes three.
        assert!(bytes.len() < 4 * sent, "{} bytes of file for {sent}", bytes.len());
        let there =
            trace.records.iter().filter(|one| matches!(one.event, fencepost_trace::Event::Guest(_))).count();
        assert_eq!(there, if taken { count } else { 0 }, "{said}");
        assert_eq!(said.contains(&format!("{count} parts that made no sense")), !taken, "{said}");
    }
}

/// Rings the display's doorbell so many times.
fn doorbells(count: u32) -> Vec<u8> {
    let mut code = vec![
        0xb8, 0x04, 0x80, 0x01, 0xe0, // mov eax, the display's command register
        0xc7, 0x00, 0x06, 0x00, 0x00, 0x00, // mov [rax], memory space and bus master
        0xb8, 0x10, 0x80, 0x01, 0xe0, 0x8b, 0x18, // mov eax, its BAR 0; mov ebx, [rax]
        0x83, 0xe3, 0xf0, 0xb9, // and ebx, -16; mov ecx, count
    ];
    code.extend(count.to_le_bytes());
    // 1: mov dword [rbx + COMMIT], 1; dec ecx; jnz 1b
    code.extend([0xc7, 0x83, 0x10, 0x01, 0x00, 0x00, 1, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf2]);
    code.extend([0xb0, 0, 0xe6, 0xf4, 0xf4]);
    code
}

/// A doorbell storm wrote 256 MB of trace in six seconds, and no end.
#[test]
fn a_doorbell_storm_fills_the_trace_to_its_limit_and_goes_on() {
    const STORM: u32 = 300_000;
    const LIMIT_BYTES: usize = 128 << 10;
    let runs = [0; 2].map(|_| traced(&doorbells(STORM), &["--trace-limit", "128K"]));
    let (said, bytes) = &runs[0];
    assert_eq!(bytes, &runs[1].1, "the guest alone says what is in the file");
    assert!(bytes.len() <= LIMIT_BYTES && bytes.len() > LIMIT_BYTES / 4, "{}", bytes.len());
    let trace = TraceFile::read(&bytes[..]).expect("readable");
    let totals = trace.totals.expect("it has its end");
    assert!(trace.damage.is_empty() && trace.header.limit == Some(LIMIT_BYTES as u64));
    assert_eq!(totals.records, trace.records.len() as u64);
    assert!(totals.records + totals.beyond_limit >= u64::from(STORM), "{totals:?}");
    assert!(
        said.contains(&format!(
            "{} events came when the file had reached --trace-limit",
            totals.beyond_limit
        )),
        "{said}"
    );
}

/// Every command of `fencepost trace` on a file, each with bounded memory. Gives their statuses.
fn trace_commands(file: &Path) -> Vec<(String, Option<i32>)> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (file, out) = (file.to_str().expect("UTF-8"), folder.path().join("out"));
    let out = out.to_str().expect("UTF-8");
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["report", file],
        vec!["report", "--json", file],
        vec!["report", "--check", file],
        vec!["diff", file, file],
        vec!["query", file, "--frame", "0"],
        vec!["query", file, "--buffer", "0"],
        vec!["query", file, "--buffer", "page:0x100000", "--json"],
        vec!["query", file, "--fence", "ring0:1"],
    ];
    for to in ["perfetto", "html", "svg", "jsonl"] {
        commands.push(vec!["convert", file, "--to", to, "-o", out]);
    }
    let run = |command: Vec<&str>| {
        let output = bounded(&[&["trace"], &command[..]].concat());
        (command.join(" "), output.status.code())
    };
    commands.into_iter().map(run).collect()
}

/// A trace of 28 KB hung or aborted `trace report`: DMA of 2^40 and of 2^64-1 bytes.
#[test]
fn a_small_trace_of_long_ranges_is_read_by_every_command() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for len in [1 << 40, (1 << 52) - 0x20_0000, u64::MAX] {
        let path = folder.path().join("trace");
        let mut writer = FileWriter::new(File::create(&path).expect("made"), &header()).expect("begun");
        for number in 0..180u64 {
            let (sequence, gpa) = (number as u32, 0x10_0000 + number * 4096);
            let (engine, queue, seqno) = (GPU_ENGINE, 0, number);
            let events = [
                Event::FrameStart { engine: CAMERA_ENGINE, sequence, buffer: Some(0) },
                Event::DmaWrite { rid: CAMERA, iova: 4096, gpa, len },
                Event::FrameEnd { engine: CAMERA_ENGINE, sequence, buffer: 0, bytes: u32::MAX, crc: 1 },
                Event::JobStart { engine, queue, seqno, kind: JobKind::Copy },
                Event::DmaRead { rid: GPU, iova: 4096, gpa, len },
                Event::DmaWrite { rid: GPU, iova: 4096, gpa, len },
                Event::JobEnd { engine, queue, seqno, ok: true },
                Event::FenceWrite { engine: GPU_ENGINE, queue, seqno },
                Event::Latch { engine: DISPLAY_ENGINE, frame: number, commit: number },
                Event::DmaRead { rid: DISPLAY, iova: 4096, gpa, len },
                Event::ScanOut { engine: DISPLAY_ENGINE, frame: number, crc: 0 },
            ];
            for (at, event) in (number * 1000..).zip(events) {
                writer.record(&Record { stamp: Stamp { cycles: at, ns: at }, event }).expect("written");
            }
        }
        writer.finish().expect("written");
        assert!(std::fs::metadata(&path).expect("there").len() < 60_000);
        // With the last one nothing but damage is there, and no frame.
        let sound = len != u64::MAX;
        for (command, status) in trace_commands(&path) {
            let expected = match command.split(' ').next() {
                Some("report" | "diff") if !command.contains("--check") => 0,
                Some("report") => 1,
                _ if command.contains("--to") && !command.contains("svg") => 0,
                _ if sound => 0,
                _ => 2,
            };
            assert_eq!(status, Some(expected), "{len:#x}: {command}");
        }
    }
}

/// A sparse trace of 6 GiB was read whole into memory.
#[test]
fn a_sparse_trace_is_not_read_whole() -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("trace");
    let mut file = File::create(&path).expect("made");
    let mut writer = FileWriter::new(&file, &header()).expect("begun");
    (0..10).for_each(|frame| writer.record(&record(frame)).expect("written"));
    writer.flush().expect("written");
    drop(writer);
    if file.set_len(6 << 30).is_err()
        || file.seek(SeekFrom::End(-9)).is_err()
        || file.write_all(&[2; 9]).is_err()
    {
        return Tested::skipped("this disk takes no sparse file of 6 GiB");
    }
    let output = bounded(&["trace", "report", path.to_str().expect("UTF-8")]);
    let (said, report) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(report.contains("Records: 10 ") && said.contains("The trace is not complete"), "{report}{said}");
    Tested::Ran
}

fn record(frame: u64) -> Record {
    Record {
        stamp: Stamp { cycles: frame, ns: frame },
        event: Event::Vblank { engine: DISPLAY_ENGINE, frame },
    }
}

/// Wherever it is that the host gives no more: a line and a status of ours, no abort.
#[test]
fn with_whatever_memory_a_run_ends_well_or_with_a_line() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // mov al, 7; out 0xf4, al
    let kernel = common::kernel(folder.path(), &[0xb0, 0x07, 0xe6, 0xf4], 0x1000);
    let trace = folder.path().join("trace");
    let [kernel, trace] = [&kernel, &trace].map(|path| path.to_str().expect("UTF-8"));
    let run = ["run", "--memory", "16M", "--accel", "soft", "--timeout", "300", "--kernel", kernel];
    let mut failed = 0;
    for mib in (64..ADDRESS_SPACE_BYTES >> 20).step_by(4) {
        let output = within(mib << 20, &[&run[..], &["--trace", trace]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let status = output.status.code();
        assert!(matches!(status, Some(1 | 2 | 7)), "{mib} MiB: {:?}: {said}", output.status);
        if status == Some(7) {
            continue;
        }
        failed += 1;
        assert!(said.contains("fencepost: "), "{mib} MiB: {said}");
        assert!(!said.contains("memory allocation of"), "{mib} MiB: {said}");
    }
    assert!(failed > 2, "{failed}");
}
