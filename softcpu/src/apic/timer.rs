//! The local APIC timer, in TSC cycles (Intel SDM vol. 3, 11.5.4).
//!
//! The timer's input clock is the crystal that CPUID 0x15 names, and that runs at the TSC's frequency here: before
//! the divider, one tick is one TSC cycle.

/// What the LVT timer entry's mode field selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count down once.
    OneShot,
    /// Count down again and again.
    Periodic,
    /// Fire when the TSC reaches IA32_TSC_DEADLINE.
    TscDeadline,
}

impl Mode {
    /// Decodes LVT bits 17..19; the reserved value acts as one-shot.
    pub fn from_lvt(lvt: u32) -> Self {
        match (lvt >> 17) & 3 {
            1 => Mode::Periodic,
            2 => Mode::TscDeadline,
            _ => Mode::OneShot,
        }
    }
}

/// The countdown. The three registers that configure it live in the register page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// Absolute TSC at which the count reaches zero, or the deadline; `None` when nothing is counting.
    pub due: Option<u64>,
}

/// The divider that the divide configuration register selects (bits 0, 1 and 3).
pub fn divisor(divide: u32) -> u64 {
    let code = (divide & 3) | ((divide >> 1) & 4);
    // 0 is divide by 2, ... 6 is divide by 128, 7 is divide by 1.
    1 << (code.wrapping_add(1) & 7)
}

impl Timer {
    /// Starts counting `count` ticks of `divisor` cycles.
    pub fn start(&mut self, tsc: u64, count: u32, divisor: u64) {
        self.due = (count != 0).then(|| tsc.saturating_add(u64::from(count).saturating_mul(divisor)));
    }

    /// Ticks left.
    pub fn count(&self, tsc: u64, divisor: u64) -> u32 {
        let left = self.due.map_or(0, |due| due.saturating_sub(tsc));
        u32::try_from(left.div_ceil(divisor)).unwrap_or(u32::MAX)
    }

    /// Cycles already spent of the current tick. The divisor is a power of two.
    pub fn phase(&self, tsc: u64, divisor: u64) -> u32 {
        let left = self.due.map_or(0, |due| due.saturating_sub(tsc));
        left.wrapping_neg() as u32 & divisor.wrapping_sub(1) as u32
    }

    /// Whether the timer fired at or before `tsc`. A periodic timer (`period` in cycles) is left at its first
    /// expiry after `tsc`; periods missed in between are one interrupt, as they would be in IRR.
    pub fn expire(&mut self, tsc: u64, period: Option<u64>) -> bool {
        let Some(due) = self.due.filter(|&due| due <= tsc) else { return false };
        self.due = period.and_then(|period| {
            let missed = tsc.saturating_sub(due).checked_div(period)?.saturating_add(1);
            due.checked_add(missed.saturating_mul(period))
        });
        true
    }
}
