//! Which handler runs which packed integer, shuffle and logic instruction.

use iced_x86::Code;

use super::forms::handlers;
use super::shape::*;
use super::{float, integer, shuffle};
use crate::cpu::Handler;

handlers! {
    /// The handler of a form, by whether its operand is in memory.
    pub fn handler {
        packed {
            Unpcklps_xmm_xmmm128 = shuffle::punpckldq;
            Unpcklpd_xmm_xmmm128 = shuffle::punpcklqdq;
            Unpckhps_xmm_xmmm128 = shuffle::punpckhdq;
            Unpckhpd_xmm_xmmm128 = shuffle::punpckhqdq;
            Rsqrtps_xmm_xmmm128 = float::rsqrtps;
            Rcpps_xmm_xmmm128 = float::rcpps;
            Andps_xmm_xmmm128 = integer::and;
            Andpd_xmm_xmmm128 = integer::and;
            Andnps_xmm_xmmm128 = integer::andn;
            Andnpd_xmm_xmmm128 = integer::andn;
            Orps_xmm_xmmm128 = integer::or;
            Orpd_xmm_xmmm128 = integer::or;
            Xorps_xmm_xmmm128 = integer::xor;
            Xorpd_xmm_xmmm128 = integer::xor;
            Punpcklbw_xmm_xmmm128 = shuffle::punpcklbw;
            Punpcklwd_xmm_xmmm128 = shuffle::punpcklwd;
            Punpckldq_xmm_xmmm128 = shuffle::punpckldq;
            Packsswb_xmm_xmmm128 = shuffle::packsswb;
            Pcmpgtb_xmm_xmmm128 = integer::pcmpgtb;
            Pcmpgtw_xmm_xmmm128 = integer::pcmpgtw;
            Pcmpgtd_xmm_xmmm128 = integer::pcmpgtd;
            Packuswb_xmm_xmmm128 = shuffle::packuswb;
            Punpckhbw_xmm_xmmm128 = shuffle::punpckhbw;
            Punpckhwd_xmm_xmmm128 = shuffle::punpckhwd;
            Punpckhdq_xmm_xmmm128 = shuffle::punpckhdq;
            Packssdw_xmm_xmmm128 = shuffle::packssdw;
            Punpcklqdq_xmm_xmmm128 = shuffle::punpcklqdq;
            Punpckhqdq_xmm_xmmm128 = shuffle::punpckhqdq;
            Pshufd_xmm_xmmm128_imm8 = shuffle::pshufd;
            Pshufhw_xmm_xmmm128_imm8 = shuffle::pshufhw;
            Pshuflw_xmm_xmmm128_imm8 = shuffle::pshuflw;
            Pcmpeqb_xmm_xmmm128 = integer::pcmpeqb;
            Pcmpeqw_xmm_xmmm128 = integer::pcmpeqw;
            Pcmpeqd_xmm_xmmm128 = integer::pcmpeqd;
            Shufps_xmm_xmmm128_imm8 = shuffle::shufps;
            Shufpd_xmm_xmmm128_imm8 = shuffle::shufpd;
            Psrlw_xmm_xmmm128 = integer::psrlw;
            Psrld_xmm_xmmm128 = integer::psrld;
            Psrlq_xmm_xmmm128 = integer::psrlq;
            Paddq_xmm_xmmm128 = integer::paddq;
            Pmullw_xmm_xmmm128 = integer::pmullw;
            Psubusb_xmm_xmmm128 = integer::psubusb;
            Psubusw_xmm_xmmm128 = integer::psubusw;
            Pminub_xmm_xmmm128 = integer::pminub;
            Pand_xmm_xmmm128 = integer::and;
            Paddusb_xmm_xmmm128 = integer::paddusb;
            Paddusw_xmm_xmmm128 = integer::paddusw;
            Pmaxub_xmm_xmmm128 = integer::pmaxub;
            Pandn_xmm_xmmm128 = integer::andn;
            Pavgb_xmm_xmmm128 = integer::pavgb;
            Psraw_xmm_xmmm128 = integer::psraw;
            Psrad_xmm_xmmm128 = integer::psrad;
            Pavgw_xmm_xmmm128 = integer::pavgw;
            Pmulhuw_xmm_xmmm128 = integer::pmulhuw;
            Pmulhw_xmm_xmmm128 = integer::pmulhw;
            Psubsb_xmm_xmmm128 = integer::psubsb;
            Psubsw_xmm_xmmm128 = integer::psubsw;
            Pminsw_xmm_xmmm128 = integer::pminsw;
            Por_xmm_xmmm128 = integer::or;
            Paddsb_xmm_xmmm128 = integer::paddsb;
            Paddsw_xmm_xmmm128 = integer::paddsw;
            Pmaxsw_xmm_xmmm128 = integer::pmaxsw;
            Pxor_xmm_xmmm128 = integer::xor;
            Psllw_xmm_xmmm128 = integer::psllw;
            Pslld_xmm_xmmm128 = integer::pslld;
            Psllq_xmm_xmmm128 = integer::psllq;
            Pmuludq_xmm_xmmm128 = integer::pmuludq;
            Pmaddwd_xmm_xmmm128 = integer::pmaddwd;
            Psadbw_xmm_xmmm128 = integer::psadbw;
            Psubb_xmm_xmmm128 = integer::psubb;
            Psubw_xmm_xmmm128 = integer::psubw;
            Psubd_xmm_xmmm128 = integer::psubd;
            Psubq_xmm_xmmm128 = integer::psubq;
            Paddb_xmm_xmmm128 = integer::paddb;
            Paddw_xmm_xmmm128 = integer::paddw;
            Paddd_xmm_xmmm128 = integer::paddd;
        }
        packed_immediate {
            Psrlw_xmm_imm8 = integer::psrlw;
            Psraw_xmm_imm8 = integer::psraw;
            Psllw_xmm_imm8 = integer::psllw;
            Psrld_xmm_imm8 = integer::psrld;
            Psrad_xmm_imm8 = integer::psrad;
            Pslld_xmm_imm8 = integer::pslld;
            Psrlq_xmm_imm8 = integer::psrlq;
            Psrldq_xmm_imm8 = integer::psrldq;
            Psllq_xmm_imm8 = integer::psllq;
            Pslldq_xmm_imm8 = integer::pslldq;
        }
        mmx {
            Packsswb_mm_mmm64 = shuffle::packsswb_mmx;
            Pcmpgtb_mm_mmm64 = integer::pcmpgtb;
            Pcmpgtw_mm_mmm64 = integer::pcmpgtw;
            Pcmpgtd_mm_mmm64 = integer::pcmpgtd;
            Packuswb_mm_mmm64 = shuffle::packuswb_mmx;
            Punpckhbw_mm_mmm64 = shuffle::punpckhbw_mmx;
            Punpckhwd_mm_mmm64 = shuffle::punpckhwd_mmx;
            Punpckhdq_mm_mmm64 = shuffle::punpckhdq_mmx;
            Packssdw_mm_mmm64 = shuffle::packssdw_mmx;
            Pshufw_mm_mmm64_imm8 = shuffle::pshuflw;
            Pcmpeqb_mm_mmm64 = integer::pcmpeqb;
            Pcmpeqw_mm_mmm64 = integer::pcmpeqw;
            Pcmpeqd_mm_mmm64 = integer::pcmpeqd;
            Psrlw_mm_mmm64 = integer::psrlw;
            Psrld_mm_mmm64 = integer::psrld;
            Psrlq_mm_mmm64 = integer::psrlq;
            Paddq_mm_mmm64 = integer::paddq;
            Pmullw_mm_mmm64 = integer::pmullw;
            Psubusb_mm_mmm64 = integer::psubusb;
            Psubusw_mm_mmm64 = integer::psubusw;
            Pminub_mm_mmm64 = integer::pminub;
            Pand_mm_mmm64 = integer::and;
            Paddusb_mm_mmm64 = integer::paddusb;
            Paddusw_mm_mmm64 = integer::paddusw;
            Pmaxub_mm_mmm64 = integer::pmaxub;
            Pandn_mm_mmm64 = integer::andn;
            Pavgb_mm_mmm64 = integer::pavgb;
            Psraw_mm_mmm64 = integer::psraw;
            Psrad_mm_mmm64 = integer::psrad;
            Pavgw_mm_mmm64 = integer::pavgw;
            Pmulhuw_mm_mmm64 = integer::pmulhuw;
            Pmulhw_mm_mmm64 = integer::pmulhw;
            Psubsb_mm_mmm64 = integer::psubsb;
            Psubsw_mm_mmm64 = integer::psubsw;
            Pminsw_mm_mmm64 = integer::pminsw;
            Por_mm_mmm64 = integer::or;
            Paddsb_mm_mmm64 = integer::paddsb;
            Paddsw_mm_mmm64 = integer::paddsw;
            Pmaxsw_mm_mmm64 = integer::pmaxsw;
            Pxor_mm_mmm64 = integer::xor;
            Psllw_mm_mmm64 = integer::psllw;
            Pslld_mm_mmm64 = integer::pslld;
            Psllq_mm_mmm64 = integer::psllq;
            Pmuludq_mm_mmm64 = integer::pmuludq;
            Pmaddwd_mm_mmm64 = integer::pmaddwd;
            Psadbw_mm_mmm64 = integer::psadbw;
            Psubb_mm_mmm64 = integer::psubb;
            Psubw_mm_mmm64 = integer::psubw;
            Psubd_mm_mmm64 = integer::psubd;
            Psubq_mm_mmm64 = integer::psubq;
            Paddb_mm_mmm64 = integer::paddb;
            Paddw_mm_mmm64 = integer::paddw;
            Paddd_mm_mmm64 = integer::paddd;
        }
        mmx_low {
            Punpcklbw_mm_mmm32 = shuffle::punpcklbw;
            Punpcklwd_mm_mmm32 = shuffle::punpcklwd;
            Punpckldq_mm_mmm32 = shuffle::punpckldq;
        }
        mmx_immediate {
            Psrlw_mm_imm8 = integer::psrlw;
            Psraw_mm_imm8 = integer::psraw;
            Psllw_mm_imm8 = integer::psllw;
            Psrld_mm_imm8 = integer::psrld;
            Psrad_mm_imm8 = integer::psrad;
            Pslld_mm_imm8 = integer::pslld;
            Psrlq_mm_imm8 = integer::psrlq;
            Psllq_mm_imm8 = integer::psllq;
        }
        insert {
            Pinsrw_xmm_r32m16_imm8 = shuffle::pinsrw;
            Pinsrw_xmm_r64m16_imm8 = shuffle::pinsrw;
        }
        mmx_insert {
            Pinsrw_mm_r32m16_imm8 = shuffle::pinsrw_mmx;
            Pinsrw_mm_r64m16_imm8 = shuffle::pinsrw_mmx;
        }
        to_gpr {
            Movmskps_r32_xmm = integer::movmskps;
            Movmskps_r64_xmm = integer::movmskps;
            Movmskpd_r32_xmm = integer::movmskpd;
            Movmskpd_r64_xmm = integer::movmskpd;
            Pextrw_r32_xmm_imm8 = shuffle::pextrw;
            Pextrw_r64_xmm_imm8 = shuffle::pextrw;
            Pmovmskb_r32_xmm = integer::pmovmskb;
            Pmovmskb_r64_xmm = integer::pmovmskb;
        }
        to_gpr_from_mmx {
            Pextrw_r32_mm_imm8 = shuffle::pextrw_mmx;
            Pextrw_r64_mm_imm8 = shuffle::pextrw_mmx;
            Pmovmskb_r32_mm = integer::pmovmskb;
            Pmovmskb_r64_mm = integer::pmovmskb;
        }
        single {
            Rsqrtss_xmm_xmmm32 = float::rsqrtss;
            Rcpss_xmm_xmmm32 = float::rcpss;
        }
    }
}
