//! Standard input as the guest's: the escape key of a terminal, and what comes from pipes and files.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::control::{Control, StopReason};
use crate::terminal;

/// Ctrl-]: the next key is for Fencepost.
const ESCAPE: u8 = 0x1d;

/// Finds the escape key in what was typed.
#[derive(Debug, Default)]
pub struct EscapeFilter {
    escaped: bool,
}

/// What typed bytes mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// Bytes for the guest.
    pub bytes: Vec<u8>,
    /// The user wants out.
    pub quit: bool,
}

impl EscapeFilter {
    /// Takes the escape sequences out of `input`.
    pub fn filter(&mut self, input: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for &byte in input {
            match (self.escaped, byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'q' | b'Q') => {
                    typed.quit = true;
                    return typed;
                }
                (true, _) => {
                    self.escaped = false;
                    typed.bytes.push(byte);
                }
                (false, _) => typed.bytes.push(byte),
            }
        }
        typed
    }
}

/// Reads standard input for the guest, in a thread of its own that is joined when this is dropped.
pub struct Reader {
    control: Arc<Control>,
    stop: Option<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// Starts reading standard input for the guest.
pub fn read_stdin(control: Arc<Control>, terminal: bool) -> Reader {
    control.set_input_open(true);
    let started = EventFd::new(EFD_NONBLOCK).and_then(|stop| {
        // Not through std's buffer: what is in there would not make the descriptor readable.
        let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        if input.metadata()?.is_file() {
            control.set_input_steady();
        }
        let (told, guest) = (stop.try_clone()?, Arc::clone(&control));
        let reader = move || {
            read_until(&told, input, &guest, terminal);
            guest.set_input_open(false);
        };
        Ok((stop, std::thread::Builder::new().name("console".into()).spawn(reader)?))
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
        // There is room for one: nobody else writes it.
        let _ = self.stop.take().map(|stop| stop.write(1));
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
fn wait_for(input: &File, stop: &EventFd, terminal: bool) -> Woken {
    let ours = !terminal || terminal::in_foreground();
    if terminal && ours {
        terminal::take_up();
    }
    // SAFETY: `stop` is open for as long as the borrow.
    let stop = unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(stop)) };
    let mut both = [PollFd::new(&stop, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
    let waited_for = if ours { &mut both[..] } else { &mut both[..1] };
    match poll(waited_for, terminal.then_some(&LOOK_AROUND)) {
        Ok(_) if !both[0].revents().is_empty() => Woken::End,
        Ok(_) if ours && !both[1].revents().is_empty() => Woken::Input,
        Ok(_) | Err(Errno::INTR) => Woken::Look,
        Err(_) => Woken::End,
    }
}

fn read_until(stop: &EventFd, mut input: File, control: &Control, terminal: bool) {
    let mut filter = EscapeFilter::default();
    let mut buffer = [0; 256];
    loop {
        match wait_for(&input, stop, terminal) {
            Woken::End => break,
            Woken::Look => continue,
            Woken::Input => {}
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => continue,
            // It was moved to the background between the look and the read.
            Err(_) if terminal && !terminal::in_foreground() => continue,
            Err(_) => break,
        };
        // Only a person types escapes; a pipe's bytes all belong to the guest.
        if !terminal {
            control.push_input(&buffer[..count]);
            continue;
        }
        let typed = filter.filter(&buffer[..count]);
        control.push_input(&typed.bytes);
        if typed.quit {
            control.stop(StopReason::Quit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_key_quits_even_when_split_over_two_reads() {
        let mut filter = EscapeFilter::default();
        assert_eq!(filter.filter(b"ls\x1d"), Typed { bytes: b"ls".to_vec(), quit: false });
        assert_eq!(filter.filter(b"q"), Typed { bytes: vec![], quit: true });
    }

    #[test]
    fn the_escape_key_twice_sends_it_once() {
        let mut filter = EscapeFilter::default();
        let typed = filter.filter(b"a\x1d\x1db");
        assert_eq!(typed, Typed { bytes: b"a\x1db".to_vec(), quit: false });
        assert!(!filter.filter(b"q").quit);
    }
}
