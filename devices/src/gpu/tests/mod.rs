//! Tests of the GPU through its registers and memory, as a driver sees it. Offsets and codes are restated from docs/gpu.md.

mod contexts;
mod doorbells;
mod faults;
mod fixture;
mod operations;
mod packets;
mod parts;
mod random;
mod registers;
mod requested;
mod rings;
mod semaphores;
mod state;
mod timing;
