//! The display: its heads, and its face to the PCI adapter.

use fencepost_trace::{EngineSpec, Role};

use super::config::{Config, ConfigError, DisplayParts};
use super::engine::Head;
use super::registers::{self, HEAD_BYTES, Reg};
use super::state::{DisplayState, HeadState};
use crate::changes::{Changes, changed};
use crate::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use crate::parameters::Parameters;
use crate::ports::Ports;
use crate::registers::Place;
use crate::state::{SavedState, pack};

/// The display as a PCI function's core.
pub struct Display {
    config: Config,
    heads: [Head; registers::HEADS],
}

impl Display {
    /// A display after power-on.
    pub fn new(parts: DisplayParts) -> Result<Self, ConfigError> {
        parts.config.check()?;
        Ok(Display::with_state(parts, DisplayState::default()))
    }

    /// A display in `state`.
    pub(super) fn with_state(parts: DisplayParts, state: DisplayState) -> Self {
        let DisplayParts { config, sinks: [sink, sink2] } = parts;
        let [first, second] = state.heads;
        let first = Head::new(0, config.of_head(0), sink, first);
        let second = Head::new(1, config.of_head(1), sink2, second);
        Display { config, heads: [first, second] }
    }

    /// Everything needed to go on elsewhere; also the counters.
    pub fn state(&self) -> DisplayState {
        DisplayState { heads: self.heads.each_ref().map(Head::save) }
    }

    /// The register at `offset`: of which head, and where among its own.
    fn at(&mut self, offset: u32) -> Option<(&mut Head, u32, Place<Reg>)> {
        let (number, offset) = (offset / HEAD_BYTES, offset % HEAD_BYTES);
        let place = registers::MAP.at(offset)?;
        let head = self.heads.get_mut(number as usize)?;
        (number == 0 || !place.register.id.is_of_function()).then_some((head, offset, place))
    }

    /// The sum over all heads.
    fn sum(&self, of: impl Fn(&HeadState) -> u64) -> u64 {
        self.heads.iter().fold(0, |sum, head| sum.saturating_add(of(&head.state)))
    }
}

impl Words for Display {
    fn read(&mut self, offset: u32, ports: &mut Ports<'_>) -> u32 {
        self.at(offset).map_or(0, |(head, offset, place)| head.read(offset, &place, ports))
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        if let Some((head, _, place)) = self.at(offset) {
            head.write(&place, value, ports);
        }
    }
}

impl Function for Display {
    fn identity(&self) -> Identity {
        Identity {
            name: "display",
            ids: Ids::fencepost(3),
            class: 0x03_80_00,
            revision: 1,
            engines: &[
                EngineSpec { name: "display", role: Role::Sink },
                EngineSpec { name: "display2", role: Role::Sink },
            ],
            ..Identity::registers_and_msix(registers::BAR0_BYTES, registers::VECTORS)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        let bells = registers::offsets(Reg::Commit);
        bells.map(|offset| Doorbell { offset, bytes: 4, value: Some(1) }).collect()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, token: u32, ports: &mut Ports<'_>) {
        for head in &mut self.heads {
            head.timer(token, ports);
        }
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        for head in &mut self.heads {
            head.state = HeadState::default();
            head.arm(ports);
        }
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        self.heads.iter().for_each(|head| head.arm(ports));
    }

    fn counters(&self) -> Vec<Counter> {
        let counter = |name, of: fn(&HeadState) -> u64| Counter { name, value: self.sum(of) };
        vec![
            counter("vblanks", |head| head.handled),
            counter("accepted", |head| head.accepted),
            counter("commits", |head| head.latched),
            counter("underruns", |head| head.underruns.into()),
            counter("refused", |head| head.refused.into()),
            counter("writebacks", |head| head.written.pictures),
            counter("writeback-failures", |head| head.written.failures.into()),
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

impl Changes for Display {
    const KEYS: &'static [&'static str] = &[
        "width",
        "height",
        "hz",
        "monitor",
        "width2",
        "height2",
        "hz2",
        "monitor2",
        "scanout",
        "latency",
        "bytes-per-cycle",
    ];

    fn change(&mut self, changes: &Parameters, ports: &mut Ports<'_>) -> Result<(), String> {
        let config: Config = changed(&self.config, changes)?;
        config.check().map_err(|error| error.to_string())?;
        for (number, head) in (0..).zip(&mut self.heads) {
            head.configure(config.of_head(number), ports);
        }
        self.config = config;
        Ok(())
    }
}
