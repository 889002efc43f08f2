//! Priorities, acceptance and sending: the part of the local APIC that moves interrupts.

use super::regs::*;
use super::{AccessMode, ApicEffect, BROADCAST, DeliveryMode, Ended, InterruptMessage, LocalApic, bit};

/// The bits of the low half of ICR that can be written.
pub(super) const ICR_MASK: u32 = 0x000c_cfff;
pub(super) const ICR_LOGICAL: u32 = 1 << 11;
const ICR_ASSERT: u32 = 1 << 14;
const ICR_LEVEL: u32 = 1 << 15;

/// ICR bits 18..20: who is meant, if not the destination field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shorthand {
    None,
    Itself,
    All,
    Others,
}

/// The highest vector in one of the 256-bit registers.
#[inline(always)]
fn highest(regs: &[u32], base: usize) -> Option<u8> {
    (0..8).rev().find_map(|word| {
        let bits = regs[base | word];
        (bits != 0).then(|| (word << 5) as u8 | (31 ^ bits.leading_zeros()) as u8)
    })
}

/// Processor priority (Intel SDM vol. 3, 11.8.3.1): it follows from the other registers of the APIC's page, of which
/// there must be all.
#[inline(always)]
pub fn processor_priority(regs: &[u32]) -> u32 {
    let in_service = u32::from(highest(regs, ISR).unwrap_or(0)) & 0xf0;
    let task = regs[TPR];
    if task & 0xf0 >= in_service { task } else { in_service }
}

impl LocalApic {
    /// The highest vector in one of the 256-bit registers.
    fn highest(&self, base: usize) -> Option<u8> {
        highest(&self.regs, base)
    }

    /// Processor priority, by which a message of lowest priority is arbitrated.
    pub fn ppr(&self) -> u32 {
        processor_priority(&self.regs)
    }

    /// CR8: the task priority class.
    pub fn cr8(&self) -> u64 {
        u64::from(self.regs[TPR] >> 4)
    }

    /// Writes CR8 (the caller has refused values above 15). May make an interrupt deliverable.
    pub fn set_cr8(&mut self, value: u64) {
        self.regs[TPR] = ((value as u32) & 0xf) << 4;
    }

    /// The vector the CPU would take now if its interrupt flag allowed, if any.
    pub fn highest_pending(&self) -> Option<u8> {
        let vector = self.highest(IRR)?;
        let ready = self.access_mode() != AccessMode::Disabled
            && self.software_enabled()
            && u32::from(vector) & 0xf0 > self.ppr() & 0xf0;
        ready.then_some(vector)
    }

    /// Whether there is any request, of whatever priority.
    pub(crate) fn has_requests(&self) -> bool {
        self.regs[IRR..IRR + 8].iter().fold(0, |all, word| all | word) != 0
    }

    /// The CPU takes `vector`, which [`highest_pending`](Self::highest_pending) returned: request becomes service.
    pub fn accept(&mut self, vector: u8) {
        let (word, mask) = bit(vector);
        self.regs[IRR | word] &= !mask;
        self.regs[ISR | word] |= mask;
    }

    /// Whether `message`, of lowest priority, may be this APIC's: it is named, and switched on.
    pub(crate) fn is_candidate(&self, message: &InterruptMessage) -> bool {
        self.software_enabled() && self.is_destination(message)
    }

    /// Whether `message` names this APIC as a destination.
    pub fn is_destination(&self, message: &InterruptMessage) -> bool {
        let destination = message.destination;
        if self.access_mode() == AccessMode::Disabled {
            return false;
        }
        if destination == BROADCAST {
            return true;
        }
        if !message.logical {
            return destination == self.id;
        }
        let ldr = self.regs[LDR];
        if self.access_mode() == AccessMode::X2apic {
            return destination >> 16 == ldr >> 16 && destination & ldr & 0xffff != 0;
        }
        let (mine, theirs) = (ldr >> 24, destination & 0xff);
        match self.regs[DFR] >> 28 {
            0xf => mine & theirs != 0,
            0x0 => (mine >> 4 == theirs >> 4 || theirs >> 4 == 0xf) && mine & theirs & 0xf != 0,
            _ => false,
        }
    }

    /// Delivers a message, if this APIC is among its destinations. (Of lowest priority, only the one that is chosen is given it.)
    #[must_use]
    pub fn deliver(&mut self, message: InterruptMessage) -> ApicEffect {
        if !self.is_destination(&message) {
            return ApicEffect::NONE;
        }
        let mut effect = ApicEffect::NONE;
        match message.delivery_mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => self.receive(message.vector, message.level),
            DeliveryMode::Nmi => effect.nmi = true,
            DeliveryMode::Init => effect.init = true,
            DeliveryMode::Startup => effect.startup = Some(message.vector),
            DeliveryMode::ExtInt => effect.ext_int = true,
            // No system management mode on this machine.
            DeliveryMode::Smi => {}
        }
        effect
    }

    /// Requests `vector`. Dropped while disabled by software; vectors below 16 are errors.
    pub(super) fn receive(&mut self, vector: u8, level: bool) {
        if !self.software_enabled() {
            return;
        }
        if vector < 16 {
            self.raise_error(ERROR_RECEIVE_VECTOR);
            return;
        }
        self.request(vector, level);
    }

    fn request(&mut self, vector: u8, level: bool) {
        let (word, mask) = bit(vector);
        self.regs[IRR | word] |= mask;
        if level {
            self.regs[TMR | word] |= mask;
        } else {
            self.regs[TMR | word] &= !mask;
        }
    }

    /// Records an error, and raises the error interrupt if its LVT entry allows.
    pub(super) fn raise_error(&mut self, error: u32) {
        self.errors |= error;
        let lvt = self.regs[LVT_ERROR];
        // A bad vector in the error entry itself must not call back here.
        if lvt & LVT_MASKED == 0 && lvt as u8 >= 16 {
            self.request(lvt as u8, false);
        }
    }

    /// EOI: the interrupt of highest priority in service is done.
    pub(super) fn end_of_interrupt(&mut self) -> ApicEffect {
        let Some(vector) = self.highest(ISR) else { return ApicEffect::NONE };
        let (word, mask) = bit(vector);
        self.regs[ISR | word] &= !mask;
        let level = self.regs[TMR | word] & mask != 0;
        ApicEffect { end_of_interrupt: Some(Ended { vector, level }), ..ApicEffect::NONE }
    }

    /// The interrupt that is being serviced, of highest priority: what the next EOI will end.
    pub fn in_service(&self) -> Option<u8> {
        self.highest(ISR)
    }

    /// Acts on a write to the low half of ICR.
    pub(super) fn send_ipi(&mut self, icr: u32, destination: u32) -> ApicEffect {
        let Some(delivery_mode) = DeliveryMode::from_bits(icr >> 8) else { return ApicEffect::NONE };
        let (vector, level) = (icr as u8, icr & ICR_LEVEL != 0);
        if delivery_mode == DeliveryMode::Init && level && icr & ICR_ASSERT == 0 {
            return ApicEffect::NONE; // INIT level de-assert: ignored since the Pentium 4.
        }
        if delivery_mode.carries_vector() && vector < 16 {
            self.raise_error(ERROR_SEND_VECTOR);
            return ApicEffect::NONE;
        }
        let logical = icr & ICR_LOGICAL != 0;
        let shorthand = match icr >> 18 & 3 {
            0 => Shorthand::None,
            1 => Shorthand::Itself,
            2 => Shorthand::All,
            _ => Shorthand::Others,
        };
        let destination = if shorthand == Shorthand::None { destination } else { BROADCAST };
        // IPIs are edge-triggered whatever the trigger bit says.
        let message = InterruptMessage { destination, logical, delivery_mode, vector, level: false };
        // Table 11-3: "self" and "all including self" exist for fixed interrupts only.
        let mut effect = match shorthand {
            Shorthand::Others => ApicEffect::NONE,
            Shorthand::Itself | Shorthand::All if delivery_mode != DeliveryMode::Fixed => {
                return ApicEffect::NONE;
            }
            _ => self.deliver(message),
        };
        let only_me = shorthand == Shorthand::Itself || (!logical && destination == self.id);
        if !only_me {
            effect.ipi = Some(u64::from(destination) << 32 | u64::from(icr & ICR_MASK));
        }
        effect
    }
}
