//! What a CPU sees outside its RAM, and why it stops.

use std::ptr::NonNull;

use fencepost_time::{Cycles, TscOffset};

use crate::stops::Access;

/// Whether the CPU may run on after an access, or must return to the machine at the next instruction boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing changed that concerns the CPU.
    Continue,
    /// An interrupt or an earlier deadline may be waiting in the machine: stop with [`Exit::Yield`].
    Yield,
    /// The same for interrupt messages and nothing else: a CPU that is alone may take them by [`Bus::waiting`]. Of
    /// [`Bus::mmio_write`] only.
    Message,
}

/// What the machine has for a CPU that was to come back, at an instruction boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Something that the CPU must return for.
    Machine,
    /// An interrupt message to the local APIC: address and data. There may be more.
    Message(u64, u32),
    /// The last one, and then [`Nothing`](Self::Nothing).
    Last(u64, u32),
    /// Nothing more, and all else is as it was when the CPU began to run: it may go on.
    Nothing,
}

/// The machine around a CPU. All addresses are guest-physical; `data` is 1 to 8 bytes, little-endian, and need not be
/// aligned (the CPU splits longer accesses, and those that cross a page). `now` is the time of the access, on
/// the machine's counter.
pub trait Bus {
    /// Reads memory-mapped registers. An address without a device reads as all ones.
    fn mmio_read(&mut self, now: Cycles, gpa: u64, data: &mut [u8]);
    /// Whether reading at `gpa` now would raise an interrupt: the CPU then checks for it right after the instruction.
    fn read_interrupts(&mut self, gpa: u64) -> bool;
    /// Writes memory-mapped registers. A write to an address without a device is ignored.
    fn mmio_write(&mut self, now: Cycles, gpa: u64, data: &[u8]) -> Flow;
    /// Reads a port (1, 2 or 4 bytes).
    fn port_read(&mut self, now: Cycles, port: u16, data: &mut [u8]) -> Flow;
    /// Writes a port (1, 2 or 4 bytes).
    fn port_write(&mut self, now: Cycles, port: u16, data: &[u8]) -> Flow;
    /// The local APIC ended an interrupt. A level-triggered one must be reported to the I/O APIC too.
    fn end_of_interrupt(&mut self, now: Cycles, vector: u8, level: bool) -> Flow;
    /// From now on the CPU with this number runs. Only of [several](crate::cpus::Cpus).
    fn runs(&mut self, cpu: u32);
    /// How long the next turn is, in instructions. Only of several.
    fn turn(&mut self) -> u64;
    /// What RDRAND and RDSEED give.
    fn random(&mut self) -> u64;
    /// After [`Flow::Message`], at the next instruction boundary: one message after another. That is quicker than to return for them.
    fn waiting(&mut self, now: Cycles) -> Waiting;
    /// The CPU took an interrupt, at this instruction boundary (for traces).
    fn interrupt_delivered(&mut self, now: Cycles, vector: u8);
    /// The guest has set its time-stamp counter, which reads the machine's plus `offset` from now on.
    fn counter_set(&mut self, now: Cycles, offset: TscOffset);
}

/// Why [`Cpu::run`](crate::Cpu::run) returned. The CPU is always at an instruction boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The machine's counter reached the deadline asked for.
    Deadline,
    /// A bus access returned [`Flow::Yield`].
    Yield,
    /// The CPU executed PAUSE, and others have something to do.
    Paused,
    /// The CPU executed HLT and no interrupt is pending: skip time to the next event.
    Halted,
    /// An exception while delivering a double fault.
    TripleFault,
    /// The stop flag was set from outside.
    Stopped,
    /// The next instruction is one of [`Stops`](crate::stops::Stops) to stop before.
    Breakpoint,
    /// The last instruction, or what was delivered after it, has accessed what is watched.
    Accessed(Access),
}

/// The bus of a running CPU; set only inside [`Cpu::with_bus`](crate::cpu::Cpu).
#[derive(Default)]
pub(crate) struct Reach(pub Option<NonNull<dyn Bus>>);

// SAFETY: there is a pointer only while `with_bus` holds the CPU's only reference. Whoever gives a CPU to another thread
// gives it away without one.
unsafe impl Send for Reach {}
