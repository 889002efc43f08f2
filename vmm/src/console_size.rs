//! The size of the guest's console in characters: that of the user's terminal, or as told.

use std::fmt;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::str::FromStr;

use rustix::termios::tcgetwinsize;

/// Columns and rows, at least one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl ConsoleSize {
    fn new(columns: u16, rows: u16) -> Option<Self> {
        (columns > 0 && rows > 0).then_some(ConsoleSize { columns, rows })
    }

    /// That of the terminal on standard output, or else on standard input, if it says one.
    pub fn of_terminal() -> Option<Self> {
        fn of(stream: impl AsFd + IsTerminal) -> Option<ConsoleSize> {
            let size = stream.is_terminal().then(|| tcgetwinsize(&stream).ok()).flatten()?;
            ConsoleSize::new(size.ws_col, size.ws_row)
        }
        of(stdout()).or_else(|| of(stdin()))
    }

    /// A kernel command line that tells the guest's init the size, unless `command_line` says one already.
    pub fn told_in(self, command_line: &str) -> String {
        const NAME: &str = "fencepost.console=";
        if command_line.split_ascii_whitespace().any(|word| word.starts_with(NAME)) {
            return command_line.to_string();
        }
        // Words behind `--` are init's arguments.
        match command_line.split_once(" -- ") {
            Some((kernels, inits)) => format!("{kernels} {NAME}{self} -- {inits}"),
            None => format!("{command_line} {NAME}{self}"),
        }
    }
}

impl fmt::Display for ConsoleSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}x{}", self.columns, self.rows)
    }
}

impl FromStr for ConsoleSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write COLUMNSxROWS, such as 120x40, each from 1 to 65535".to_string();
        let (columns, rows) = text.split_once('x').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        ConsoleSize::new(number(columns)?, number(rows)?).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_columns_and_rows() {
        let size: ConsoleSize = "120x40".parse().expect("right");
        assert_eq!((size.columns, size.rows, size.to_string()), (120, 40, "120x40".into()));
        for wrong in ["", "120", "x", "0x40", "120x0", "120x65536", "-1x2", "120X40"] {
            assert!(wrong.parse::<ConsoleSize>().is_err_and(|why| why.contains("COLUMNSxROWS")), "{wrong}");
        }
    }

    #[test]
    fn the_guest_is_told_once_and_before_what_is_inits() {
        let size = ConsoleSize { columns: 80, rows: 25 };
        assert_eq!(size.told_in("quiet"), "quiet fencepost.console=80x25");
        assert_eq!(size.told_in("quiet -- -x"), "quiet fencepost.console=80x25 -- -x");
        assert_eq!(size.told_in("fencepost.console=1x1 quiet"), "fencepost.console=1x1 quiet");
    }
}
