//! A card as no device of this project is: for tests of the bus, and of a machine with such a card in it.

use std::any::Any;

use crate::function::{
    AsIssued, BARS, Bar, Counter, Doorbell, Function, Identity, Ids, Inbox, Interrupts, MsixTable, Pin,
    Registers,
};
use crate::ports::Ports;
use crate::state::SavedState;

/// One access as the card saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The base address register.
    pub bar: u8,
    /// Offset in bytes.
    pub offset: u64,
    /// What was written; none: a read.
    pub written: Option<Vec<u8>>,
}

/// Byte `n` of BAR `b` reads as n + 32 b. A byte written at offset 0 of any BAR is the level of the line; one at offset 1
/// raises the message of that number. Whatever is seen is kept.
pub struct OddCard {
    identity: Identity,
    /// The accesses, oldest first.
    pub seen: Vec<Seen>,
}

impl OddCard {
    /// A conventional card: byte-wide registers at ports and in a small memory BAR, 64 MiB of prefetchable memory behind a 64-bit
    /// BAR, four messages of MSI, and INTB#.
    pub fn conventional() -> Self {
        let memory = |bytes| Bar::Memory32 { bytes, prefetchable: false };
        OddCard {
            identity: Identity {
                name: "odd",
                ids: Ids { vendor: 0x5ca1, device: 0xab1e, subsystem_vendor: 0x0ddc, subsystem: 0xa4d5 },
                class: 0x04_01_00,
                revision: 0x10,
                bars: [
                    Bar::Port { bytes: 32 },
                    memory(64),
                    Bar::Memory64 { bytes: 64 << 20, prefetchable: true },
                    Bar::None,
                    Bar::None,
                    Bar::Port { bytes: 4 },
                ],
                interrupts: Interrupts { msix: None, msi: 4, pin: Some(Pin::B) },
                express: false,
                vendor_capabilities: &[],
                engines: &[],
            },
            seen: Vec::new(),
        }
    }

    /// The same with an MSI-X table in the middle of the large BAR and its pending bits in the small one.
    pub fn with_msix() -> Self {
        let mut card = Self::conventional();
        card.identity.interrupts.msix = Some(MsixTable {
            vectors: 5,
            table_bar: 2,
            table_offset: 0x2008,
            pending_bar: 1,
            pending_offset: 0x20,
        });
        card
    }

    /// The same with these BARs and no interrupts.
    pub fn with_bars(bars: [Bar; BARS]) -> Self {
        let mut card = Self::conventional();
        card.identity.bars = bars;
        card.identity.interrupts = Interrupts { msix: None, msi: 0, pin: None };
        card
    }
}

impl AsIssued for OddCard {
    fn read(&mut self, bar: u8, offset: u64, data: &mut [u8], _ports: &mut Ports<'_>) {
        self.seen.push(Seen { bar, offset, written: None });
        for (at, byte) in (offset..).zip(data) {
            *byte = (at as u8).wrapping_add(bar.wrapping_mul(32));
        }
    }

    fn write(&mut self, bar: u8, offset: u64, data: &[u8], ports: &mut Ports<'_>) {
        self.seen.push(Seen { bar, offset, written: Some(data.to_vec()) });
        match (offset, data) {
            (0, &[level]) => ports.msi.set_line(level != 0),
            (1, &[vector]) => ports.msi.raise(vector.into()),
            _ => {}
        }
    }
}

impl Function for OddCard {
    fn identity(&self) -> Identity {
        self.identity
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

    fn timer(&mut self, _token: u32, _ports: &mut Ports<'_>) {}

    fn reset(&mut self, _ports: &mut Ports<'_>) {
        self.seen.clear();
    }

    /// What it has seen is the test's, not the card's.
    fn save_state(&self) -> SavedState {
        SavedState { kind: "odd".into(), version: 1, bytes: Vec::new() }
    }

    fn rearm(&self, _ports: &mut Ports<'_>) {}

    fn counters(&self) -> Vec<Counter> {
        Vec::new()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
