//! The loop around a CPU that follows a script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use fencepost_devices::pci::PciRoot;
use fencepost_firmware::layout;
use fencepost_softcpu::bus::Flow;
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::mem::saved::TlbState;
use fencepost_time::Cycles;

use fencepost_softcpu::flags::IF;

use super::*;
use crate::control::StopReason;
use crate::machine::Parts;
use crate::machine::irq::SoftInterrupts;
use crate::machine::log::EventLog;
use crate::machine::memory;
use crate::machine::remap::Remapping;
use crate::machine::time::TimeBase;

pub(super) enum Step {
    /// Retires instructions.
    Work(u64),
    /// Writes a port.
    Port(u16, u8),
    /// Writes a memory-mapped word.
    Mmio(u64, u32),
    /// Halts until a message or the timer comes.
    Halt,
    /// Sets the timer to this long from now.
    Timer(u64),
    /// Switches interrupts on or off.
    Interrupts(bool),
    /// Tells the test that the script has come this far.
    Tell(Sender<()>),
    /// Dies.
    Crash,
}

#[derive(Default)]
pub(super) struct Script {
    steps: VecDeque<Step>,
    now: Cycles,
    timer: Option<Cycles>,
    rflags: u64,
    halted: bool,
    /// Vector and time of each message.
    messages: Vec<(u8, u64)>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Script { steps: steps.into_iter().collect(), rflags: IF, ..Script::default() }
    }
}

impl Script {
    fn state(&self) -> CpuState {
        CpuState { cycles: self.now, halted: self.halted, rflags: self.rflags, ..CpuState::default() }
    }
}

impl Processor for Script {
    fn prepare(&mut self) {}

    fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        loop {
            if self.timer.is_some_and(|at| at <= self.now) {
                self.timer = None;
                self.halted = false;
            }
            if self.halted {
                return Exit::Halted;
            }
            if self.now >= until {
                return Exit::Deadline;
            }
            self.now += 1;
            let flow = match self.steps.pop_front() {
                Some(Step::Work(count)) => {
                    let part = (count - 1).min(until - self.now);
                    self.now += part;
                    if count - 1 > part {
                        self.steps.push_front(Step::Work(count - 1 - part));
                    }
                    Flow::Continue
                }
                Some(Step::Port(port, value)) => bus.port_write(self.now, port, &[value]),
                Some(Step::Mmio(gpa, value)) => bus.mmio_write(self.now, gpa, &value.to_le_bytes()),
                Some(Step::Timer(after)) => {
                    self.timer = Some(self.now + after);
                    Flow::Continue
                }
                Some(Step::Interrupts(on)) => {
                    self.rflags = if on { IF } else { 0 };
                    Flow::Continue
                }
                Some(Step::Tell(sender)) => {
                    sender.send(()).expect("the test listens");
                    Flow::Continue
                }
                Some(Step::Crash) => return Exit::TripleFault,
                Some(Step::Halt) | None => {
                    self.halted = true;
                    Flow::Continue
                }
            };
            if flow != Flow::Continue {
                return Exit::Yield;
            }
        }
    }

    fn cycles(&self) -> Cycles {
        self.now
    }

    fn skip_to(&mut self, until: Cycles) {
        assert!(until >= self.now, "time goes back");
        self.now = until;
    }

    fn next_timer(&mut self) -> Option<Cycles> {
        self.timer.filter(|_| self.takes_interrupts())
    }

    fn takes_interrupts(&self) -> bool {
        self.rflags & IF != 0
    }

    fn deaf(&self) -> u64 {
        u64::from(!self.takes_interrupts())
    }

    fn deliver(&mut self, message: InterruptMessage) {
        self.halted = false;
        self.messages.push((message.vector, self.now.0));
    }

    fn current(&self) -> usize {
        0
    }

    fn retired(&self) -> u64 {
        self.now.0
    }

    fn retired_by(&self, _: usize) -> u64 {
        self.now.0
    }

    fn change_state(&mut self, _: usize, _: &CpuState) {
        unreachable!("no debugger is there")
    }

    fn set_stops(&mut self, _: Stops) {}

    fn pass_stop(&mut self, _: usize) {}

    fn stopped(&self) -> Stopped {
        Stopped { cpus: vec![self.state()], ..Stopped::default() }
    }

    fn save(&self) -> SavedCpus {
        SavedCpus::one(self.state(), TlbState::default())
    }

    fn restore(&mut self, _: &SavedCpus) -> bool {
        unreachable!("no debugger is there")
    }

    fn unknown(&self) -> Vec<(String, u64)> {
        vec![("frobnicate".into(), 2)]
    }

    fn code(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn exceptions(&self) -> Vec<(&'static str, u64)> {
        vec![("#UD", 2)]
    }
}

fn run_with(steps: Vec<Step>, control: &Arc<Control>) -> (Ran, Soft<Script>) {
    run_on(machine(PciRoot::new(), control), steps, control)
}

pub(super) fn machine(pci: PciRoot, control: &Arc<Control>) -> Machine {
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    Machine::new(Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory,
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(std::io::sink()),
        control: Arc::clone(control),
        log: EventLog::new(100),
        pci,
        iommu: Remapping::Off,
    })
}

pub(super) fn run_on(machine: Machine, steps: Vec<Step>, control: &Arc<Control>) -> (Ran, Soft<Script>) {
    let mut soft = Soft::new(Script::new(steps));
    let (_, ran) = soft.run(machine, control).expect("the software CPU needs nothing of the host");
    (ran, soft)
}

fn run(steps: Vec<Step>) -> (Ran, Soft<Script>) {
    run_with(steps, &Arc::default())
}

#[test]
fn the_exit_port_ends_the_run_at_once() {
    let (ran, soft) = run(vec![Step::Work(10), Step::Port(layout::EXIT_PORT, 7), Step::Work(1000)]);
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(7)));
    assert_eq!(ran.cpus.current().cycles.0, 11);
    assert_eq!(soft.processor.steps.len(), 1, "nothing ran after it");
    assert_eq!(ran.unknown, [("frobnicate".to_string(), 2)]);
    assert_eq!(ran.exceptions, [("#UD", 2)]);
}

#[test]
fn idle_time_skips_to_the_timer() {
    let steps = vec![Step::Timer(1_000_000_000), Step::Halt, Step::Port(layout::EXIT_PORT, 0)];
    let (ran, _) = run(steps);
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(0)));
    assert_eq!(ran.cpus.current().cycles.0, 1_000_000_002);
}

#[test]
fn a_guest_that_nothing_can_wake_is_dead() {
    let (ran, _) = run(vec![Step::Work(5), Step::Halt]);
    assert!(
        ran.end == End::Guest(GuestEnd::Dead)
            && ran.cpus.current().halted
            && ran.cpus.current().cycles.0 == 6
    );
}

#[test]
fn a_timer_at_the_end_of_time_wakes_nobody() {
    for after in [NEVER.0, u64::MAX - 10] {
        let (ran, _) = run(vec![Step::Timer(after), Step::Halt]);
        assert!(ran.end == End::Guest(GuestEnd::Dead), "{after:#x}");
        assert_eq!(ran.cpus.current().cycles.0, 2, "time did not jump");
    }
    let (ran, _) = run(vec![Step::Timer(NEVER.0 - 10), Step::Halt, Step::Port(layout::EXIT_PORT, 3)]);
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(3)));
}

#[test]
fn with_interrupts_off_neither_timer_nor_console_wakes_it() {
    let control = Arc::new(Control::default());
    control.set_input_open(true);
    let (ran, _) = run_with(vec![Step::Timer(1000), Step::Interrupts(false), Step::Halt], &control);
    assert_eq!((ran.end, ran.cpus.current().cycles.0), (End::Guest(GuestEnd::Dead), 3));
}

fn watched(limit_ns: u64, steps: Vec<Step>) -> Ran {
    let control = Arc::new(Control::default());
    control.set_watchdog(Some(std::time::Duration::from_nanos(limit_ns)));
    run_with(steps, &control).0
}

#[test]
fn the_watchdog_ends_a_guest_that_spins_with_interrupts_off() {
    let ran = watched(8000, vec![Step::Work(10_000), Step::Interrupts(false), Step::Work(u64::MAX / 2)]);
    assert_eq!(ran.end, End::Guest(GuestEnd::Stuck));
    // Within one look, an eighth of the time, of being exact.
    assert!((18_000..=19_001).contains(&ran.cpus.current().cycles.0), "{}", ran.cpus.current().cycles.0);
}

#[test]
fn an_access_or_interrupts_on_keep_the_watchdog_quiet() {
    let steps = |between: fn() -> Step| {
        let part = move || [Step::Interrupts(false), Step::Work(6000), between()];
        let exit = Step::Port(layout::EXIT_PORT, 9);
        (0..20).flat_map(move |_| part()).chain([exit]).collect::<Vec<_>>()
    };
    let access = || Step::Port(layout::SERIAL_PORT + 1, 0);
    assert_eq!(watched(8000, steps(access)).end, End::Guest(GuestEnd::Exit(9)));
    // Long enough on for a look to see it.
    let on: Vec<Step> = (0..20)
        .flat_map(|_| [Step::Interrupts(false), Step::Work(6000), Step::Interrupts(true), Step::Work(1100)])
        .chain([Step::Port(layout::EXIT_PORT, 9)])
        .collect();
    assert_eq!(watched(8000, on).end, End::Guest(GuestEnd::Exit(9)));
}

#[test]
fn a_halted_guest_with_open_input_waits_for_it() {
    let control = Arc::new(Control::default());
    control.set_input_open(true);
    let typist = Arc::clone(&control);
    let (ready, wait_ready) = channel();
    let typing = std::thread::spawn(move || {
        wait_ready.recv().expect("told");
        typist.push_input(b"x");
        typist.set_input_open(false);
    });
    // Pin 4 to vector 0x24, receive interrupts and modem lines on: the byte wakes the guest.
    let steps = vec![
        Step::Mmio(layout::IOAPIC, 0x18),
        Step::Mmio(layout::IOAPIC + 0x10, 0x24),
        Step::Port(layout::SERIAL_PORT + 1, 1),
        Step::Port(layout::SERIAL_PORT + 4, 0x0b),
        Step::Tell(ready),
        Step::Halt,
        Step::Port(layout::EXIT_PORT, 1),
    ];
    let (ran, soft) = run_with(steps, &control);
    typing.join().expect("no panic");
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(1)));
    assert_eq!(soft.processor.messages.iter().map(|m| m.0).collect::<Vec<_>>(), [0x24]);
}

#[test]
fn an_interrupt_is_delivered_right_after_the_write_that_raised_it() {
    let (_, soft) = run(vec![Step::Work(99), Step::Mmio(0xfee0_1000, 0x41), Step::Work(500), Step::Halt]);
    assert_eq!(soft.processor.messages, [(0x41, 100)]);
}

#[test]
fn a_triple_fault_is_reported_with_the_state() {
    let (ran, _) = run(vec![Step::Work(3), Step::Crash]);
    assert!(ran.end == End::Guest(GuestEnd::TripleFault) && ran.cpus.current().cycles.0 == 4);
}

#[test]
fn the_host_can_end_it() {
    let control = Arc::new(Control::default());
    control.stop(StopReason::Signal(15));
    let (ran, _) = run_with(vec![Step::Work(u64::MAX / 2)], &control);
    assert_eq!(ran.end, End::Host(StopReason::Signal(15)));
}

/// What a guest with two idle waits sees; some attention without a cause comes while it waits.
fn idle_waits(paced: bool) -> (Vec<(u8, u64)>, u64) {
    let control = Arc::new(Control::default());
    control.set_paced(paced);
    let (told, begun) = channel();
    let nudger = Arc::clone(&control);
    let nudging = std::thread::spawn(move || {
        begun.recv().expect("told");
        nudger.nudge();
    });
    let wait = |after| [Step::Timer(after), Step::Halt, Step::Mmio(0xfee0_1000, 0x41)];
    let steps = wait(30_000_000).into_iter().chain([Step::Tell(told)]).chain(wait(40_000_000));
    let exit = Step::Port(layout::EXIT_PORT, 0);
    let (ran, soft) = run_with(steps.chain([exit]).collect(), &control);
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(0)));
    nudging.join().expect("no panic");
    (soft.processor.messages, ran.cpus.current().cycles.0)
}

#[test]
fn a_paced_guest_sees_what_one_sees_whose_idle_time_is_skipped() {
    assert_eq!(idle_waits(true), idle_waits(false));
}

#[test]
fn what_is_typed_wakes_a_paced_guest_before_its_timer_of_a_year() {
    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
    let control = Arc::new(Control::default());
    control.set_paced(true);
    control.set_input_open(true);
    let typist = Arc::clone(&control);
    let (ready, wait_ready) = channel();
    let typing = std::thread::spawn(move || {
        wait_ready.recv().expect("told");
        // Once something cannot end the wait, once something does.
        typist.nudge();
        typist.push_input(b"x");
    });
    let steps = vec![
        Step::Mmio(layout::IOAPIC, 0x18),
        Step::Mmio(layout::IOAPIC + 0x10, 0x24),
        Step::Port(layout::SERIAL_PORT + 1, 1),
        Step::Port(layout::SERIAL_PORT + 4, 0x0b),
        Step::Timer(YEAR),
        Step::Tell(ready),
        Step::Halt,
        Step::Port(layout::EXIT_PORT, 1),
    ];
    let (ran, soft) = run_with(steps, &control);
    typing.join().expect("no panic");
    assert_eq!(ran.end, End::Guest(GuestEnd::Exit(1)));
    assert_eq!(soft.processor.messages.iter().map(|m| m.0).collect::<Vec<_>>(), [0x24]);
    assert!(ran.cpus.current().cycles.0 < YEAR, "idle time was not skipped");
}
