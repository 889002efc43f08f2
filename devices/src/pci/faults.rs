//! Faults of the bus: what happens to interrupts on their way, for every function alike.

use fencepost_trace::{Event, FaultKind};

use super::endpoint::Endpoint;
use super::platform::{Platform, Shared};
use super::requester_id;
use crate::faults::{FaultSpec, Struck, Told};
use crate::ports::Access;

/// The timer token of the adapter itself, which no function uses.
pub(super) const FAULT_TOKEN: u32 = u32::MAX;
/// How late an interrupt is, or how long behind another one that nobody had a reason for, unless `for` says.
const LATE_NS: u64 = 1_000_000;

impl Shared<'_> {
    /// An occasion for faults of `kind`.
    pub fn fault(&self, rid: u16, kind: FaultKind, fits: impl Fn(&FaultSpec) -> bool) -> Option<Struck> {
        if self.faults.borrow().is_empty() {
            return None;
        }
        let struck = self.faults.borrow_mut().see(kind, self.now_ns, fits)?;
        self.record(rid, Event::Fault { rid, kind, occasion: struck.occasion });
        Some(struck)
    }

    /// Whether a DMA access fails on the bus.
    pub fn dma_fails(&self, rid: u16, access: Access) -> bool {
        let word = match access {
            Access::Read => "read",
            Access::Write => "write",
        };
        let fits = |spec: &FaultSpec| spec.text("access").is_none_or(|it| it == word);
        self.fault(rid, FaultKind::DmaError, fits).is_some()
    }

    /// How often `vector`, which the function has raised, is sent now.
    pub fn sent(&self, rid: u16, vector: u16) -> usize {
        if self.faults.borrow().is_empty() {
            return 1;
        }
        let its_own = |spec: &FaultSpec| spec.number("vector").is_none_or(|it| it == u64::from(vector));
        let at_ns =
            |struck: &Struck| self.now_ns.saturating_add(struck.spec.time_ns("for").unwrap_or(LATE_NS));
        if let Some(struck) = self.fault(rid, FaultKind::IrqSpurious, |_| true) {
            self.faults.borrow_mut().delay(at_ns(&struck), spurious_vector(&struck));
        }
        if self.fault(rid, FaultKind::IrqLost, its_own).is_some() {
            return 0;
        }
        if let Some(struck) = self.fault(rid, FaultKind::IrqLate, its_own)
            && self.faults.borrow_mut().delay(at_ns(&struck), vector)
        {
            return 0;
        }
        match self.fault(rid, FaultKind::IrqTwice, its_own) {
            None => 1,
            Some(struck) if struck.spec.time_ns("for").is_none() => 2,
            // If too many wait already, it comes at once.
            Some(struck) if self.faults.borrow_mut().delay(at_ns(&struck), vector) => 1,
            Some(_) => 2,
        }
    }
}

/// The vector that nobody had a reason to raise.
fn spurious_vector(struck: &Struck) -> u16 {
    struck.spec.number("vector").and_then(|vector| u16::try_from(vector).ok()).unwrap_or(0)
}

impl Endpoint {
    /// Whether it is what somebody is told of.
    pub fn is(&self, told: Told<'_>) -> bool {
        match told {
            Told::Model(model) => self.name() == model,
            Told::Slot(slot) => self.rid == requester_id(slot),
            Told::Iommu => false,
        }
    }

    /// Tells the function to have a fault, with draws by `seed`.
    pub fn give_fault(
        &mut self,
        spec: &FaultSpec,
        seed: u64,
        platform: &mut Platform<'_>,
    ) -> Result<(), String> {
        self.faults.get_mut().give(spec, seed, platform.clock.now().ns)?;
        self.call_for_faults(platform);
        Ok(())
    }

    /// A register access of the guest's, before it is done.
    pub(super) fn register_faults(&mut self, platform: &mut Platform<'_>) {
        if self.faults.get_mut().is_empty() {
            return;
        }
        let (rid, now_ns) = (self.rid, platform.clock.now().ns);
        for kind in [FaultKind::Removal, FaultKind::LinkReset] {
            let Some(struck) = self.faults.get_mut().see(kind, now_ns, |_| true) else { continue };
            platform.trace.record(Event::Fault { rid, kind, occasion: struck.occasion });
            match kind {
                FaultKind::Removal => self.remove(platform),
                _ => self.reset_link(platform),
            }
        }
    }

    /// A read of configuration space: whether it returns all ones.
    pub(super) fn config_is_ones(&mut self, platform: &mut Platform<'_>) -> bool {
        let faults = self.faults.get_mut();
        if faults.is_empty() {
            return false;
        }
        let (rid, kind, now_ns) = (self.rid, FaultKind::ConfigOnes, platform.clock.now().ns);
        let struck = faults.see(kind, now_ns, |_| true);
        if let Some(struck) = &struck {
            platform.trace.record(Event::Fault { rid, kind, occasion: struck.occasion });
        }
        struck.is_some() || faults.gone
    }

    /// Takes the function from the bus, or puts it back as it is after power-on; false if it is so already.
    pub fn set_there(&mut self, there: bool, platform: &mut Platform<'_>) -> bool {
        let changes = self.faults.get_mut().gone == there;
        match (changes, there) {
            (false, _) => {}
            (true, false) => self.remove(platform),
            // It was reset when it went.
            (true, true) => self.faults.get_mut().gone = false,
        }
        changes
    }

    /// Nobody is in the slot any more: nothing decodes, and nothing is sent.
    fn remove(&mut self, platform: &mut Platform<'_>) {
        self.reset_link(platform);
        self.faults.get_mut().gone = true;
    }

    /// The link goes down and comes up (PCI Express Base Specification 5.0, 6.6.1, hot reset): the function is as after power-on,
    /// and its configuration space too.
    fn reset_link(&mut self, platform: &mut Platform<'_>) {
        self.function_level_reset(platform);
        self.rerouted = true;
    }

    /// Asks the clock to be called when something is due.
    pub(super) fn call_for_faults(&mut self, platform: &mut Platform<'_>) {
        let faults = self.faults.get_mut();
        let next_ns = faults.next_ns();
        if next_ns == faults.called_ns {
            return;
        }
        faults.called_ns = next_ns;
        match next_ns {
            Some(at_ns) => platform.clock.call_at(self.rid, FAULT_TOKEN, at_ns),
            None => platform.clock.cancel(self.rid, FAULT_TOKEN),
        }
    }

    /// The adapter's own timer: what is late arrives, and what takes place by itself does.
    pub(super) fn faults_due(&mut self, platform: &mut Platform<'_>) {
        let now_ns = platform.clock.now().ns;
        self.faults.get_mut().called_ns = None;
        while let Some(struck) = self.faults.get_mut().take_timed(now_ns) {
            let (rid, kind, occasion) = (self.rid, struck.spec.kind(), struck.occasion);
            platform.trace.record(Event::Fault { rid, kind, occasion });
            match kind {
                FaultKind::IrqSpurious => {
                    self.faults.get_mut().delay(now_ns, spurious_vector(&struck));
                }
                FaultKind::Removal => self.remove(platform),
                FaultKind::LinkReset => self.reset_link(platform),
                _ => {}
            }
        }
        let gates = self.gates();
        while let Some(vector) = self.faults.get_mut().take_late(now_ns) {
            platform.trace.record(Event::MsiRaised { rid: self.rid, vector });
            let sent = self.interrupts.raise(vector, &gates);
            platform.messages.extend(sent.map(|outgoing| outgoing.sent_by(self.rid)));
        }
        self.call_for_faults(platform);
    }
}
