//! Every instruction of user mode as 32-bit code, in the compatibility mode of a 64-bit process, against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use iced_x86::{Code, CpuidFeature, Mnemonic, OpCodeOperandKind};

/// Forms that user mode cannot run, or whose result is the system's or the vendor's choice.
fn excluded(code: Code) -> Option<&'static str> {
    use Mnemonic::*;
    let info = code.op_code();
    let has = |kinds: &[OpCodeOperandKind]| (0..info.op_count()).any(|i| kinds.contains(&info.op_kind(i)));
    use OpCodeOperandKind as K;
    match code.mnemonic() {
        In | Out | Insb | Insw | Insd | Outsb | Outsw | Outsd | Cli | Sti | Hlt => {
            Some("needs I/O privilege")
        }
        Lgdt | Lidt | Lldt | Ltr | Lmsw | Clts | Invd | Wbinvd | Invlpg => Some("privileged"),
        Mov if has(&[K::cr_reg, K::dr_reg, K::tr_reg]) => Some("privileged"),
        Sgdt | Sidt | Sldt | Str | Smsw | Lar | Lsl | Verr | Verw => Some("shows the system's tables"),
        Int | Int1 | Int3 | Iret | Iretd | Retf => Some("leaves for the system or another segment"),
        Call | Jmp if has(&[K::farbr2_2, K::farbr4_2]) || format!("{code:?}").contains("_m16") => {
            Some("leaves for the system or another segment")
        }
        Lds | Les | Lss | Lfs | Lgs => Some("loads a segment register"),
        Pop if has(&[K::ds, K::es, K::ss, K::fs, K::gs, K::cs]) => Some("loads a segment register"),
        Mov if code.op_code().op_count() > 0 && info.op_kind(0) == K::seg_reg => {
            Some("loads a segment register")
        }
        Bswap if matches!(code, Code::Bswap_r16) => Some("the manual leaves the result undefined"),
        Reservednop if format!("{code:?}").ends_with("_0F0D") => {
            Some("a register form that vendors treat differently")
        }
        Ud0 if code == Code::Ud0 => Some("a form without ModR/M, of old processors only"),
        Fstenv | Fstcw | Feni | Fdisi | Fclex | Finit | Fsetpm | Fsave | Fstsw => {
            Some("WAIT and then another form, two instructions")
        }
        Fstpnce => Some("not documented"),
        _ => None,
    }
}

#[test]
fn every_form_is_the_same_on_the_host() {
    let features = &[
        CpuidFeature::INTEL8086,
        CpuidFeature::INTEL8086_ONLY,
        CpuidFeature::INTEL186,
        CpuidFeature::INTEL286,
        CpuidFeature::INTEL386,
        CpuidFeature::INTEL486,
        CpuidFeature::CMOV,
        CpuidFeature::CX8,
        CpuidFeature::POPCNT,
        CpuidFeature::MULTIBYTENOP,
        CpuidFeature::FPU,
        CpuidFeature::FPU287,
        CpuidFeature::FPU387,
        CpuidFeature::MMX,
        CpuidFeature::SSE,
        CpuidFeature::SSE2,
        CpuidFeature::FXSR,
    ];
    oracle::run(&oracle::Group { features, excluded, bits: 32, samples: 60, seed: 9, floor: 980 }, &[]);
}
