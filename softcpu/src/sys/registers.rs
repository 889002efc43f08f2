//! Control and debug registers, descriptor-table registers, and the instructions around them.

use crate::cpu::{Cpu, Op};
use crate::state::{Segment, Table};
use crate::step::{Step, Trap};
use crate::tri;
use crate::value::Int;
use crate::vector;

use crate::control::{Cr0, Cr4, Efer};
use crate::descriptor::{attr, unpack};

/// CR3's process-context identifier, where CR4.PCIDE is set (Intel SDM vol. 3, 2.5).
pub(super) const PCID: u64 = 0xfff;
/// Of a value for CR3: no translation need be dropped.
const KEEPS_TRANSLATIONS: u64 = 1 << 63;

impl Cpu {
    /// An error, with #GP raised, where CR4.UMIP leaves an instruction to CPL 0.
    fn check_umip(&mut self) -> Result<(), Trap> {
        if self.sys.has_cr4(Cr4::UMIP) && !self.is_kernel() {
            self.raise(vector::GP, Some(0));
            return Err(Trap);
        }
        Ok(())
    }

    /// Writes CR0, which may enter or leave long mode.
    fn write_cr0(&mut self, value: u64) -> Step {
        let new = Cr0::from_bits_retain(value);
        let paging = new.contains(Cr0::PG);
        let long = self.sys.has_efer(Efer::LME);
        let bad = value >> 32 != 0
            || (paging && !new.contains(Cr0::PE))
            || (new.contains(Cr0::NW) && !new.contains(Cr0::CD))
            || (!paging && self.in_long_code())
            || (paging && long && !self.sys.has_cr4(Cr4::PAE))
            || (!paging && self.sys.has_cr4(Cr4::PCIDE));
        if bad {
            return self.raise(vector::GP, Some(0));
        }
        let changed = Cr0::from_bits_retain(self.sys.cr0 ^ value);
        self.sys.cr0 = Cr0::from_bits_truncate(value).union(Cr0::ET).bits();
        if changed.contains(Cr0::PG) {
            if paging && long {
                self.sys.efer |= Efer::LMA.bits();
            } else {
                self.sys.efer &= !Efer::LMA.bits();
            }
        }
        if changed.intersects(Cr0::PG | Cr0::WP | Cr0::PE) {
            self.tlb.flush_all();
        }
        Step::Stop
    }

    fn write_cr4(&mut self, value: u64) -> Step {
        let unknown = value & !self.config.cpuid.model.cr4().bits() != 0;
        let changed = Cr4::from_bits_retain(self.sys.cr4 ^ value);
        // Process-context identifiers are of long mode, and begin with number zero (Intel SDM vol. 3, 5.10.1).
        let identifies = value & changed.intersection(Cr4::PCIDE).bits() != 0;
        let bad = unknown
            || (self.in_long_mode() && value & Cr4::PAE.bits() == 0)
            || (identifies && (!self.in_long_mode() || self.sys.cr3 & PCID != 0));
        if bad {
            return self.raise(vector::GP, Some(0));
        }
        self.sys.cr4 = value;
        if changed.contains(Cr4::SMAP) {
            self.rights_changed();
        }
        if changed.contains(Cr4::DE) {
            self.breakpoints_changed();
        }
        if changed.intersects(Cr4::PGE | Cr4::PAE | Cr4::PCIDE | Cr4::SMEP | Cr4::SMAP) {
            self.tlb.flush_all();
        }
        Step::Stop
    }
}

/// MOV from a control register (number in `reg2`).
pub(super) fn read_cr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let value = match op.reg2 {
        0 => cpu.sys.cr0,
        2 => cpu.sys.cr2,
        3 => cpu.sys.cr3,
        4 => cpu.sys.cr4,
        8 => cpu.apic.cr8(),
        _ => return cpu.raise(vector::UD, None),
    };
    cpu.set_reg(op.reg1, value);
    Step::Next
}

/// MOV to a control register (number in `reg1`).
pub(super) fn write_cr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    // Outside 64-bit code it has 32 bits.
    let value = cpu.reg::<u64>(op.reg2) & cpu.linear_mask;
    match op.reg1 {
        0 => cpu.write_cr0(value),
        2 => {
            cpu.sys.cr2 = value;
            Step::Next
        }
        3 => {
            // Translations of other contexts may be kept then. They need not be.
            let keeps = if cpu.sys.has_cr4(Cr4::PCIDE) { KEEPS_TRANSLATIONS } else { 0 };
            let value = value & !keeps;
            if value >> crate::cpuid::PHYSICAL_BITS != 0 {
                return cpu.raise(vector::GP, Some(0));
            }
            cpu.sys.cr3 = value;
            cpu.tlb.flush_local();
            Step::Stop
        }
        4 => cpu.write_cr4(value),
        8 if value < 16 => {
            cpu.apic.set_cr8(value);
            Step::Stop
        }
        8 => cpu.raise(vector::GP, Some(0)),
        _ => cpu.raise(vector::UD, None),
    }
}

/// Which debug register is meant: DR4 and DR5 are DR6 and DR7 while CR4.DE is clear.
fn debug_register(cpu: &Cpu, number: u8) -> Option<usize> {
    match number {
        4 | 5 if cpu.sys.has_cr4(Cr4::DE) => None,
        4 | 5 => Some(number as usize + 2),
        _ => Some(number as usize & 7),
    }
}

pub(super) fn read_dr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let Some(number) = debug_register(cpu, op.reg2) else { return cpu.raise(vector::UD, None) };
    tri!(cpu.detect_access());
    let value = match number {
        6 => cpu.sys.dr[6] & 0xe00f | 0xffff_0ff0,
        7 => cpu.sys.dr[7] & 0xffff_2bff | 0x400,
        n => cpu.sys.dr[n],
    };
    cpu.set_reg(op.reg1, value);
    Step::Next
}

pub(super) fn write_dr(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let Some(number) = debug_register(cpu, op.reg1) else { return cpu.raise(vector::UD, None) };
    tri!(cpu.detect_access());
    // Outside 64-bit code it has 32 bits.
    let value = cpu.reg::<u64>(op.reg2) & cpu.linear_mask;
    if number >= 6 && value >> 32 != 0 {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.sys.dr[number] = value;
    cpu.breakpoints_changed();
    Step::Stop
}

pub(super) fn smsw_r<T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.check_umip());
    cpu.set_reg(op.reg1, T::cut(cpu.sys.cr0));
    Step::Next
}

pub(super) fn smsw_m(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.check_umip());
    let value = cpu.sys.cr0 as u16;
    cpu.store(op, cpu.ea(op), value)
}

/// LMSW: the low four bits; PE cannot be cleared.
pub(super) fn lmsw<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let value = if MEMORY { tri!(cpu.load::<u16>(op, cpu.ea(op))) } else { cpu.reg::<u16>(op.reg1) };
    let kept = cpu.sys.cr0 & !0xe;
    cpu.write_cr0(kept | u64::from(value) & 0xf)
}

pub(super) fn clts(cpu: &mut Cpu, _: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    cpu.sys.cr0 &= !Cr0::TS.bits();
    Step::Next
}

/// LGDT, or LIDT when `IDT`. In 64-bit code the base has eight bytes, elsewhere `BITS` bits.
pub(super) fn load_table<const IDT: bool, const BITS: u32>(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let at = cpu.ea(op);
    let limit = tri!(cpu.load::<u16>(op, at));
    let at = cpu.beyond(at, 2);
    let base = if cpu.in_long_code() {
        tri!(cpu.load::<u64>(op, at))
    } else {
        u64::from(tri!(cpu.load::<u32>(op, at))) & ((1 << BITS) - 1)
    };
    if !crate::mem::access::canonical(base) {
        return cpu.raise(vector::GP, Some(0));
    }
    *(if IDT { &mut cpu.sys.idtr } else { &mut cpu.sys.gdtr }) = Table { base, limit };
    Step::Next
}

pub(super) fn store_table<const IDT: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.check_umip());
    let table = if IDT { cpu.sys.idtr } else { cpu.sys.gdtr };
    let at = cpu.ea(op);
    let mut bytes = [0u8; 10];
    bytes[..2].copy_from_slice(&table.limit.to_le_bytes());
    bytes[2..].copy_from_slice(&table.base.to_le_bytes());
    let used = if cpu.in_long_code() { 10 } else { 6 };
    cpu.store_block(op, at, &bytes[..used])
}

/// LTR (selector in a register, or in memory).
pub(super) fn ltr<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = tri!(privileged_selector::<MEMORY>(cpu, op));
    let Some((at, mut segment)) = tri!(cpu.system_segment(selector)) else {
        return cpu.raise(vector::GP, Some(u32::from(selector & !3)));
    };
    let available = segment.attributes & (attr::S | attr::TYPE) == 9;
    if selector & !3 == 0 || selector & 4 != 0 || !available {
        return cpu.raise(vector::GP, Some(u32::from(selector & !3)));
    }
    if segment.attributes & attr::PRESENT == 0 {
        return cpu.raise(vector::NP, Some(u32::from(selector & !3)));
    }
    segment.attributes |= 2;
    let how = cpu.system();
    let byte = tri!(cpu.load_as::<u8>(how, at.wrapping_add(5)));
    let step = cpu.store_as(how, at.wrapping_add(5), byte | 2);
    if step != Step::Trap {
        cpu.sys.tr = segment;
    }
    step
}

/// LLDT.
pub(super) fn lldt<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let selector = tri!(privileged_selector::<MEMORY>(cpu, op));
    if selector & !3 == 0 {
        cpu.sys.ldtr = Segment { selector, ..Segment::default() };
        return Step::Next;
    }
    let Some((_, segment)) = tri!(cpu.system_segment(selector)) else {
        return cpu.raise(vector::GP, Some(u32::from(selector & !3)));
    };
    if selector & 4 != 0 || segment.attributes & (attr::S | attr::TYPE) != 2 {
        return cpu.raise(vector::GP, Some(u32::from(selector & !3)));
    }
    if segment.attributes & attr::PRESENT == 0 {
        return cpu.raise(vector::NP, Some(u32::from(selector & !3)));
    }
    cpu.sys.ldtr = segment;
    Step::Next
}

/// SLDT, or STR when `TASK`, to a register.
pub(super) fn store_selector_r<const TASK: bool, T: Int>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.protected_only());
    tri!(cpu.check_umip());
    let selector = if TASK { cpu.sys.tr.selector } else { cpu.sys.ldtr.selector };
    cpu.set_reg(op.reg1, T::cut(u64::from(selector)));
    Step::Next
}

/// SLDT, or STR when `TASK`, to memory.
pub(super) fn store_selector_m<const TASK: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(cpu.protected_only());
    tri!(cpu.check_umip());
    let selector = if TASK { cpu.sys.tr.selector } else { cpu.sys.ldtr.selector };
    cpu.store(op, cpu.ea(op), selector)
}

fn privileged_selector<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<u16, Trap> {
    cpu.protected_only()?;
    if !cpu.is_kernel() {
        cpu.raise(vector::GP, Some(0));
        return Err(Trap);
    }
    if MEMORY { cpu.load::<u16>(op, cpu.ea(op)) } else { Ok(cpu.reg::<u16>(op.reg1)) }
}

impl Cpu {
    /// A 16-byte system descriptor of the GDT (8 bytes outside long mode) and where it lies.
    fn system_segment(&mut self, selector: u16) -> Result<Option<(u64, Segment)>, Trap> {
        let long = self.in_long_mode();
        let Some(at) = self.descriptor_address(selector, if long { 16 } else { 8 }) else { return Ok(None) };
        let how = self.system();
        let mut segment = unpack(selector, self.load_as::<u64>(how, at)?);
        if long {
            let high = self.load_as::<u32>(how, at.wrapping_add(8))?;
            segment.base |= u64::from(high) << 32;
        }
        Ok(Some((at, segment)))
    }
}

/// INVLPG.
pub(super) fn invlpg(cpu: &mut Cpu, op: &Op) -> Step {
    if !cpu.is_kernel() {
        return cpu.raise(vector::GP, Some(0));
    }
    let at = cpu.ea(op);
    cpu.tlb.flush_page(at);
    // The page may be the running one.
    Step::Stop
}
