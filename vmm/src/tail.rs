//! A file that gets what is written, up to a bound, and the end of it all in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// What is kept of the end.
const KEPT_MAX_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct State {
    file: Option<File>,
    left: u64,
    /// Bytes that are not in the file.
    lost: u64,
    error: Option<std::io::Error>,
    end: VecDeque<u8>,
}

/// A writer of text that nobody reads now. Clones write to the same file. A file that cannot be written ends there; the end is kept
/// all the same.
#[derive(Clone, Debug)]
pub struct Tail(Arc<Mutex<State>>);

impl Tail {
    /// A writer to `file`, of at most so many bytes.
    pub fn new(file: File, most: u64) -> Self {
        Tail::of(Some(file), most)
    }

    /// One that has no file.
    pub fn in_memory() -> Self {
        Tail::of(None, 0)
    }

    fn of(file: Option<File>, left: u64) -> Self {
        Tail(Arc::new(Mutex::new(State { file, left, lost: 0, error: None, end: VecDeque::new() })))
    }

    /// Says at the file's end how much is left out.
    ///
    /// # Errors
    ///
    /// The file could not be written, now or before.
    pub fn finish(&self) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { file, lost, error, .. } = &mut *state;
        match (error.take(), file) {
            (Some(error), _) => Err(error),
            (None, Some(file)) if *lost > 0 => write!(file, "\n[{lost} bytes left out]\n"),
            _ => Ok(()),
        }
    }

    /// The end of what was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).end.iter().copied().collect()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = bytes.len().min(usize::try_from(state.left).unwrap_or(usize::MAX));
        state.left -= room as u64;
        state.lost += (bytes.len() - room) as u64;
        if room > 0
            && let Some(Err(error)) = state.file.as_mut().map(|file| file.write_all(&bytes[..room]))
        {
            (state.file, state.error) = (None, Some(error));
        }
        state.end.extend(bytes);
        let over = state.end.len().saturating_sub(KEPT_MAX_BYTES);
        state.end.drain(..over);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_bounded_and_the_end_is_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.reopen().unwrap(), 5);
        tail.write_all(b"one two").unwrap();
        tail.write_all(&vec![b'x'; KEPT_MAX_BYTES - 3]).unwrap();
        tail.finish().unwrap();
        let said = format!("one t\n[{} bytes left out]\n", KEPT_MAX_BYTES - 1);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), said);
        assert!(tail.bytes().starts_with(b"twoxx") && tail.bytes().len() == KEPT_MAX_BYTES);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_at_the_end() {
        let mut tail = Tail::new(File::options().write(true).open("/dev/full").unwrap(), 100);
        tail.write_all(b"one").unwrap();
        assert!(tail.finish().is_err() && tail.bytes() == b"one");
        assert!(Tail::in_memory().finish().is_ok());
    }
}
