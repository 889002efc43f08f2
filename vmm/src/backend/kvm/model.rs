//! What a model of CPU has that this host's KVM cannot give.

use fencepost_softcpu::control::Cr4;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::CpuState;
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::Kvm;

use crate::error::HostError;

/// What only [`Model::V2`] has.
#[derive(Debug, PartialEq, Eq)]
struct Feature {
    name: &'static str,
    /// Where CPUID announces it: leaf, register (ECX is 2) and bit (Intel SDM vol. 2A, CPUID).
    announced: (u32, usize, u32),
    /// What turns it on, if that takes a bit of CR4.
    cr4: Cr4,
}

const EBX: usize = 1;
const ECX: usize = 2;

const fn feature(name: &'static str, announced: (u32, usize, u32), cr4: Cr4) -> Feature {
    Feature { name, announced, cr4 }
}

const FEATURES: [Feature; 16] = [
    feature("SSE3", (1, ECX, 0), Cr4::empty()),
    feature("PCLMULQDQ", (1, ECX, 1), Cr4::empty()),
    feature("SSSE3", (1, ECX, 9), Cr4::empty()),
    feature("PCID", (1, ECX, 17), Cr4::PCIDE),
    feature("SSE4.1", (1, ECX, 19), Cr4::empty()),
    feature("SSE4.2", (1, ECX, 20), Cr4::empty()),
    feature("MOVBE", (1, ECX, 22), Cr4::empty()),
    feature("AES-NI", (1, ECX, 25), Cr4::empty()),
    feature("RDRAND", (1, ECX, 30), Cr4::empty()),
    feature("FSGSBASE", (7, EBX, 0), Cr4::FSGSBASE),
    feature("SMEP", (7, EBX, 7), Cr4::SMEP),
    feature("INVPCID", (7, EBX, 10), Cr4::empty()),
    feature("RDSEED", (7, EBX, 18), Cr4::empty()),
    feature("SMAP", (7, EBX, 20), Cr4::SMAP),
    feature("UMIP", (7, ECX, 2), Cr4::UMIP),
    feature("RDPID", (7, ECX, 22), Cr4::empty()),
];

/// What a guest does without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing(Vec<&'static Feature>);

impl Missing {
    /// What `model` has and a KVM with these entries lacks.
    fn of(model: Model, given: &[kvm_cpuid_entry2]) -> Missing {
        let has = |&(leaf, register, bit): &(u32, usize, u32)| {
            let found = given.iter().find(|entry| (entry.function, entry.index) == (leaf, 0));
            found.is_some_and(|it| [it.eax, it.ebx, it.ecx, it.edx][register] >> bit & 1 != 0)
        };
        let wanted: &[Feature] = if model == Model::Baseline { &[] } else { &FEATURES };
        Missing(wanted.iter().filter(|feature| !has(&feature.announced)).collect())
    }

    /// What is left of the answer to a leaf.
    pub fn without(&self, leaf: u32, mut answer: [u32; 4]) -> [u32; 4] {
        for (_, register, bit) in self.0.iter().map(|it| it.announced).filter(|it| it.0 == leaf) {
            answer[register] &= !(1 << bit);
        }
        answer
    }

    /// The names, if there are any.
    fn names(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| names(self.0.iter().copied()))
    }

    /// Refuses to go on with CPUs of which one has turned on what is missing.
    ///
    /// # Errors
    ///
    /// Which features these are.
    fn allows(&self, cpus: &[CpuState]) -> Result<(), HostError> {
        let on = |feature: &&&Feature| cpus.iter().any(|cpu| cpu.cr4 & feature.cr4.bits() != 0);
        let on = names(self.0.iter().filter(on).copied());
        if on.is_empty() {
            return Ok(());
        }
        Err(HostError::input(
            format!("its guest has turned on {on}, which this host's KVM lacks"),
            "restore it with --accel soft, or save a guest that was started with --cpu baseline",
        ))
    }
}

fn names<'a>(features: impl Iterator<Item = &'a Feature>) -> String {
    features.map(|feature| feature.name).collect::<Vec<_>>().join(", ")
}

/// What `model` has and this KVM lacks; `None` where there is no KVM to ask.
pub fn missing(model: Model) -> Option<Missing> {
    let table = Kvm::new().and_then(|kvm| kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)).ok()?;
    Some(Missing::of(model, table.as_slice()))
}

/// Refuses to have this host's KVM go on with the CPUs of a machine of `model`, if it cannot.
///
/// # Errors
///
/// One has turned on what this KVM lacks.
pub fn allows(model: Model, cpus: &[CpuState]) -> Result<(), HostError> {
    missing(model).unwrap_or_default().allows(cpus)
}

/// What a guest of that model does without here, in words, if it does.
fn lacking(model: Model) -> Option<String> {
    missing(model)?.names().map(|names| format!("cpu: this host's KVM has no {names}"))
}

/// The line that says what a guest of that model does without, if it does.
pub fn line(model: Model) -> Option<String> {
    lacking(model).map(|lacking| format!("{lacking}; the guest is told so"))
}

/// The model for a guest that begins under `soft` and is to move to KVM: it must not lose anything there. With it a line for the user, if
/// that is not `model`.
pub fn of_moving(model: Model) -> (Model, Option<String>) {
    match lacking(model) {
        Some(lacking) => {
            (Model::Baseline, Some(format!("{lacking}; the guest, which moves there, has --cpu baseline")))
        }
        None => (model, None),
    }
}

#[cfg(test)]
mod tests {
    use fencepost_softcpu::cpuid::{LEAF1_ECX_V2, LEAF7_EBX_V2, LEAF7_ECX_V2};

    use super::*;

    #[test]
    fn every_bit_of_the_model_has_a_name_and_every_one_of_cr4_a_feature() {
        let all = Missing::of(Model::V2, &[]);
        assert_eq!(all.0.len(), FEATURES.len());
        assert_eq!(all.without(1, [!0; 4]), [!0, !0, !LEAF1_ECX_V2, !0]);
        assert_eq!(all.without(7, [!0; 4]), [!0, !LEAF7_EBX_V2, !LEAF7_ECX_V2, !0]);
        assert_eq!(all.without(6, [!0; 4]), [!0; 4]);
        let cr4 = FEATURES.iter().fold(Cr4::empty(), |all, feature| all | feature.cr4);
        assert_eq!(cr4, Model::V2.cr4().difference(Model::Baseline.cr4()));
    }

    fn entry(function: u32, ebx: u32, ecx: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 { function, ebx, ecx, ..Default::default() }
    }

    #[test]
    fn a_guest_is_told_of_what_this_kvm_has_alone() {
        let missing = Missing::of(Model::V2, &[entry(1, 0, !(1 << 17)), entry(7, !(1 << 20), !0)]);
        assert_eq!(missing.names().unwrap(), "PCID, SMAP");
        let all = [!0; 4];
        assert_eq!(missing.without(1, all), [!0, !0, !(1 << 17), !0]);
        assert_eq!(missing.without(7, all), [!0, !(1 << 20), !0, !0]);
    }

    #[test]
    fn cpus_that_have_turned_on_what_is_missing_are_refused() {
        // No PCID (CR4 bit 17), no SMEP (bit 20), no INVPCID, which needs no bit (Intel SDM vol. 3A, 2.5).
        let missing = Missing::of(Model::V2, &[entry(1, 0, !(1 << 17)), entry(7, !(1 << 7 | 1 << 10), !0)]);
        let cpus = |cr4: &[u64]| -> Vec<CpuState> {
            cr4.iter().map(|cr4| CpuState { cr4: *cr4, ..CpuState::default() }).collect()
        };
        // PAE, PGE, OSFXSR; UMIP, FSGSBASE and SMAP, which are there.
        let allowed = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 16 | 1 << 21;
        assert!(missing.allows(&cpus(&[allowed, 0])).is_ok());
        let refused = missing.allows(&cpus(&[allowed, allowed | 1 << 20, 1 << 17])).unwrap_err().to_string();
        assert_eq!(
            refused,
            "its guest has turned on PCID, SMEP, which this host's KVM lacks; restore it with --accel soft, or save a guest \
             that was started with --cpu baseline"
        );
    }

    #[test]
    fn a_guest_of_the_baseline_misses_nothing() {
        assert_eq!(Missing::of(Model::Baseline, &[]), Missing::default());
        assert_eq!(line(Model::Baseline), None);
        assert_eq!(of_moving(Model::Baseline), (Model::Baseline, None));
    }
}
