//! Guest memory as the CPU sees it: RAM by physical address, page tables, the software TLB, and the accessors.

pub(crate) mod access;
pub(crate) mod ram;
pub mod saved;
mod segment;
pub(crate) mod tlb;
pub(crate) mod view;
pub(crate) mod walk;
