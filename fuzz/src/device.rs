//! A device in a world of fakes, and a guest that does to it what an input says.

use fencepost_devices::function::{Bar, Counter, Function, Registers};
use fencepost_devices::parameters::{self, Parameters};
use fencepost_devices::ports::Clock;
use fencepost_devices::registry::{self, Entry, Host, NoHost};
use fencepost_devices::state::SavedState;
use fencepost_devices::testing::World;
use fencepost_devices::virtio::EVENT_IDX;
use fencepost_devices::virtio::testing::Driver;

use crate::bytes::Bytes;
use crate::op::Op;

/// Guest memory of a device that is not virtio.
const MEMORY_BYTES: usize = 1 << 20;
/// The guest's time that one input may take, in nanoseconds: a display's smallest mode has some ten thousand frames in it.
const TIME_MAX_NS: u64 = 500_000_000;

/// What is built, of what, where.
pub struct Model<'h> {
    entry: &'static Entry,
    parameters: Parameters,
    host: Box<dyn FnMut() -> Box<dyn Host> + 'h>,
}

/// What is left at the end of a run.
#[derive(Debug, PartialEq)]
pub struct Left {
    state: SavedState,
    counters: Vec<Counter>,
    raised: Vec<u16>,
    events: usize,
    memory: Vec<u8>,
}

impl<'h> Model<'h> {
    /// The model `kind` with these parameters, in a host without files.
    pub fn new(kind: &str, parameters: &str) -> Self {
        Self::with_host(kind, parameters, || Box::new(NoHost))
    }

    /// The same in a host that is made anew for each device.
    pub fn with_host(kind: &str, text: &str, host: impl FnMut() -> Box<dyn Host> + 'h) -> Self {
        let entry = registry::find(kind).expect("it is in the list");
        let parameters = parameters::parse(text, entry.parameters).expect("they are its own");
        Model { entry, parameters, host: Box::new(host) }
    }

    /// Runs an input: a byte that says how a virtio driver sets its device up, then acts. One who is restored on the way does what one
    /// does that is not.
    pub fn run(&mut self, data: &[u8]) {
        let (setup, ops) = self.parts(data);
        let left = self.play(setup, &ops, true);
        if ops.iter().any(|op| matches!(op, Op::Restore)) {
            let other = self.play(setup, &ops, false);
            assert!(left.memory == other.memory, "one that is restored leaves other memory");
            assert_eq!(Left { memory: Vec::new(), ..left }, Left { memory: Vec::new(), ..other });
        }
    }

    /// The same for a device whose host's files change: it is run once.
    pub fn run_once(&mut self, data: &[u8]) {
        let (setup, ops) = self.parts(data);
        self.play(setup, &ops, true);
    }

    fn parts(&self, data: &[u8]) -> (u8, Vec<Op>) {
        let mut bytes = Bytes::new(data);
        (bytes.u8(), Op::all(bytes))
    }

    fn play(&mut self, setup: u8, ops: &[Op], restoring: bool) -> Left {
        let mut host = (self.host)();
        let function = self.entry.build(&self.parameters, &mut *host).expect("it can be built");
        let mut bench = Bench::new(function, setup);
        let mut left_ns = TIME_MAX_NS;
        for op in ops {
            match op {
                Op::Restore if restoring => self.restore(&mut bench),
                Op::Restore => {}
                Op::Wait { count, shift } => {
                    let ns = (u64::from(*count) << shift).min(left_ns);
                    left_ns -= ns;
                    bench.wait(ns);
                }
                op => bench.act(op),
            }
            bench.drain();
        }
        bench.end()
    }

    /// In the device's place one restored from its state, with the host as it is.
    fn restore(&mut self, bench: &mut Bench) {
        let (function, world) = bench.both();
        let saved = function.save_state();
        let mut host = (self.host)();
        let restored = self.entry.restore(&self.parameters, &mut *host, &saved);
        *function = restored.unwrap_or_else(|error| panic!("its own state is refused: {error}"));
        assert_eq!(function.save_state(), saved, "restored, it is in another state");
        world.clock = world.clock.without_calls();
        function.rearm(&mut world.ports());
        assert_eq!(function.save_state(), saved, "asking for its timers changed it");
    }
}

/// The device, its world, and for virtio a driver that has set it up.
enum Place {
    Plain(Box<dyn Function>, Box<World>),
    Virtio(Box<Driver>),
}

struct Bench {
    place: Place,
    raised: Vec<u16>,
    events: usize,
}

impl Bench {
    fn new(function: Box<dyn Function>, setup: u8) -> Self {
        let virtio = function.identity().name.starts_with("virtio-");
        let place = if virtio {
            let without =
                if setup & 1 != 0 { EVENT_IDX } else { 0 } | u64::from(setup >> 1 & 7) << (setup >> 4);
            Place::Virtio(Box::new(Driver::new(function, without)))
        } else {
            Place::Plain(function, Box::new(World::new(MEMORY_BYTES)))
        };
        Bench { place, raised: Vec::new(), events: 0 }
    }

    fn both(&mut self) -> (&mut Box<dyn Function>, &mut World) {
        match &mut self.place {
            Place::Plain(function, world) => (function, &mut **world),
            Place::Virtio(driver) => (&mut driver.function, &mut driver.world),
        }
    }

    fn wait(&mut self, ns: u64) {
        let (function, world) = self.both();
        let until = world.clock.now().ns + ns;
        world.advance_to(until, &mut **function);
    }

    fn act(&mut self, op: &Op) {
        let queues = self.both().0.doorbells().len().max(1);
        if let Place::Virtio(driver) = &mut self.place {
            match op {
                Op::Add { queue, parts } if !parts.is_empty() => {
                    driver.add(u16::from(*queue) % queues as u16, parts);
                }
                Op::Kick { queue } => driver.kick(u16::from(*queue) % queues as u16),
                Op::Restart => driver.restart(),
                _ => {}
            }
        }
        let (function, world) = self.both();
        match op {
            Op::Write { bar, offset, width, value } => {
                access(&mut **function, world, *bar, *offset, *width, Some(*value));
            }
            Op::Read { bar, offset, width } => access(&mut **function, world, *bar, *offset, *width, None),
            Op::Store { at, bytes } => {
                let at = *at as usize % world.memory_mut().len();
                world.memory_mut()[at..].iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            }
            Op::Receive(bytes) => {
                if let Some(inbox) = function.inbox() {
                    let taken = inbox.receive(bytes, &mut world.ports());
                    assert!(taken <= bytes.len());
                }
            }
            Op::Reset => function.reset(&mut world.ports()),
            Op::Refuse { page, pages } => {
                let start = u64::from(*page) << 12;
                world.refuse(start, start + (u64::from(*pages) << 12));
            }
            _ => {}
        }
    }

    /// Takes what is only remembered for tests, so that it does not grow.
    fn drain(&mut self) {
        let (_, world) = self.both();
        world.take_accesses();
        let (raised, events) = (world.take_raised(), std::mem::take(&mut world.trace.events).len());
        self.raised.extend(raised);
        self.events += events;
    }

    fn end(mut self) -> Left {
        let (raised, events) = (std::mem::take(&mut self.raised), self.events);
        let (function, world) = self.both();
        Left {
            state: function.save_state(),
            counters: function.counters(),
            raised,
            events,
            memory: world.memory_mut().to_vec(),
        }
    }
}

fn bytes_of(bar: Bar) -> u64 {
    match bar {
        Bar::None => 0,
        Bar::Memory32 { bytes, .. } | Bar::Port { bytes } => bytes.into(),
        Bar::Memory64 { bytes, .. } => bytes,
    }
}

/// An access as the PCI adapter gives it: inside the BAR, and to words only whole ones.
fn access(
    function: &mut dyn Function,
    world: &mut World,
    bar: u8,
    offset: u16,
    width: u8,
    value: Option<u64>,
) {
    let bytes = bytes_of(function.identity().bars[usize::from(bar)]);
    if bytes == 0 {
        return;
    }
    let offset = u64::from(offset) % bytes;
    let ports = &mut world.ports();
    match function.registers() {
        Registers::Words(words) if bar == 0 => {
            let offset = offset as u32 & !3;
            match value {
                Some(value) => words.write(offset, value as u32, ports),
                None => _ = words.read(offset, ports),
            }
        }
        Registers::Words(_) => {}
        Registers::AsIssued(registers) => {
            let mut data = value.unwrap_or_default().to_le_bytes();
            let data = &mut data[..(1 << width).min(bytes - offset) as usize];
            match value {
                Some(_) => registers.write(bar, offset, data, ports),
                None => registers.read(bar, offset, data, ports),
            }
        }
    }
}
