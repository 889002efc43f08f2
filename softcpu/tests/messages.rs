//! A CPU that is alone takes interrupt messages itself. All is as if it returned to the machine for each.

use std::collections::VecDeque;

use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::bus::{Bus, Exit, Flow, Waiting};
use fencepost_softcpu::state::CpuState;
use fencepost_time::{Cycles, TscOffset};
use iced_x86::code_asm::*;

mod machine;
use machine::{CODE, HANDLERS, Machine, PRESENT, WRITE};

/// A device whose writes bring messages, by the number that is written.
const DEVICE: u64 = 0xc000_1000;
const APIC: u64 = 0xfee0_0000;
const LOW: u8 = 0x31;
const HIGH: u8 = 0x3a;
/// The write that the machine wants to be returned to for, after its message.
const OTHER_THING: u32 = 77;

#[derive(Default)]
struct World {
    /// Whether the CPU may take messages itself.
    lends: bool,
    messages: VecDeque<(u64, u32)>,
    wanted: bool,
    taken: Vec<(u64, u8)>,
}

impl World {
    fn written(&mut self, number: u32) {
        let (low, high) = (u32::from(LOW), u32::from(HIGH));
        let lowest_priority = 1 << 8;
        let all: &[(u64, u32)] = match number % 8 {
            0 => &[(APIC, low)],
            1 => &[(APIC, low), (APIC, high)],
            2 => &[(APIC, high), (APIC, low)],
            3 => &[(APIC, low | lowest_priority)],
            // Another CPU's, a reserved way of delivery, and what is no message.
            4 => &[(APIC | 5 << 12, low), (APIC, low | 3 << 8), (0xfed0_0000, high)],
            5 => &[(APIC | 5 << 12, low | lowest_priority)],
            6 => &[],
            _ => &[(APIC, high)],
        };
        self.messages.extend(all);
        self.wanted = number == OTHER_THING;
    }
}

impl Bus for World {
    fn mmio_read(&mut self, _: Cycles, _: u64, data: &mut [u8]) {
        data.fill(0);
    }
    fn read_interrupts(&mut self, _: u64) -> bool {
        false
    }
    fn mmio_write(&mut self, _: Cycles, gpa: u64, data: &[u8]) -> Flow {
        assert_eq!(gpa, DEVICE);
        self.written(u32::from_le_bytes(data.try_into().unwrap()));
        if self.lends { Flow::Message } else { Flow::Yield }
    }
    fn port_read(&mut self, _: Cycles, _: u16, _: &mut [u8]) -> Flow {
        Flow::Continue
    }
    fn port_write(&mut self, _: Cycles, _: u16, _: &[u8]) -> Flow {
        Flow::Continue
    }
    fn end_of_interrupt(&mut self, _: Cycles, _: u8, _: bool) -> Flow {
        Flow::Continue
    }
    fn runs(&mut self, _: u32) {}
    fn turn(&mut self) -> u64 {
        1
    }
    fn random(&mut self) -> u64 {
        0
    }
    fn waiting(&mut self, _: Cycles) -> Waiting {
        if !self.lends || self.wanted {
            return Waiting::Machine;
        }
        self.messages.pop_front().map_or(Waiting::Nothing, |(address, data)| Waiting::Message(address, data))
    }
    fn interrupt_delivered(&mut self, now: Cycles, vector: u8) {
        self.taken.push((now.0, vector));
    }
    fn counter_set(&mut self, _: Cycles, _: TscOffset) {}
}

/// A loop that writes 400 numbers to the device, some with interrupts off.
fn program(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut again, mut on) = (a.create_label(), a.create_label());
    a.mov(rbx, APIC)?;
    a.mov(dword_ptr(rbx + 0xf0), 0x1ff)?;
    a.mov(rdx, DEVICE)?;
    a.mov(ecx, 400)?;
    a.set_label(&mut again)?;
    a.sti()?;
    a.test(ecx, 0x10)?;
    a.jz(on)?;
    a.cli()?;
    a.set_label(&mut on)?;
    a.add(rax, rcx)?;
    // Flags that a handler must leave as they are.
    a.mov(dword_ptr(rdx), ecx)?;
    a.adc(rsi, 3)?;
    a.imul_2(rax, rsi)?;
    a.dec(ecx)?;
    a.jnz(again)?;
    a.cli()?;
    a.hlt()
}

/// A handler counts in a register of its own, and ends its interrupt.
fn handler(a: &mut CodeAssembler, counter: AsmRegister64) -> Result<(), IcedError> {
    a.push(rax)?;
    a.inc(counter)?;
    a.mov(rax, APIC)?;
    a.mov(dword_ptr(rax + 0xb0), 0)?;
    a.pop(rax)?;
    a.iretq()
}

/// Runs the program in stretches of so many cycles: what is left, the interrupts, and how often it came back for the machine.
fn ran(lends: bool, stretch: u64) -> (CpuState, Vec<(u64, u8)>, u32) {
    let mut machine = Machine::new();
    machine.map(DEVICE, DEVICE, PRESENT | WRITE);
    machine.map(APIC, APIC, PRESENT | WRITE);
    machine.assemble(CODE, |a| program(a).unwrap());
    for (vector, counter, at) in [(LOW, r8, HANDLERS + 0x1000), (HIGH, r9, HANDLERS + 0x1100)] {
        machine.assemble(at, |a| handler(a, counter).unwrap());
        machine.set_gate(vector, at, 0x8e00);
    }
    let mut cpus = machine.several(1);
    let (mut world, mut yields) = (World { lends, ..World::default() }, 0);
    loop {
        let until = cpus.cycles() + stretch;
        match cpus.run(&mut world, until) {
            Exit::Deadline => {}
            Exit::Yield => {
                yields += 1;
                world.wanted = false;
                for (address, data) in world.messages.drain(..) {
                    InterruptMessage::from_msi(address, data).into_iter().for_each(|it| cpus.deliver(it));
                }
            }
            Exit::Halted => return (cpus.current().state(), world.taken, yields),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn messages_that_the_cpu_takes_itself_come_where_the_machine_brings_them() {
    for stretch in [1_000_000, 1000, 61, 7, 1] {
        let (state, taken, yields) = ran(false, stretch);
        assert!(yields == 400 && taken.len() > 300, "{yields} {}", taken.len());
        let (own_state, own_taken, own_yields) = ran(true, stretch);
        assert_eq!(own_taken, taken, "{stretch}");
        assert_eq!(own_state, state, "{stretch}");
        if stretch == 1_000_000 {
            assert_eq!(own_yields, 1, "for what is no message");
        }
    }
}
