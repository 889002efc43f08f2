//! What a device costs the host under `soft`: `costs PATH_OF_THE_MICRO_GUEST`. ci/bench --devices runs it.
//!
//! The guest (guest-tests/micro/costs.c) does each thing many times in a loop, in a machine with the devices that every machine has.
//! The device here reads the processor time of the machine's thread before and after each loop.

use std::any::Any;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fencepost::backend::End;
use fencepost::config::{Accel, MachineConfig, Size};
use fencepost::launch::Launch;
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, run};
use fencepost_devices::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use fencepost_devices::ports::Ports;
use fencepost_devices::state::SavedState;

/// Where the guest looks for the device.
const SLOT: u8 = 4;
const COUNT: u32 = 20_000;
const ROUNDS: u32 = 15;
/// From the guest's request to the device's call.
const JOB_NS: u64 = 1_000;
/// Nothing comes of a doorbell while the guest runs.
const FAR_NS: u64 = 1_000_000_000_000;

/// Registers, as costs.c has them.
mod register {
    pub const COUNT: u32 = 0x00;
    pub const ROUNDS: u32 = 0x04;
    pub const STAMP: u32 = 0x08;
    pub const BELL: u32 = 0x10;
    pub const RAISE: u32 = 0x14;
    pub const JOB: u32 = 0x18;
}
/// Its calls.
const JOB: u32 = 0;
const NEVER: u32 = 1;

/// Kinds that others are taken from.
mod kind {
    pub const WRITE: usize = 2;
    pub const GATE: usize = 4;
    pub const MESSAGE: usize = 5;
}

/// What is measured, in the order of the guest's `enum kind`; the first is taken from the others.
const KINDS: [&str; 7] = [
    "the loop itself",
    "register read",
    "register write",
    "doorbell: a write that has the device ask for a call",
    "INT n and the handler: six instructions, one a write of EOI",
    "a write that has the device raise an MSI, and the handler",
    "job: a write, a call of the device, the message, HLT",
];

/// The processor time of the machine's thread at each stamp, with the kind that the guest gave.
type Stamps = Arc<Mutex<Vec<(u32, Duration)>>>;

/// The processor time of this thread.
fn processor_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `now` and to nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    assert_eq!(failed, 0, "every Linux has this clock");
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

struct Meter {
    stamps: Stamps,
}

impl Words for Meter {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        match offset {
            register::COUNT => COUNT,
            register::ROUNDS => ROUNDS,
            _ => 0,
        }
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        match offset {
            register::STAMP => {
                self.stamps.lock().expect("nobody panics with it").push((value, processor_time()));
            }
            register::BELL => ports.clock.call_at(ports.clock.now().ns + FAR_NS, NEVER),
            register::RAISE => ports.msi.raise(0),
            register::JOB => ports.clock.call_at(ports.clock.now().ns + JOB_NS, JOB),
            _ => {}
        }
    }
}

impl Function for Meter {
    fn identity(&self) -> Identity {
        Identity {
            name: "meter",
            ids: Ids::fencepost(0xfff1),
            class: 0xff_0000,
            ..Identity::registers_and_msix(4096, 1)
        }
    }
    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }
    fn doorbells(&self) -> Vec<Doorbell> {
        vec![Doorbell { offset: register::BELL, bytes: 4, value: None }]
    }
    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }
    fn timer(&mut self, _: u32, ports: &mut Ports<'_>) {
        ports.msi.raise(0);
    }
    fn reset(&mut self, _: &mut Ports<'_>) {}
    fn save_state(&self) -> SavedState {
        SavedState { kind: "meter".into(), version: 1, bytes: Vec::new() }
    }
    fn rearm(&self, _: &mut Ports<'_>) {}
    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// For each of [`KINDS`] what one turn took in each round, in nanoseconds, ascending.
fn rows(stamps: &[(u32, Duration)]) -> Vec<Vec<f64>> {
    let mut rows = vec![Vec::new(); KINDS.len()];
    for pair in stamps.chunks_exact(2) {
        let (kind, took) = (pair[0].0, pair[1].1 - pair[0].1);
        rows[kind as usize].push(took.as_nanos() as f64 / f64::from(COUNT));
    }
    rows.iter_mut().for_each(|row| row.sort_by(f64::total_cmp));
    rows
}

fn main() -> ExitCode {
    let Some(guest) = std::env::args().nth(1) else {
        eprintln!("costs: name the micro-guest: costs PATH");
        return ExitCode::from(2);
    };
    let machine = MachineConfig { accel: Accel::Soft, memory: Size(32 << 20), ..MachineConfig::boot(guest) };
    let stamps = Stamps::default();
    let mut hooks = Hooks::new(Box::new(std::io::stderr()));
    hooks.devices.push((SLOT, Box::new(Meter { stamps: Arc::clone(&stamps) })));
    match run(&Launch::new(machine), hooks).map(|outcome| outcome.end) {
        Ok(End::Guest(GuestEnd::Exit(0))) => {}
        Ok(end) => {
            eprintln!("costs: the guest ended with {end:?}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("costs: {error}");
            return ExitCode::FAILURE;
        }
    }
    let rows = rows(&stamps.lock().expect("nobody panics with it"));
    println!(
        "host processor time of one turn in ns, of {ROUNDS} rounds of {COUNT} turns, without the loop's own"
    );
    println!("{:60}{:>10}{:>10}", "", "least", "median");
    let (least, median) = (rows[0][0], rows[0][rows[0].len() / 2]);
    for (kind, row) in KINDS.iter().zip(&rows).skip(1) {
        println!("{kind:60}{:>10.0}{:>10.0}", row[0] - least, row[row.len() / 2] - median);
    }
    // What is left of it without the write and the handler.
    let message = |at: &dyn Fn(&Vec<f64>) -> f64| {
        at(&rows[kind::MESSAGE]) - at(&rows[kind::WRITE]) - at(&rows[kind::GATE]) + at(&rows[0])
    };
    let (least, median) = (message(&|row| row[0]), message(&|row| row[row.len() / 2]));
    println!("{:60}{least:>10.0}{median:>10.0}", "MSI: of that the message alone");
    ExitCode::SUCCESS
}
