//! Where the progress bar is drawn: on standard error by its outlet, so that a terminal that takes nothing holds nobody up.

use std::fmt::Write;
use std::io::{self, IsTerminal, stderr};

use indicatif::{ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;

use crate::outlet::Full;
use crate::say;

/// Columns of a terminal that does not tell.
const COLUMNS: u16 = 80;

/// The terminal on standard error; nothing if it is none.
pub fn draw_target() -> ProgressDrawTarget {
    if stderr().is_terminal() {
        ProgressDrawTarget::term_like(Box::new(Terminal))
    } else {
        ProgressDrawTarget::hidden()
    }
}

#[derive(Debug)]
struct Terminal;

fn draw(text: &str) -> io::Result<()> {
    say::raw(text.as_bytes(), Full::Drop);
    Ok(())
}

/// A cursor movement (ECMA-48, 8.3): CSI, how far, which way.
fn go(count: usize, way: char) -> io::Result<()> {
    let mut sequence = String::new();
    if count > 0 {
        // A string takes everything.
        let _ = write!(sequence, "\x1b[{count}{way}");
    }
    draw(&sequence)
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        tcgetwinsize(stderr()).map_or(COLUMNS, |size| size.ws_col)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        draw(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        draw(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        draw("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
