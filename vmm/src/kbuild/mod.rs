//! Kernels by name, and modules for them: what a driver's test needs of the host.
//!
//! A name becomes a kernel with its modules ([`tree`]); the files of modules are put into the order in which they can be loaded
//! ([`order`]).

pub mod facts;
pub mod order;
pub mod tree;

#[cfg(test)]
mod testing;

pub use order::order;
pub use tree::{KernelTree, kernel_of};
