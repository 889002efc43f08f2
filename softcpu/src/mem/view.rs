//! With which rights memory is accessed: the TLB has a set of translations for each.

/// The supervisor's, without the pages of the user where CR4.SMAP keeps them from it.
pub const SUPERVISOR: usize = 0;
/// The user's.
pub const USER: usize = 1;
/// The supervisor's where RFLAGS.AC opens the user's pages to it, which CR4.SMAP keeps from it otherwise.
pub const OPENED: usize = 2;
/// Sets of the TLB, a power of two: one is not used.
pub const VIEWS: usize = 4;
