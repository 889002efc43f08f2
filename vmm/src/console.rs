//! The host's terminal as the guest's console: raw mode, the escape key, and input from pipes.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::control::{Control, StopReason};

/// Ctrl-]: the next key is for Fencepost.
const ESCAPE: u8 = 0x1d;

/// The terminal's settings from before raw mode, for every way out of the process.
static SAVED: Mutex<Option<libc::termios>> = Mutex::new(None);

/// Raw mode for as long as it lives.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Puts standard input into raw mode if it is a terminal. Output keeps its newline translation, so that the
    /// VMM's own lines stay readable among the guest's.
    pub fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let mut settings = MaybeUninit::uninit();
        // SAFETY: the descriptor is open and `settings` has room for what tcgetattr writes.
        if unsafe { libc::tcgetattr(stdin.as_raw_fd(), settings.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: tcgetattr succeeded, so it filled the structure.
        let settings = unsafe { settings.assume_init() };
        *SAVED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(settings);
        let mut raw = settings;
        // SAFETY: cfmakeraw only changes the structure it is given.
        unsafe { libc::cfmakeraw(&mut raw) };
        raw.c_oflag |= libc::OPOST;
        // SAFETY: the descriptor is open and `raw` is a whole, initialised structure.
        unsafe { libc::tcsetattr(stdin.as_raw_fd(), libc::TCSANOW, &raw) };
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            earlier(info);
        }));
        Some(RawTerminal(()))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was, if it was changed.
pub fn restore() {
    let saved = SAVED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(settings) = saved {
        // SAFETY: `settings` is what tcgetattr gave for this descriptor.
        unsafe { libc::tcsetattr(std::io::stdin().as_raw_fd(), libc::TCSANOW, &settings) };
    }
}

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

/// Waits for input or for the end; true for input.
fn wait_for(input: &File, stop: &EventFd) -> bool {
    let descriptor = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut both = [descriptor(input.as_raw_fd()), descriptor(stop.as_raw_fd())];
    loop {
        // SAFETY: the pointer and the count are of one live array.
        if unsafe { libc::poll(both.as_mut_ptr(), 2, -1) } >= 0 {
            return both[1].revents == 0;
        }
        if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return false;
        }
    }
}

fn read_until(stop: &EventFd, mut input: File, control: &Control, terminal: bool) {
    let mut filter = EscapeFilter::default();
    let mut buffer = [0; 256];
    while wait_for(&input, stop) {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
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
