//! Control messages between driver and device (5.3.6.2): a port's number, an event, a value; and for names, sizes more.

use super::{CHANNEL_NAME, Port};

/// Bytes of a message without what follows it.
pub const HEADER_BYTES: usize = 8;

/// Number of the terminal.
pub const TERMINAL: u32 = 0;
/// Number of the channel.
pub const CHANNEL: u32 = 1;

const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// What the driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromDriver {
    /// It is ready for ports to be added.
    DeviceReady,
    /// It has added the port.
    PortReady(Port),
    /// A program has opened or closed the port.
    PortOpen(Port, bool),
}

impl FromDriver {
    /// What `bytes` say; none if it is nothing that a driver may say.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h] = bytes.get(..HEADER_BYTES)? else { return None };
        let (event, value) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
        let port = match u32::from_le_bytes([a, b, c, d]) {
            TERMINAL => Some(Port::Terminal),
            CHANNEL => Some(Port::Channel),
            _ => None,
        };
        match event {
            DEVICE_READY if value == 1 => Some(FromDriver::DeviceReady),
            PORT_READY if value == 1 => Some(FromDriver::PortReady(port?)),
            PORT_OPEN => Some(FromDriver::PortOpen(port?, value != 0)),
            _ => None,
        }
    }
}

fn message(port: u32, event: u16, value: u16, rest: &[u8]) -> Vec<u8> {
    [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes(), rest].concat()
}

/// The port is there.
pub fn add(port: u32) -> Vec<u8> {
    message(port, DEVICE_ADD, 1, &[])
}

/// The port is a console.
pub fn console() -> Vec<u8> {
    message(TERMINAL, CONSOLE_PORT, 1, &[])
}

/// The terminal's size. The standard and Linux have columns and rows in this order.
pub fn resize(columns: u16, rows: u16) -> Vec<u8> {
    message(TERMINAL, RESIZE, 0, &[columns.to_le_bytes(), rows.to_le_bytes()].concat())
}

/// Somebody is at the host's end of the port, or nobody.
pub fn open(port: u32, on: bool) -> Vec<u8> {
    message(port, PORT_OPEN, on.into(), &[])
}

/// The channel's name.
pub fn name() -> Vec<u8> {
    message(CHANNEL, PORT_NAME, 1, CHANNEL_NAME.as_bytes())
}
