//! What processors of two vendors do differently where both keep to the architecture. This CPU has AMD's ways.

// Each test uses its part of it.
#![allow(dead_code)]

use iced_x86::Code;

/// Why such a form is left out.
pub const REASON: &str = "vendors' processors differ, and the host's is not AMD's";

/// Forms of which some cases differ on Intel's processors: PUSH of a segment register writes two bytes of four; OF after a rotation
/// through carry by more than one; what of the state there is after a store that faults, and whether the fault or an x87 exception comes
/// first; in which order products are summed up.
const FORMS: [Code; 22] = [
    Code::Pushd_ES,
    Code::Pushd_CS,
    Code::Pushd_SS,
    Code::Pushd_DS,
    Code::Pushd_FS,
    Code::Pushd_GS,
    Code::Rcl_rm8_imm8,
    Code::Rcr_rm8_imm8,
    Code::Rcl_rm16_imm8,
    Code::Rcr_rm16_imm8,
    Code::Call_rm64,
    Code::Fist_m16int,
    Code::Fist_m32int,
    Code::Fistp_m64int,
    Code::Fisttp_m16int,
    Code::Fstp_m64fp,
    Code::Movd_rm32_mm,
    Code::Movq_rm64_mm,
    Code::Movq_mmm64_mm,
    Code::Movntq_m64_mm,
    Code::Dpps_xmm_xmmm128_imm8,
    Code::Dppd_xmm_xmmm128_imm8,
];

/// Whether the host's processor is one of AMD's.
pub fn host_is_amd() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    leaf.ebx.to_le_bytes() == *b"Auth"
}

/// Why this host is not asked about a form, if it is not.
pub fn left_out(code: Code) -> Option<&'static str> {
    (FORMS.contains(&code) && !host_is_amd()).then_some(REASON)
}
