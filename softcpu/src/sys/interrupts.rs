//! Delivery of exceptions and interrupts through the IDT of long mode (Intel SDM vol. 3, 7.14), or real mode's table.

use crate::cpu::Cpu;
use crate::descriptor::{attr, dpl};
use crate::flags::{IF, NT, RF, TF, VM};
use crate::mem::access::canonical;
use crate::mem::view::{SUPERVISOR, USER};
use crate::state::{reg, seg};
use crate::step::{Fault, Step, Trap};
use crate::vector;

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A fault of the instruction at RIP.
    Exception,
    /// A trap behind the instruction before RIP.
    Trap,
    /// INT n, INT3, INTO: the gate's privilege counts.
    Software,
    /// INT1: it does not.
    Privileged,
    /// An interrupt, an NMI.
    External,
}

/// The machine must be reset: an exception while delivering a double fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TripleFault;

const CONTRIBUTORY: [u8; 5] = [vector::DE, vector::TS, vector::NP, vector::SS, vector::GP];

/// The exception that two in a row combine to (vol. 3, table 7-5).
fn combine(first: u8, second: Fault) -> Result<Fault, TripleFault> {
    let contributory = |v| CONTRIBUTORY.contains(&v);
    let double = match first {
        vector::DF => return Err(TripleFault),
        vector::PF => second.vector == vector::PF || contributory(second.vector),
        _ => contributory(first) && contributory(second.vector),
    };
    Ok(if double { Fault { vector: vector::DF, error: Some(0), trap: false } } else { second })
}

impl Cpu {
    /// Delivers the pending exception, and those that its delivery raises. It takes a cycle in which no instruction
    /// retires, so that time advances even if a guest faults for ever.
    pub(crate) fn deliver_fault(&mut self) -> Result<(), TripleFault> {
        self.cycles += 1;
        self.idle = self.idle.wrapping_add(1);
        let mut fault = self.fault;
        loop {
            if let Some(count) = self.counters.exceptions.get_mut(fault.vector as usize) {
                *count += 1;
            }
            let source = if fault.trap { Source::Trap } else { Source::Exception };
            match self.interrupt(fault.vector, fault.error, source) {
                Ok(()) => {
                    if fault.vector == vector::DB {
                        self.end_detection();
                    }
                    return Ok(());
                }
                Err(Trap) => fault = combine(fault.vector, self.fault)?,
            }
        }
    }

    /// Delivers an external event. An exception during delivery replaces it.
    pub(crate) fn deliver_external(&mut self, vector: u8) -> Result<(), TripleFault> {
        self.counters.interrupts += 1;
        if self.interrupt(vector, None, Source::External).is_err() {
            return self.deliver_fault();
        }
        Ok(())
    }

    /// Goes through a gate. RIP is the address to come back to.
    pub(crate) fn interrupt(&mut self, vector: u8, error: Option<u32>, source: Source) -> Result<(), Trap> {
        let external = u32::from(source != Source::Software);
        let gate_code = u32::from(vector) << 3 | 2 | external;
        if self.in_real_mode() {
            return self.real_interrupt(vector, source);
        }
        if !self.in_long_mode() {
            // In 32-bit protected mode there is no gate this can go through: the processor shuts down.
            self.fault = Fault { vector: vector::DF, error: Some(0), trap: false };
            return Err(Trap);
        }
        let offset = u64::from(vector) * 16;
        if offset + 15 > u64::from(self.sys.idtr.limit) {
            return self.gate_fault(vector::GP, gate_code);
        }
        let at = self.sys.idtr.base.wrapping_add(offset);
        let gate = self.load_as::<u128>(self.system(), at)?;
        let kind = (gate >> 40 & 0x1f) as u8;
        let gate_dpl = (gate >> 45 & 3) as u8;
        if kind & !1 != 0xe || (source == Source::Software && gate_dpl < self.cpl()) {
            return self.gate_fault(vector::GP, gate_code);
        }
        if gate >> 47 & 1 == 0 {
            return self.gate_fault(vector::NP, gate_code);
        }
        let target = (gate & 0xffff) as u64 | (gate >> 32) as u64 & 0xffff_ffff_ffff_0000;
        let selector = (gate >> 16) as u16;
        let ist = (gate >> 32 & 7) as u64;
        let flags_clear = if kind == 0xe { IF } else { 0 };
        self.enter_gate(target, selector, ist, flags_clear, error, source)
    }

    fn gate_fault(&mut self, fault: u8, code: u32) -> Result<(), Trap> {
        self.raise(fault, Some(code));
        Err(Trap)
    }

    fn enter_gate(
        &mut self,
        target: u64,
        selector: u16,
        ist: u64,
        flags_clear: u64,
        error: Option<u32>,
        source: Source,
    ) -> Result<(), Trap> {
        let external = u32::from(source != Source::Software);
        let code = u32::from(selector & !3) | external;
        if selector & !3 == 0 {
            return self.gate_fault(vector::GP, external);
        }
        let mut cs = self.descriptor(selector, vector::GP)?;
        let a = cs.attributes;
        let old_cpl = self.cpl();
        if a & (attr::S | attr::CODE) != attr::S | attr::CODE
            || a & (attr::LONG | attr::BIG) != attr::LONG
            || dpl(a) > old_cpl
        {
            return self.gate_fault(vector::GP, code);
        }
        if a & attr::PRESENT == 0 {
            return self.gate_fault(vector::NP, code);
        }
        let cpl = if a & attr::CONFORMING != 0 { old_cpl } else { dpl(a) };
        let stack = if ist != 0 {
            self.task_stack(28 + 8 * ist)?
        } else if cpl < old_cpl {
            self.task_stack(4 + 8 * u64::from(cpl))?
        } else {
            self.gpr[reg::RSP]
        };
        if !canonical(target) {
            return self.gate_fault(vector::GP, external);
        }
        let sp = self.push_frame(stack & !15, error, source, cpl)?;
        self.mark_accessed(&mut cs)?;
        cs.selector = selector & !3 | u16::from(cpl);
        self.sys.seg[seg::CS] = cs;
        if cpl != old_cpl {
            self.set_null_stack(u16::from(cpl), cpl);
        }
        self.segments_changed();
        self.gpr[reg::RSP] = sp;
        self.rip = target;
        self.control &= !(TF | NT | RF | VM | flags_clear);
        Ok(())
    }

    /// A stack pointer out of the 64-bit TSS.
    fn task_stack(&mut self, offset: u64) -> Result<u64, Trap> {
        let tr = self.sys.tr;
        if offset + 7 > u64::from(tr.limit) {
            return self.selector_fault(vector::TS, tr.selector);
        }
        let stack = self.load_as::<u64>(self.system(), tr.base.wrapping_add(offset))?;
        if !canonical(stack) {
            self.raise(vector::SS, Some(0));
            return Err(Trap);
        }
        Ok(stack)
    }

    /// Writes SS, RSP, RFLAGS, CS, RIP and the error code below `top`; the new stack pointer.
    fn push_frame(&mut self, top: u64, error: Option<u32>, source: Source, cpl: u8) -> Result<u64, Trap> {
        let mut flags = self.rflags();
        if source == Source::Trap {
            // Between iterations too, where the SDM has it set: AMD's processors leave it clear (`native_steps`).
            flags &= !RF;
        }
        if source == Source::Exception {
            // Restarting the instruction must not meet its own breakpoint again (vol. 3, 19.3.1.1).
            flags |= RF;
        }
        let mut frame = [0u8; 48];
        let words = [
            u64::from(error.unwrap_or(0)),
            self.rip & self.linear_mask,
            u64::from(self.sys.seg[seg::CS].selector),
            flags,
            self.gpr[reg::RSP],
            u64::from(self.sys.seg[seg::SS].selector),
        ];
        for (bytes, word) in frame.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let used = if error.is_some() { &frame[..] } else { &frame[8..] };
        let sp = top.wrapping_sub(used.len() as u64);
        let mut how = self.system();
        how.view = if cpl == 3 { USER } else { SUPERVISOR };
        how.stack = true;
        match self.store_bytes(how, sp, used) {
            Step::Trap => Err(Trap),
            _ => Ok(sp),
        }
    }
}
