//! Serial ports beside the console.

use fencepost_softcpu::bus::Bus;
use fencepost_time::Cycles;

use super::super::testing::{restored, standard};
use super::*;

fn read(machine: &mut Machine, port: u16) -> u8 {
    let mut byte = [0];
    let now = Cycles(machine.time.now().cycles);
    machine.port_read(now, port, &mut byte);
    byte[0]
}

/// Every register that may be read without an effect: interrupts, line control, modem control, line status, scratch.
fn registers(machine: &mut Machine) -> Vec<u8> {
    let ports = layout::MORE_SERIAL.iter().flat_map(|(port, _)| [1, 3, 4, 5, 7].map(|offset| port + offset));
    ports.map(|port| read(machine, port)).collect()
}

#[test]
fn each_port_is_another_and_all_are_saved() {
    let mut machine = standard();
    layout::MORE_SERIAL.iter().for_each(|_| machine.plug_serial(Box::new(std::io::sink())));
    for (number, (port, _)) in (1u8..).zip(layout::MORE_SERIAL) {
        for (offset, value) in [(1, 1), (3, 3 | number << 3), (4, 0x0b), (7, 0x50 + number)] {
            machine.write_port(port + offset, &[value]);
        }
    }
    // The third has received two characters, which the guest has not read.
    machine.control.push_serial_input(3, b"xy");
    machine.attend_console();
    for at in (1..100).map(|turn| Cycles(turn * 100_000)) {
        machine.set_cycles(at);
        machine.run_due();
    }
    let before = registers(&mut machine);
    let ready: Vec<u8> = before.chunks(5).map(|port| port[3] & 1).collect();
    assert_eq!(ready, [0, 0, 1], "only the third has something: {before:x?}");
    assert_eq!(before.chunks(5).map(|port| port[4]).collect::<Vec<_>>(), [0x51, 0x52, 0x53]);
    let mut again = restored(machine.save().expect("saved"));
    assert_eq!(registers(&mut again), before);
    let third = layout::MORE_SERIAL[2].0;
    assert_eq!([read(&mut again, third), read(&mut again, third)], *b"xy");
    assert_eq!(read(&mut again, third + 5) & 1, 0);
}
