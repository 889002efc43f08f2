//! The unit's saved state.

use serde::{Deserialize, Serialize};

use super::cache::{ContextCache, Iotlb};
use super::core::{Invalidations, Iommu};
use super::interrupts::InterruptTable;
use super::registers;
use crate::faults::FaultSet;
use crate::registers::RegisterFile;
use crate::state::{StateError, Stateful, require};

/// The saved state of an [`Iommu`]. The caches are part of it: what is stale stays stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IommuState {
    /// The register page.
    pub registers: Vec<u8>,
    /// Root table in use.
    pub root: u64,
    /// The fault record to be used next.
    pub next_record: usize,
    /// Context cache.
    pub contexts: ContextCache,
    /// IOTLB.
    pub iotlb: Iotlb,
    /// Walks that ended at a leaf of each size since power-on.
    pub walks: [u64; 3],
    /// Refused requests since power-on.
    pub faults: u64,
    /// Interrupt remapping table in use, what is cached of it, and counters.
    pub interrupts: InterruptTable,
    /// The faults that it was told to have, and what they have seen.
    pub requested: FaultSet,
    /// Until when the wait descriptor at the queue's head takes, in nanoseconds.
    pub waits_until_ns: Option<u64>,
    /// When the queue goes on, of which many descriptors were run at once, in nanoseconds.
    pub pauses_until_ns: Option<u64>,
    /// What it counts of invalidations.
    pub invalidations: Invalidations,
}

impl Stateful for Iommu {
    const KIND: &'static str = "iommu";
    const VERSION: u32 = 6;
    type Parts = ();
    type State = IommuState;

    fn save(&self) -> IommuState {
        IommuState {
            registers: self.file.save(),
            root: self.root,
            next_record: self.next_record,
            contexts: self.contexts.clone(),
            iotlb: self.iotlb.clone(),
            walks: self.walks,
            faults: self.faults,
            interrupts: self.interrupts.clone(),
            requested: self.requested.clone(),
            waits_until_ns: self.waits_until_ns,
            pauses_until_ns: self.pauses_until_ns,
            invalidations: self.invalidations,
        }
    }

    fn restore((): (), state: IommuState) -> Result<Self, StateError> {
        let IommuState { registers, root, next_record, contexts, iotlb, .. } = state;
        let IommuState { walks, faults, interrupts, requested, .. } = state;
        let IommuState { waits_until_ns, pauses_until_ns, invalidations, .. } = state;
        require::<Self>(next_record < registers::FAULT_RECORD_COUNT, "a fault record beyond the last")?;
        require::<Self>(
            contexts.is_well_formed() && iotlb.is_well_formed() && interrupts.is_well_formed(),
            "caches of another size",
        )?;
        let file = RegisterFile::restore(registers::REGISTERS, registers::PAGE_BYTES, &registers)
            .ok_or(StateError::Impossible { kind: Self::KIND, why: "a register page of another size" })?;
        let announced = file.word64(registers::ECAP);
        let possible = [registers::ECAP_VALUE, registers::ECAP_VALUE | registers::ECAP_REMAPPING];
        require::<Self>(possible.contains(&announced), "capabilities that no unit has")?;
        Ok(Iommu {
            file,
            root,
            next_record,
            contexts,
            iotlb,
            walks,
            faults,
            interrupts,
            requested,
            waits_until_ns,
            pauses_until_ns,
            invalidations,
        })
    }
}
