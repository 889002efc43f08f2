//! The four ports: all that a device may do to the world.

use std::cell::RefCell;
use std::fmt;

use fencepost_trace::{EngineId, Event, FaultKind, Stamp, Trace};
use vm_memory::VolatileSlice;

use crate::faults::{FaultSet, FaultSpec, Struck};

/// An I/O virtual address: what a device puts on the bus, before the IOMMU translates it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Iova(pub u64);

/// A guest physical address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Gpa(pub u64);

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Gpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The direction of a DMA access, as the memory sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// The device reads memory.
    Read,
    /// The device writes memory.
    Write,
}

/// Why a DMA access was refused. Nothing was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaFault {
    /// The IOMMU has no mapping, or none with this right, for the address.
    #[error("IOMMU refused {access:?} at {iova}")]
    Refused {
        /// The first refused address.
        iova: Iova,
        /// What was tried.
        access: Access,
    },
    /// The translated address is not RAM.
    #[error("No memory behind {iova}")]
    NoMemory {
        /// The first address without memory.
        iova: Iova,
    },
    /// The function's bus-master-enable bit is clear.
    #[error("Bus mastering is off")]
    NotBusMaster,
    /// The range wraps around the end of the address space.
    #[error("DMA range {iova}+{len:#x} overflows")]
    Overflow {
        /// Where the range starts.
        iova: Iova,
        /// Its length in bytes.
        len: u64,
    },
}

impl DmaFault {
    /// The address that was refused, or where a range that wraps starts; none if no access from anywhere would have passed.
    pub fn address(&self) -> Option<Iova> {
        match *self {
            DmaFault::Refused { iova, .. }
            | DmaFault::NoMemory { iova }
            | DmaFault::Overflow { iova, .. } => Some(iova),
            DmaFault::NotBusMaster => None,
        }
    }
}

/// Guest memory by I/O virtual address, as one requester id.
pub trait Dma {
    /// Translates all of `iova .. iova + len` (exclusive end), then calls `visit` with the memory behind it in
    /// address order, in one or more spans that together are `len` bytes. With `Access::Write` the caller writes
    /// every byte of every span. If any part is refused nothing is visited.
    fn visit(
        &mut self,
        iova: Iova,
        len: u64,
        access: Access,
        visit: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), DmaFault>;

    /// As [`Self::visit`] to read, for someone who has kept what was there the last time: `visit` is told beside each span
    /// whether it is as `seen` has it, which then holds what it is now. A span is inside one page.
    ///
    /// Nothing is the same where it cannot be told, as under a processor that writes to memory without a word.
    fn visit_again(
        &mut self,
        iova: Iova,
        len: u64,
        seen: &mut Seen,
        visit: &mut dyn FnMut(VolatileSlice<'_>, Kept),
    ) -> Result<(), DmaFault>;
}

/// Whether what was kept of a span is what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is.
    Yes,
    /// It may be another.
    No,
}

/// The spans that were visited, in order: where they were, and the number that the memory had.
#[derive(Debug, Default)]
pub struct Seen {
    spans: Vec<(Gpa, usize, u32)>,
    at: usize,
}

impl Seen {
    /// Goes back to the first span.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Forgets the spans from the next one on.
    pub fn forget(&mut self) {
        self.spans.truncate(self.at);
    }

    /// Holds the next span, of `len` bytes at `gpa`, whose page has `number` until somebody writes to it; tells whether it held
    /// the same. Without a number it is held for nothing.
    pub fn next(&mut self, gpa: Gpa, len: usize, number: Option<u32>) -> Kept {
        let Some(number) = number else {
            self.forget();
            return Kept::No;
        };
        let span = (gpa, len, number);
        let kept = self.spans.get(self.at) == Some(&span);
        // Behind a span of another length everything has another place.
        if self.spans.get(self.at).is_some_and(|before| before.1 != len) {
            self.forget();
        }
        match self.spans.get_mut(self.at) {
            Some(place) => *place = span,
            None => self.spans.push(span),
        }
        self.at = self.at.saturating_add(1);
        if kept { Kept::Yes } else { Kept::No }
    }
}

/// Room that begins where a word of any size may.
#[repr(align(8))]
struct Words([u8; 8]);

/// Copies a span out. As much as a word holds is read as whole words, as far as the memory has them aligned: `vm-memory` does so where both
/// ends are aligned, and the bytes of an array need not be. So an index that a processor writes meanwhile is the old or the new one.
pub(crate) fn load(span: VolatileSlice<'_>, to: &mut [u8]) {
    let mut words = Words([0; 8]);
    match words.0.get_mut(..to.len()) {
        Some(part) => {
            span.copy_to(part);
            to.copy_from_slice(part);
        }
        None => _ = span.copy_to(to),
    }
}

/// Copies to a span, as [`load`] does from one.
pub(crate) fn store(span: VolatileSlice<'_>, from: &[u8]) {
    let mut words = Words([0; 8]);
    match words.0.get_mut(..from.len()) {
        Some(part) => {
            part.copy_from_slice(from);
            span.copy_from(part);
        }
        None => span.copy_from(from),
    }
}

/// Copies in and out, for any [`Dma`].
pub trait DmaExt {
    /// Fills `buf` from `iova`. An aligned word of 2, 4 or 8 bytes is read at once: what a processor writes to it meanwhile is there as a
    /// whole or not at all.
    fn read(&mut self, iova: Iova, buf: &mut [u8]) -> Result<(), DmaFault>;
    /// Writes `buf` at `iova`, and an aligned word at once.
    fn write(&mut self, iova: Iova, buf: &[u8]) -> Result<(), DmaFault>;
    /// Reads a little-endian 32-bit word.
    fn read_u32(&mut self, iova: Iova) -> Result<u32, DmaFault>;
    /// Reads a little-endian 64-bit word.
    fn read_u64(&mut self, iova: Iova) -> Result<u64, DmaFault>;
    /// Writes a little-endian 64-bit word.
    fn write_u64(&mut self, iova: Iova, value: u64) -> Result<(), DmaFault>;
}

impl<D: Dma + ?Sized> DmaExt for D {
    fn read(&mut self, iova: Iova, buf: &mut [u8]) -> Result<(), DmaFault> {
        let len = buf.len() as u64;
        let mut rest = buf;
        self.visit(iova, len, Access::Read, &mut |span| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(span.len());
            load(span, head);
            rest = tail;
        })
    }

    fn write(&mut self, iova: Iova, buf: &[u8]) -> Result<(), DmaFault> {
        let len = buf.len() as u64;
        let mut rest = buf;
        self.visit(iova, len, Access::Write, &mut |span| {
            let (head, tail) = rest.split_at(span.len());
            store(span, head);
            rest = tail;
        })
    }

    fn read_u32(&mut self, iova: Iova) -> Result<u32, DmaFault> {
        let mut bytes = [0; 4];
        self.read(iova, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn read_u64(&mut self, iova: Iova) -> Result<u64, DmaFault> {
        let mut bytes = [0; 8];
        self.read(iova, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write_u64(&mut self, iova: Iova, value: u64) -> Result<(), DmaFault> {
        self.write(iova, &value.to_le_bytes())
    }
}

/// The function's interrupts.
///
/// A function that has both messages and a line uses both ports: the PCI adapter lets out what the driver has enabled.
pub trait Msi {
    /// Raises message `vector` of MSI-X or MSI; masking and pending bits are the PCI adapter's business. A vector beyond the
    /// last is ignored.
    fn raise(&mut self, vector: u16);
    /// Asserts the line of the function's interrupt pin, or ceases to. It is level-triggered: asserted until the
    /// driver has done away with every reason for it. Nothing happens at a function without a pin.
    fn set_line(&mut self, asserted: bool);
}

/// Time.
pub trait Clock {
    /// Now. Does not advance while a device handles one call.
    fn now(&self) -> Stamp;
    /// Asks for `timer(token)` at `at_ns` (or as soon as possible, never within this call, if that is past).
    /// There is one pending call per token: a later request replaces it.
    fn call_at(&mut self, at_ns: u64, token: u32);
    /// Withdraws the pending call of `token`, if any.
    fn cancel(&mut self, token: u32);
    /// The length of `cycles` guest cycles in nanoseconds, rounded up.
    fn cycles_to_ns(&self, cycles: u64) -> u64;
    /// The cycles that a job takes this time which takes `cycles` by its cost model: the same, or somewhat more if the
    /// machine was told to vary what hardware may vary. Asked once a job.
    fn vary(&mut self, cycles: u64) -> u64;
}

/// The four ports of one function, lent for one call.
pub struct Ports<'a> {
    /// The function's PCI requester id, which its events carry.
    pub rid: u16,
    /// Guest memory through the IOMMU.
    pub dma: &'a mut dyn Dma,
    /// Interrupts.
    pub msi: &'a mut dyn Msi,
    /// Time.
    pub clock: &'a mut dyn Clock,
    /// Events.
    pub trace: &'a mut dyn Trace,
    /// The faults that the function was told to have. Never borrowed while a device's code runs.
    pub faults: &'a RefCell<FaultSet>,
}

impl Ports<'_> {
    /// An occasion for a fault of `kind`: the one that takes place, if any, which is recorded. To be asked once for each occasion.
    pub fn fault(&mut self, kind: FaultKind) -> Option<Struck> {
        self.fault_where(kind, |_| true)
    }

    /// Reads a descriptor: fills `buf` from `iova`, and records that. An occasion for an error.
    ///
    /// # Errors
    ///
    /// The access is refused, or was to fail.
    pub fn fetch(&mut self, iova: Iova, buf: &mut [u8]) -> Result<(), DmaFault> {
        if self.fault(FaultKind::DescriptorError).is_some() {
            return Err(DmaFault::NoMemory { iova });
        }
        self.dma.read(iova, buf)?;
        self.trace.record(Event::DescriptorFetch { rid: self.rid, iova: iova.0, len: buf.len() as u64 });
        Ok(())
    }

    /// As [`Self::fault`], an occasion for those alone for which `fits` holds.
    pub fn fault_where(&mut self, kind: FaultKind, fits: impl Fn(&FaultSpec) -> bool) -> Option<Struck> {
        if self.faults.borrow().is_empty() {
            return None;
        }
        let struck = self.faults.borrow_mut().see(kind, self.clock.now().ns, fits)?;
        self.trace.record(Event::Fault { rid: self.rid, kind, occasion: struck.occasion });
        Some(struck)
    }

    /// What the events of the function's engine at `index` of [`crate::function::Identity::engines`] carry.
    pub fn engine(&self, index: u8) -> EngineId {
        EngineId::new(self.rid, index)
    }

    /// When a job is done that begins now and takes `cycles` by its cost model, in nanoseconds. Asked once a job, as
    /// [`Clock::vary`].
    pub fn job_end_ns(&mut self, cycles: u64) -> u64 {
        let cycles = self.clock.vary(cycles);
        self.clock.now().ns.saturating_add(self.clock.cycles_to_ns(cycles))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};
    use zerocopy::IntoBytes;

    use super::*;

    #[test]
    fn a_span_is_the_same_where_place_length_and_number_are() {
        let mut seen = Seen::default();
        let mut round = |spans: &[(u64, usize, Option<u32>)]| {
            seen.rewind();
            let kept = spans.iter().map(|&(gpa, len, number)| seen.next(Gpa(gpa), len, number));
            kept.map(|kept| kept == Kept::Yes).collect::<Vec<_>>()
        };
        let first = [(0x1000, 4096, Some(1)), (0x5000, 4096, Some(1)), (0x7000, 8, Some(2))];
        assert_eq!(round(&first), [false; 3]);
        assert_eq!(round(&first), [true; 3]);
        let [_, second, third] = first;
        assert_eq!(round(&[(0x1000, 4096, Some(2)), second, third]), [false, true, true], "written");
        assert_eq!(round(&[(0x9000, 4096, Some(2)), second, third]), [false, true, true], "elsewhere");
        // What follows lies at another offset.
        assert_eq!(round(&[(0x9000, 4095, Some(2)), second, third]), [false; 3]);
        assert_eq!(round(&[(0x9000, 4095, Some(2)), (0x5000, 4096, None)]), [true, false]);
        assert_eq!(round(&[(0x9000, 4095, Some(2)), second]), [true, false]);
    }

    #[test]
    fn a_word_is_copied_at_once_wherever_its_bytes_are() {
        const TIMES: usize = 200_000;
        // No byte of one is in the other.
        const WHOLE: [u64; 2] = [0, u64::MAX];
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 4096)]).unwrap();
        let span = |at| memory.get_slice(GuestAddress(at), 8).unwrap();
        let over = AtomicBool::new(false);
        let processor = || {
            let mut torn = 0usize;
            while !over.load(Ordering::Relaxed) {
                for value in WHOLE {
                    memory.store(value, GuestAddress(0), Ordering::Relaxed).unwrap();
                    let seen: u64 = memory.load(GuestAddress(64), Ordering::Relaxed).unwrap();
                    torn += usize::from(!WHOLE.contains(&seen));
                }
            }
            torn
        };
        let (read, written) = std::thread::scope(|scope| {
            let processor = scope.spawn(processor);
            let mut torn = 0usize;
            for time in 0..TIMES {
                // At an odd address, as an array of bytes may be.
                let mut room = [0u64; 2];
                let bytes = &mut room.as_mut_bytes()[1..9];
                load(span(0), bytes);
                let seen = u64::from_le_bytes((&*bytes).try_into().unwrap());
                torn += usize::from(!WHOLE.contains(&seen));
                bytes.fill(if time % 2 == 0 { 0xff } else { 0 });
                store(span(64), bytes);
            }
            over.store(true, Ordering::Relaxed);
            (torn, processor.join().unwrap())
        });
        assert_eq!((read, written), (0, 0), "torn words");
    }
}
