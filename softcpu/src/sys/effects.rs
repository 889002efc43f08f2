//! What the local APIC asks of the CPU and of the machine.

use crate::apic::ApicEffect;
use crate::bus::Flow;
use crate::cpu::Cpu;

impl Cpu {
    /// Carries out the effects of an APIC register write made by this CPU at time `now`.
    pub(crate) fn apic_effect(&mut self, effect: ApicEffect, now: u64) {
        if effect.nmi {
            self.sys.nmi_pending = true;
        }
        let mut flow = Flow::Continue;
        if let Some(vector) = effect.end_of_interrupt {
            flow = self.bus().end_of_interrupt(now, vector);
        }
        if let Some(icr) = effect.ipi
            && self.bus().send_ipi(now, icr) == Flow::Yield
        {
            flow = Flow::Yield;
        }
        // INIT and start-up messages reach a CPU only from another one; the machine resets and starts it.
        self.yielding |= flow == Flow::Yield;
    }
}
