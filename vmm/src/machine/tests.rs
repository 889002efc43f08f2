//! The machine without a CPU: dispatch, ends, console.

use std::sync::{Arc, Mutex};

use fencepost_devices::pci::PciRoot;
use fencepost_firmware::layout;
use fencepost_softcpu::bus::{Bus, Flow};
use fencepost_softcpu::code::CodePages;
use fencepost_time::{Cycles, HostOffset, HostTsc, Tsc, TscOffset};
use fencepost_trace::Event;

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::time::{Base, TimeBase};
use super::*;

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("ASCII")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn machine() -> (Machine, Screen, Arc<Control>) {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let screen = Screen::default();
    let control = Arc::new(Control::default());
    let parts = Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(screen.clone()),
        control: Arc::clone(&control),
        log: EventLog::new(100),
        pci: PciRoot::new(),
        iommu: Remapping::Off,
    };
    (Machine::new(parts), screen, control)
}

#[test]
fn the_exit_port_takes_the_low_byte_of_any_width() {
    for data in [&[42u8][..], &[42, 9], &[42, 0, 0, 1]] {
        let (mut machine, _, _) = machine();
        assert_eq!(machine.port_write(Cycles(5), layout::EXIT_PORT, data), Flow::Yield);
        assert_eq!(machine.end(), Some(&GuestEnd::Exit(42)));
    }
}

#[test]
fn the_first_end_stays() {
    let (mut machine, _, _) = machine();
    machine.write_port(layout::EXIT_PORT, &[1]);
    machine.write_port(layout::RESET_PORT, &[1]);
    assert_eq!(machine.end(), Some(&GuestEnd::Exit(1)));
}

#[test]
fn only_sleep_state_five_with_sleep_enable_powers_off() {
    for (value, end) in [(5 << 2, None), (1 << 5 | 3 << 2, None), (1 << 5 | 5 << 2, Some(GuestEnd::PowerOff))]
    {
        let (mut machine, _, _) = machine();
        machine.write_port(layout::SLEEP_CONTROL_PORT, &[value]);
        assert_eq!(machine.end(), end.as_ref(), "{value:#x}");
    }
}

#[test]
fn reset_by_acpi_and_by_the_keyboard_controller() {
    for (port, value) in [(layout::RESET_PORT, 1), (0x64, 0xfe)] {
        let (mut machine, _, _) = machine();
        machine.write_port(port, &[value ^ 0x10]);
        assert_eq!(machine.end(), None);
        machine.write_port(port, &[value]);
        assert_eq!(machine.end(), Some(&GuestEnd::Reset));
    }
}

#[test]
fn nothing_reads_as_all_ones_and_is_counted() {
    let (mut machine, _, _) = machine();
    let (mut port, mut mmio) = ([0; 4], [0; 8]);
    machine.port_read(Cycles(0), 0x1234, &mut port);
    machine.mmio_read(Cycles(0), 0xf000_0000, &mut mmio);
    assert_eq!((port, mmio), ([0xff; 4], [0xff; 8]));
    assert_eq!(machine.mmio_write(Cycles(0), 0xf000_0000, &[1]), Flow::Continue);
    let ports = [0x1234, 0x1235, 0x1236, 0x1237].map(|port| (port, 1)).into();
    assert_eq!(machine.unclaimed(), &Unclaimed { ports, mmio: 2, doorbells: 0 });
}

#[test]
fn console_output_and_its_interrupt() {
    let (mut machine, screen, _) = machine();
    // Route pin 4 to vector 0x24 and enable the transmitter's interrupt, which is pending at once.
    machine.write_mmio(layout::IOAPIC, &0x18u32.to_le_bytes());
    machine.write_mmio(layout::IOAPIC + 0x10, &0x24u32.to_le_bytes());
    assert_eq!(machine.port_write(Cycles(1), layout::SERIAL_PORT + 1, &[2]), Flow::Yield);
    assert_eq!(machine.take_messages().iter().map(|m| m.vector).collect::<Vec<_>>(), [0x24]);
    for &byte in b"hello\n" {
        machine.port_write(Cycles(2), layout::SERIAL_PORT, &[byte]);
    }
    assert_eq!(screen.text(), "hello\n");
}

#[test]
fn console_input_comes_one_character_at_a_time_to_a_guest_that_listens() {
    const CHARACTER_NS: u64 = 86_805;
    let (mut machine, _, control) = machine();
    let typed: Vec<u8> = (0..100).collect();
    control.push_input(&typed);
    machine.attend_console();
    assert_eq!(machine.next_event_ns(), None, "nobody listens");
    machine.port_write(Cycles(1000), layout::SERIAL_PORT + 1, &[1]);
    assert_eq!(
        machine.port_write(Cycles(1000), layout::SERIAL_PORT + 4, &[0x0b]),
        Flow::Yield,
        "the CPU must know"
    );
    let mut now = 1000;
    for &byte in &typed {
        now += CHARACTER_NS;
        assert_eq!(machine.next_event_ns(), Some(now), "{byte}");
        machine.set_cycles(Cycles(now - 1));
        machine.run_due();
        let mut status = [0];
        machine.port_read(Cycles(now - 1), layout::SERIAL_PORT + 5, &mut status);
        assert_eq!(status[0] & 1, 0, "{byte} is still on the line");
        machine.set_cycles(Cycles(now));
        machine.run_due();
        let mut read = [0xff];
        machine.port_read(Cycles(now), layout::SERIAL_PORT, &mut read);
        assert_eq!(read[0], byte);
    }
    assert_eq!(machine.next_event_ns(), None);
}

#[test]
fn a_guest_that_ceases_to_listen_loses_no_input() {
    let (mut machine, _, control) = machine();
    control.push_input(&[7; 40]);
    let interrupts = |machine: &mut Machine, on: u8| machine.write_port(layout::SERIAL_PORT + 1, &[on]);
    machine.write_port(layout::SERIAL_PORT + 4, &[0x0b]);
    let (mut now, mut read) = (0, 0);
    while read < 40 {
        // Off whenever a character is due, and what nobody sent is read.
        interrupts(&mut machine, 0);
        now += 100_000;
        machine.set_cycles(Cycles(now));
        machine.run_due();
        machine.port_read(Cycles(now), layout::SERIAL_PORT, &mut [0]);
        interrupts(&mut machine, 1);
        now += 100_000;
        machine.set_cycles(Cycles(now));
        machine.run_due();
        let mut byte = [0];
        machine.port_read(Cycles(now), layout::SERIAL_PORT, &mut byte);
        assert_eq!(byte, [7]);
        read += 1;
    }
}

#[test]
fn more_than_the_fifo_holds_waits_at_the_other_end() {
    let (mut machine, _, control) = machine();
    control.push_input(&[b'x'; 100]);
    machine.write_port(layout::SERIAL_PORT + 1, &[1]);
    machine.write_port(layout::SERIAL_PORT + 4, &[0x0b]);
    for turn in 1..1000 {
        machine.set_cycles(Cycles(turn * 100_000));
        machine.run_due();
    }
    assert_eq!(machine.next_event_ns(), None);
    control.attend();
    let left = std::iter::from_fn(|| control.take_input()).count();
    assert_eq!(left, 100 - 16);
    control.push_input(b"y");
    machine.cpu_deadline();
    machine.port_read(Cycles(200_000_000), layout::SERIAL_PORT, &mut [0]);
    assert_eq!(machine.next_event_ns(), Some(200_086_805), "room has come");
    assert!(control.stop_flag().is_raised(), "and the CPU must know");
}

#[test]
fn the_io_apic_answers_narrow_and_wide_reads() {
    let (mut machine, _, _) = machine();
    machine.write_mmio(layout::IOAPIC, &[1, 0, 0, 0]);
    let (mut word, mut wide) = ([0; 4], [0xaa; 8]);
    machine.read_mmio(layout::IOAPIC + 0x10, &mut word);
    machine.read_mmio(layout::IOAPIC + 0x10, &mut wide);
    assert_eq!(word[0], 0x20, "version");
    assert_eq!(wide, [word[0], word[1], word[2], word[3], 0, 0, 0, 0]);
}

#[test]
fn an_interrupt_message_may_be_written_by_the_cpu_itself() {
    let (mut machine, _, _) = machine();
    machine.write_mmio(0xfee0_1000, &0x55u32.to_le_bytes());
    assert_eq!(machine.take_messages().len(), 1);
}

/// A frame of the trace port's stream: kind, CPU 0, length, payload filled up to whole words.
fn trace_frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    let header = u64::from(kind) | (payload.len() as u64) << 32;
    let mut frame = [&header.to_le_bytes(), payload].concat();
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// The least that makes one event of format 7 at `cycles` readable, as the guest's agent sends it.
fn guest_trace(cycles: u64) -> Vec<u8> {
    let header = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n\tfield: local_t commit;\toffset:8;\tsize:8;\n\
        \tfield: char data;\toffset:16;\tsize:4080;";
    let format = "demo\nname: tick\nID: 7\n\tfield:u16 common_type;\toffset:0;\tsize:2;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\n";
    let mut page = [cycles.to_le_bytes(), 12u64.to_le_bytes()].concat();
    page.extend([2, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0]);
    [trace_frame(1, header.as_bytes()), trace_frame(2, format.as_bytes()), trace_frame(4, &page)].concat()
}

#[test]
fn the_trace_port_takes_the_guests_events_with_their_own_time() {
    for width in [1, 2, 4] {
        let (mut machine, _, _) = machine();
        machine.trace_guest();
        let mut wanted = [0; 4];
        machine.port_read(Cycles(900), layout::TRACE_PORT.start, &mut wanted);
        assert_eq!(u32::from_le_bytes(wanted), layout::TRACE_WANTED);
        for part in [guest_trace(500), guest_trace(901)].concat().chunks(width) {
            machine.port_write(Cycles(900), layout::TRACE_PORT.start, part);
        }
        let refused = machine.guest_trace_refused();
        assert_eq!((refused.senseless, refused.misplaced), (0, 1), "an event of the future");
        let log = machine.finish().log;
        let records: Vec<_> = log.recorder.records().collect();
        assert_eq!((records.len(), records[0].stamp), (1, Stamp { cycles: 500, ns: 500 }));
        assert!(matches!(&records[0].event, Event::Guest(event) if (event.format, event.pid) == (7, 9)));
    }
}

#[test]
fn the_guests_events_stay_where_they_belong_when_it_sets_its_counter() {
    let (mut machine, _, _) = machine();
    machine.trace_guest();
    let push = |machine: &mut Machine, now, stamp| {
        for part in guest_trace(stamp).chunks(4) {
            machine.port_write(Cycles(now), layout::TRACE_PORT.start, part);
        }
    };
    // Far ahead at 1000, then back to 7 at 2000. What was traced before either arrives later.
    machine.counter_set(Cycles(1000), TscOffset::between(Cycles(1000), Tsc(1 << 50)));
    push(&mut machine, 1500, 900);
    push(&mut machine, 1500, (1 << 50) + 100);
    machine.counter_set(Cycles(2000), TscOffset::between(Cycles(2000), Tsc(7)));
    push(&mut machine, 2500, (1 << 50) + 800);
    push(&mut machine, 2500, 7 + 400);
    push(&mut machine, 2500, 7 + 1500);
    assert_eq!(machine.guest_trace_refused().misplaced, 1, "only what has not come yet");
    let log = machine.finish().log;
    let cycles: Vec<u64> = log.recorder.records().map(|record| record.stamp.cycles).collect();
    assert_eq!(cycles, [900, 1100, 1800, 2400]);
    assert!(log.recorder.records().all(|record| record.stamp.ns == record.stamp.cycles));
}

#[test]
fn under_host_time_the_machines_counter_does_not_follow_the_guests() {
    const FAR: u64 = 1 << 50;
    let (mut machine, _, _) = machine();
    let from = HostTsc::now();
    let to_cycles = HostOffset::to_cycles(from, Cycles(0));
    let time = TimeBase::host(1_000_000_000, to_cycles, Base::default());
    machine.resume_with(time, Box::<SoftInterrupts>::default());
    let set = HostOffset::to_tsc(from, Tsc(FAR));
    machine.guest_counter_is(set, 100);
    assert_eq!(machine.moment().offset, TscOffset(FAR));
    assert!(machine.moment().cycles < Cycles(FAR) && machine.moment().tsc() >= Tsc(FAR));
    machine.guest_counter_is(HostOffset(set.0.wrapping_sub(400)), 100);
    assert_eq!(machine.moment().offset, TscOffset(FAR), "two readings are no nearer than that");
    machine.guest_counter_is(HostOffset(set.0.wrapping_sub(401)), 100);
    assert_eq!(machine.moment().offset, TscOffset(FAR - 401));
    machine.counter_set(machine.moment().cycles, TscOffset(0));
    assert_eq!(machine.moment().offset, TscOffset(FAR - 401), "KVM alone knows it");
}

#[test]
fn the_trace_port_of_a_machine_without_a_trace_is_zero_and_ignores_writes() {
    let (mut machine, _, _) = machine();
    let mut wanted = [9; 4];
    machine.read_port(layout::TRACE_PORT.start, &mut wanted);
    machine.write_port(layout::TRACE_PORT.start, &guest_trace(0));
    assert_eq!((wanted, machine.finish().log.count), ([0; 4], 0));
}
