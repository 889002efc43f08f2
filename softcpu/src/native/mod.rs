//! The translator: host code for decoded blocks, on x86-64 hosts.
//!
//! Most of what a guest instruction does is what the host's same instruction does. So a block becomes the same instructions with
//! other registers, and with a lookup in the TLB before each access to memory. All that is not so simple is left to the
//! interpreter's handlers: an instruction whose lookup fails is run by its handler as a whole, before it has changed anything.
//! So the interpreter says what an instruction means in all rare cases, and generated code need only agree with it in the
//! usual ones.
//!
//! - [`registers`]: where the guest's registers are.
//! - [`homes`]: others of them, for blocks that are better off so.
//! - [`flags`]: the status flags stay in the host's until something overwrites these. They are saved only if they are needed
//!   later; if only a fault would need them they are made again from the registers that they came from.
//! - [`block`]: one block. It begins by taking its instructions off what is left until the run loop's limit.
//! - [`handlers`]: what the interpreter does for it.
//! - [`system`]: what the kernel does often with interrupts and segments; [`high`]: AH, CH, DH and BH.
//! - [`ends`]: it ends by jumping to the next one.
//! - [`generated`](crate::generated): where it is kept, jumps between blocks, and how they are taken back when a block is dropped.
//! - [`run`]: into generated code, and out.
//!
//! Generated code reaches the CPU through one register, so several CPUs share it.

pub(crate) mod block;
pub(crate) mod emit;
pub(crate) mod ends;
pub(crate) mod flags;
mod handlers;
mod high;
mod homes;
mod host;
mod in_place;
mod instructions;
mod kept;
pub(crate) mod memory;
pub(crate) mod registers;
pub(crate) mod routines;
pub(crate) mod run;
pub(crate) mod select;
mod special;
mod system;
mod vectors;
