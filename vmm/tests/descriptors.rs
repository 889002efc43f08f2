//! What the process was started with: descriptors that are closed, or open and nobody's business.

mod common;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use fencepost_trace::file::TraceFile;
use rustix::pipe::{PipeFlags, pipe_with};

/// `mov al, '.'; mov dx, 0x3f8; out dx, al; mov al, 7; out 0xf4, al`
const DOT: [u8; 11] = [0xb0, b'.', 0x66, 0xba, 0xf8, 0x03, 0xee, 0xb0, 0x07, 0xe6, 0xf4];

/// A shell that runs `line`, in which `$0` is the command and `$1` its kernel.
fn shell(folder: &Path, code: &[u8], line: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", line, env!("CARGO_BIN_EXE_fencepost")]).arg(common::kernel(folder, code, 0x1000));
    command.current_dir(folder);
    command
}

#[test]
fn closed_standard_descriptors_are_not_reused_for_another_file() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        let line =
            format!("exec $0 run --accel soft --memory 16M --kernel $1 --trace trace --timeout 300 {closed}");
        let status = shell(folder.path(), &DOT, &line).stdin(Stdio::null()).output().expect("bash").status;
        assert_eq!(status.code(), Some(7), "{closed}");
        let trace = File::open(folder.path().join("trace")).expect("made");
        let trace = TraceFile::read(trace).expect("readable");
        assert!(trace.damage.is_empty() && trace.totals.is_some(), "{closed}: {:?}", trace.damage);
    }
}

#[test]
fn inherited_descriptors_are_closed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // Inherited: other tests' commands close it too.
    let (reader, writer) = pipe_with(PipeFlags::empty()).expect("a pipe");
    let line = "exec $0 run --accel soft --memory 16M --kernel $1 --timeout 300";
    let mut child = shell(folder.path(), &common::SPIN, line).stdin(Stdio::null()).spawn().expect("bash");
    drop(writer);
    assert_eq!(File::from(reader).read(&mut [0]).expect("its end"), 0);
    assert!(child.try_wait().expect("a child").is_none(), "it runs on");
    child.kill().expect("killed");
    child.wait().expect("it ends");
}

#[test]
fn descriptors_that_an_argument_names_stay_open() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let line =
        "exec $0 run --accel soft --memory 16M --kernel <(cat $1) --trace /dev/fd/5 --timeout 300 5>trace";
    let output = shell(folder.path(), &DOT, line).stdin(Stdio::null()).output().expect("bash");
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = File::open(folder.path().join("trace")).expect("made");
    assert!(TraceFile::read(trace).expect("readable").totals.is_some());
}

#[test]
fn no_command_dies_of_what_it_cannot_say() {
    let none: [&[&str]; 4] =
        [&["doctor"], &["trace", "report", "/nowhere"], &["run", "--kernel", "/nowhere"], &["wings"]];
    for arguments in none {
        let status = |to: fn() -> Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
            command.args(arguments).stdin(Stdio::null()).stdout(to()).stderr(to());
            command.status().expect("it starts").code()
        };
        let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("every Linux has it"));
        let closed = || Stdio::from(pipe_with(PipeFlags::CLOEXEC).expect("a pipe").1);
        let said = status(Stdio::null);
        assert_eq!((status(full), status(closed)), (said, said), "{arguments:?}");
    }
}
