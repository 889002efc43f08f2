//! Standard input as the guest's: the escape key of a terminal, and what comes from pipes and files.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::control::{Control, StopReason};
use crate::event::Event;
use crate::sandbox::{self, Role};
use crate::say;
use crate::terminal;

/// Ctrl-]: the next key is for Fencepost.
const ESCAPE: u8 = 0x1d;

/// What the escape key and a key behind it do, as the user is told.
const HELP: [&str; 4] = [
    "fencepost: Ctrl-] q     end the machine",
    "fencepost: Ctrl-] b     send a BREAK; behind it, a key is for Linux's SysRq (h lists them)",
    "fencepost: Ctrl-] ?     this list",
    "fencepost: Ctrl-] Ctrl-]     send one Ctrl-]; another key behind Ctrl-] goes to the guest",
];

/// Ctrl-D: a terminal's reader takes it as the end of the file.
const END_OF_FILE: u8 = 0x04;

/// What the end of standard input means to the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eof {
    /// Nothing: no more input comes.
    #[default]
    Ignore,
    /// The guest gets a Ctrl-D.
    Send,
    /// The machine ends when the guest has taken all input.
    End,
}

/// Finds the escape key in what was typed.
#[derive(Debug, Default)]
pub struct EscapeFilter {
    escaped: bool,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Bytes for the guest.
    Bytes(Vec<u8>),
    /// A BREAK for the guest.
    Break,
    /// The user asks for the keys.
    Help,
    /// The user wants out.
    Quit,
}

impl EscapeFilter {
    /// What `input` means, in its order; nothing behind the wish to leave.
    pub fn filter(&mut self, input: &[u8]) -> Vec<Typed> {
        let mut typed = Vec::new();
        let mut bytes = Vec::new();
        for &byte in input {
            let key = match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE) => {
                    self.escaped = true;
                    continue;
                }
                (true, b'q' | b'Q') => Typed::Quit,
                (true, b'b' | b'B') => Typed::Break,
                (true, b'?') => Typed::Help,
                _ => {
                    bytes.push(byte);
                    continue;
                }
            };
            if !bytes.is_empty() {
                typed.push(Typed::Bytes(std::mem::take(&mut bytes)));
            }
            let quits = key == Typed::Quit;
            typed.push(key);
            if quits {
                return typed;
            }
        }
        if !bytes.is_empty() {
            typed.push(Typed::Bytes(bytes));
        }
        typed
    }
}

/// Reads standard input for the guest, in a thread of its own that is joined when this is dropped.
pub struct Reader {
    control: Arc<Control>,
    stop: Option<Arc<Event>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts reading standard input for the guest.
pub fn read_stdin(control: Arc<Control>, terminal: bool, eof: Eof) -> Reader {
    control.set_input_open(true);
    let started = Event::new().map(Arc::new).and_then(|stop| {
        // Not through std's buffer: what is in there would not make the descriptor readable.
        let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        if input.metadata()?.is_file() {
            control.set_input_steady();
        }
        let (told, guest) = (Arc::clone(&stop), Arc::clone(&control));
        let reader = move || {
            if read_until(&told, input, &guest, terminal) {
                at_the_end(eof, &guest);
            }
            guest.set_input_open(false);
        };
        Ok((stop, sandbox::start(Role::Input, "console", reader)?))
    });
    match started {
        Ok((stop, thread)) => Reader { control, stop: Some(stop), thread: Some(thread) },
        // Without the thread the guest merely gets no input.
        Err(_) => {
            control.set_input_open(false);
            Reader { control, stop: None, thread: None }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.control.close_input();
        self.stop.iter().for_each(|stop| stop.set());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Between two looks whether the process has come to the terminal's foreground, or left it.
const LOOK_AROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What a wait came to.
#[derive(PartialEq, Eq)]
enum Woken {
    Input,
    End,
    /// A terminal is to be looked at again.
    Look,
}

/// Waits for the end, and for input unless the terminal is not ours now.
fn wait_for(input: &File, stop: &Event, terminal: bool) -> Woken {
    let ours = !terminal || terminal::in_foreground();
    if terminal && ours {
        terminal::take_up();
    }
    let mut both = [PollFd::new(stop, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
    let waited_for = if ours { &mut both[..] } else { &mut both[..1] };
    match poll(waited_for, terminal.then_some(&LOOK_AROUND)) {
        Ok(_) if !both[0].revents().is_empty() => Woken::End,
        Ok(_) if ours && !both[1].revents().is_empty() => Woken::Input,
        Ok(_) | Err(Errno::INTR) => Woken::Look,
        Err(_) => Woken::End,
    }
}

fn at_the_end(eof: Eof, control: &Control) {
    match eof {
        // The end came in the recorded run, when it came.
        _ if control.ignores_host() => {}
        Eof::Ignore => {}
        Eof::Send => control.push_input(&[END_OF_FILE]),
        Eof::End => {
            if control.wait_until_input_is_taken() {
                control.stop(StopReason::InputEnded);
            }
        }
    }
}

/// Reads until the end of the input (true), or until it is told to stop.
fn read_until(stop: &Event, mut input: File, control: &Control, terminal: bool) -> bool {
    let mut filter = EscapeFilter::default();
    let mut buffer = [0; 256];
    loop {
        match wait_for(&input, stop, terminal) {
            Woken::End => return false,
            Woken::Look => continue,
            Woken::Input => {}
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => count,
            Err(error) if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => continue,
            // It was moved to the background between the look and the read.
            Err(_) if terminal && !terminal::in_foreground() => continue,
            // A terminal that was hung up, for one.
            Err(_) => return true,
        };
        // Only a person types escapes; a pipe's bytes all belong to the guest.
        if !terminal {
            control.push_input(&buffer[..count]);
            continue;
        }
        for typed in filter.filter(&buffer[..count]) {
            match typed {
                Typed::Bytes(bytes) => control.push_input(&bytes),
                Typed::Break => control.push_break(),
                Typed::Help => HELP.iter().for_each(say::line),
                Typed::Quit => control.stop(StopReason::Quit),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &[u8]) -> Typed {
        Typed::Bytes(text.to_vec())
    }

    #[test]
    fn the_escape_key_quits_even_when_split_over_two_reads() {
        let mut filter = EscapeFilter::default();
        assert_eq!(filter.filter(b"ls\x1d"), [bytes(b"ls")]);
        assert_eq!(filter.filter(b"qrm"), [Typed::Quit]);
    }

    #[test]
    fn the_escape_key_twice_sends_it_once() {
        let mut filter = EscapeFilter::default();
        assert_eq!(filter.filter(b"a\x1d\x1db"), [bytes(b"a\x1db")]);
        assert_eq!(filter.filter(b"q"), [bytes(b"q")]);
    }

    #[test]
    fn breaks_and_the_keys_are_in_their_place() {
        let mut filter = EscapeFilter::default();
        let typed = filter.filter(b"a\x1dbh\x1d?\x1dx");
        assert_eq!(typed, [bytes(b"a"), Typed::Break, bytes(b"h"), Typed::Help, bytes(b"x")]);
    }
}
