//! Which handler runs which SSE or SSE2 floating-point instruction.

use iced_x86::Code;

use super::float;
use super::forms::handlers;
use super::shape::*;
use crate::cpu::Handler;

handlers! {
    /// The handler of a form, by whether its operand is in memory.
    pub fn handler {
        float_packed {
            Sqrtps_xmm_xmmm128 = float::sqrtps;
            Sqrtpd_xmm_xmmm128 = float::sqrtpd;
            Addps_xmm_xmmm128 = float::addps;
            Addpd_xmm_xmmm128 = float::addpd;
            Mulps_xmm_xmmm128 = float::mulps;
            Mulpd_xmm_xmmm128 = float::mulpd;
            Cvtpd2ps_xmm_xmmm128 = float::cvtpd2ps;
            Cvtdq2ps_xmm_xmmm128 = float::cvtdq2ps;
            Cvtps2dq_xmm_xmmm128 = float::cvtps2dq;
            Cvttps2dq_xmm_xmmm128 = float::cvttps2dq;
            Subps_xmm_xmmm128 = float::subps;
            Subpd_xmm_xmmm128 = float::subpd;
            Minps_xmm_xmmm128 = float::minps;
            Minpd_xmm_xmmm128 = float::minpd;
            Divps_xmm_xmmm128 = float::divps;
            Divpd_xmm_xmmm128 = float::divpd;
            Maxps_xmm_xmmm128 = float::maxps;
            Maxpd_xmm_xmmm128 = float::maxpd;
            Cmpps_xmm_xmmm128_imm8 = float::cmpps;
            Cmppd_xmm_xmmm128_imm8 = float::cmppd;
            Cvttpd2dq_xmm_xmmm128 = float::cvttpd2dq;
            Cvtpd2dq_xmm_xmmm128 = float::cvtpd2dq;
        }
        float_single {
            Sqrtss_xmm_xmmm32 = float::sqrtss;
            Addss_xmm_xmmm32 = float::addss;
            Mulss_xmm_xmmm32 = float::mulss;
            Cvtss2sd_xmm_xmmm32 = float::cvtss2sd;
            Subss_xmm_xmmm32 = float::subss;
            Minss_xmm_xmmm32 = float::minss;
            Divss_xmm_xmmm32 = float::divss;
            Maxss_xmm_xmmm32 = float::maxss;
            Cmpss_xmm_xmmm32_imm8 = float::cmpss;
        }
        float_double {
            Sqrtsd_xmm_xmmm64 = float::sqrtsd;
            Addsd_xmm_xmmm64 = float::addsd;
            Mulsd_xmm_xmmm64 = float::mulsd;
            Cvtps2pd_xmm_xmmm64 = float::cvtps2pd;
            Cvtsd2ss_xmm_xmmm64 = float::cvtsd2ss;
            Subsd_xmm_xmmm64 = float::subsd;
            Minsd_xmm_xmmm64 = float::minsd;
            Divsd_xmm_xmmm64 = float::divsd;
            Maxsd_xmm_xmmm64 = float::maxsd;
            Cmpsd_xmm_xmmm64_imm8 = float::cmpsd;
            Cvtdq2pd_xmm_xmmm64 = float::cvtdq2pd;
        }
        compare_single {
            Ucomiss_xmm_xmmm32 = float::ucomiss;
            Comiss_xmm_xmmm32 = float::comiss;
        }
        compare_double {
            Ucomisd_xmm_xmmm64 = float::ucomisd;
            Comisd_xmm_xmmm64 = float::comisd;
        }
        from_gpr32 {
            Cvtsi2ss_xmm_rm32 = float::cvtsi2ss32;
            Cvtsi2sd_xmm_rm32 = float::cvtsi2sd32;
        }
        from_gpr64 {
            Cvtsi2ss_xmm_rm64 = float::cvtsi2ss64;
            Cvtsi2sd_xmm_rm64 = float::cvtsi2sd64;
        }
        from_mmx {
            Cvtpi2ps_xmm_mmm64 = float::cvtpi2ps;
            Cvtpi2pd_xmm_mmm64 = float::cvtdq2pd;
        }
        to_gpr_single {
            Cvttss2si_r32_xmmm32 = float::cvttss2si32;
            Cvttss2si_r64_xmmm32 = float::cvttss2si64;
            Cvtss2si_r32_xmmm32 = float::cvtss2si32;
            Cvtss2si_r64_xmmm32 = float::cvtss2si64;
        }
        to_gpr_double {
            Cvttsd2si_r32_xmmm64 = float::cvttsd2si32;
            Cvttsd2si_r64_xmmm64 = float::cvttsd2si64;
            Cvtsd2si_r32_xmmm64 = float::cvtsd2si32;
            Cvtsd2si_r64_xmmm64 = float::cvtsd2si64;
        }
        to_mmx_double {
            Cvttps2pi_mm_xmmm64 = float::cvttps2pi;
            Cvtps2pi_mm_xmmm64 = float::cvtps2pi;
        }
        to_mmx_packed {
            Cvttpd2pi_mm_xmmm128 = float::cvttpd2dq;
            Cvtpd2pi_mm_xmmm128 = float::cvtpd2dq;
        }
    }
}
