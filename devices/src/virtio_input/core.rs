//! The device: events from the host, and the LEDs' state from the driver.

use std::marker::PhantomData;

use fencepost_trace::{EngineSpec, JobKind, Role};

use super::config::{InputConfig, PARAMETERS};
use super::facts::Kind;
use super::state::InputState;
use crate::cost::CostModel;
use crate::function::Counter;
use crate::parameters::Parameter;
use crate::ports::DmaFault;
use crate::registers::{Register, all, read_only, read_write};
use crate::registry::Host;
use crate::state::StateError;
use crate::virtio::{Chain, Device, Io};

/// Bytes of `struct virtio_input_event` (5.8.6): type and code, 16 bits each, and a value of 32, all little-endian.
pub const EVENT_BYTES: usize = 8;
/// The queue of buffers for events.
const EVENTS: u16 = 0;
/// The queue of what the driver says.
const STATUS: u16 = 1;
/// The call at the end of a status buffer.
const TIMER_STATUS: u32 = 0;
/// `EV_LED`.
const EV_LED: u16 = 0x11;

/// Where in the configuration a select byte is (5.8.4), and what follows.
const SELECT: usize = 0;
const SUBSEL: usize = 1;
const SIZE: usize = 2;
const DATA: usize = 8;
const DATA_BYTES: usize = 128;

/// An input device of kind `K`.
#[derive(Debug)]
pub struct Input<K> {
    config: InputConfig,
    state: InputState,
    kind: PhantomData<K>,
}

impl<K: Kind> Input<K> {
    /// Takes the next buffer of the status queue, unless there is one.
    fn begin(&mut self, io: &mut Io<'_, '_>) {
        if self.state.job.is_some() {
            return;
        }
        let Some(chain) = io.pop(STATUS) else { return };
        io.job_starts(0, self.state.statuses, JobKind::Nop);
        let due_ns = io.ports.job_end_ns(self.config.cost().cycles(EVENT_BYTES as u64));
        self.state.job = Some((chain, due_ns));
        self.rearm(io);
    }

    fn end(&mut self, io: &mut Io<'_, '_>) {
        let Some((chain, _)) = self.state.job.take() else { return };
        let taken = self.take_status(&chain, io);
        io.job_ends(0, self.state.statuses, taken.is_ok());
        self.state.statuses = self.state.statuses.saturating_add(1);
        io.settle(STATUS, &chain, taken.map(|()| 0));
        self.begin(io);
    }

    /// Keeps what an event of the driver says of an LED; nothing else has a state.
    fn take_status(&mut self, chain: &Chain, io: &mut Io<'_, '_>) -> Result<(), DmaFault> {
        let mut event = [0; EVENT_BYTES];
        if chain.read(io.ports.dma, 0, &mut event)? < EVENT_BYTES {
            self.state.malformed = self.state.malformed.saturating_add(1);
            return Ok(());
        }
        let [kind_low, kind_high, code_low, code_high, value @ ..] = event;
        let kind = u16::from_le_bytes([kind_low, kind_high]);
        let led = 1u64.checked_shl(u16::from_le_bytes([code_low, code_high]).into());
        if let (EV_LED, Some(led)) = (kind, led) {
            match u32::from_le_bytes(value) {
                0 => self.state.leds &= !led,
                _ => self.state.leds |= led,
            }
        }
        Ok(())
    }

    /// The bytes that `select` and `subsel` choose.
    fn answer(&self) -> Vec<u8> {
        K::FACTS.answer(self.state.select, self.state.subsel, self.config.serial)
    }
}

impl<K: Kind> Device for Input<K> {
    const KIND: &'static str = K::KIND;
    const ABOUT: &'static str = K::ABOUT;
    const VERSION: u32 = 1;
    const TYPE: u16 = 18;
    const CLASS: u32 = K::CLASS;
    const QUEUES: &'static [u16] = &[64, 64];
    const ENGINES: &'static [EngineSpec] = &[EngineSpec { name: K::KIND, role: Role::Other }];
    const PARAMETERS: &'static [Parameter] = PARAMETERS;
    type Config = InputConfig;
    type Parts = InputConfig;
    type State = InputState;

    fn parts(config: InputConfig, _: &mut dyn Host) -> Result<InputConfig, String> {
        Ok(config)
    }

    fn power_on(config: InputConfig) -> Result<Self, String> {
        Ok(Input { config, state: InputState::default(), kind: PhantomData })
    }

    fn config_table() -> Vec<Register> {
        vec![
            read_write("select", SELECT, 1, 0, all(1)),
            read_write("subsel", SUBSEL, 1, 0, all(1)),
            read_only("size", SIZE, 1, 0),
            read_only("data", DATA, 1, 0).each(DATA_BYTES, 1),
        ]
    }

    fn cost(config: &InputConfig) -> Option<CostModel> {
        Some(config.cost())
    }

    fn config(&self) -> Vec<u8> {
        let answer = self.answer();
        let mut bytes = vec![self.state.select, self.state.subsel, answer.len() as u8, 0, 0, 0, 0, 0];
        bytes.extend(answer);
        bytes.resize(DATA.saturating_add(DATA_BYTES), 0);
        bytes
    }

    fn write_config(&mut self, offset: usize, data: &[u8], _: &mut Io<'_, '_>) {
        for (at, byte) in (offset..).zip(data) {
            match at {
                SELECT => self.state.select = *byte,
                SUBSEL => self.state.subsel = *byte,
                _ => {}
            }
        }
    }

    fn notify(&mut self, queue: u16, io: &mut Io<'_, '_>) {
        if queue == STATUS {
            self.begin(io);
        }
    }

    fn timer(&mut self, _: u32, io: &mut Io<'_, '_>) {
        self.end(io);
    }

    /// Whole events. Those for which there is no buffer wait; without a driver they are lost, as keys are that are pressed
    /// while no keyboard is plugged in. What is left of an event at the end of `data` is no event.
    fn receive(&mut self, data: &[u8], io: &mut Io<'_, '_>) -> usize {
        let events = data.chunks_exact(EVENT_BYTES);
        let rest = events.remainder();
        if !io.is_running() {
            self.state.dropped = self.state.dropped.saturating_add(events.len() as u64);
            return data.len();
        }
        let (mut taken, mut all) = (0usize, true);
        for event in events {
            let Some(chain) = io.pop(EVENTS) else {
                all = false;
                break;
            };
            match chain.write(io.ports.dma, 0, event) {
                Ok(EVENT_BYTES) => {
                    self.state.events = self.state.events.saturating_add(1);
                    io.finish_quietly(EVENTS, &chain, EVENT_BYTES as u32);
                }
                Ok(written) => {
                    self.state.malformed = self.state.malformed.saturating_add(1);
                    io.finish_quietly(EVENTS, &chain, written as u32);
                }
                Err(fault) => {
                    io.fault(fault);
                    all = false;
                    break;
                }
            }
            taken = taken.saturating_add(EVENT_BYTES);
        }
        io.announce(EVENTS);
        if all && !rest.is_empty() {
            self.state.malformed = self.state.malformed.saturating_add(1);
            taken = data.len();
        }
        taken
    }

    fn reset(&mut self, io: &mut Io<'_, '_>) {
        io.ports.clock.cancel(TIMER_STATUS);
        let InputState { events, dropped, malformed, statuses, .. } = self.state;
        self.state = InputState { events, dropped, malformed, statuses, ..InputState::default() };
    }

    fn save(&self) -> InputState {
        self.state.clone()
    }

    fn restore(config: InputConfig, state: InputState) -> Result<Self, StateError> {
        Ok(Input { config, state, kind: PhantomData })
    }

    fn rearm(&self, io: &mut Io<'_, '_>) {
        if let Some((_, due_ns)) = self.state.job {
            io.ports.clock.call_at(due_ns, TIMER_STATUS);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![
            Counter { name: "events", value: self.state.events },
            Counter { name: "dropped", value: self.state.dropped },
            Counter { name: "malformed", value: self.state.malformed },
            Counter { name: "statuses", value: self.state.statuses },
            Counter { name: "leds", value: self.state.leds },
        ]
    }
}
