//! What a model of CPU has that this host's KVM cannot give.

use fencepost_softcpu::cpuid::{LEAF1_ECX_V2, LEAF7_EBX_V2, LEAF7_ECX_V2};
use fencepost_softcpu::model::Model;
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::Kvm;

/// A register of a CPUID leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Leaf 1, ECX.
    Leaf1Ecx,
    /// Leaf 7, EBX.
    Leaf7Ebx,
    /// Leaf 7, ECX.
    Leaf7Ecx,
}

/// Bits and what they announce (Intel SDM vol. 2A, CPUID).
const NAMES: [(Word, u32, &str); 16] = [
    (Word::Leaf1Ecx, 0, "SSE3"),
    (Word::Leaf1Ecx, 1, "PCLMULQDQ"),
    (Word::Leaf1Ecx, 9, "SSSE3"),
    (Word::Leaf1Ecx, 17, "PCID"),
    (Word::Leaf1Ecx, 19, "SSE4.1"),
    (Word::Leaf1Ecx, 20, "SSE4.2"),
    (Word::Leaf1Ecx, 22, "MOVBE"),
    (Word::Leaf1Ecx, 25, "AES-NI"),
    (Word::Leaf1Ecx, 30, "RDRAND"),
    (Word::Leaf7Ebx, 0, "FSGSBASE"),
    (Word::Leaf7Ebx, 7, "SMEP"),
    (Word::Leaf7Ebx, 10, "INVPCID"),
    (Word::Leaf7Ebx, 18, "RDSEED"),
    (Word::Leaf7Ebx, 20, "SMAP"),
    (Word::Leaf7Ecx, 2, "UMIP"),
    (Word::Leaf7Ecx, 22, "RDPID"),
];

/// Bits that a guest does without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    leaf1_ecx: u32,
    leaf7_ebx: u32,
    leaf7_ecx: u32,
}

impl Missing {
    /// What `model` has and a KVM with these entries lacks.
    fn of(model: Model, given: &[kvm_cpuid_entry2]) -> Missing {
        if model == Model::Baseline {
            return Missing::default();
        }
        let entry = |leaf| {
            let found = given.iter().find(|entry| (entry.function, entry.index) == (leaf, 0));
            found.copied().unwrap_or_default()
        };
        let (first, seventh) = (entry(1), entry(7));
        Missing {
            leaf1_ecx: LEAF1_ECX_V2 & !first.ecx,
            leaf7_ebx: LEAF7_EBX_V2 & !seventh.ebx,
            leaf7_ecx: LEAF7_ECX_V2 & !seventh.ecx,
        }
    }

    /// What is left of the answer to a leaf.
    pub fn without(self, leaf: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> [u32; 4] {
        match leaf {
            1 => [eax, ebx, ecx & !self.leaf1_ecx, edx],
            7 => [eax, ebx & !self.leaf7_ebx, ecx & !self.leaf7_ecx, edx],
            _ => [eax, ebx, ecx, edx],
        }
    }

    /// The names.
    fn names(self) -> Vec<&'static str> {
        let has = |word, bit| {
            let bits = match word {
                Word::Leaf1Ecx => self.leaf1_ecx,
                Word::Leaf7Ebx => self.leaf7_ebx,
                Word::Leaf7Ecx => self.leaf7_ecx,
            };
            bits >> bit & 1 != 0
        };
        NAMES.iter().filter(|(word, bit, _)| has(*word, *bit)).map(|(.., name)| *name).collect()
    }
}

/// What `model` has and this KVM lacks; `None` where there is no KVM to ask.
pub fn missing(model: Model) -> Option<Missing> {
    let table = Kvm::new().and_then(|kvm| kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)).ok()?;
    Some(Missing::of(model, table.as_slice()))
}

/// What a guest of that model does without here, in words, if it does.
fn lacking(model: Model) -> Option<String> {
    let names = missing(model)?.names();
    (!names.is_empty()).then(|| format!("cpu: this host's KVM has no {}", names.join(", ")))
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
    use super::*;

    #[test]
    fn every_bit_of_the_model_has_a_name() {
        let all = Missing::of(Model::V2, &[]);
        assert_eq!(all.names().len(), NAMES.len());
        assert_eq!(
            all,
            Missing { leaf1_ecx: LEAF1_ECX_V2, leaf7_ebx: LEAF7_EBX_V2, leaf7_ecx: LEAF7_ECX_V2 }
        );
        let bits = all.leaf1_ecx.count_ones() + all.leaf7_ebx.count_ones() + all.leaf7_ecx.count_ones();
        assert_eq!(bits as usize, NAMES.len());
    }

    #[test]
    fn a_guest_is_told_of_what_this_kvm_has_alone() {
        let entry = |function, ebx, ecx| kvm_cpuid_entry2 { function, ebx, ecx, ..Default::default() };
        let missing = Missing::of(Model::V2, &[entry(1, 0, !(1 << 17)), entry(7, !(1 << 20), !0)]);
        assert_eq!(missing.names(), ["PCID", "SMAP"]);
        let all = [!0; 4];
        assert_eq!(missing.without(1, all), [!0, !0, !(1 << 17), !0]);
        assert_eq!(missing.without(7, all), [!0, !(1 << 20), !0, !0]);
        assert_eq!(missing.without(6, all), all);
    }

    #[test]
    fn a_guest_of_the_baseline_misses_nothing() {
        assert_eq!(Missing::of(Model::Baseline, &[]), Missing::default());
        assert_eq!(line(Model::Baseline), None);
        assert_eq!(of_moving(Model::Baseline), (Model::Baseline, None));
    }
}
