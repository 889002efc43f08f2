//! Model-specific registers (Intel SDM vol. 4, table 2-2).

use fencepost_time::{Cycles, Moment, Tsc};

use crate::apic::{ApicEffect, Ended, LocalApic};
use crate::bus::Flow;
use crate::control::{Cr0, Cr4, Efer};
use crate::cpu::{Cpu, Op};
use crate::cpuid::ARCH_CAPABILITIES;
use crate::file;
use crate::mem::access::canonical;
use crate::state::seg;
use crate::step::Step;
use crate::vector;

const TSC: u32 = 0x10;
const PLATFORM_ID: u32 = 0x17;
const FEATURE_CONTROL: u32 = 0x3a;
const TSC_ADJUST: u32 = 0x3b;
const SPEC_CTRL: u32 = 0x48;
const PRED_CMD: u32 = 0x49;
const BIOS_UPDATE_TRIGGER: u32 = 0x79;
const BIOS_SIGN_ID: u32 = 0x8b;
const MTRR_CAP: u32 = 0xfe;
const ARCH_CAP: u32 = 0x10a;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const MCG_CAP: u32 = 0x179;
const MCG_STATUS: u32 = 0x17a;
const MISC_ENABLE: u32 = 0x1a0;
const DEBUG_CTL: u32 = 0x1d9;
const PAT: u32 = 0x277;
const MTRR_DEF_TYPE: u32 = 0x2ff;
const EFER: u32 = 0xc000_0080;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const FMASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const KERNEL_GS_BASE: u32 = 0xc000_0102;
const TSC_AUX: u32 = 0xc000_0103;

/// MISC_ENABLE's fast-string bit, always set.
const FAST_STRINGS: u64 = 1;

/// An access that must raise #GP(0).
struct Refused;

impl Cpu {
    fn read_msr(&mut self, msr: u32, now: Moment) -> Result<u64, Refused> {
        if LocalApic::owns_msr(msr) {
            return self.apic.rdmsr(msr, now).map_err(|_| Refused);
        }
        let m = &self.sys.msr;
        Ok(match msr {
            TSC => now.tsc().0,
            TSC_ADJUST => m.tsc_adjust,
            SYSENTER_CS => m.sysenter_cs,
            SYSENTER_ESP => m.sysenter_esp,
            SYSENTER_EIP => m.sysenter_eip,
            MISC_ENABLE => m.misc_enable | FAST_STRINGS,
            PAT => m.pat,
            MTRR_DEF_TYPE => m.mtrr_def_type,
            EFER => self.sys.efer,
            STAR => m.star,
            LSTAR => m.lstar,
            CSTAR => m.cstar,
            FMASK => m.fmask,
            FS_BASE => self.sys.seg[seg::FS].base,
            GS_BASE => self.sys.seg[seg::GS].base,
            KERNEL_GS_BASE => m.kernel_gs_base,
            TSC_AUX => m.tsc_aux,
            ARCH_CAP => ARCH_CAPABILITIES,
            // A locked feature control, no variable or fixed MTRRs, no microcode, no machine-check banks.
            FEATURE_CONTROL => 1,
            PLATFORM_ID | BIOS_SIGN_ID | MTRR_CAP | MCG_CAP | MCG_STATUS | DEBUG_CTL => 0,
            _ => return Err(Refused),
        })
    }

    fn write_msr(&mut self, msr: u32, value: u64, now: Moment) -> Result<Flow, Refused> {
        if LocalApic::owns_msr(msr) {
            let effect = self.apic.wrmsr(msr, value, now).map_err(|_| Refused)?;
            return Ok(self.apic_effect(effect, now.cycles));
        }
        // Time itself never jumps: a write moves what the guest sees of it, and notes by how much (vol. 3, 18.17.3).
        if moves_counter(msr) {
            let from = if msr == TSC { now.tsc().0 } else { self.sys.msr.tsc_adjust };
            self.move_counter(now, value.wrapping_sub(from));
            return Ok(Flow::Continue);
        }
        let address =
            matches!(msr, LSTAR | CSTAR | FS_BASE | GS_BASE | KERNEL_GS_BASE | SYSENTER_ESP | SYSENTER_EIP);
        if address && !canonical(value) {
            return Err(Refused);
        }
        let m = &mut self.sys.msr;
        match msr {
            SYSENTER_CS => m.sysenter_cs = value & 0xffff,
            SYSENTER_ESP => m.sysenter_esp = value,
            SYSENTER_EIP => m.sysenter_eip = value,
            MISC_ENABLE => m.misc_enable = value,
            PAT if valid_pat(value) => m.pat = value,
            MTRR_DEF_TYPE if value & !0xcff == 0 => m.mtrr_def_type = value,
            EFER => return self.write_efer(value),
            STAR => m.star = value,
            LSTAR => m.lstar = value,
            CSTAR => m.cstar = value,
            FMASK => m.fmask = value & 0xffff_ffff,
            FS_BASE => self.set_base(seg::FS, value),
            GS_BASE => self.set_base(seg::GS, value),
            KERNEL_GS_BASE => m.kernel_gs_base = value,
            TSC_AUX if value >> 32 == 0 => m.tsc_aux = value,
            BIOS_SIGN_ID | BIOS_UPDATE_TRIGGER | MCG_STATUS => {}
            DEBUG_CTL if value == 0 => {}
            _ => return Err(Refused),
        }
        Ok(Flow::Continue)
    }

    /// The guest adds `by` to its counter. Deadlines on that counter use the new value at once.
    fn move_counter(&mut self, now: Moment, by: u64) {
        self.apic.advance(now);
        let adjust = &mut self.sys.msr.tsc_adjust;
        *adjust = adjust.wrapping_add(by);
        self.sys.tsc_offset = now.offset.moved(by);
        let after = self.moment(now.cycles);
        self.apic.advance(after);
        self.bus().counter_set(after.cycles, after.offset);
    }

    pub(super) fn set_base(&mut self, which: usize, base: u64) {
        self.sys.seg[which].base = base;
        self.seg_base[which] = base;
    }

    fn write_efer(&mut self, value: u64) -> Result<Flow, Refused> {
        let old = self.sys.efer;
        // LMA is the processor's own: a write leaves it alone.
        const SETTABLE: u64 = Efer::all().difference(Efer::LMA).bits();
        let changed = Efer::from_bits_retain(value ^ old);
        let unknown = value & !Efer::all().bits() != 0;
        if unknown || (self.sys.has_cr0(Cr0::PG) && changed.contains(Efer::LME)) {
            return Err(Refused);
        }
        self.sys.efer = value & SETTABLE | old & Efer::LMA.bits();
        if changed.contains(Efer::NXE) {
            self.tlb.flush_all();
        }
        Ok(Flow::Yield)
    }

    /// Carries out the effect of an access to the local APIC, or of a message.
    pub(crate) fn apic_effect(&mut self, effect: ApicEffect, now: Cycles) -> Flow {
        let mut flow = Flow::Continue;
        if let Some(Ended { vector, level }) = effect.end_of_interrupt {
            flow = self.bus().end_of_interrupt(now, vector, level);
        }
        if let Some(icr) = effect.ipi
            && self.config.cpuid.cpus > 1
        {
            self.sent.push(icr);
            flow = Flow::Yield;
        }
        if effect.nmi {
            self.sys.nmi_pending = true;
        }
        if flow == Flow::Yield {
            self.yielding = true;
        }
        flow
    }
}

/// All eight memory types of the page attribute table are defined ones.
fn valid_pat(value: u64) -> bool {
    value.to_le_bytes().iter().all(|t| matches!(t, 0 | 1 | 4 | 5 | 6 | 7))
}

/// MSRs that kernels probe on machines that may lack them: not worth a message.
fn expected_missing(msr: u32) -> bool {
    matches!(msr, SPEC_CTRL | PRED_CMD)
}

pub(super) fn rdmsr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let msr = cpu.reg::<u32>(file::RCX);
    let now = cpu.moment(cpu.now(op));
    match cpu.read_msr(msr, now) {
        Ok(value) => {
            cpu.set_reg(file::RAX, value as u32);
            cpu.set_reg(file::RDX, (value >> 32) as u32);
            Step::Next
        }
        Err(Refused) => refuse(cpu, msr),
    }
}

pub(super) fn wrmsr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let msr = cpu.reg::<u32>(file::RCX);
    let value = u64::from(cpu.reg::<u32>(file::RDX)) << 32 | u64::from(cpu.reg::<u32>(file::RAX));
    let now = cpu.moment(cpu.now(op));
    match cpu.write_msr(msr, value, now) {
        // A write to the APIC or to the counter may have made an interrupt deliverable, or moved the timer's deadline.
        Ok(flow) if flow == Flow::Yield || LocalApic::owns_msr(msr) || moves_counter(msr) => Step::Stop,
        Ok(_) => Step::Next,
        Err(Refused) => refuse(cpu, msr),
    }
}

fn moves_counter(msr: u32) -> bool {
    matches!(msr, TSC | TSC_ADJUST)
}

fn refuse(cpu: &mut Cpu, msr: u32) -> Step {
    if !expected_missing(msr) {
        cpu.counters.count_msr(msr);
    }
    cpu.raise(vector::GP, Some(0))
}

/// RDTSC, and with `AUX` RDTSCP.
pub(super) fn rdtsc<const AUX: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    if cpu.sys.has_cr4(Cr4::TSD) && !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let Tsc(value) = cpu.moment(cpu.now(op)).tsc();
    cpu.set_reg(file::RAX, value as u32);
    cpu.set_reg(file::RDX, (value >> 32) as u32);
    if AUX {
        cpu.set_reg(file::RCX, cpu.sys.msr.tsc_aux as u32);
    }
    Step::Next
}

pub(super) fn swapgs(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let old = cpu.sys.seg[seg::GS].base;
    cpu.set_base(seg::GS, cpu.sys.msr.kernel_gs_base);
    cpu.sys.msr.kernel_gs_base = old;
    Step::Next
}

/// CPUID. The two bits that follow the machine's state are put in here.
pub(super) fn cpuid(cpu: &mut Cpu, _: &Op) -> Step {
    let (leaf, subleaf) = (cpu.reg::<u32>(file::RAX), cpu.reg::<u32>(file::RCX));
    let mut answer = crate::cpuid::cpuid(leaf, subleaf, &cpu.config.cpuid);
    if leaf == 1 && cpu.apic.access_mode() == crate::apic::AccessMode::Disabled {
        answer[3] &= !(1 << 9);
    }
    for (register, value) in
        [(file::RAX, answer[0]), (file::RBX, answer[1]), (file::RCX, answer[2]), (file::RDX, answer[3])]
    {
        cpu.set_reg(register, value);
    }
    Step::Next
}
