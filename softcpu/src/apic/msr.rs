//! The local APIC's MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC registers.

use fencepost_time::{Cycles, Moment, Tsc};

use super::regs::*;
use super::timer::Mode;
use super::{AccessMode, ApicEffect, LocalApic, delivery};

/// IA32_APIC_BASE.
pub const IA32_APIC_BASE: u32 = 0x1b;
/// IA32_TSC_DEADLINE.
pub const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// The first and last x2APIC register.
const X2APIC: std::ops::RangeInclusive<u32> = 0x800..=0x8ff;

pub(super) const BASE_BSP: u64 = 1 << 8;
pub(super) const BASE_X2APIC: u64 = 1 << 10;
pub(super) const BASE_ENABLE: u64 = 1 << 11;
/// The page's address; bits above the physical address width that CPUID reports at most (52) are reserved.
pub(super) const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The access raises a general-protection fault with error code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl LocalApic {
    /// Whether `msr` belongs to the local APIC.
    pub fn owns_msr(msr: u32) -> bool {
        matches!(msr, IA32_APIC_BASE | IA32_TSC_DEADLINE) || X2APIC.contains(&msr)
    }

    /// RDMSR of one of the APIC's MSRs now.
    pub fn rdmsr(&mut self, msr: u32, now: Moment) -> Result<u64, Fault> {
        self.advance(now);
        match msr {
            IA32_APIC_BASE => Ok(self.apic_base),
            IA32_TSC_DEADLINE => Ok(self.tsc_deadline().0),
            _ => self.read_x2apic(x2apic_index(self.access_mode(), msr)?, now.cycles),
        }
    }

    fn read_x2apic(&self, index: usize, now: Cycles) -> Result<u64, Fault> {
        match index {
            ICR_LOW => Ok(u64::from(self.regs[ICR_HIGH]) << 32 | u64::from(self.regs[ICR_LOW])),
            ID | VERSION | TPR | PPR | LDR | SVR | ISR..=ESR | LVT_TIMER..=CURRENT_COUNT | DIVIDE => {
                Ok(u64::from(self.read_register(index, now)))
            }
            // EOI and SELF_IPI are write-only; the rest, DFR and the upper ICR among them, is not there.
            _ => Err(Fault),
        }
    }

    /// WRMSR to one of the APIC's MSRs now.
    pub fn wrmsr(&mut self, msr: u32, value: u64, now: Moment) -> Result<ApicEffect, Fault> {
        self.advance(now);
        match msr {
            IA32_APIC_BASE => self.write_base(value).map(|()| ApicEffect::NONE),
            IA32_TSC_DEADLINE => {
                if self.timer_mode() == Mode::TscDeadline {
                    self.timer.set_deadline(Tsc(value));
                    // "If the deadline is in the past, the interrupt is generated immediately" (11.5.4.1).
                    self.advance(now);
                }
                Ok(ApicEffect::NONE)
            }
            _ => self.write_x2apic(x2apic_index(self.access_mode(), msr)?, value, now.cycles),
        }
    }

    fn write_x2apic(&mut self, index: usize, value: u64, now: Cycles) -> Result<ApicEffect, Fault> {
        if index == ICR_LOW {
            return self.write_x2apic_icr(value);
        }
        let writable = match index {
            TPR | SELF_IPI => 0xff,
            EOI | ESR => 0,
            SVR => SVR_MASK,
            INITIAL_COUNT => u32::MAX,
            DIVIDE => 0xb,
            // Delivery status (bit 12) and remote IRR (bit 14) are read-only, not reserved.
            _ => lvt_mask(index).ok_or(Fault)? | 1 << 12 | 1 << 14,
        };
        if value & !u64::from(writable) != 0 {
            return Err(Fault);
        }
        let value = value as u32;
        if index == SELF_IPI {
            return Ok(self.send_ipi(1 << 18 | value, self.id));
        }
        Ok(self.write_common(index, value, now))
    }

    fn write_x2apic_icr(&mut self, value: u64) -> Result<ApicEffect, Fault> {
        let (low, destination) = (value as u32, (value >> 32) as u32);
        // Bit 12, the delivery status of xAPIC mode, is reserved here but tolerated by processors.
        if low & !(delivery::ICR_MASK | 1 << 12) != 0 {
            return Err(Fault);
        }
        self.regs[ICR_LOW] = low & delivery::ICR_MASK;
        self.regs[ICR_HIGH] = destination;
        Ok(self.send_ipi(low, destination))
    }

    /// Mode switches (Intel SDM vol. 3, 11.12.5): out of x2APIC only to disabled, into it only from xAPIC.
    fn write_base(&mut self, value: u64) -> Result<(), Fault> {
        if value & !(BASE_ADDRESS | BASE_BSP | BASE_X2APIC | BASE_ENABLE) != 0 {
            return Err(Fault);
        }
        let before = self.access_mode();
        let (enable, x2apic) = (value & BASE_ENABLE != 0, value & BASE_X2APIC != 0);
        match (before, enable, x2apic) {
            (_, false, true) | (AccessMode::Disabled, true, true) | (AccessMode::X2apic, true, false) => {
                return Err(Fault);
            }
            _ => {}
        }
        // Which CPU is the bootstrap CPU cannot be written.
        self.apic_base = value & !BASE_BSP | self.apic_base & BASE_BSP;
        match (before, self.access_mode()) {
            (before, after) if before == after => {}
            (AccessMode::Xapic, AccessMode::X2apic) => {
                self.regs[ICR_LOW] = 0;
                self.regs[ICR_HIGH] = 0;
                self.set_mode_registers();
            }
            _ => self.reset_registers(),
        }
        Ok(())
    }
}

/// The register number of an x2APIC MSR; a fault outside x2APIC mode.
fn x2apic_index(mode: AccessMode, msr: u32) -> Result<usize, Fault> {
    let index = msr.checked_sub(*X2APIC.start()).ok_or(Fault)? as usize;
    if mode == AccessMode::X2apic && index < COUNT { Ok(index) } else { Err(Fault) }
}
