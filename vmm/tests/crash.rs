//! What a trace file is worth when something ends before its time: the machine, by SIGKILL; the disk's space; the events.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fencepost_skip::Tested;
use fencepost_trace::file::{Damage, TraceFile};
use fencepost_trace::{Event, Record};

/// Switches on the display's registers and has their address in RBX.
const DISPLAY: [u8; 23] = [
    0xb8, 0x04, 0x80, 0x01, 0xe0, // mov eax, its command register
    0xc7, 0x00, 0x06, 0x00, 0x00, 0x00, // mov [rax], memory space and bus master
    0xb8, 0x10, 0x80, 0x01, 0xe0, 0x8b, 0x18, // mov eax, its BAR 0; mov ebx, [rax]
    0x83, 0xe3, 0xf0, 0x90, 0x90, // and ebx, -16; nop; nop
];
/// Reads a register again and again, each time an event, until a key comes; leaves with status 7.
const UNTIL_A_KEY: [u8; 20] = [
    0x8b, 0x8b, 0x54, 0x01, 0x00, 0x00, // 1: mov ecx, [rbx + REFUSED]
    0x66, 0xba, 0xfd, 0x03, 0xec, // mov dx, 0x3fd; in al, dx
    0xa8, 0x01, 0x74, 0xf1, // test al, 1; jz 1b
    0xb0, 0x07, 0xe6, 0xf4, // mov al, 7; out 0xf4, al
    0xf4, // hlt
];
/// `jmp .`
const SPIN: [u8; 2] = [0xeb, 0xfe];
/// `sti; hlt; jmp .`
const HALT: [u8; 4] = [0xfb, 0xf4, 0xeb, 0xfe];

/// Reads a register so many times.
fn reads(count: u32) -> Vec<u8> {
    [&DISPLAY[..], &read_again(count)].concat()
}

/// The same, when RBX has the address.
fn read_again(count: u32) -> Vec<u8> {
    // mov ecx, count; 1: mov edx, [rbx + REFUSED]; dec ecx; jnz 1b
    [&[0xb9], &count.to_le_bytes()[..], &[0x8b, 0x93, 0x54, 0x01, 0x00, 0x00, 0xff, 0xc9, 0x75, 0xf6]]
        .concat()
}

/// The same; then says `E` and leaves with `status`.
fn reads_and_leaves(count: u32, status: u8) -> Vec<u8> {
    let mut code = reads(count);
    code.extend([0xb0, b'E', 0x66, 0xba, 0xf8, 0x03, 0xee, 0xb0, b'\n', 0xee]);
    code.extend([0xb0, status, 0xe6, 0xf4, 0xf4]);
    code
}

fn command(folder: &Path, accel: &str, code: &[u8], trace: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    // A model that every KVM has all of, so that nothing is said of it.
    command.args([
        "run",
        "--memory",
        "16M",
        "--timeout",
        "300",
        "--cpu",
        "baseline",
        "--accel",
        accel,
        "--kernel",
    ]);
    command.arg(common::kernel(folder, code, 0x1000)).arg("--trace").arg(trace);
    command
}

/// A guest that runs with its console open.
fn start(folder: &Path, accel: &str, code: &[u8], trace: &Path) -> Child {
    let mut command = command(folder, accel, code, trace);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

/// A trace as it is found: what can be read of it.
fn readable(trace: &Path) -> Option<TraceFile> {
    File::open(trace).ok().and_then(|file| TraceFile::read(file).ok())
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn wait_until(child: &mut Child, what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        assert_eq!(child.try_wait().expect("it can be asked"), None, "ended before {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SIGKILL.
fn kill(mut child: Child) {
    child.kill().expect("it still runs");
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
}

/// What `fencepost trace report` says of a file that is not complete; it has so many records.
fn reported_as_cut(trace: &Path) -> Vec<Record> {
    let output = Command::new(env!("CARGO_BIN_EXE_fencepost"))
        .args(["trace", "report", "--json"])
        .arg(trace)
        .output()
        .expect("the command starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("warning") && said.contains("is not complete"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["lost"]["complete"], false);
    let trace = readable(trace).expect("readable");
    let counts = report["records"].as_object().expect("by category").values();
    assert_eq!(counts.filter_map(serde_json::Value::as_u64).sum::<u64>(), trace.records.len() as u64);
    assert!(matches!(trace.damage[..], [Damage::Truncated { .. }]), "{:?}", trace.damage);
    trace.records
}

#[test]
fn a_machine_that_was_killed_leaves_the_beginning_of_what_the_same_machine_leaves_whole() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (killed, whole) = (folder.path().join("killed"), folder.path().join("whole"));
    let code = [&DISPLAY[..], &UNTIL_A_KEY].concat();
    let mut child = start(folder.path(), "soft", &code, &killed);
    wait_until(&mut child, "a trace of some length", || length(&killed) > 300_000);
    kill(child);
    let records = reported_as_cut(&killed);
    assert!(records.len() > 10_000, "{}", records.len());
    // The same machine, until it has recorded more.
    let mut child = start(folder.path(), "soft", &code, &whole);
    wait_until(&mut child, "a longer trace", || length(&whole) > length(&killed));
    child.stdin.take().expect("piped").write_all(b"q").expect("typed");
    assert_eq!(child.wait().expect("it ends").code(), Some(7));
    let whole = readable(&whole).expect("readable");
    assert!(whole.damage.is_empty() && whole.totals.is_some());
    assert!(whole.records.starts_with(&records), "{} of {}", records.len(), whole.records.len());
}

fn a_machine_that_fell_silent_has_written_all_when_it_is_killed(accel: &'static str) -> Tested {
    const READS: u32 = 700;
    let is_read = |record: &&Record| matches!(record.event, Event::RegisterRead { .. });
    for (name, silence) in [("halted", &HALT[..]), ("spinning", &SPIN)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let trace = folder.path().join("trace");
        let mut child = start(folder.path(), accel, &[&reads(READS)[..], silence].concat(), &trace);
        let has_all = || {
            readable(&trace)
                .is_some_and(|trace| trace.records.iter().filter(is_read).count() == READS as usize)
        };
        wait_until(&mut child, &format!("{accel}, {name}: everything is written"), has_all);
        kill(child);
        assert_eq!(reported_as_cut(&trace).iter().filter(is_read).count(), READS as usize);
    }
    Tested::Ran
}

/// Silence is the guest's: what the host does meanwhile does not show in the file.
#[test]
fn a_silent_guests_file_is_the_same_whatever_the_host_does_meanwhile() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // Nearly a second of guest time: mov ecx, 400000000; 1: dec ecx; jnz 1b
    let pause = [&[0xb9], &400_000_000u32.to_le_bytes()[..], &[0xff, 0xc9, 0x75, 0xfc]].concat();
    let leave = [0xb0, 0, 0xe6, 0xf4, 0xf4];
    let code = [&reads(700)[..], &pause, &read_again(700), &pause, &leave].concat();
    let files = ["calm", "disturbed"].map(|name| {
        let trace = folder.path().join(name);
        let mut child = start(folder.path(), "soft", &code, &trace);
        let keys = child.stdin.take();
        let mut keys = keys.filter(|_| name == "disturbed");
        let limit = Instant::now() + Duration::from_secs(200);
        let status = loop {
            assert!(Instant::now() < limit, "it ends");
            match child.try_wait().expect("it can be asked") {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
            // Each key has the CPU come out. The guest never looks.
            keys.iter_mut().for_each(|keys| drop(keys.write_all(b"x")));
        };
        assert_eq!(status.code(), Some(0), "{name}");
        std::fs::read(&trace).expect("written")
    });
    assert!(files[0] == files[1], "{} and {} bytes", files[0].len(), files[1].len());
    let trace = TraceFile::read(&files[0][..]).expect("readable");
    assert_eq!(
        (trace.totals.map(|totals| totals.records), trace.damage),
        (Some(trace.records.len() as u64), vec![])
    );
}

/// A guest whose trace does not fit went on to its end, one line tells, and what was written is the beginning.
fn check_full(accel: &str, output: &Output, trace: &Path, status: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{accel}: {said}");
    assert_eq!(output.stdout, b"E\n", "{accel}: the guest goes on to its end");
    assert_eq!(said.lines().count(), 1, "{accel}: {said}");
    for name in ["--trace", "/trace: ", why] {
        assert!(said.contains(name), "{accel}: {name} is not in: {said}");
    }
    let records = reported_as_cut(trace);
    assert!(records.len() > 100, "{accel}: {}", records.len());
}

/// So many that their trace has 300 KiB at least.
const MANY: u32 = 60_000;
const LIMIT_BYTES: u64 = 200_000;

fn a_trace_beyond_the_processs_limit_costs_the_trace_and_not_the_run(accel: &'static str) -> Tested {
    for (guests, ours) in [(0, 1), (7, 7)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let trace = folder.path().join("trace");
        let mut command = command(folder.path(), accel, &reads_and_leaves(MANY, guests), &trace);
        let limit = libc::rlimit { rlim_cur: LIMIT_BYTES, rlim_max: LIMIT_BYTES };
        let set = move || {
            // SAFETY: the limit is a live local.
            match unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        let output = unsafe { command.pre_exec(set) }.stdin(Stdio::null()).output().expect("it starts");
        check_full(accel, &output, &trace, ours, "File too large");
    }
    Tested::Ran
}

/// Runs a shell's `script` with a small file system at `$1` that nobody else sees; `None` where that is not allowed.
fn with_small_disk(folder: &Path, script: &str, arguments: &[PathBuf]) -> Option<Output> {
    let mount = format!("mount -t tmpfs -o size={} tmpfs \"$1\" || exit 125; {script}", 256 << 10);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "bash", "-c", &mount, "bash"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let refused = String::from_utf8_lossy(&output.stderr).contains("unshare:");
    (output.status.code() != Some(125) && !refused).then_some(output)
}

fn a_full_disk_costs_the_trace_and_not_the_run(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (disk, kept) = (folder.path().join("disk"), folder.path().join("kept"));
    std::fs::create_dir(&disk).expect("made");
    let kernel = common::kernel(folder.path(), &reads_and_leaves(MANY, 0), 0x1000);
    let script = format!(
        "\"$2\" run --memory 16M --timeout 300 --cpu baseline --accel {accel} --kernel \"$3\" --trace \"$1/trace\"; \
         status=$?; cp \"$1/trace\" \"$4\"; exit $status"
    );
    let program = PathBuf::from(env!("CARGO_BIN_EXE_fencepost"));
    let Some(output) = with_small_disk(&disk, &script, &[program, kernel, kept.clone()]) else {
        return Tested::skipped("this user may not mount a small disk");
    };
    check_full(accel, &output, &kept, 1, "No space left on device");
    Tested::Ran
}

/// Reads of a register that are more records than may wait for a file and lie in a pipe: some 66 thousand, and a few.
const FLOOD: u32 = 150_000;

/// Under kvm a guest goes on whatever becomes of its trace: here into a pipe that nobody reads until it is over.
#[test]
fn under_kvm_a_file_that_takes_nothing_more_holds_up_nothing() -> Tested {
    if !common::kvm_opens() {
        return Tested::skipped(common::NO_KVM);
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("every Linux has it");
    assert!(made.success());
    // Open on both sides, so that nobody waits for the other.
    let held = File::options().read(true).write(true).open(&pipe).expect("a pipe");
    let mut command = command(folder.path(), "kvm", &reads_and_leaves(FLOOD, 0), &pipe);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut last = [0; 2];
    child.stdout.as_mut().expect("piped").read_exact(&mut last).expect("the guest comes to its end");
    assert_eq!(&last, b"E\n");
    let reader = File::open(&pipe).expect("a pipe");
    drop(held);
    let trace = TraceFile::read(reader).expect("readable");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let totals = trace.totals.expect("complete");
    assert!(totals.lost > 0 && said.contains(&format!("{} events lost", totals.lost)), "{totals:?}: {said}");
    let reads = trace.records.iter().filter(|record| matches!(record.event, Event::RegisterRead { .. }));
    assert!(
        reads.count() as u64 + totals.lost >= u64::from(FLOOD),
        "each is in the file or counted: {totals:?}"
    );
    Tested::Ran
}

#[test]
fn a_device_that_takes_nothing_is_named_before_the_guest_starts() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let full = Path::new("/dev/full");
    let mut command = command(folder.path(), "soft", &reads_and_leaves(1, 0), full);
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("/dev/full") && said.contains("No space left"), "{said}");
    assert!(output.stdout.is_empty());
}

on_each_back_end! {
    a_machine_that_fell_silent_has_written_all_when_it_is_killed,
    a_trace_beyond_the_processs_limit_costs_the_trace_and_not_the_run,
    a_full_disk_costs_the_trace_and_not_the_run,
}
