//! What the model `v2` has beyond the baseline.

use fencepost_skip::Tested;
use iced_x86::{Code, CpuidFeature};

use super::{Group, run};

/// Its features, and the x87, as FISTTP needs both.
const FEATURES: &[CpuidFeature] = &[
    CpuidFeature::FPU,
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
    CpuidFeature::AES,
    CpuidFeature::PCLMULQDQ,
    CpuidFeature::MOVBE,
];

/// All of the x87 but FISTTP has a test of its own.
fn excluded(code: Code) -> Option<&'static str> {
    (code.cpuid_features() == [CpuidFeature::FPU]).then_some("x87, see native_x87")
}

/// Why the host cannot say how these work, if it cannot.
fn host_lacks() -> Option<&'static str> {
    macro_rules! lacks {
        ($($feature:tt)*) => {
            [$((std::arch::is_x86_feature_detected!($feature), concat!("the host has no ", $feature))),*]
        };
    }
    let all = lacks!("sse3" "ssse3" "sse4.1" "sse4.2" "aes" "pclmulqdq" "movbe");
    all.iter().find(|(has, _)| !has).map(|(_, why)| *why)
}

/// Compares every form, as code of so many bits, with the host's processor.
pub fn compare(bits: u32, samples: usize, seed: u64, floor: usize) -> Tested {
    if let Some(lacking) = host_lacks() {
        return Tested::skipped(lacking);
    }
    run(&Group { features: FEATURES, excluded, bits, samples, seed, floor }, &[]);
    Tested::Ran
}
