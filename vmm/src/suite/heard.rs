//! What the guest's agent says: the output of commands, and marks behind it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::agent::{BEGIN, MARK_MAX_BYTES, Mark};
use crate::control::Control;

/// What is kept of the output of one command: the rest is counted.
pub const KEPT_MAX_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
struct State {
    output: Vec<u8>,
    /// How much more there was of it.
    lost: u64,
    marks: Vec<(Mark, Output)>,
}

/// What a command wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its beginning.
    pub bytes: Vec<u8>,
    /// How many bytes were left out behind it.
    pub lost: u64,
}

/// The host's end of the channel. Clones are the same end.
#[derive(Clone, Debug)]
pub struct Heard {
    state: Arc<Mutex<State>>,
    control: Arc<Control>,
}

impl Heard {
    /// An end at which nothing has been heard. The machine of `control` pauses at each mark.
    pub fn new(control: &Arc<Control>) -> Self {
        Heard { state: Arc::default(), control: Arc::clone(control) }
    }

    /// The oldest mark that was not taken, with what came before it.
    pub fn take_mark(&self) -> Option<(Mark, Output)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.marks.is_empty() { None } else { Some(state.marks.remove(0)) }
    }

    /// What has come since the last mark.
    pub fn take_rest(&self) -> Output {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take_output()
    }
}

impl State {
    fn take_output(&mut self) -> Output {
        Output { bytes: std::mem::take(&mut self.output), lost: std::mem::take(&mut self.lost) }
    }

    /// Takes bytes; true if a mark was among them.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let before = self.marks.len();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.output.extend_from_slice(line);
            if line.ends_with(b"\n") {
                self.end_line();
            }
            self.cut();
        }
        self.marks.len() > before
    }

    /// Leaves out what is too much, but for the end, which may be half a mark.
    fn cut(&mut self) {
        if self.output.len() > KEPT_MAX_BYTES + 2 * MARK_MAX_BYTES {
            let end = self.output.len() - MARK_MAX_BYTES;
            self.lost += (end - KEPT_MAX_BYTES) as u64;
            self.output.drain(KEPT_MAX_BYTES..end);
        }
    }

    /// A line is whole, with the end that it has: a mark may stand there.
    fn end_line(&mut self) {
        let from = self.output.len().saturating_sub(MARK_MAX_BYTES);
        let Some(at) = memchr::memmem::rfind(&self.output[from..], BEGIN).map(|at| at + from) else { return };
        let line = &self.output[at..self.output.len() - 1];
        let Some(mark) = Mark::parse(line) else { return };
        self.output.truncate(at);
        let output = self.take_output();
        self.marks.push((mark, output));
    }
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.state.lock().unwrap_or_else(PoisonError::into_inner).take(bytes) {
            self.control.request_pause();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(parts: &[&[u8]]) -> Heard {
        let mut heard = Heard::new(&Arc::default());
        parts.iter().for_each(|part| heard.write_all(part).unwrap());
        heard
    }

    #[test]
    fn marks_are_found_however_they_are_cut() {
        let all = b"one\ntwo\x1efencepost 7 3\nthree\n\x1efencepost 8 0\n";
        for size in 1..all.len() {
            let parts: Vec<&[u8]> = all.chunks(size).collect();
            let heard = heard(&parts);
            let first = heard.take_mark().unwrap();
            assert_eq!(first.0, Mark { order: "7".into(), status: 3 });
            assert_eq!(first.1.bytes, b"one\ntwo");
            assert_eq!(heard.take_mark().unwrap().1.bytes, b"three\n");
            assert_eq!(heard.take_mark(), None);
        }
    }

    #[test]
    fn what_is_no_mark_is_output() {
        let text = b"\x1efencepost\n\x1efencepost x\n\x1efencepost 1 999\n\xff\x1e\n";
        let heard = heard(&[text]);
        assert_eq!(heard.take_mark(), None);
        assert_eq!(heard.take_rest().bytes, text);
    }

    #[test]
    fn a_flood_is_cut_and_its_mark_still_found() {
        let line = [b'x'; 1 << 16];
        let mut parts: Vec<&[u8]> = vec![&line; 200];
        parts.push(b"\x1efencepost 1 0\n");
        let (mark, output) = heard(&parts).take_mark().unwrap();
        assert_eq!(mark.order, "1");
        assert_eq!(output.bytes.len() as u64 + output.lost, 200 << 16);
        assert!(output.bytes.len() <= KEPT_MAX_BYTES + 2 * MARK_MAX_BYTES);
    }
}
