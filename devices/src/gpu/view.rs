//! Memory as a packet sees it: by the addresses of its context, or by I/O virtual addresses if it has none.

use super::error::GpuError;
use super::mmu::{Mmu, PAGE_BYTES};
use crate::ports::{Access, DmaExt, Iova, Ports};

/// What a packet needs to reach memory.
pub struct View<'a, 'p> {
    /// The ports.
    pub ports: &'a mut Ports<'p>,
    /// What translates.
    pub mmu: &'a mut Mmu,
    /// Whose addresses; 0: nobody's, they are I/O virtual addresses.
    pub context: u32,
}

impl View<'_, '_> {
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

    /// Fills `bytes` from `address` of the context on, page by page.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), GpuError> {
        let (mut at, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let from = self.word(at, Access::Read)?;
            let (piece, behind) = rest.split_at_mut(in_page(at, rest.len()));
            self.ports.dma.read(from, piece)?;
            at = at.saturating_add(piece.len() as u64);
            rest = behind;
        }
        Ok(())
    }

    /// Writes `bytes` from `address` of the context on, page by page.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), GpuError> {
        let (mut at, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let to = self.word(at, Access::Write)?;
            let (piece, behind) = rest.split_at(in_page(at, rest.len()));
            self.ports.dma.write(to, piece)?;
            at = at.saturating_add(piece.len() as u64);
            rest = behind;
        }
        Ok(())
    }
}

/// How many of `len` bytes at `address` are in its page.
fn in_page(address: u64, len: usize) -> usize {
    len.min(PAGE_BYTES.saturating_sub(address % PAGE_BYTES) as usize)
}
