//! Errors of a ring, and how the guest learns of them.

use serde::{Deserialize, Serialize};

use crate::ports::{DmaFault, Iova};
use crate::sg::SgError;

/// Why an address of a context has no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageFault {
    /// There is no such context, or its entry is not right.
    Context,
    /// No page is there.
    NotPresent,
    /// The page is not to be written.
    ReadOnly,
    /// A reserved bit of a table is set.
    Table,
}

/// Why a ring halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuError {
    /// An unknown opcode.
    Opcode,
    /// A packet that is wrong in itself.
    Packet,
    /// A bad scatter-gather list.
    SgList,
    /// An operand beyond the end of its buffer.
    Bounds,
    /// A refused access, and the refused address where there is one.
    Dma(Iova),
    /// A semaphore wait that took too long.
    Timeout,
    /// Ring registers that are not valid.
    Ring,
    /// No page of the packet's context, or not one for this, at a virtual address.
    Page {
        /// Why.
        why: PageFault,
        /// The address.
        address: u64,
    },
    /// A program that executes too many instructions.
    Limit,
    /// The engine itself failed: a fault that was asked for.
    Engine,
}

impl GpuError {
    /// `RING_ERROR_CODE` (docs/gpu.md, *Error codes*).
    pub fn code(self) -> u32 {
        match self {
            GpuError::Opcode => 1,
            GpuError::Packet => 2,
            GpuError::SgList => 3,
            GpuError::Bounds => 4,
            GpuError::Dma(_) => 5,
            GpuError::Timeout => 6,
            GpuError::Ring => 7,
            GpuError::Engine => 8,
            GpuError::Limit => 9,
            GpuError::Page { why: PageFault::Context, .. } => 10,
            GpuError::Page { why: PageFault::NotPresent, .. } => 11,
            GpuError::Page { why: PageFault::ReadOnly, .. } => 12,
            GpuError::Page { why: PageFault::Table, .. } => 13,
        }
    }

    /// `RING_ERROR_ADDRESS`.
    pub fn address(self) -> u64 {
        match self {
            GpuError::Dma(iova) => iova.0,
            GpuError::Page { address, .. } => address,
            _ => 0,
        }
    }
}

impl From<DmaFault> for GpuError {
    fn from(fault: DmaFault) -> Self {
        GpuError::Dma(fault.address().unwrap_or(Iova(0)))
    }
}

impl From<SgError> for GpuError {
    fn from(error: SgError) -> Self {
        match error {
            SgError::Count(_) | SgError::Entry(_) => GpuError::SgList,
            SgError::Bounds { .. } => GpuError::Bounds,
            SgError::Dma(fault) => fault.into(),
        }
    }
}
