//! The local APIC timer (Intel SDM vol. 3, 11.5.4).
//!
//! The timer's input clock is the crystal that CPUID 0x15 names, and that runs at the TSC's frequency here: before
//! the divider, one tick is one cycle of the machine's counter. In deadline mode it is the guest's own counter that counts.

use fencepost_time::{Cycles, Moment, Tsc};

/// What the LVT timer entry's mode field selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count down once.
    OneShot,
    /// Count down periodically.
    Periodic,
    /// Fire when the guest's counter reaches IA32_TSC_DEADLINE.
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

/// When the timer goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A count reaches zero: the guest's setting of its counter does not touch it.
    Count(Cycles),
    /// The guest's counter reaches IA32_TSC_DEADLINE, however the guest sets the counter until then.
    Deadline(Tsc),
}

/// The countdown. The three registers that configure it live in the register page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// When it goes off; `None` when nothing is counting.
    pub due: Option<Due>,
}

/// The divider that the divide configuration register selects (bits 0, 1 and 3).
pub fn divisor(divide: u32) -> u64 {
    let code = (divide & 3) | ((divide >> 1) & 4);
    // 0 is divide by 2, ... 6 is divide by 128, 7 is divide by 1.
    1 << (code.wrapping_add(1) & 7)
}

impl Timer {
    /// Starts counting `count` ticks of `divisor` cycles.
    pub fn start(&mut self, now: Cycles, count: u32, divisor: u64) {
        let length = u64::from(count).saturating_mul(divisor);
        self.due = (count != 0).then(|| Due::Count(now.saturating_add(length)));
    }

    /// Arms it for when the guest's counter reads `deadline`; zero disarms it.
    pub fn set_deadline(&mut self, deadline: Tsc) {
        self.due = (deadline != Tsc(0)).then_some(Due::Deadline(deadline));
    }

    /// The deadline, while one is set.
    pub fn deadline(&self) -> Option<Tsc> {
        match self.due {
            Some(Due::Deadline(deadline)) => Some(deadline),
            _ => None,
        }
    }

    /// When it goes off, as seen at `now`.
    pub fn when(&self, now: Moment) -> Option<Cycles> {
        self.due.map(|due| match due {
            Due::Count(at) => at,
            Due::Deadline(deadline) => now.when(deadline),
        })
    }

    fn cycles_left(&self, now: Cycles) -> u64 {
        match self.due {
            Some(Due::Count(at)) => at.since(now),
            _ => 0,
        }
    }

    /// Ticks left; zero with a deadline.
    pub fn count(&self, now: Cycles, divisor: u64) -> u32 {
        u32::try_from(self.cycles_left(now).div_ceil(divisor)).unwrap_or(u32::MAX)
    }

    /// Cycles already spent of the current tick. The divisor is a power of two.
    pub fn phase(&self, now: Cycles, divisor: u64) -> u32 {
        self.cycles_left(now).wrapping_neg() as u32 & divisor.wrapping_sub(1) as u32
    }

    /// Whether the timer fired at or before `now`. A periodic timer (`period` in cycles) is left at its first
    /// expiry after that; periods missed in between are one interrupt, as they would be in IRR.
    pub fn expire(&mut self, now: Moment, period: Option<u64>) -> bool {
        let Some(at) = self.when(now).filter(|at| *at <= now.cycles) else { return false };
        self.due = period.and_then(|period| {
            let missed = now.cycles.since(at).checked_div(period)?.saturating_add(1);
            let next = at.0.checked_add(missed.saturating_mul(period))?;
            Some(Due::Count(Cycles(next)))
        });
        true
    }
}
