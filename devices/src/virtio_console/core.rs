//! The device: six queues, of which two are the terminal's, two for control and two the channel's.

use fencepost_trace::{EngineSpec, Role};

use super::config::{ConsoleConfig, PARAMETERS};
use super::control::{self, FromDriver, HEADER_BYTES};
use super::message::{DATA_MAX_BYTES, Message};
use super::state::{CONTROL_MAX, ConsoleState, INPUT_MAX_BYTES, PortState};
use super::{ByteSink, Port, VirtioConsole};
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
use crate::registers::{Register, read_only};
use crate::registry::Host;
use crate::state::{StateError, require};
use crate::virtio::{Device, Io};

/// Driver's features: the configuration has the size; several ports.
const F_SIZE: u64 = 1;
const F_MULTIPORT: u64 = 1 << 1;

const CONTROL_IN: u16 = 2;
const CONTROL_OUT: u16 = 3;
/// The most buffers of a queue that one look takes.
const LOOK_MAX_BUFFERS: usize = 16;
/// The most buffers for input that one look fills, as many as the queue has: a driver may add empty ones for as long as it likes.
const LOOK_MAX_INPUT: usize = 64;
/// The most bytes of a buffer: what is behind them is left out and counted. Linux never gives more than 32 KiB.
const BUFFER_MAX_BYTES: usize = 64 * 1024;

/// The queues of each port: to the guest and from it.
const QUEUES: [(u16, u16); 2] = [(0, 1), (4, 5)];

/// What the device is built from.
pub struct ConsoleParts {
    /// Configuration.
    pub config: ConsoleConfig,
    /// Where the terminal's output goes.
    pub terminal: Box<dyn ByteSink>,
    /// Where the channel's goes.
    pub channel: Box<dyn ByteSink>,
}

/// The device core.
pub struct Console {
    config: ConsoleConfig,
    sinks: [Box<dyn ByteSink>; 2],
    state: ConsoleState,
}

impl Console {
    fn port(&mut self, port: Port) -> &mut PortState {
        let [terminal, channel] = &mut self.state.ports;
        match port {
            Port::Terminal => terminal,
            Port::Channel => channel,
        }
    }

    /// Has the device look at its queues soon, as far as `bytes` are concerned.
    fn look_soon(&mut self, bytes: usize, io: &mut Io<'_, '_>) {
        self.state.looker.look_soon(self.config.cost().cycles(bytes as u64), io);
    }

    fn tell(&mut self, message: Vec<u8>) {
        if self.state.control.len() < CONTROL_MAX {
            self.state.control.push_back(message);
        } else {
            self.state.dropped = self.state.dropped.saturating_add(1);
        }
    }

    fn hear(&mut self, message: &[u8]) {
        match FromDriver::parse(message) {
            Some(FromDriver::DeviceReady) => {
                self.state.ready = true;
                self.tell(control::add(control::TERMINAL));
                self.tell(control::add(control::CHANNEL));
            }
            Some(FromDriver::PortReady(Port::Terminal)) => {
                self.tell(control::console());
                self.tell(control::resize(self.state.columns, self.state.rows));
                self.tell(control::open(control::TERMINAL, true));
            }
            Some(FromDriver::PortReady(Port::Channel)) => {
                self.tell(control::name());
                self.tell(control::open(control::CHANNEL, self.state.connected));
            }
            Some(FromDriver::PortOpen(port, open)) => self.port(port).open = open,
            None => self.state.malformed = self.state.malformed.saturating_add(1),
        }
    }

    /// Moves what can be moved; whether more waits, and how many bytes went.
    fn look(&mut self, io: &mut Io<'_, '_>) -> Result<(bool, usize), DmaFault> {
        let mut more = self.take_control(io)?;
        self.give_control(io)?;
        let mut moved = 0usize;
        for (index, (to_guest, from_guest)) in QUEUES.into_iter().enumerate() {
            let (sends, sent) = self.send(index, from_guest, io)?;
            let (takes, given) = self.give_input(index, to_guest, io)?;
            more |= sends | takes;
            moved = moved.saturating_add(sent).saturating_add(given);
        }
        Ok((more, moved))
    }

    fn take_control(&mut self, io: &mut Io<'_, '_>) -> Result<bool, DmaFault> {
        for _ in 0..LOOK_MAX_BUFFERS {
            if io.has_taken_enough() {
                break;
            }
            let Some(chain) = io.pop(CONTROL_OUT) else { return Ok(false) };
            let message = chain.read_all(io.ports.dma, HEADER_BYTES)?;
            self.hear(&message);
            io.finish(CONTROL_OUT, &chain, 0);
        }
        Ok(true)
    }

    fn give_control(&mut self, io: &mut Io<'_, '_>) -> Result<(), DmaFault> {
        while let Some(message) = self.state.control.front().filter(|_| !io.has_taken_enough()) {
            let Some(chain) = io.pop(CONTROL_IN) else { break };
            let written = chain.write(io.ports.dma, 0, message)?;
            io.finish(CONTROL_IN, &chain, u32::try_from(written).unwrap_or(u32::MAX));
            self.state.control.pop_front();
        }
        Ok(())
    }

    /// Takes what the guest writes to a port; whether there may be more, and how many bytes there were.
    fn send(&mut self, index: usize, queue: u16, io: &mut Io<'_, '_>) -> Result<(bool, usize), DmaFault> {
        let mut moved = 0usize;
        for _ in 0..LOOK_MAX_BUFFERS {
            if io.has_taken_enough() {
                break;
            }
            let Some(chain) = io.pop(queue) else { return Ok((false, moved)) };
            let data = chain.read_all(io.ports.dma, BUFFER_MAX_BYTES)?;
            moved = moved.saturating_add(data.len());
            self.state.sent = self.state.sent.saturating_add(data.len() as u64);
            if chain.readable_bytes() > data.len() as u64 {
                self.state.malformed = self.state.malformed.saturating_add(1);
            }
            if let Some(sink) = self.sinks.get_mut(index) {
                sink.write(&data);
            }
            io.finish(queue, &chain, 0);
        }
        Ok((true, moved))
    }

    /// Gives the guest what waits for it at a port; whether there may be room for more, and how many bytes went.
    fn give_input(
        &mut self,
        index: usize,
        queue: u16,
        io: &mut Io<'_, '_>,
    ) -> Result<(bool, usize), DmaFault> {
        let (mut moved, mut buffers) = (0usize, 0);
        // Without several ports the one is a terminal, and nobody says that it is open.
        let alone = index == 0 && io.features() & F_MULTIPORT == 0;
        let Some(port) = self.state.ports.get_mut(index) else { return Ok((false, 0)) };
        let listens = port.open || alone;
        while listens && !port.input.is_empty() && buffers < LOOK_MAX_INPUT {
            if io.has_taken_enough() {
                buffers = LOOK_MAX_INPUT;
                break;
            }
            let Some(chain) = io.pop(queue) else { break };
            buffers = buffers.saturating_add(1);
            let room = usize::try_from(chain.writable_bytes()).unwrap_or(usize::MAX);
            let data: Vec<u8> = port.input.drain(..room.min(port.input.len())).collect();
            let written = chain.write(io.ports.dma, 0, &data)?;
            moved = moved.saturating_add(written);
            io.finish(queue, &chain, u32::try_from(written).unwrap_or(u32::MAX));
        }
        self.state.received = self.state.received.saturating_add(moved as u64);
        Ok((buffers == LOOK_MAX_INPUT, moved))
    }

    fn resize(&mut self, columns: u16, rows: u16, io: &mut Io<'_, '_>) {
        if (columns, rows) == (self.state.columns, self.state.rows) {
            return;
        }
        (self.state.columns, self.state.rows) = (columns, rows);
        if self.state.ready {
            self.tell(control::resize(columns, rows));
        }
        io.config_changed();
    }

    fn connect(&mut self, on: bool) {
        if self.state.connected != on {
            self.state.connected = on;
            if self.state.ready {
                self.tell(control::open(control::CHANNEL, on));
            }
        }
    }
}

impl Device for Console {
    const KIND: &'static str = "virtio-console";
    const ABOUT: &'static str = "virtio console: a terminal with a size (hvc0), and a channel to the host";
    const VERSION: u32 = 1;
    const TYPE: u16 = 3;
    /// Simple communication controller, other.
    const CLASS: u32 = 0x07_80_00;
    const QUEUES: &'static [u16] = &[64; 6];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: "virtio-console", role: Role::Other }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = ConsoleConfig;
    type Parts = ConsoleParts;
    type State = ConsoleState;

    fn parts(config: ConsoleConfig, host: &mut dyn Host) -> Result<ConsoleParts, String> {
        Ok(ConsoleParts { config, terminal: host.port(Port::Terminal), channel: host.port(Port::Channel) })
    }

    fn power_on(parts: ConsoleParts) -> Result<Self, String> {
        let ConsoleParts { config, terminal, channel } = parts;
        Ok(Console { config, sinks: [terminal, channel], state: ConsoleState::new(&config) })
    }

    fn config_table() -> Vec<Register> {
        vec![
            read_only("cols", 0, 2, 0).configured(),
            read_only("rows", 2, 2, 0).configured(),
            read_only("max_nr_ports", 4, 4, 2),
        ]
    }

    fn cost(config: &ConsoleConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn features(&self) -> u64 {
        F_SIZE | F_MULTIPORT
    }

    fn config(&self) -> Vec<u8> {
        let (columns, rows) = (self.state.columns.to_le_bytes(), self.state.rows.to_le_bytes());
        [&columns[..], &rows, &2u32.to_le_bytes()].concat()
    }

    fn notify(&mut self, _: u16, io: &mut Io<'_, '_>) {
        self.look_soon(0, io);
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        if self.state.looker.is_time() {
            let looked = self.look(io);
            let cost = self.config.cost();
            let left = looked.map(|(more, bytes)| more.then(|| cost.cycles(bytes as u64)));
            self.state.looker.looked(left, io);
        }
    }

    fn receive(&mut self, data: &[u8], io: &mut Io<'_, '_>) -> usize {
        match Message::parse(data) {
            Some(Message::Data(port, characters)) if characters.len() <= DATA_MAX_BYTES => {
                let input = &mut self.port(port).input;
                if input.len().saturating_add(characters.len()) > INPUT_MAX_BYTES {
                    return 0;
                }
                input.extend(characters);
            }
            Some(Message::Size(columns, rows)) => self.resize(columns, rows, io),
            Some(Message::Connected(on)) => self.connect(on),
            Some(Message::Data(..)) | None => {
                self.state.malformed = self.state.malformed.saturating_add(1);
            }
        }
        self.look_soon(data.len(), io);
        data.len()
    }

    /// Size and connection are the host's and stay; what waits for the guest does too.
    fn reset(&mut self, io: &mut Io<'_, '_>) {
        self.state.looker.reset(io);
        self.state.ready = false;
        self.state.control.clear();
        self.state.ports.iter_mut().for_each(|port| port.open = false);
    }

    fn save(&self) -> ConsoleState {
        self.state.clone()
    }

    fn restore(parts: ConsoleParts, state: ConsoleState) -> Result<Self, StateError> {
        let ConsoleParts { config, terminal, channel } = parts;
        let bounded = state.ports.iter().all(|port| port.input.len() <= INPUT_MAX_BYTES)
            && state.control.len() <= CONTROL_MAX;
        require::<VirtioConsole>(bounded, "more waits than it keeps")?;
        Ok(Console { config, sinks: [terminal, channel], state })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        self.state.looker.rearm(io);
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "sent", value: self.state.sent },
            Counter { name: "received", value: self.state.received },
            Counter { name: "dropped", value: self.state.dropped },
            Counter { name: "malformed", value: self.state.malformed },
        ]
    }
}
