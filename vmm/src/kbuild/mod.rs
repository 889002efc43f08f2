//! Kernels by name, and modules for them: what a driver's test needs of the host.
//!
//! A name becomes a kernel with its modules ([`tree`]); the files of modules are put into the order in which they can be loaded
//! ([`mod@order`]); and the guest's `modprobe` finds those and the kernel's own by an index ([`kept`], [`depmod`]). Modules are built of
//! their sources ([`mod@build`]) with the kernel's headers ([`mod@headers`]).

pub mod build;
pub mod depmod;
pub mod facts;
pub mod headers;

pub mod kept;
mod mirror;
pub mod order;
pub mod tree;
pub mod trie;

#[cfg(test)]
mod testing;

pub use build::build;
pub use headers::headers;
pub use kept::{index, index_with};
pub use order::order;
pub use tree::{KernelTree, kernel_of};
