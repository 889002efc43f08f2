//! The machine without a CPU: dispatch, ends, console.

use std::sync::{Arc, Mutex};

use fencepost_devices::pci::PciRoot;
use fencepost_firmware::layout;
use fencepost_softcpu::bus::{Bus, Flow};
use fencepost_softcpu::code::CodePages;

use super::irq::SoftInterrupts;
use super::log::EventLog;
use super::time::TimeBase;
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
        log: EventLog::new(100, None),
        pci: PciRoot::new(),
        iommu: Remapping::Off,
    };
    (Machine::new(parts), screen, control)
}

#[test]
fn the_exit_port_takes_the_low_byte_of_any_width() {
    for data in [&[42u8][..], &[42, 9], &[42, 0, 0, 1]] {
        let (mut machine, _, _) = machine();
        assert_eq!(machine.port_write(5, layout::EXIT_PORT, data), Flow::Yield);
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
    machine.port_read(0, 0x1234, &mut port);
    machine.mmio_read(0, 0xf000_0000, &mut mmio);
    assert_eq!((port, mmio), ([0xff; 4], [0xff; 8]));
    assert_eq!(machine.mmio_write(0, 0xf000_0000, &[1]), Flow::Continue);
    let ports = [0x1234, 0x1235, 0x1236, 0x1237].map(|port| (port, 1)).into();
    assert_eq!(machine.unclaimed(), &Unclaimed { ports, mmio: 2 });
}

#[test]
fn console_output_and_its_interrupt() {
    let (mut machine, screen, _) = machine();
    // Route pin 4 to vector 0x24 and enable the transmitter's interrupt, which is pending at once.
    machine.write_mmio(layout::IOAPIC, &0x18u32.to_le_bytes());
    machine.write_mmio(layout::IOAPIC + 0x10, &0x24u32.to_le_bytes());
    assert_eq!(machine.port_write(1, layout::SERIAL_PORT + 1, &[2]), Flow::Yield);
    assert_eq!(machine.take_messages().iter().map(|m| m.vector).collect::<Vec<_>>(), [0x24]);
    for &byte in b"hello\n" {
        machine.port_write(2, layout::SERIAL_PORT, &[byte]);
    }
    assert_eq!(screen.text(), "hello\n");
}

#[test]
fn console_input_waits_until_there_is_room() {
    let (mut machine, _, control) = machine();
    let typed: Vec<u8> = (0..100).collect();
    control.push_input(&typed);
    control.attend();
    let mut read = Vec::new();
    while read.len() < typed.len() {
        machine.attend_console();
        let mut byte = [0];
        machine.port_read(0, layout::SERIAL_PORT, &mut byte);
        read.extend(byte);
    }
    assert_eq!(read, typed);
    assert!(control.stop_flag().load(std::sync::atomic::Ordering::Acquire), "reading asked for the rest");
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
