//! Guests that fail, on both back ends: the messages, the exit status, and nothing left behind.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fencepost_skip::Tested;

/// `mov al, 0x55; out 0x80, al`: something for the list of the last events.
const MARK: [u8; 4] = [0xb0, 0x55, 0xe6, 0x80];
/// `ud2`: there is no table of interrupts.
const UD2: [u8; 2] = [0x0f, 0x0b];
/// `cli; hlt; jmp .`
const CLI_HLT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfe];
/// `sti; hlt; jmp .`
const STI_HLT: [u8; 4] = [0xfb, 0xf4, 0xeb, 0xfe];
/// `cli; jmp .`
const CLI_SPIN: [u8; 3] = [0xfa, 0xeb, 0xfe];

fn command(folder: &Path, accel: &str, code: &[u8], options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "16M", "--accel", accel, "--kernel"]);
    command.arg(common::kernel(folder, code, 0x1000)).args(options).stdin(Stdio::null());
    command
}

fn run(accel: &str, code: &[u8], options: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("temporary folder");
    command(folder.path(), accel, code, options).output().expect("the command starts")
}

/// Exit status, and a dump that holds all of `names`.
fn check(accel: &str, output: &Output, status: i32, names: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{accel}: {said}");
    let registers =
        ["rip 0x", "rflags", "rax 0x", "r15 0x", " cs 0x", " tr 0x", "gdt", "idt", "cr0", "cr4", "efer 0x"];
    for name in registers.iter().chain(names) {
        assert!(said.contains(name), "{accel}: {name:?} is not in:\n{said}");
    }
}

const LIMIT: [&str; 2] = ["--timeout", "100"];

fn a_triple_fault_is_reported_with_registers_code_and_the_last_exits(accel: &'static str) -> Tested {
    let output = run(accel, &[&MARK[..], &UD2].concat(), &LIMIT);
    let rip = "rip 0x0000000000100004";
    check(
        accel,
        &output,
        3,
        &["triple fault", rip, "code at rip: 0f 0b", "port write", "0x80  1 bytes  0x55"],
    );
    Tested::Ran
}

fn a_jump_to_where_no_memory_is_ends_with_the_address(accel: &'static str) -> Tested {
    // `mov eax, ADDRESS; jmp rax`: an address beyond RAM, and one where devices are.
    for address in [0x8000_0000u32, 0xc000_0000] {
        let code = [&MARK[..], &[0xb8], &address.to_le_bytes(), &[0xff, 0xe0]].concat();
        let output = run(accel, &code, &LIMIT);
        let rip = format!("rip {address:#018x}");
        check(accel, &output, 3, &["guest", &rip, "code at rip: not in memory", "0x80  1 bytes  0x55"]);
    }
    Tested::Ran
}

fn the_elements_of_a_string_keep_their_size(accel: &'static str) -> Tested {
    // `lea rsi, [rip + 14]; mov ecx, COUNT; mov dx, 0x80`, an OUTS of three bytes, `ud2`, then the data.
    let start = |count: u8| [0x48, 0x8d, 0x35, 14, 0, 0, 0, 0xb9, count, 0, 0, 0, 0x66, 0xba, 0x80, 0x00];
    let data = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
    // rep outsb of two bytes, rep outsw of three words.
    let strings: [(&[u8], u8, &str); 2] =
        [(&[0xf3, 0x6e, 0x90], 2, "0x80  1 bytes  0x22"), (&[0xf3, 0x66, 0x6f], 3, "0x80  2 bytes  0x6655")];
    for (outs, count, last) in strings {
        let code = [&start(count)[..], outs, &UD2, &data].concat();
        check(accel, &run(accel, &code, &LIMIT), 3, &["triple fault", last]);
    }
    Tested::Ran
}

fn a_doorbell_is_heard_without_an_exit_and_before_the_next_one(accel: &'static str) -> Tested {
    let code = [
        0xb8, 0x04, 0x80, 0x01, 0xe0, // mov eax, the display's command register
        0xc7, 0x00, 0x06, 0x00, 0x00, 0x00, // mov [rax], memory space and bus master
        0xb8, 0x10, 0x80, 0x01, 0xe0, 0x8b, 0x00, // mov eax, [its BAR 0]
        0x83, 0xe0, 0xf0, // and eax, -16
        0xc7, 0x80, 0x10, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, // mov [rax + COMMIT], 1
        0x8b, 0x88, 0x54, 0x01, 0x00, 0x00, // mov ecx, [rax + REFUSED]
        0x0f, 0x0b,
    ];
    let output = run(accel, &code, &LIMIT);
    let rung = if accel == "kvm" { "doorbell" } else { "mmio write" };
    check(accel, &output, 3, &["triple fault", "rcx 0x0000000000000001"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let passed: Vec<&str> =
        said.lines().filter(|line| line.contains(" cycles  ") && !line.contains("  stop  ")).collect();
    assert!(passed.len() >= 2 && passed[passed.len() - 2].contains(rung), "{accel}: {said}");
    assert!(passed[passed.len() - 1].contains("mmio read"), "{accel}: {said}");
    Tested::Ran
}

fn halted_for_ever_is_dead(accel: &'static str) -> Tested {
    for code in [CLI_HLT, STI_HLT] {
        let output = run(accel, &[&MARK[..], &code].concat(), &LIMIT);
        check(accel, &output, 3, &["halted and nothing is left", "halted", "0x80  1 bytes  0x55"]);
    }
    Tested::Ran
}

fn spinning_with_interrupts_off_is_what_the_watchdog_ends(accel: &'static str) -> Tested {
    let output = run(accel, &[&MARK[..], &CLI_SPIN].concat(), &["--watchdog", "0.2", "--timeout", "100"]);
    check(
        accel,
        &output,
        3,
        &["--watchdog", "rip 0x0000000000100005", "code at rip: eb fe", "0x80  1 bytes  0x55"],
    );
    Tested::Ran
}

#[test]
fn the_watchdog_ends_a_guest_at_the_same_instruction_traced_or_not() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let trace = folder.path().join("trace");
    let instructions = |options: &[&str]| {
        let options = [&["--watchdog", "0.7", "--timeout", "100", "--stats"], options].concat();
        let output = run("soft", &[&MARK[..], &CLI_SPIN].concat(), &options);
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let count = said.lines().find(|line| line.contains("guest instructions")).expect("a count");
        count.split_whitespace().nth(1).expect("a number").to_owned()
    };
    let untraced = instructions(&[]);
    assert_eq!(instructions(&["--trace", trace.to_str().expect("a name")]), untraced);
}

#[test]
fn the_figures_count_exceptions_by_name() {
    // UD2, and no table of interrupts to deliver it by.
    let output = run("soft", &[0x0f, 0x0b], &["--stats"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("stats: exceptions: ")).expect("there are some");
    assert!(line.contains("#UD 1") && line.contains("#DF 1"), "{line}");
}

fn a_time_limit_shows_where_the_guest_was(accel: &'static str) -> Tested {
    let output = run(accel, &CLI_SPIN, &["--timeout", "0.3"]);
    let nothing = "no events between the CPU and the machine";
    check(accel, &output, 124, &["--timeout", "rip 0x0000000000100001", nothing]);
    Tested::Ran
}

fn a_signal_shows_where_the_guest_was(accel: &'static str) -> Tested {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().expect("temporary folder");
        // Says that it runs: `mov al, '.'; mov dx, 0x3f8; out dx, al; mov al, 10; out dx, al; jmp .`
        let code = [0xb0, b'.', 0x66, 0xba, 0xf8, 0x03, 0xee, 0xb0, b'\n', 0xee, 0xeb, 0xfe];
        let mut command = command(folder.path(), accel, &code, &LIMIT);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = [0; 2];
        child.stdout.as_mut().expect("piped").read_exact(&mut line).expect("the guest speaks");
        let sent = Command::new("bash").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
        assert!(sent.expect("bash runs").success());
        let output = child.wait_with_output().expect("it ends");
        check(accel, &output, status, &["stopped by signal", "code at rip: eb fe", "0x3f8  1 bytes  0xa"]);
    }
    Tested::Ran
}

/// Without the right to open /dev/kvm: one line with the fix, and status 2.
#[test]
fn no_permission_is_one_line_with_the_fix() -> Tested {
    if !Path::new("/dev/kvm").exists() {
        return Tested::skipped("there is no /dev/kvm");
    }
    // A copy where anyone may run it: the build folder may be closed to others.
    let folder = tempfile::tempdir().expect("temporary folder");
    let program = folder.path().join("fencepost");
    common::copy_program(&program);
    let kernel = common::kernel(folder.path(), &common::SPIN, 0x1000);
    for path in [folder.path(), &kernel] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("changed");
    }
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let may = |test: &str| Command::new("setpriv").args(nobody).args(["test", test, "/dev/kvm"]).status();
    match may("-w") {
        Ok(status) if status.code() == Some(1) => {}
        _ => return Tested::skipped("this user cannot become one who may not open /dev/kvm"),
    }
    let output = Command::new("setpriv")
        .args(nobody)
        .arg(program)
        .args(["run", "--accel", "kvm", "--timeout", "20", "--kernel"])
        .arg(kernel)
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    for name in ["--accel kvm", "you may not open /dev/kvm", "sudo ", "--accel soft"] {
        assert!(said.contains(name), "{name} is not in: {said}");
    }
    Tested::Ran
}

/// A guest that waits for its timer or for a key is alive, and a kick finds it at HLT too.
fn a_halted_guest_that_may_get_input_is_stopped_in_time(accel: &'static str) -> Tested {
    let folder = tempfile::tempdir().expect("temporary folder");
    let started = Instant::now();
    let mut child = command(folder.path(), accel, &STI_HLT, &["--timeout", "1.5"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let _open = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    check(accel, &output, 124, &["--timeout", "halted"]);
    assert!(started.elapsed() >= Duration::from_millis(1500), "not before its time");
    Tested::Ran
}

on_each_back_end! {
    a_triple_fault_is_reported_with_registers_code_and_the_last_exits,
    a_jump_to_where_no_memory_is_ends_with_the_address,
    the_elements_of_a_string_keep_their_size,
    a_doorbell_is_heard_without_an_exit_and_before_the_next_one,
    halted_for_ever_is_dead,
    spinning_with_interrupts_off_is_what_the_watchdog_ends,
    a_time_limit_shows_where_the_guest_was,
    a_signal_shows_where_the_guest_was,
    a_halted_guest_that_may_get_input_is_stopped_in_time,
}
