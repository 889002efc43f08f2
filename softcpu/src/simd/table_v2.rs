//! Which handler runs which instruction of SSE3, SSSE3, SSE4.1, SSE4.2, AES and PCLMULQDQ.

use iced_x86::Code;

use super::forms::handlers;
use super::shape::*;
use super::shape_lanes::*;
use super::{cipher, horizontal, rounding, widen};
use crate::cpu::Handler;

handlers! {
    fn joined_handler {
        packed {
            Phaddw_xmm_xmmm128 = horizontal::phaddw;
            Phaddd_xmm_xmmm128 = horizontal::phaddd;
            Phaddsw_xmm_xmmm128 = horizontal::phaddsw;
            Phsubw_xmm_xmmm128 = horizontal::phsubw;
            Phsubd_xmm_xmmm128 = horizontal::phsubd;
            Phsubsw_xmm_xmmm128 = horizontal::phsubsw;
            Pmaddubsw_xmm_xmmm128 = horizontal::pmaddubsw;
            Phminposuw_xmm_xmmm128 = horizontal::phminposuw;
            Pshufb_xmm_xmmm128 = widen::pshufb;
            Pabsb_xmm_xmmm128 = widen::pabsb;
            Pabsw_xmm_xmmm128 = widen::pabsw;
            Pabsd_xmm_xmmm128 = widen::pabsd;
            Psignb_xmm_xmmm128 = widen::psignb;
            Psignw_xmm_xmmm128 = widen::psignw;
            Psignd_xmm_xmmm128 = widen::psignd;
            Pmulhrsw_xmm_xmmm128 = widen::pmulhrsw;
            Pmulld_xmm_xmmm128 = widen::pmulld;
            Pmuldq_xmm_xmmm128 = widen::pmuldq;
            Pcmpeqq_xmm_xmmm128 = widen::pcmpeqq;
            Pcmpgtq_xmm_xmmm128 = widen::pcmpgtq;
            Pminsb_xmm_xmmm128 = widen::pminsb;
            Pmaxsb_xmm_xmmm128 = widen::pmaxsb;
            Pminuw_xmm_xmmm128 = widen::pminuw;
            Pmaxuw_xmm_xmmm128 = widen::pmaxuw;
            Pminsd_xmm_xmmm128 = widen::pminsd;
            Pmaxsd_xmm_xmmm128 = widen::pmaxsd;
            Pminud_xmm_xmmm128 = widen::pminud;
            Pmaxud_xmm_xmmm128 = widen::pmaxud;
            Packusdw_xmm_xmmm128 = widen::packusdw;
            Movsldup_xmm_xmmm128 = widen::movsldup;
            Movshdup_xmm_xmmm128 = widen::movshdup;
            Palignr_xmm_xmmm128_imm8 = widen::palignr;
            Blendps_xmm_xmmm128_imm8 = widen::blendps;
            Blendpd_xmm_xmmm128_imm8 = widen::blendpd;
            Pblendw_xmm_xmmm128_imm8 = widen::pblendw;
            Mpsadbw_xmm_xmmm128_imm8 = horizontal::mpsadbw;
            Aesenc_xmm_xmmm128 = cipher::aesenc;
            Aesenclast_xmm_xmmm128 = cipher::aesenclast;
            Aesdec_xmm_xmmm128 = cipher::aesdec;
            Aesdeclast_xmm_xmmm128 = cipher::aesdeclast;
            Aesimc_xmm_xmmm128 = cipher::aesimc;
            Aeskeygenassist_xmm_xmmm128_imm8 = cipher::aeskeygenassist;
            Pclmulqdq_xmm_xmmm128_imm8 = cipher::pclmulqdq;
        }
        mmx {
            Phaddw_mm_mmm64 = horizontal::phaddw_mmx;
            Phaddd_mm_mmm64 = horizontal::phaddd_mmx;
            Phaddsw_mm_mmm64 = horizontal::phaddsw_mmx;
            Phsubw_mm_mmm64 = horizontal::phsubw_mmx;
            Phsubd_mm_mmm64 = horizontal::phsubd_mmx;
            Phsubsw_mm_mmm64 = horizontal::phsubsw_mmx;
            Pmaddubsw_mm_mmm64 = horizontal::pmaddubsw;
            Pshufb_mm_mmm64 = widen::pshufb_mmx;
            Pabsb_mm_mmm64 = widen::pabsb;
            Pabsw_mm_mmm64 = widen::pabsw;
            Pabsd_mm_mmm64 = widen::pabsd;
            Psignb_mm_mmm64 = widen::psignb;
            Psignw_mm_mmm64 = widen::psignw;
            Psignd_mm_mmm64 = widen::psignd;
            Pmulhrsw_mm_mmm64 = widen::pmulhrsw;
            Palignr_mm_mmm64_imm8 = widen::palignr_mmx;
        }
        float_packed {
            Haddps_xmm_xmmm128 = horizontal::haddps;
            Haddpd_xmm_xmmm128 = horizontal::haddpd;
            Hsubps_xmm_xmmm128 = horizontal::hsubps;
            Hsubpd_xmm_xmmm128 = horizontal::hsubpd;
            Addsubps_xmm_xmmm128 = horizontal::addsubps;
            Addsubpd_xmm_xmmm128 = horizontal::addsubpd;
            Dpps_xmm_xmmm128_imm8 = horizontal::dpps;
            Dppd_xmm_xmmm128_imm8 = horizontal::dppd;
            Roundps_xmm_xmmm128_imm8 = rounding::roundps;
            Roundpd_xmm_xmmm128_imm8 = rounding::roundpd;
        }
        float_single {
            Roundss_xmm_xmmm32_imm8 = rounding::roundss;
        }
        float_double {
            Roundsd_xmm_xmmm64_imm8 = rounding::roundsd;
        }
        low_quadword {
            Movddup_xmm_xmmm64 = widen::movddup;
            Pmovsxbw_xmm_xmmm64 = widen::pmovsxbw;
            Pmovsxwd_xmm_xmmm64 = widen::pmovsxwd;
            Pmovsxdq_xmm_xmmm64 = widen::pmovsxdq;
            Pmovzxbw_xmm_xmmm64 = widen::pmovzxbw;
            Pmovzxwd_xmm_xmmm64 = widen::pmovzxwd;
            Pmovzxdq_xmm_xmmm64 = widen::pmovzxdq;
        }
        low_doubleword {
            Pmovsxbd_xmm_xmmm32 = widen::pmovsxbd;
            Pmovsxwq_xmm_xmmm32 = widen::pmovsxwq;
            Pmovzxbd_xmm_xmmm32 = widen::pmovzxbd;
            Pmovzxwq_xmm_xmmm32 = widen::pmovzxwq;
        }
        low_word {
            Pmovsxbq_xmm_xmmm16 = widen::pmovsxbq;
            Pmovzxbq_xmm_xmmm16 = widen::pmovzxbq;
        }
        insert_single {
            Insertps_xmm_xmmm32_imm8 = widen::insertps;
        }
        blend {
            Pblendvb_xmm_xmmm128 = widen::byte_signs;
            Blendvps_xmm_xmmm128 = widen::dword_signs;
            Blendvpd_xmm_xmmm128 = widen::qword_signs;
        }
        test {
            Ptest_xmm_xmmm128 = widen::ptest;
        }
    }
}

/// The handler of a form, by whether its operand is in memory.
pub fn handler(code: Code, memory: bool) -> Option<Handler> {
    let own = if memory { own_handler::<InMemory>(code) } else { own_handler::<InRegister>(code) };
    own.or_else(|| joined_handler(code, memory))
}

/// Of the forms that no kernel describes.
fn own_handler<P: Place>(code: Code) -> Option<Handler> {
    use Code::*;
    Some(match code {
        Pinsrb_xmm_r32m8_imm8 | Pinsrb_xmm_r64m8_imm8 => insert_lane::<P, u8>,
        Pinsrd_xmm_rm32_imm8 => insert_lane::<P, u32>,
        Pinsrq_xmm_rm64_imm8 => insert_lane::<P, u64>,
        Pextrb_r32m8_xmm_imm8 | Pextrb_r64m8_xmm_imm8 => extract_lane::<P, u8>,
        Pextrw_r32m16_xmm_imm8 | Pextrw_r64m16_xmm_imm8 => extract_lane::<P, u16>,
        Pextrd_rm32_xmm_imm8 | Extractps_rm32_xmm_imm8 | Extractps_r64m32_xmm_imm8 => extract_lane::<P, u32>,
        Pextrq_rm64_xmm_imm8 => extract_lane::<P, u64>,
        Pcmpistri_xmm_xmmm128_imm8 => text_index::<P, Implicit>,
        Pcmpestri_xmm_xmmm128_imm8 => text_index::<P, Explicit32>,
        Pcmpestri64_xmm_xmmm128_imm8 => text_index::<P, Explicit64>,
        Pcmpistrm_xmm_xmmm128_imm8 => text_mask::<P, Implicit>,
        Pcmpestrm_xmm_xmmm128_imm8 => text_mask::<P, Explicit32>,
        Pcmpestrm64_xmm_xmmm128_imm8 => text_mask::<P, Explicit64>,
        _ => return None,
    })
}
