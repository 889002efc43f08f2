//! Fakes of the four ports, for device tests and for anyone who writes a device.

pub mod conformance;
pub mod page;

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use fencepost_random::Random;
use fencepost_trace::{Event, Stamp, Trace};
use vm_memory::VolatileSlice;

use crate::faults::FaultSet;
use crate::function::Function;
use crate::ports::{Access, Clock, Dma, DmaFault, Gpa, Iova, Kept, Msi, Ports, Seen};

/// Flat memory that starts at I/O virtual address zero, with refusable ranges.
pub struct FakeDma {
    memory: Vec<u8>,
    refused: Vec<(u64, u64)>,
    /// What was accessed: address, length and direction, ranges that continue as one.
    accesses: Vec<(u64, u64, Access)>,
}

/// Collects interrupts.
#[derive(Default)]
pub struct FakeMsi {
    /// Whether the line is asserted.
    pub line: bool,
    /// Vectors in the order they were raised.
    pub raised: Vec<u16>,
}

/// Virtual time at 1 cycle a nanosecond.
#[derive(Default)]
pub struct FakeClock {
    /// Makes jobs take up to a quarter longer than their cost model says; none: exactly as long.
    pub varied: Option<Random>,
    now_ns: u64,
    pending: BTreeMap<u32, u64>,
}

/// Collects events.
#[derive(Default)]
pub struct FakeTrace {
    /// Events in the order they were recorded.
    pub events: Vec<Event>,
}

/// The requester id of a function in a [`World`].
pub const FAKE_RID: u16 = 8;

/// All four fakes, and a driver's view of them.
pub struct World {
    /// Memory.
    pub dma: FakeDma,
    /// Interrupts.
    pub msi: FakeMsi,
    /// Time.
    pub clock: FakeClock,
    /// Events.
    pub trace: FakeTrace,
    /// Faults that the device was told to have.
    pub faults: RefCell<FaultSet>,
}

impl World {
    /// A world with `bytes` of zeroed memory at I/O virtual address 0.
    pub fn new(bytes: usize) -> Self {
        World {
            dma: FakeDma { memory: vec![0; bytes], refused: Vec::new(), accesses: Vec::new() },
            msi: FakeMsi::default(),
            clock: FakeClock::default(),
            trace: FakeTrace::default(),
            faults: RefCell::default(),
        }
    }

    /// The ports, to lend to a device.
    pub fn ports(&mut self) -> Ports<'_> {
        Ports {
            rid: FAKE_RID,
            dma: &mut self.dma,
            msi: &mut self.msi,
            clock: &mut self.clock,
            trace: &mut self.trace,
            faults: &self.faults,
        }
    }

    /// Tells the device to have this fault, with draws by seed 0.
    ///
    /// # Panics
    ///
    /// If `spec` is no fault.
    pub fn give_fault(&mut self, spec: &str) {
        let spec = spec.parse().unwrap_or_else(|why| panic!("{spec}: {why}"));
        self.faults.get_mut().give(&spec, 0, self.clock.now_ns).expect("there is room for a fault");
    }

    /// The memory's bytes; the index is the I/O virtual address.
    pub fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.dma.memory
    }

    /// Refuses every later access that touches `start..end` (end exclusive).
    pub fn refuse(&mut self, start: u64, end: u64) {
        self.dma.refused.push((start, end));
    }

    /// Takes the accesses made so far, (address, length, direction): those that continue each other as one.
    pub fn take_accesses(&mut self) -> Vec<(u64, u64, Access)> {
        std::mem::take(&mut self.dma.accesses)
    }

    /// Takes the vectors raised so far.
    pub fn take_raised(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.msi.raised)
    }

    /// Advances time to `to_ns`, making the calls that fall due on the way in time order, then token order.
    pub fn advance_to(&mut self, to_ns: u64, function: &mut dyn Function) {
        while let Some((token, at_ns)) = self.clock.next_due(to_ns) {
            self.clock.pending.remove(&token);
            self.clock.now_ns = self.clock.now_ns.max(at_ns);
            function.timer(token, &mut self.ports());
        }
        self.clock.now_ns = self.clock.now_ns.max(to_ns);
    }
}

impl Dma for FakeDma {
    fn visit(
        &mut self,
        iova: Iova,
        len: u64,
        access: Access,
        visit: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), DmaFault> {
        let end = iova.0.checked_add(len).ok_or(DmaFault::Overflow { iova, len })?;
        for &(start, stop) in &self.refused {
            if iova.0 < stop && start < end {
                return Err(DmaFault::Refused { iova: Iova(iova.0.max(start)), access });
            }
        }
        let range = iova.0 as usize..end as usize;
        let bytes = self.memory.get_mut(range).ok_or(DmaFault::NoMemory { iova })?;
        let follows =
            |(at, len, how): &(u64, u64, Access)| *how == access && at.checked_add(*len) == Some(iova.0);
        match self.accesses.last_mut().filter(|last| follows(last)) {
            Some((_, before, _)) => *before = before.saturating_add(len),
            None => self.accesses.push((iova.0, len, access)),
        }
        // Split at pages, so that devices meet more than one span.
        let mut rest = bytes;
        let mut room = 4096usize.saturating_sub(iova.0 as usize % 4096);
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_mut(room.min(rest.len()));
            visit(VolatileSlice::from(head));
            rest = tail;
            room = 4096;
        }
        Ok(())
    }

    fn visit_again(
        &mut self,
        iova: Iova,
        len: u64,
        seen: &mut Seen,
        visit: &mut dyn FnMut(VolatileSlice<'_>, Kept),
    ) -> Result<(), DmaFault> {
        let mut at = iova.0;
        self.visit(iova, len, Access::Read, &mut |span| {
            // What the bytes are is a number that they keep until somebody writes others.
            let mut bytes = vec![0; span.len()];
            span.copy_to(&mut bytes);
            visit(span, seen.next(Gpa(at), bytes.len(), Some(crc32fast::hash(&bytes))));
            at = at.saturating_add(bytes.len() as u64);
        })
    }
}

impl Msi for FakeMsi {
    fn raise(&mut self, vector: u16) {
        self.raised.push(vector);
    }

    fn set_line(&mut self, asserted: bool) {
        self.line = asserted;
    }
}

impl FakeClock {
    fn next_due(&self, to_ns: u64) -> Option<(u32, u64)> {
        self.pending
            .iter()
            .map(|(&token, &at)| (token, at))
            .filter(|&(_, at)| at <= to_ns)
            .min_by_key(|&(t, at)| (at, t))
    }

    /// The same time, at which nobody waits for a call.
    pub fn without_calls(&self) -> FakeClock {
        FakeClock { varied: self.varied.clone(), now_ns: self.now_ns, pending: BTreeMap::new() }
    }

    /// The pending call of `token`, if any, in nanoseconds.
    pub fn pending(&self, token: u32) -> Option<u64> {
        self.pending.get(&token).copied()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Stamp {
        Stamp { cycles: self.now_ns, ns: self.now_ns }
    }

    fn call_at(&mut self, at_ns: u64, token: u32) {
        self.pending.insert(token, at_ns);
    }

    fn cancel(&mut self, token: u32) {
        self.pending.remove(&token);
    }

    fn cycles_to_ns(&self, cycles: u64) -> u64 {
        cycles
    }

    fn vary(&mut self, cycles: u64) -> u64 {
        let longest = (cycles / 4).saturating_add(1);
        self.varied.as_mut().map_or(cycles, |random| cycles.saturating_add(random.below(longest)))
    }
}

impl Trace for FakeTrace {
    fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    fn is_heard(&self) -> bool {
        true
    }

    fn count(&mut self, _events: u64) {}
}
