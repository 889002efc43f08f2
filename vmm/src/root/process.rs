//! Other programs, run one at a time, that end when the user wants to.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{HostError, plain};
use crate::in_use::Holds;

/// How often a program is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long a process group has to end by itself.
const GRACE: Duration = Duration::from_secs(1);
/// A user who pressed Ctrl-C is told this, and the exit status is the signal's.
pub const STOPPED: &str = "stopped by a signal; nothing was written";

/// What runs for one command: whom to tell, and whether to go on.
pub struct Job<'a> {
    /// The number of the signal that came, or 0.
    pub signal: &'a AtomicI32,
    /// What it uses of the cache, which stays as long as the job lasts.
    pub uses: Arc<Holds>,
    tell: &'a dyn Fn(&str),
    folder: Option<PathBuf>,
}

/// A program that ended.
pub struct Ran {
    /// Whether it says that all went well.
    pub success: bool,
    /// Its standard output.
    pub output: Vec<u8>,
    errors: String,
}

impl Ran {
    /// The first error as apt writes them, or the last line of what was said.
    pub fn first_error(&self) -> &str {
        let marked = self.errors.lines().find_map(|line| line.strip_prefix("E: "));
        let last = || self.errors.lines().rfind(|line| !line.trim().is_empty());
        marked.or_else(last).unwrap_or("it says nothing")
    }

    /// What apt says on its output about dependencies that are not met, in one line.
    pub fn unmet(&self) -> String {
        let text = String::from_utf8_lossy(&self.output).into_owned();
        let after = text.split_once("unmet dependencies:").map(|(_, after)| after).unwrap_or_default();
        let lines = after.lines().filter(|line| line.starts_with(' ')).map(str::trim);
        let all: Vec<&str> = lines.collect();
        if all.is_empty() { String::new() } else { format!(" {}", all.join(", ")) }
    }
}

impl<'a> Job<'a> {
    /// A job that tells the user by `tell`, and ends when `signal` is no longer 0.
    pub fn new(signal: &'a AtomicI32, tell: &'a dyn Fn(&str)) -> Job<'a> {
        Job { signal, uses: Arc::default(), tell, folder: None }
    }

    /// The same with programs that run in `folder`.
    pub fn within(&self, folder: &Path) -> Job<'a> {
        let (uses, folder) = (Arc::clone(&self.uses), Some(folder.to_path_buf()));
        Job { signal: self.signal, uses, tell: self.tell, folder }
    }

    /// Tells the user.
    pub fn say(&self, text: &str) {
        (self.tell)(text);
    }

    /// # Errors
    ///
    /// A signal came.
    pub fn go_on(&self) -> io::Result<()> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::Interrupted, STOPPED)),
        }
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    ///
    /// It is not there, or a signal came.
    pub fn run(
        &self,
        program: &str,
        arguments: &[String],
        environment: &[(&str, OsString)],
    ) -> Result<Ran, HostError> {
        let failed = |error: io::Error| cannot_run(program, &error);
        // Files, not pipes: a program that says much must not wait for us.
        let (mut output, mut errors) =
            (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(failed)?).stderr(errors.try_clone().map_err(failed)?);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = Running(command.spawn().map_err(failed)?);
        let status = loop {
            if let Some(status) = child.0.try_wait().map_err(failed)? {
                break status;
            }
            self.go_on().map_err(|error| stopped(&error))?;
            std::thread::sleep(LOOK);
        };
        // Ctrl-C on a terminal ends both.
        self.go_on().map_err(|error| stopped(&error))?;
        Ok(Ran {
            success: status.success(),
            output: whole(&mut output).map_err(failed)?,
            errors: String::from_utf8_lossy(&whole(&mut errors).map_err(failed)?).into_owned(),
        })
    }

    /// Runs a program with all that it starts in a process group of its own, which a signal ends. What they say goes to `log`. Gives
    /// whether it says that all went well.
    ///
    /// # Errors
    ///
    /// It is not there, or a signal came.
    pub fn run_group(&self, mut command: Command, log: &File) -> Result<bool, HostError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |error: io::Error| cannot_run(&program, &error);
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(log.try_clone().map_err(failed)?).stderr(log.try_clone().map_err(failed)?);
        let mut group = Group(command.spawn().map_err(failed)?);
        loop {
            if let Some(status) = group.0.try_wait().map_err(failed)? {
                return Ok(status.success());
            }
            self.go_on().map_err(|error| stopped(&error))?;
            std::thread::sleep(LOOK);
        }
    }

    /// Starts a program whose output is read as it comes. What is wrong with it shows in the output's end.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn read(&self, program: &str, arguments: &[&std::ffi::OsStr]) -> Result<Output, HostError> {
        let failed = |error: io::Error| cannot_run(program, &error);
        let errors = tempfile::tempfile().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(errors.try_clone().map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let pipe = child.stdout.take();
        Ok(Output { pipe, child: Running(child), errors })
    }
}

/// A child that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may have ended meanwhile.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A process group that does not outlive us. Its leader may take a moment to remove what is half written.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let Ok(None) = self.0.try_wait() else { return };
        let group = Pid::from_child(&self.0);
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::TERM);
        let looks = (GRACE.as_millis() / LOOK.as_millis()) as u32;
        for _ in 0..looks {
            if !matches!(self.0.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// The output of a program that runs.
pub struct Output {
    pipe: Option<ChildStdout>,
    child: Running,
    errors: File,
}

impl Output {
    /// Waits for the program's end.
    ///
    /// # Errors
    ///
    /// What it said, if it failed.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.pipe.take());
        let status = self.child.0.wait()?;
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&whole(&mut self.errors)?).into_owned();
        Err(io::Error::other(said.lines().next().unwrap_or("it failed without a word").to_string()))
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(buffer))
    }
}

fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn cannot_run(program: &str, error: &io::Error) -> HostError {
    match error.kind() {
        io::ErrorKind::NotFound => HostError::input(
            format!(
                "{program}: there is no such program, and a root is made from packages by the host's apt and dpkg"
            ),
            "run it on Debian or one of its kin",
        ),
        _ => HostError::Host(format!("{program}: {}", plain(error))),
    }
}

/// The error of a job that a signal ended.
pub fn stopped(error: &io::Error) -> HostError {
    HostError::Host(plain(error))
}
