//! A serial port: its registers, and what comes over the line.
#![no_main]

use fencepost::machine::serial::SerialPort;
use fencepost_fuzz::bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut from = Bytes::new(data);
    let mut port = SerialPort::new(Box::new(std::io::sink()));
    while !from.is_empty() {
        let tag = from.u8();
        match tag & 15 {
            0..=5 => port.write(tag >> 4 & 7, from.u8()),
            6..=9 => _ = port.read(tag >> 4 & 7),
            // As the machine does: a character comes when the port says that there is room and the time for one.
            10..=12 if port.next_character_ns().is_some() => port.input(from.u8()),
            13 if port.next_character_ns().is_some() => port.input_break(),
            14 => port.flush(),
            15 => port = restored(&mut port),
            _ => {}
        }
        port.take_pulse();
        assert!(port.next_character_ns().is_none_or(|ns| ns > 0), "a character takes time");
    }
});

/// The port from its state, which is the same state again.
fn restored(port: &mut SerialPort) -> SerialPort {
    let state = port.save();
    let mut again =
        SerialPort::restore(&state, Box::new(std::io::sink())).expect("its own state is possible");
    assert_eq!(again.save(), state, "restored, it is in another state");
    again
}
