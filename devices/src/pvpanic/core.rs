//! The device: a byte that says which events it hears, and is written to tell one.

use super::config::PvpanicConfig;
use super::registers::{BAR_BYTES, CRASH_LOADED, EVENTS, PANICKED, SHUTDOWN};
use super::state::PvpanicState;
use crate::function::{
    AsIssued, Bar, Counter, Doorbell, Function, Identity, Ids, Inbox, Interrupts, Registers,
};
use crate::ports::Ports;
use crate::state::{SavedState, pack};

/// What a guest's kernel tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEvent {
    /// It has panicked, and the host shall do what is to be done.
    Panicked,
    /// It has panicked and deals with that itself, by a crash kernel.
    CrashLoaded,
    /// It is shutting down.
    Shutdown,
}

/// Who is told, before the guest's write is over.
pub trait GuestEvents: Send {
    /// The guest's kernel has told this.
    fn event(&mut self, event: GuestEvent);
}

/// Nobody listens.
pub struct Nobody;

impl GuestEvents for Nobody {
    fn event(&mut self, _: GuestEvent) {}
}

/// What the device is built from.
pub struct PvpanicParts {
    /// Which events it hears.
    pub config: PvpanicConfig,
    /// Who is told of them.
    pub listener: Box<dyn GuestEvents>,
}

/// The device core.
pub struct Pvpanic {
    pub(super) config: PvpanicConfig,
    pub(super) listener: Box<dyn GuestEvents>,
    pub(super) state: PvpanicState,
}

impl Pvpanic {
    /// A device after power-on.
    pub fn new(parts: PvpanicParts) -> Self {
        let PvpanicParts { config, listener } = parts;
        Pvpanic { config, listener, state: PvpanicState::default() }
    }

    /// The register is written. Of several events the gravest counts.
    fn tell(&mut self, value: u8) {
        let told = value & self.config.events;
        let events = [
            (PANICKED, GuestEvent::Panicked),
            (CRASH_LOADED, GuestEvent::CrashLoaded),
            (SHUTDOWN, GuestEvent::Shutdown),
        ];
        let event = events.into_iter().find(|(bit, _)| told & bit != 0).map(|(_, event)| event);
        let count = match event {
            Some(GuestEvent::Panicked) => &mut self.state.panics,
            Some(GuestEvent::CrashLoaded) => &mut self.state.crash_loads,
            Some(GuestEvent::Shutdown) => &mut self.state.shutdowns,
            None => &mut self.state.ignored,
        };
        *count = count.saturating_add(1);
        event.into_iter().for_each(|event| self.listener.event(event));
    }
}

impl AsIssued for Pvpanic {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], _: &mut Ports<'_>) {
        data.fill(0);
        if let Some(first) = data.first_mut().filter(|_| bar == 0 && offset == EVENTS) {
            *first = self.config.events;
        }
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8], _: &mut Ports<'_>) {
        if let Some(&first) = data.first().filter(|_| bar == 0 && offset == EVENTS) {
            self.tell(first);
        }
    }
}

impl Function for Pvpanic {
    fn identity(&self) -> Identity {
        let none = Bar::None;
        Identity {
            name: "pvpanic",
            ids: Ids { vendor: 0x1b36, device: 0x0011, subsystem_vendor: 0x1af4, subsystem: 0x1100 },
            class: 0x08_80_00,
            revision: 1,
            bars: [Bar::Memory32 { bytes: BAR_BYTES, prefetchable: false }, none, none, none, none, none],
            interrupts: Interrupts { msix: None, msi: 0, pin: None },
            express: false,
            vendor_capabilities: &[],
            engines: &[],
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::AsIssued(self)
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn timer(&mut self, _: u32, _: &mut Ports<'_>) {}

    fn reset(&mut self, _: &mut Ports<'_>) {
        self.state = PvpanicState::default();
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, _: &mut Ports<'_>) {}

    fn counters(&self) -> Vec<Counter> {
        let state = &self.state;
        vec![
            Counter { name: "panics", value: state.panics },
            Counter { name: "crash-loads", value: state.crash_loads },
            Counter { name: "shutdowns", value: state.shutdowns },
            Counter { name: "ignored", value: state.ignored },
        ]
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
