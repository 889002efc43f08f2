//! Memory as a packet sees it: by the addresses of its context, or by I/O virtual addresses if it has none.

use vm_memory::VolatileSlice;

use super::error::GpuError;
use super::mmu::{Mmu, PAGE_BYTES};
use super::progress::ENOUGH_NS;
use crate::ports::{Access, DmaExt, Iova, Ports, store};

/// What a packet needs to reach memory.
pub struct View<'a, 'p> {
    /// The ports.
    pub ports: &'a mut Ports<'p>,
    /// What translates.
    pub mmu: &'a mut Mmu,
    /// Whose addresses; 0: nobody's, they are I/O virtual addresses.
    pub context: u32,
    /// What was done through it so far: nanoseconds of the host's, about.
    pub spent_ns: u64,
}

/// What an access costs beside its bytes: a translation, or two and a half by a context's tables, that are in no cache.
const ACCESS_NS: u64 = 1000;
const CONTEXT_ACCESS_NS: u64 = 2500;
/// Bytes that are moved in a nanosecond.
const BYTES_IN_NS: u64 = 4;

/// Bytes that one access reaches.
struct Run {
    at: Iova,
    len: usize,
    /// How the page behind it faults.
    then: Result<(), GpuError>,
}

impl View<'_, '_> {
    /// Notes that something is done which takes the host about so long.
    pub fn spend(&mut self, ns: u64) {
        self.spent_ns = self.spent_ns.saturating_add(ns);
    }

    /// Notes an access to `len` bytes in so many segments.
    pub fn spend_access(&mut self, len: u64, segments: u64) {
        let pages = (len / PAGE_BYTES).saturating_add(segments);
        let each = if self.context == 0 { ACCESS_NS } else { CONTEXT_ACCESS_NS };
        self.spend(pages.saturating_mul(each).saturating_add(len / BYTES_IN_NS));
    }

    /// Whether it is time to let the host come between.
    pub fn has_done_enough(&self) -> bool {
        self.spent_ns >= ENOUGH_NS
    }

    /// Where the aligned word at `address` is, for one access.
    pub fn word(&mut self, address: u64, access: Access) -> Result<Iova, GpuError> {
        if self.context == 0 {
            return Ok(Iova(address));
        }
        self.mmu.translate(self.context, address, access, self.ports)
    }

    /// Writes an aligned word.
    pub fn write_u64(&mut self, address: u64, value: u64) -> Result<(), GpuError> {
        let at = self.word(address, Access::Write)?;
        Ok(self.ports.dma.write_u64(at, value)?)
    }

    /// What of `len` bytes from `address` on is in one piece for the IOMMU: pages that follow each other there too are one
    /// access. The page behind it may fault, once what is before it is done.
    fn run(&mut self, address: u64, len: usize, access: Access) -> Result<Run, GpuError> {
        let mut run = Run { at: self.word(address, access)?, len: in_page(address, len), then: Ok(()) };
        while run.len < len {
            let behind = run.len as u64;
            let at = address.saturating_add(behind);
            match self.word(at, access) {
                Ok(next) if Some(next.0) == run.at.0.checked_add(behind) => {
                    run.len = run.len.saturating_add(in_page(at, len.saturating_sub(run.len)));
                }
                Ok(_) => break,
                Err(error) => {
                    run.then = Err(error);
                    break;
                }
            }
        }
        Ok(run)
    }

    /// Fills `bytes` from `address` of the context on.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        let (mut at, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let run = self.run(at, rest.len(), Access::Read)?;
            let (piece, behind) = rest.split_at_mut(run.len);
            self.ports.dma.read(run.at, piece)?;
            run.then?;
            at = at.saturating_add(piece.len() as u64);
            rest = behind;
        }
        Ok(())
    }

    /// Writes `bytes` from `address` of the context on.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        let mut rest = bytes;
        self.put(address, bytes.len(), &mut |span| {
            let (head, tail) = rest.split_at(span.len());
            store(span, head);
            rest = tail;
        })
    }

    /// Has `put` write each span of `len` bytes from `address` of the context on, in order.
    pub fn put(
        &mut self,
        address: u64,
        len: usize,
        put: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), GpuError> {
        let (mut at, mut left) = (address, len);
        while left > 0 {
            let run = self.run(at, left, Access::Write)?;
            self.ports.dma.visit(run.at, run.len as u64, Access::Write, put)?;
            run.then?;
            at = at.saturating_add(run.len as u64);
            left = left.saturating_sub(run.len);
        }
        Ok(())
    }
}

/// How many of `len` bytes at `address` are in its page.
fn in_page(address: u64, len: usize) -> usize {
    len.min(PAGE_BYTES.saturating_sub(address % PAGE_BYTES) as usize)
}
