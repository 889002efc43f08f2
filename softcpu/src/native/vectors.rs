//! Which instructions on XMM registers are the host's same ones.

use std::sync::LazyLock;

use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic, OpKind, Register};

use super::select::{Effect, Kind, registers};

/// What an instruction on XMM registers and general ones is, if the host's does the same.
pub(super) fn kind(instr: &Instruction) -> Option<Kind> {
    let known = |register: Register| register.is_gpr() || register.is_xmm();
    let mut vector = false;
    for register in registers(instr) {
        vector |= register.is_xmm();
        if !known(register) {
            return None;
        }
    }
    if !vector
        || !instr.cpuid_features().iter().all(|feature| host_has(*feature))
        || differs(instr.mnemonic())
    {
        return None;
    }
    let effect = if only_compares(instr.mnemonic()) { Effect::Sets } else { Effect::None };
    Some(Kind::Vector { effect, float: is_float(instr.mnemonic()) })
}

/// Whether the host has a set of instructions.
fn host_has(feature: CpuidFeature) -> bool {
    static SINCE_SSE3: LazyLock<bool> = LazyLock::new(|| {
        is_x86_feature_detected!("sse3")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    });
    match feature {
        CpuidFeature::SSE | CpuidFeature::SSE2 => true,
        CpuidFeature::SSE3 | CpuidFeature::SSSE3 | CpuidFeature::SSE4_1 => *SINCE_SSE3,
        _ => false,
    }
}

/// The result is another one on other processors (DPPS and DPPD: which products are summed up first), or an operand is nowhere to be seen in the instruction.
fn differs(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Rcpps
            | Rcpss
            | Rsqrtps
            | Rsqrtss
            | Dpps
            | Dppd
            | Maskmovdqu
            | Blendvps
            | Blendvpd
            | Pblendvb
            | Ldmxcsr
            | Stmxcsr
            | Movntdqa
    )
}

/// Whether it sets status flags, and no register.
pub(super) fn only_compares(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Comiss | Comisd | Ucomiss | Ucomisd | Ptest)
}

/// Whether MXCSR says how it computes, and tells afterwards.
#[rustfmt::skip]
fn is_float(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Addps | Addpd | Addss | Addsd | Subps | Subpd | Subss | Subsd | Mulps | Mulpd | Mulss | Mulsd
            | Divps | Divpd | Divss | Divsd | Sqrtps | Sqrtpd | Sqrtss | Sqrtsd
            | Minps | Minpd | Minss | Minsd | Maxps | Maxpd | Maxss | Maxsd
            | Cmpps | Cmppd | Cmpss | Cmpsd
            | Comiss | Comisd | Ucomiss | Ucomisd
            | Cvtdq2ps | Cvtdq2pd | Cvtps2dq | Cvtpd2dq | Cvttps2dq | Cvttpd2dq | Cvtps2pd | Cvtpd2ps
            | Cvtss2sd | Cvtsd2ss | Cvtsi2ss | Cvtsi2sd | Cvtss2si | Cvtsd2si | Cvttss2si | Cvttsd2si
            | Roundps | Roundpd | Roundss | Roundsd
            | Haddps | Haddpd | Hsubps | Hsubpd | Addsubps | Addsubpd
    )
}

/// Whether its memory operand, of 16 bytes, must be a multiple of 16.
pub(super) fn is_aligned(instr: &Instruction) -> bool {
    use Mnemonic::*;
    instr.memory_size().size() == 16 && !matches!(instr.mnemonic(), Movups | Movupd | Movdqu | Lddqu)
}

/// Whether the old value of the register that it writes does not matter at all.
pub(super) fn only_written(instr: &Instruction) -> bool {
    use Mnemonic::*;
    match instr.mnemonic() {
        Movss | Movsd => instr.op1_kind() == OpKind::Memory,
        Movaps | Movapd | Movdqa | Movups | Movupd | Movdqu | Lddqu | Movd | Movq | Pshufd | Pshuflw
        | Pshufhw => true,
        Movddup | Movshdup | Movsldup | Cvtdq2ps | Cvtdq2pd | Cvtps2pd | Cvtps2dq | Cvttps2dq => true,
        _ => false,
    }
}

/// A store that goes by the caches as one that does not: nobody else has them.
pub(super) fn through_caches(code: Code) -> Code {
    match code {
        Code::Movntdq_m128_xmm => Code::Movdqa_xmmm128_xmm,
        Code::Movntps_m128_xmm => Code::Movaps_xmmm128_xmm,
        Code::Movntpd_m128_xmm => Code::Movapd_xmmm128_xmm,
        other => other,
    }
}
