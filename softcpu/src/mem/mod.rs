//! Guest memory as the CPU sees it: RAM by physical address, page tables, the software TLB, and the accessors.

pub mod access;
pub mod ram;
pub mod saved;
pub mod tlb;
pub mod walk;
