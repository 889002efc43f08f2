//! What is special about an endpoint (5.13.6).

use super::facts::{MESSAGES, PROBE_BYTES};

/// A reserved range of addresses.
const RESERVED: u16 = 1;
/// It is where messages of interrupts go.
const FOR_MESSAGES: u8 = 1;

/// The properties of every endpoint: the range of messages. The rest is zero, which ends the list.
pub fn properties() -> Vec<u8> {
    let (first, last) = MESSAGES;
    let value = [&[FOR_MESSAGES, 0, 0, 0][..], &first.to_le_bytes(), &last.to_le_bytes()].concat();
    let mut bytes = [&RESERVED.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), &value].concat();
    bytes.resize(PROBE_BYTES, 0);
    bytes
}
