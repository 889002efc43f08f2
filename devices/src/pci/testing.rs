//! A fake platform for tests of the bus, and a toy function that does what it is told.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;

use fencepost_trace::Stamp;
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::function::{Counter, Doorbell, Function, Identity, Ids, Inbox, Registers, Words};
use crate::ports::{DmaExt, Gpa, Iova, Ports};
use crate::state::{SavedState, StateError, Stateful, pack};
use crate::testing::FakeTrace;

use super::{BusClock, MsiWrite, Platform, Translation, Untranslated, Windows};

/// Room for BARs, as a machine has it.
pub fn windows() -> Windows {
    Windows {
        memory: 0xc000_0000..0xe000_0000,
        high_memory: 0x40_0000_0000..0x80_0000_0000,
        ports: 0xc000..0x1_0000,
    }
}

/// Virtual time that a test sets, and the calls asked for.
#[derive(Default)]
pub struct FakeBusClock {
    /// Now, in nanoseconds and in cycles.
    pub now_ns: u64,
    /// Pending calls: (requester id, token) to time.
    pub pending: BTreeMap<(u16, u32), u64>,
}

impl BusClock for FakeBusClock {
    fn now(&self) -> Stamp {
        Stamp { cycles: self.now_ns, ns: self.now_ns }
    }

    fn call_at(&mut self, rid: u16, token: u32, at_ns: u64) {
        self.pending.insert((rid, token), at_ns);
    }

    fn cancel(&mut self, rid: u16, token: u32) {
        self.pending.remove(&(rid, token));
    }

    fn cycles_to_ns(&self, cycles: u64) -> u64 {
        cycles
    }

    fn vary(&mut self, cycles: u64) -> u64 {
        cycles
    }
}

/// Everything a [`Platform`] lends, owned by a test.
pub struct FakePlatform<T: Translation = Untranslated> {
    /// Guest RAM from address 0.
    pub memory: GuestMemoryMmap,
    /// The translation.
    pub translation: T,
    /// What devices wrote: (address, length).
    pub written: RefCell<Vec<(u64, u64)>>,
    /// Time.
    pub clock: FakeBusClock,
    /// Events.
    pub trace: FakeTrace,
    /// MSIs raised and not yet taken.
    pub messages: Vec<MsiWrite>,
}

impl<T: Translation> FakePlatform<T> {
    /// A platform with `bytes` of zeroed RAM.
    pub fn new(bytes: usize, translation: T) -> Self {
        let ranges = [(GuestAddress(0), bytes)];
        FakePlatform {
            memory: GuestMemoryMmap::from_ranges(&ranges).expect("anonymous memory can be mapped"),
            translation,
            written: RefCell::new(Vec::new()),
            clock: FakeBusClock::default(),
            trace: FakeTrace::default(),
            messages: Vec::new(),
        }
    }

    /// Makes `call` with the platform lent.
    pub fn lend<R>(&mut self, call: impl FnOnce(&mut Platform<'_>) -> R) -> R {
        let written = |gpa: Gpa, len: u64| self.written.borrow_mut().push((gpa.0, len));
        // What a page holds is a number that it keeps until somebody writes another.
        let observe = |gpa: Gpa| {
            let mut page = [0; 4096];
            self.memory.read_slice(&mut page, GuestAddress(gpa.0 & !0xfff)).ok()?;
            Some(crc32fast::hash(&page))
        };
        call(&mut Platform {
            cpu: 0,
            memory: &self.memory,
            translation: &mut self.translation,
            written: &written,
            observe: &observe,
            clock: &mut self.clock,
            trace: &mut self.trace,
            messages: &mut self.messages,
        })
    }

    /// Reads a 64-bit word of RAM.
    pub fn read_u64(&self, gpa: u64) -> u64 {
        self.memory.read_obj(GuestAddress(gpa)).expect("the test reads inside RAM")
    }

    /// Writes a 64-bit word of RAM.
    pub fn write_u64(&self, gpa: u64, value: u64) {
        self.memory.write_obj(value, GuestAddress(gpa)).expect("the test writes inside RAM");
    }
}

/// A function whose registers command the ports directly:
///
/// | offset | on write | on read |
/// |---|---|---|
/// | 0x00, 0x04 | low and high half of an I/O virtual address | the same |
/// | 0x08 | writes the value, as 64 bits, to that address | status: 0 done, 1 refused, 2 no bus master |
/// | 0x0c | raises that vector | 0 |
/// | 0x10 | asks for a timer call at that time | number of timer calls |
/// | 0x14 | reads 64 bits at the address | the low half of what was read |
/// | 0x18 | nothing | number of resets |
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToyFunction {
    address: u64,
    status: u32,
    timers: u32,
    loaded: u64,
    resets: u32,
    /// When the timer is due.
    due_ns: Option<u64>,
}

impl ToyFunction {
    fn finish(&mut self, result: Result<(), crate::ports::DmaFault>) {
        self.status = match result {
            Ok(()) => 0,
            Err(crate::ports::DmaFault::NotBusMaster) => 2,
            Err(_) => 1,
        };
    }
}

impl Stateful for ToyFunction {
    const KIND: &'static str = "toy";
    const VERSION: u32 = 1;
    type Parts = ();
    type State = ToyFunction;

    fn save(&self) -> ToyFunction {
        self.clone()
    }

    fn restore((): (), state: ToyFunction) -> Result<Self, StateError> {
        Ok(state)
    }
}

impl Words for ToyFunction {
    fn read(&mut self, offset: u32, _ports: &mut Ports<'_>) -> u32 {
        match offset {
            0x00 => self.address as u32,
            0x04 => (self.address >> 32) as u32,
            0x08 => self.status,
            0x10 => self.timers,
            0x14 => self.loaded as u32,
            0x18 => self.resets,
            _ => 0,
        }
    }

    fn write(&mut self, offset: u32, value: u32, ports: &mut Ports<'_>) {
        match offset {
            0x00 => self.address = self.address & !0xffff_ffff | u64::from(value),
            0x04 => self.address = self.address & 0xffff_ffff | u64::from(value) << 32,
            0x08 => {
                let result = ports.dma.write_u64(Iova(self.address), u64::from(value));
                self.finish(result);
            }
            0x0c => ports.msi.raise(value as u16),
            0x10 => {
                self.due_ns = Some(u64::from(value));
                self.rearm(ports);
            }
            0x14 => {
                let result = ports.dma.read_u64(Iova(self.address)).map(|word| self.loaded = word);
                self.finish(result);
            }
            _ => {}
        }
    }
}

impl Function for ToyFunction {
    fn identity(&self) -> Identity {
        Identity {
            name: "toy",
            ids: Ids::fencepost(0x99),
            class: 0xff_0000,
            revision: 1,
            ..Identity::registers_and_msix(0x1000, 3)
        }
    }

    fn registers(&mut self) -> Registers<'_> {
        Registers::Words(self)
    }

    fn timer(&mut self, _token: u32, _ports: &mut Ports<'_>) {
        self.timers = self.timers.saturating_add(1);
        self.due_ns = None;
    }

    fn reset(&mut self, ports: &mut Ports<'_>) {
        ports.clock.cancel(0);
        *self = ToyFunction { resets: self.resets.saturating_add(1), ..ToyFunction::default() };
    }

    fn doorbells(&self) -> Vec<Doorbell> {
        Vec::new()
    }

    fn inbox(&mut self) -> Option<&mut dyn Inbox> {
        None
    }

    fn save_state(&self) -> SavedState {
        pack(self)
    }

    fn rearm(&self, ports: &mut Ports<'_>) {
        if let Some(at_ns) = self.due_ns {
            ports.clock.call_at(at_ns, 0);
        }
    }

    fn counters(&self) -> Vec<Counter> {
        vec![Counter { name: "timers", value: self.timers.into() }]
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
