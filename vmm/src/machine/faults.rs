//! Faults on request (docs/faults.md): who was told of them, and those that wait for a mark of the guest's.

use fencepost_devices::faults::{FaultSpec, Told};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Machine;
use super::remap::Remapping;

/// What is kept of faults beside what bus and IOMMU hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Gives each fault a seed of its own.
    seeds: SplitMix64,
    /// Those to be given at a mark, with their seeds.
    at_marks: Vec<(FaultSpec, u64)>,
    /// Why faults that came while the machine ran could not be given.
    refused: Vec<String>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { seeds: SplitMix64::seed_from_u64(0), at_marks: Vec::new(), refused: Vec::new() }
    }
}

/// A fault that was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCount {
    /// What was asked for.
    pub spec: FaultSpec,
    /// How many occasions it has seen.
    pub occasions: u64,
    /// How often it took place.
    pub struck: u64,
}

impl Machine {
    /// From now on draws of faults that are given are by `seed`.
    pub fn seed_faults(&mut self, seed: u64) {
        self.faults.seeds = SplitMix64::seed_from_u64(seed);
    }

    /// Tells the machine to have a fault: now, or when the guest writes its mark.
    ///
    /// # Errors
    ///
    /// What it names is not there, or cannot have it: as part of a line.
    pub fn give_fault(&mut self, spec: &FaultSpec) -> Result<(), String> {
        let seed = self.faults.seeds.next_u64();
        if spec.mark().is_some() {
            self.check_fault(spec)?;
            self.faults.at_marks.push((spec.clone(), seed));
            return Ok(());
        }
        self.give_fault_now(spec, seed)
    }

    fn give_fault_now(&mut self, spec: &FaultSpec, seed: u64) -> Result<(), String> {
        self.check_fault(spec)?;
        let now_ns = self.now().ns;
        match &mut self.iommu {
            Remapping::Vtd(unit) if spec.told() == Told::Iommu => unit.requested.give(spec, seed, now_ns),
            Remapping::Virtio(unit) if spec.told() == Told::Iommu => unit.give_fault(spec, seed, now_ns),
            _ => self.on_bus(|pci, platform| pci.give_fault(spec, seed, platform)),
        }
    }

    fn check_fault(&self, spec: &FaultSpec) -> Result<(), String> {
        match (&self.iommu, spec.told()) {
            (Remapping::Vtd(_) | Remapping::Virtio(_), Told::Iommu) => Ok(()),
            (Remapping::Off, Told::Iommu) => Err(format!("{spec}: the machine has no IOMMU")),
            _ => self.pci.check_fault(spec),
        }
    }

    /// The guest has written `mark`.
    pub(super) fn reach_faults(&mut self, mark: u8) {
        let (now, later) = std::mem::take(&mut self.faults.at_marks)
            .into_iter()
            .partition(|(spec, _)| spec.mark() == Some(mark));
        self.faults.at_marks = later;
        let now: Vec<(FaultSpec, u64)> = now;
        for (spec, seed) in now {
            let given = self.give_fault_now(&spec, seed);
            self.faults.refused.extend(given.err());
        }
    }

    /// Takes the faults that came while the machine runs.
    pub(super) fn attend_faults(&mut self) {
        while let Some(spec) = self.control.take_fault() {
            let given = self.give_fault(&spec);
            self.faults.refused.extend(given.err());
        }
    }

    /// Each fault that was asked for, and what became of it; why some could not be given.
    pub fn fault_counts(&self) -> (Vec<FaultCount>, Vec<String>) {
        let given = self.pci.faults().into_iter().chain(self.iommu.faults());
        let given = given.map(|(spec, occasions, struck)| FaultCount { spec, occasions, struck });
        let waiting = self.faults.at_marks.iter();
        let waiting = waiting.map(|(spec, _)| FaultCount { spec: spec.clone(), occasions: 0, struck: 0 });
        (given.chain(waiting).collect(), self.faults.refused.clone())
    }
}
