//! The lines that a console shows, from its bytes: without escape sequences, and of bounded length.

use serde::{Deserialize, Serialize};

/// The longest line that is kept whole. A record of printk's has 2 KiB at most; of what is longer, the end is kept, since a
/// message of the kernel's may stand behind what a program has left unfinished.
const LINE_MAX_BYTES: usize = 8192;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
const DELETE: u8 = 0x7f;

/// Where in an escape sequence (ECMA-48) the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Sequence {
    #[default]
    Outside,
    /// Behind the escape character.
    Begun,
    /// In a control sequence, up to its final byte.
    Control,
    /// In a string of a command, such as a window's title.
    Text,
    /// Behind an escape character in that.
    TextEnding,
}

impl Sequence {
    /// Where the stream is behind `byte`; none if the byte is text.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Sequence::Outside, ESCAPE) => Sequence::Begun,
            (Sequence::Outside, _) => return None,
            (Sequence::Begun, b'[') => Sequence::Control,
            (Sequence::Begun, b']' | b'P' | b'X' | b'^' | b'_') => Sequence::Text,
            (Sequence::Begun, 0x20..=0x2f) => Sequence::Begun,
            (Sequence::Control, ..0x40 | DELETE..) => Sequence::Control,
            (Sequence::Text, ESCAPE) => Sequence::TextEnding,
            (Sequence::Text, BELL) => Sequence::Outside,
            (Sequence::Text, _) => Sequence::Text,
            (Sequence::Begun | Sequence::Control | Sequence::TextEnding, _) => Sequence::Outside,
        })
    }
}

/// The line that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    line: Vec<u8>,
    sequence: Sequence,
}

impl Lines {
    /// Takes a byte; gives the line that it ends, if there is something on it.
    pub fn push(&mut self, byte: u8) -> Option<String> {
        // The end of a line ends everything: a kernel's message may come in the midst of a program's sequence.
        if byte == b'\n' || byte == b'\r' {
            self.sequence = Sequence::Outside;
            let line = std::mem::take(&mut self.line);
            return (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned());
        }
        match self.sequence.next(byte) {
            Some(sequence) => self.sequence = sequence,
            None if byte == b'\t' => self.line.push(b' '),
            None if byte < b' ' || byte == DELETE => {}
            None => self.line.push(byte),
        }
        if self.line.len() > LINE_MAX_BYTES {
            self.line.drain(..LINE_MAX_BYTES / 2);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        bytes.iter().filter_map(|&byte| lines.push(byte)).collect()
    }

    #[test]
    fn lines_end_with_either_character_and_empty_ones_are_left_out() {
        assert_eq!(lines(b"one\r\ntwo\n\n50%\r100%\r\nunfinished"), ["one", "two", "50%", "100%"]);
    }

    #[test]
    fn escape_sequences_and_control_characters_are_no_text() {
        for (bytes, text) in [
            (&b"\x1b[1;31mred\x1b[0m\n"[..], "red"),
            (b"\x1b]0;a title\x07shell\n", "shell"),
            (b"\x1b]0;a title\x1b\\shell\n", "shell"),
            (b"\x1b(Bplain\x1b=\n", "plain"),
            (b"a\x08b\tc\0\x7f\n", "ab c"),
            (b"\xffx\n", "\u{fffd}x"),
        ] {
            assert_eq!(lines(bytes), [text], "{bytes:?}");
        }
    }

    #[test]
    fn the_end_of_a_line_ends_a_sequence() {
        assert_eq!(lines(b"\x1b]0;a title\nnext\n\x1b[1\nlast\n"), ["next", "last"]);
    }

    #[test]
    fn of_a_line_that_is_too_long_the_end_is_kept() {
        let mut bytes = vec![b'.'; 100_000];
        bytes.extend_from_slice(b"the end\n");
        let [line] = &lines(&bytes)[..] else { panic!("one line") };
        assert!(line.ends_with("...the end") && (1000..=LINE_MAX_BYTES).contains(&line.len()));
    }
}
