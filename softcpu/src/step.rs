//! What running one instruction leads to.

/// What the run loop does after a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Retired: the next instruction of the block follows.
    Next = 0,
    // The next three are what blocks usually end with; the run loop relies on their order.
    /// Retired; RIP is set, by the taken side of a direct branch.
    Taken,
    /// Retired; RIP is set, by the other side of a direct branch.
    Fall,
    /// Retired; RIP is set, anywhere.
    Jump,
    /// Retired; RIP is set, and something changed that the run loop must look at (interrupts, modes, the bus).
    Leave,
    /// Retired; RIP is not set: the next instruction follows, but the block ends here.
    Stop,
    /// Not retired: an exception waits in [`Cpu::fault`](crate::cpu::Cpu::fault).
    Trap,
}

/// The marker of a failed access: the exception itself waits in [`Cpu::fault`](crate::cpu::Cpu::fault).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap;

/// An exception that waits to be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Vector, 0..32.
    pub vector: u8,
    /// Error code, for those that push one.
    pub error: Option<u32>,
    /// A trap: the instruction before RIP caused it, and has retired; or a breakpoint on the instruction at RIP, which is
    /// delivered like one.
    pub trap: bool,
}

/// Unwraps an access or returns `Step::Trap`.
#[macro_export]
macro_rules! tri {
    ($e:expr) => {
        match $e {
            Ok(value) => value,
            Err($crate::step::Trap) => return $crate::step::Step::Trap,
        }
    };
}
