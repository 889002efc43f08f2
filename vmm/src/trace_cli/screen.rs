//! Standard output, where what a trace quotes of a guest has no power over a terminal.

use std::io::{self, Write};

use fencepost_trace::is_plain;

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines for people: what is not plain becomes U+FFFD.
    Text,
    /// JSON: what is not plain is escaped, so that the value stays what it is. It can only be inside a string.
    Json,
    /// Another program's, or a page: as it is.
    Raw,
}

/// Writes on, by the form. Each write is of whole characters.
pub(super) struct Screen<W> {
    out: W,
    form: Form,
}

impl<W: Write> Screen<W> {
    /// In front of `out`.
    pub fn new(out: W, form: Form) -> Self {
        Screen { out, form }
    }

    fn made_plain(&self, text: &str) -> String {
        let mut plain = String::with_capacity(text.len());
        for letter in text.chars() {
            match self.form {
                _ if is_plain(letter) || letter == '\n' => plain.push(letter),
                Form::Json => plain += &format!("\\u{:04x}", u32::from(letter)),
                Form::Text | Form::Raw => plain.push(char::REPLACEMENT_CHARACTER),
            }
        }
        plain
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.form == Form::Raw {
            return self.out.write(bytes);
        }
        self.out.write_all(self.made_plain(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, text: &str) -> String {
        let mut bytes = Vec::new();
        Screen::new(&mut bytes, form).write_all(text.as_bytes()).expect("memory takes it");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn text_keeps_its_lines_and_nothing_else_that_is_not_plain() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\r\tb\u{e9}\n";
        assert_eq!(
            written(Form::Text, hostile),
            "a\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\u{e9}\n"
        );
        assert_eq!(written(Form::Raw, hostile), hostile);
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}\u{7f}\u{85}\u{202e}\u{2066}\u{ffff}\n\u{e9}"});
        let plain = written(Form::Json, &format!("{value}\n"));
        assert!(plain.trim_end().chars().all(is_plain), "{plain:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).expect("JSON"), value);
    }
}
