//! The named models of CPU: what of the instruction set a guest may use.

use iced_x86::{CpuidFeature, Instruction};

use crate::control::Cr4;

/// A model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// x86-64 as AMD64 first had it, with CMPXCHG16B, POPCNT and LAHF.
    Baseline,
    /// x86-64-v2 (x86-64 psABI, 3.1.1), with the instructions that such processors have besides.
    #[default]
    V2,
}

/// What [`Model::V2`] has and [`Model::Baseline`] lacks.
const SINCE_V2: [CpuidFeature; 13] = [
    CpuidFeature::SSE3,
    CpuidFeature::SSSE3,
    CpuidFeature::SSE4_1,
    CpuidFeature::SSE4_2,
    CpuidFeature::AES,
    CpuidFeature::PCLMULQDQ,
    CpuidFeature::MOVBE,
    CpuidFeature::FSGSBASE,
    CpuidFeature::RDPID,
    CpuidFeature::RDRAND,
    CpuidFeature::RDSEED,
    CpuidFeature::INVPCID,
    CpuidFeature::SMAP,
];
/// The bits of CR4 that only it has.
const CR4_SINCE_V2: Cr4 = Cr4::UMIP.union(Cr4::FSGSBASE).union(Cr4::PCIDE).union(Cr4::SMEP).union(Cr4::SMAP);

impl Model {
    /// Whether the model has all that the instruction needs. One that it lacks raises #UD, as on a processor without it.
    pub(crate) fn has(self, instr: &Instruction) -> bool {
        self == Model::V2 || !instr.cpuid_features().iter().any(|feature| SINCE_V2.contains(feature))
    }

    /// The bits of CR4 that are not reserved.
    pub fn cr4(self) -> Cr4 {
        match self {
            Model::Baseline => Cr4::all().difference(CR4_SINCE_V2),
            Model::V2 => Cr4::all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Code, Instruction};

    use super::*;

    #[test]
    fn the_baseline_lacks_what_came_after_sse2() {
        let newer = [
            Code::Lddqu_xmm_m128,
            Code::Fisttp_m32int,
            Code::Pshufb_mm_mmm64,
            Code::Ptest_xmm_xmmm128,
            Code::Crc32_r32_rm8,
            Code::Aesenc_xmm_xmmm128,
            Code::Pclmulqdq_xmm_xmmm128_imm8,
            Code::Movbe_r32_m32,
            Code::Wrgsbase_r64,
            Code::Rdpid_r64,
            Code::Rdrand_r16,
            Code::Rdseed_r64,
            Code::Invpcid_r64_m128,
            Code::Stac,
        ];
        let has = |model: Model, code| {
            let mut instr = Instruction::new();
            instr.set_code(code);
            model.has(&instr)
        };
        for code in newer {
            assert!(has(Model::V2, code) && !has(Model::Baseline, code), "{code:?}");
        }
        for code in [Code::Addsd_xmm_xmmm64, Code::Popcnt_r64_rm64, Code::Lahf, Code::Add_rm32_r32] {
            assert!(has(Model::V2, code) && has(Model::Baseline, code), "{code:?}");
        }
    }
}
