//! A micro-guest with a server for a debugger, and what is left of its run.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A guest that waits for a debugger.
pub struct Served {
    child: Child,
    folder: TempDir,
}

/// The micro-guest `name`, if guests can be made here.
pub fn guest(name: &str) -> Option<PathBuf> {
    super::micro_guests().map(|folder| folder.join(name))
}

/// A run of `guest` that ends after `seconds` at the latest and says what is left of it.
pub fn run(guest: &Path, seconds: u32, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fencepost"));
    command.args(["run", "--memory", "32M", "--memory-hash", "--stats", "--timeout", &seconds.to_string()]);
    command.arg("--kernel").arg(guest).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Served {
    /// Starts `command` with a server; `how` stands behind its address.
    pub fn start(mut command: Command, how: &str) -> Served {
        let folder = TempDir::new().unwrap();
        let at = format!("unix:{}{how}", folder.path().join("socket").display());
        let child = command.args(["--gdb", &at]).spawn().unwrap();
        let served = Served { child, folder };
        while !served.socket().exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        served
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A debugger's end.
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// Types at a console whose standard input is a pipe.
    pub fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// What the run leaves.
    pub fn end(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

/// A packet of the remote protocol.
pub fn packet(text: &str) -> Vec<u8> {
    let sum = text.bytes().fold(0u8, u8::wrapping_add);
    format!("${text}#{sum:02x}").into_bytes()
}

/// The next packet that comes, with what stands before it; what there is of it if the other end goes away.
pub fn answer(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.iter().rev().nth(2) != Some(&b'#') && stream.read(&mut byte).unwrap() == 1 {
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The answer to a packet.
pub fn ask(stream: &mut UnixStream, text: &str) -> String {
    stream.write_all(&packet(text)).unwrap();
    answer(stream)
}

/// What must be the same of two runs: the console, the exit status, and instructions, events and memory.
pub fn remains(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = said.lines().filter(|line| line.contains("sha256") || line.contains("guest instructions"));
    let lines = lines.map(|line| match line.split_once(" MIPS") {
        Some((before, _)) => before.rsplit_once(", ").map_or(line, |it| it.0),
        None => line,
    });
    let mut all: Vec<String> = lines.map(str::to_owned).collect();
    assert_eq!(all.len(), 3, "{said}");
    all.push(String::from_utf8_lossy(&output.stdout).into_owned());
    all.push(format!("{:?}", output.status.code()));
    all
}
