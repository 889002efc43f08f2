//! A call of the host's kernel that is on no list: the process ends there and says which call it was.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use crate::error::HostError;
use crate::terminal;

use super::calls::name;

/// The exit status of a process that has made such a call: as of one that SIGSYS ended.
pub const STATUS: i32 = 128 + libc::SIGSYS;

/// How long the line waits for room on standard error.
const READER_MS: libc::c_int = 100;

/// Where the number of the call is in a SIGSYS's `siginfo_t` on x86-64: behind number, error, code, padding and address.
const CALL_AT: usize = 24;

/// From now on such a call ends the process with a line.
pub fn watch() -> Result<(), HostError> {
    // SAFETY: the structure is whole: all zeros but for what is set, and the handler does only what a handler may.
    let set = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    };
    match set {
        0 => Ok(()),
        _ => Err(HostError::Host("sandbox: SIGSYS cannot be taken".to_string())),
    }
}

extern "C" fn handle(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the host gives a handler with SA_SIGINFO a whole `siginfo_t`, and that of a SIGSYS has the call there.
    let call = unsafe { info.cast::<u8>().add(CALL_AT).cast::<i32>().read_unaligned() };
    let mut line = Line::default();
    line.add(b"fencepost: sandbox: the thread \"");
    line.add(thread_name(&mut [0; 16]));
    line.add(b"\" made the call ");
    line.add(name(call.into()).as_bytes());
    line.add(b" (");
    line.number(call.unsigned_abs());
    line.add(b"), which is not on its list: the run ends here; if no guest is to blame, report it, and use --sandbox off\n");
    terminal::restore_at_once();
    let mut errors = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: all of them may be called in a signal's handler, and the memory is the line's and the structure's.
    unsafe {
        // A reader that takes nothing does not hold the end.
        if libc::poll(&raw mut errors, 1, READER_MS) == 1 {
            libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length);
        }
        libc::_exit(STATUS);
    }
}

/// The calling thread's name in `buffer`.
fn thread_name(buffer: &mut [u8; 16]) -> &[u8] {
    // SAFETY: the call writes 16 bytes at most, the last of them 0.
    unsafe { libc::prctl(libc::PR_GET_NAME, buffer.as_mut_ptr()) };
    CStr::from_bytes_until_nul(buffer).map(CStr::to_bytes).unwrap_or_default()
}

/// A line that is made without any memory but its own.
struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; 256], length: 0 }
    }
}

impl Line {
    fn add(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let count = room.len().min(text.len());
        room.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        self.length += count;
    }

    fn number(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.add(&digits[first..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_is_full() {
        let mut line = Line::default();
        line.number(0);
        line.number(4_294_967_295);
        assert_eq!(&line.bytes[..line.length], b"04294967295");
        line.add(&[b'x'; 300]);
        assert_eq!((line.length, line.bytes[255]), (256, b'x'));
    }
}
