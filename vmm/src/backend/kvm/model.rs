//! What a model of CPU has that this host's KVM cannot give.

use fencepost_softcpu::cpuid::LEAF1_ECX_V2;
use fencepost_softcpu::model::Model;
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::Kvm;

/// Bits of leaf 1's ECX and what they announce (Intel SDM vol. 2A, CPUID).
const NAMES: [(u32, &str); 7] = [
    (0, "SSE3"),
    (1, "PCLMULQDQ"),
    (9, "SSSE3"),
    (19, "SSE4.1"),
    (20, "SSE4.2"),
    (22, "MOVBE"),
    (25, "AES-NI"),
];

/// The bits of leaf 1's ECX that `model` has and this KVM lacks; `None` where there is no KVM to ask.
pub fn missing(model: Model) -> Option<u32> {
    if model == Model::Baseline {
        return Some(0);
    }
    let table = Kvm::new().and_then(|kvm| kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)).ok()?;
    let given = table.as_slice().iter().find(|entry| entry.function == 1).map_or(0, |entry| entry.ecx);
    Some(LEAF1_ECX_V2 & !given)
}

/// The line that says what a guest of that model does without, if it does.
pub fn line(model: Model) -> Option<String> {
    let missing = missing(model).filter(|bits| *bits != 0)?;
    let names: Vec<&str> =
        NAMES.iter().filter(|(bit, _)| missing >> bit & 1 != 0).map(|(_, name)| *name).collect();
    Some(format!("cpu: this host's KVM has no {}; the guest is told so", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_model_has_a_name() {
        assert_eq!(NAMES.iter().fold(0, |bits, (bit, _)| bits | 1 << bit), LEAF1_ECX_V2);
    }

    #[test]
    fn a_guest_of_the_baseline_misses_nothing() {
        assert_eq!((missing(Model::Baseline), line(Model::Baseline)), (Some(0), None));
    }
}
