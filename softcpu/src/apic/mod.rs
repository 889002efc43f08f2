//! The local APIC as a pure state machine (Intel SDM vol. 3, chapter 11): time comes in as [`Moment`]s, and what it
//! does to the rest of the machine comes out as an [`ApicEffect`].

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod delivery;
mod message;
mod msr;
pub mod regs;
mod timer;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

pub use delivery::processor_priority;
pub use message::{BROADCAST, DeliveryMode, InterruptMessage, widen_destination};
pub use msr::{Fault, IA32_APIC_BASE, IA32_TSC_DEADLINE};

use fencepost_time::{Cycles, Moment, Tsc};

use crate::state::ApicState;
use regs::*;
use timer::{Due, Mode, Timer, divisor};

/// An interrupt that the CPU has dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its vector.
    pub vector: u8,
    /// It was level-triggered: report it to the I/O APICs.
    pub level: bool,
}

/// What an access to the local APIC, or a message to it, means for the CPU and the machine. All may hold at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApicEffect {
    /// An interrupt ended.
    pub end_of_interrupt: Option<Ended>,
    /// An inter-processor interrupt for other CPUs: the ICR, its destination as 32 bits in the upper half. The
    /// sender's own share of it has been delivered already.
    pub ipi: Option<u64>,
    /// The CPU must take an NMI.
    pub nmi: bool,
    /// The CPU must reset.
    pub init: bool,
    /// The CPU, waiting after INIT, must start at this page.
    pub startup: Option<u8>,
    /// An 8259A-style interrupt: nothing on this machine can answer the acknowledge cycle.
    pub ext_int: bool,
}

impl ApicEffect {
    /// Nothing to do.
    pub const NONE: ApicEffect = ApicEffect {
        end_of_interrupt: None,
        ipi: None,
        nmi: false,
        init: false,
        startup: None,
        ext_int: false,
    };
}

/// How the APIC is reached, by IA32_APIC_BASE (Intel SDM vol. 3, figure 11-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// It is disabled.
    Disabled,
    /// By its page of memory.
    Xapic,
    /// By MSRs 0x800..0x840.
    X2apic,
}

/// One local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalApic {
    id: u32,
    regs: [u32; COUNT],
    timer: Timer,
    apic_base: u64,
    /// Errors not yet latched into ESR by a write to it.
    errors: u32,
}

/// A bit of one of the 256-bit registers ISR, TMR, IRR.
fn bit(vector: u8) -> (usize, u32) {
    (usize::from(vector) / 32, 1 << (vector % 32))
}

impl LocalApic {
    /// The APIC of CPU `id` after power-on, in xAPIC mode at the architectural address. CPU 0 is the bootstrap CPU.
    pub fn new(id: u32) -> Self {
        let apic_base = 0xfee0_0000 | msr::BASE_ENABLE | if id == 0 { msr::BASE_BSP } else { 0 };
        let mut apic = LocalApic { id, regs: [0; COUNT], timer: Timer::default(), apic_base, errors: 0 };
        apic.reset_registers();
        apic
    }

    /// Builds the APIC from a saved state: the register page and the two MSRs that [`crate::state::Msrs`] keeps.
    /// Pages from another implementation (KVM) are accepted; they lack only the timer's sub-tick phase.
    pub fn restore(id: u32, state: &ApicState, apic_base: u64, deadline: Tsc, now: Cycles) -> Self {
        let mut apic = LocalApic::new(id);
        for (to, from) in apic.regs.iter_mut().zip(&state.regs) {
            *to = *from;
        }
        apic.apic_base = apic_base;
        apic.errors = std::mem::take(&mut apic.regs[SAVED_ERRORS]);
        let phase = std::mem::take(&mut apic.regs[SAVED_TIMER_PHASE]);
        match apic.timer_mode() {
            Mode::TscDeadline => apic.timer.set_deadline(deadline),
            _ => {
                let left = u64::from(apic.regs[CURRENT_COUNT]).saturating_mul(divisor(apic.regs[DIVIDE]));
                let at = now.saturating_add(left.saturating_sub(u64::from(phase)));
                apic.timer.due = (left != 0).then_some(Due::Count(at));
            }
        }
        // Computed when read, never stored.
        apic.regs[CURRENT_COUNT] = 0;
        apic.regs[PPR] = 0;
        apic
    }

    /// The register page now. With [`apic_base`](Self::apic_base) and
    /// [`tsc_deadline`](Self::tsc_deadline) it is the whole state. Call [`advance`](Self::advance) first.
    pub fn save(&self, now: Cycles) -> ApicState {
        let mut regs = self.regs.to_vec();
        regs[PPR] = self.ppr();
        regs[SAVED_ERRORS] = self.errors;
        if self.timer_mode() != Mode::TscDeadline {
            let divisor = divisor(self.regs[DIVIDE]);
            regs[CURRENT_COUNT] = self.timer.count(now, divisor);
            regs[SAVED_TIMER_PHASE] = self.timer.phase(now, divisor);
        }
        ApicState { regs }
    }

    /// IA32_APIC_BASE.
    pub fn apic_base(&self) -> u64 {
        self.apic_base
    }

    /// IA32_TSC_DEADLINE: zero when disarmed or in another timer mode.
    pub fn tsc_deadline(&self) -> Tsc {
        self.timer.deadline().unwrap_or_default()
    }

    /// Where the register page is, when there is one: a CPU sends accesses to this page here and not to its bus.
    pub fn page(&self) -> Option<u64> {
        (self.access_mode() == AccessMode::Xapic).then_some(self.apic_base & msr::BASE_ADDRESS)
    }

    /// The APIC id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the guest reaches the APIC now.
    pub fn access_mode(&self) -> AccessMode {
        match (self.apic_base & msr::BASE_ENABLE != 0, self.apic_base & msr::BASE_X2APIC != 0) {
            (false, _) => AccessMode::Disabled,
            (true, false) => AccessMode::Xapic,
            (true, true) => AccessMode::X2apic,
        }
    }

    /// Of IA32_APIC_BASE: this is the bootstrap CPU.
    pub const BOOTSTRAP: u64 = msr::BASE_BSP;

    /// INIT (Intel SDM vol. 3, 11.4.7.3), or the APIC's own disabling: registers as after power-on, except id and base.
    pub fn reset_registers(&mut self) {
        self.regs = [0; COUNT];
        self.regs[VERSION] = VERSION_VALUE;
        self.regs[DFR] = u32::MAX;
        self.regs[SVR] = 0xff;
        for lvt in LVTS {
            self.regs[lvt] = LVT_MASKED;
        }
        self.timer = Timer::default();
        self.errors = 0;
        self.set_mode_registers();
    }

    /// ID has two formats, and LDR is derived from the id in x2APIC mode (Intel SDM vol. 3, 11.12.10.2).
    fn set_mode_registers(&mut self) {
        if self.access_mode() == AccessMode::X2apic {
            self.regs[ID] = self.id;
            self.regs[LDR] = (self.id >> 4) << 16 | 1 << (self.id & 0xf);
        } else {
            self.regs[ID] = self.id << 24;
        }
    }

    /// Reads the register at byte `offset` of the page now. Only aligned 32-bit reads mean anything; a
    /// narrower or misaligned one returns the 32 bits at the 16-byte slot.
    pub fn read(&mut self, offset: u32, now: Moment) -> u32 {
        self.advance(now);
        let index = (offset >> 4) as usize;
        match index {
            0x00 | 0x01 | EOI | SELF_IPI => 0,
            _ if index < COUNT => self.read_register(index, now.cycles),
            _ => {
                self.raise_error(ERROR_ADDRESS);
                0
            }
        }
    }

    /// Whether [`read`](Self::read) would raise the error interrupt.
    pub fn read_interrupts(&self, offset: u32) -> bool {
        (offset >> 4) as usize >= COUNT && self.regs[LVT_ERROR] & LVT_MASKED == 0
    }

    fn read_register(&self, index: usize, now: Cycles) -> u32 {
        match index {
            PPR => self.ppr(),
            APR => 0,
            CURRENT_COUNT => self.timer.count(now, divisor(self.regs[DIVIDE])),
            _ => self.regs[index],
        }
    }

    /// Writes the register at byte `offset` of the page now. Read-only registers ignore it.
    #[must_use]
    pub fn write(&mut self, offset: u32, value: u32, now: Moment) -> ApicEffect {
        self.advance(now);
        match (offset >> 4) as usize {
            LDR => {
                self.regs[LDR] = value & 0xff00_0000;
                ApicEffect::NONE
            }
            DFR => {
                self.regs[DFR] = value | 0x0fff_ffff;
                ApicEffect::NONE
            }
            ICR_HIGH => {
                self.regs[ICR_HIGH] = value & 0xff00_0000;
                ApicEffect::NONE
            }
            ICR_LOW => {
                self.regs[ICR_LOW] = value & delivery::ICR_MASK;
                let logical = value & delivery::ICR_LOGICAL != 0;
                let destination = widen_destination((self.regs[ICR_HIGH] >> 24) as u8, logical);
                self.send_ipi(value, destination)
            }
            SELF_IPI => ApicEffect::NONE,
            index => self.write_common(index, value, now.cycles),
        }
    }

    /// The registers that act alike in both access modes.
    fn write_common(&mut self, index: usize, value: u32, now: Cycles) -> ApicEffect {
        match index {
            TPR => self.regs[TPR] = value & 0xff,
            EOI => return self.end_of_interrupt(),
            SVR => self.write_svr(value),
            ESR => self.regs[ESR] = std::mem::take(&mut self.errors),
            INITIAL_COUNT if self.timer_mode() != Mode::TscDeadline => {
                self.regs[INITIAL_COUNT] = value;
                self.timer.start(now, value, divisor(self.regs[DIVIDE]));
            }
            DIVIDE => self.write_divide(value, now),
            _ if LVTS.contains(&index) => self.write_lvt(index, value),
            _ if index >= COUNT => self.raise_error(ERROR_ADDRESS),
            _ => {}
        }
        ApicEffect::NONE
    }

    /// Disabling by software masks every LVT entry (Intel SDM vol. 3, 11.4.7.2).
    fn write_svr(&mut self, value: u32) {
        self.regs[SVR] = value & SVR_MASK;
        if !self.software_enabled() {
            for lvt in LVTS {
                self.regs[lvt] |= LVT_MASKED;
            }
        }
    }

    fn write_divide(&mut self, value: u32, now: Cycles) {
        let count = self.timer.count(now, divisor(self.regs[DIVIDE]));
        self.regs[DIVIDE] = value & 0xb;
        if self.timer_mode() != Mode::TscDeadline {
            self.timer.start(now, count, divisor(self.regs[DIVIDE]));
        }
    }

    fn write_lvt(&mut self, index: usize, value: u32) {
        let before = Mode::from_lvt(self.regs[index]);
        let forced = if self.software_enabled() { 0 } else { LVT_MASKED };
        self.regs[index] = value & lvt_mask(index).unwrap_or(0) | forced;
        if index == LVT_TIMER {
            let after = Mode::from_lvt(self.regs[LVT_TIMER]);
            // "Transitioning between TSC-deadline mode and other timer modes also disarms the timer" (11.5.4.1).
            if before != after && (before == Mode::TscDeadline || after == Mode::TscDeadline) {
                self.timer.due = None;
                self.regs[INITIAL_COUNT] = 0;
            }
        }
    }

    pub(super) fn software_enabled(&self) -> bool {
        self.regs[SVR] & SVR_ENABLE != 0
    }

    fn timer_mode(&self) -> Mode {
        Mode::from_lvt(self.regs[LVT_TIMER])
    }

    /// When the timer will next raise an interrupt, as seen now; `None` while it is stopped or masked.
    pub fn next_timer(&self, now: Moment) -> Option<Cycles> {
        if self.regs[LVT_TIMER] & LVT_MASKED != 0 { None } else { self.timer.when(now) }
    }

    /// Advances the timer to `now`: raises its interrupt if it is due, and returns whether it did. Also call this when the
    /// guest sets its counter, first with the old offset and then with the new one.
    pub fn advance(&mut self, now: Moment) -> bool {
        if self.timer.when(now).is_none_or(|at| at > now.cycles) {
            return false;
        }
        let period = (self.timer_mode() == Mode::Periodic)
            .then(|| u64::from(self.regs[INITIAL_COUNT]).saturating_mul(divisor(self.regs[DIVIDE])));
        let lvt = self.regs[LVT_TIMER];
        let fired = self.timer.expire(now, period) && lvt & LVT_MASKED == 0;
        if fired {
            self.receive(lvt as u8, false);
        }
        fired
    }
}
