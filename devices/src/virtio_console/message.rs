//! What the host gives a console at run time: one message a delivery, in this form.
//!
//! The first byte says what it is; the rest is characters, or two little-endian 16-bit numbers.

use super::Port;

/// Characters for the terminal follow.
const TERMINAL: u8 = 0;
/// Bytes for the channel follow.
const CHANNEL: u8 = 1;
/// Columns and rows of the terminal follow.
const SIZE: u8 = 2;
/// Whether somebody is at the channel's other end follows: a byte.
const CONNECTED: u8 = 3;

/// The most characters of one message: longer input comes in parts.
pub const DATA_MAX_BYTES: usize = 4096;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Characters for a port.
    Data(Port, &'a [u8]),
    /// The terminal has this many columns and rows now.
    Size(u16, u16),
    /// Somebody is at the channel's other end now, or nobody.
    Connected(bool),
}

impl<'a> Message<'a> {
    /// The message in `bytes`; none if they are none.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match (*kind, rest) {
            (TERMINAL, data) => Some(Message::Data(Port::Terminal, data)),
            (CHANNEL, data) => Some(Message::Data(Port::Channel, data)),
            (SIZE, &[a, b, c, d]) => {
                Some(Message::Size(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
            }
            (CONNECTED, &[on]) => Some(Message::Connected(on != 0)),
            _ => None,
        }
    }

    /// Its bytes, for [`Inbox::receive`](crate::function::Inbox::receive).
    pub fn bytes(&self) -> Vec<u8> {
        match *self {
            Message::Data(Port::Terminal, data) => [&[TERMINAL], data].concat(),
            Message::Data(Port::Channel, data) => [&[CHANNEL], data].concat(),
            Message::Size(columns, rows) => {
                [&[SIZE][..], &columns.to_le_bytes(), &rows.to_le_bytes()].concat()
            }
            Message::Connected(on) => vec![CONNECTED, on.into()],
        }
    }
}
