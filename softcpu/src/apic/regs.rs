//! Register numbers of the local APIC (xAPIC offset / 16, x2APIC MSR - 0x800; Intel SDM vol. 3, tables 11-1, 11-6).

/// Number of registers in the page that [`crate::state::ApicState`] keeps.
pub const COUNT: usize = 64;

/// Id of this APIC.
pub const ID: usize = 0x02;
/// Version, read-only.
pub const VERSION: usize = 0x03;
/// Task priority.
pub const TPR: usize = 0x08;
/// Arbitration priority, which nothing uses.
pub const APR: usize = 0x09;
/// Processor priority, read-only: it follows from TPR and ISR.
pub const PPR: usize = 0x0a;
/// End of interrupt, write-only.
pub const EOI: usize = 0x0b;
/// Logical destination.
pub const LDR: usize = 0x0d;
/// Format of the logical destination, xAPIC only.
pub const DFR: usize = 0x0e;
/// Spurious-interrupt vector, and whether software has enabled the APIC.
pub const SVR: usize = 0x0f;
/// In service: the first of eight registers, one bit a vector.
pub const ISR: usize = 0x10;
/// Trigger mode, level where set: the first of eight registers.
pub const TMR: usize = 0x18;
/// Requested: the first of eight registers.
pub const IRR: usize = 0x20;
/// Error status.
pub const ESR: usize = 0x28;
/// Interrupt command, lower half; all of it in x2APIC mode.
pub const ICR_LOW: usize = 0x30;
/// Interrupt command, upper half, xAPIC only.
pub const ICR_HIGH: usize = 0x31;
/// Local vector table: timer.
pub const LVT_TIMER: usize = 0x32;
/// Local vector table: thermal sensor.
pub const LVT_THERMAL: usize = 0x33;
/// Local vector table: performance counters.
pub const LVT_PERF: usize = 0x34;
/// Local vector table: pin LINT0.
pub const LVT_LINT0: usize = 0x35;
/// Local vector table: pin LINT1.
pub const LVT_LINT1: usize = 0x36;
/// Local vector table: APIC errors.
pub const LVT_ERROR: usize = 0x37;
/// Timer: where it starts to count down.
pub const INITIAL_COUNT: usize = 0x38;
/// Timer: where it is now, read-only.
pub const CURRENT_COUNT: usize = 0x39;
/// Reserved in the page. In a saved state: TSC cycles already spent of the timer's current count.
pub const SAVED_TIMER_PHASE: usize = 0x3a;
/// Reserved in the page. In a saved state: errors that the guest has not yet latched into ESR.
pub const SAVED_ERRORS: usize = 0x3b;
/// Timer: how many cycles are one count.
pub const DIVIDE: usize = 0x3e;
/// Sends an interrupt to this CPU itself, x2APIC only.
pub const SELF_IPI: usize = 0x3f;

/// Version 0x14 with 6 LVT entries and no directed EOI.
pub const VERSION_VALUE: u32 = 0x0005_0014;

/// SVR: the APIC is enabled by software.
pub const SVR_ENABLE: u32 = 1 << 8;
/// The bits of SVR that can be written.
pub const SVR_MASK: u32 = 0x3ff;

/// LVT: masked.
pub const LVT_MASKED: u32 = 1 << 16;
/// LVT timer: mode field (one-shot 0, periodic 1, TSC deadline 2).
pub const LVT_TIMER_MODE: u32 = 3 << 17;

/// ESR: sent an illegal vector.
pub const ERROR_SEND_VECTOR: u32 = 1 << 5;
/// ESR: received an illegal vector.
pub const ERROR_RECEIVE_VECTOR: u32 = 1 << 6;
/// ESR: access to a register that is not there.
pub const ERROR_ADDRESS: u32 = 1 << 7;

/// The writable bits of each LVT entry; `None` when `index` is no LVT entry.
pub fn lvt_mask(index: usize) -> Option<u32> {
    Some(match index {
        LVT_TIMER => 0x0007_00ff,
        LVT_THERMAL | LVT_PERF => 0x0001_07ff,
        LVT_LINT0 | LVT_LINT1 => 0x0001_a7ff,
        LVT_ERROR => 0x0001_00ff,
        _ => return None,
    })
}

/// The LVT entries there are.
pub const LVTS: std::ops::RangeInclusive<usize> = LVT_TIMER..=LVT_ERROR;
