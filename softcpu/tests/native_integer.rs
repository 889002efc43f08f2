//! The integer instructions against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use iced_x86::{Code, CpuidFeature, Mnemonic, OpCodeOperandKind};

/// Forms that user mode cannot run, or whose result is the system's or the vendor's choice.
fn excluded(code: Code) -> Option<&'static str> {
    use Mnemonic::*;
    let info = code.op_code();
    let short_branch = (0..info.op_count())
        .any(|i| matches!(info.op_kind(i), OpCodeOperandKind::br16_1 | OpCodeOperandKind::br16_2));
    if short_branch || matches!(code, Code::Call_rm16 | Code::Jmp_rm16 | Code::Retnw | Code::Retnw_imm16) {
        return Some("16-bit branches differ between vendors in 64-bit mode");
    }
    match code.mnemonic() {
        In | Out | Insb | Insw | Insd | Outsb | Outsw | Outsd | Cli | Sti | Hlt => {
            Some("needs I/O privilege")
        }
        Lgdt | Lidt | Lldt | Ltr | Lmsw | Clts | Invd | Wbinvd | Invlpg | Swapgs => Some("privileged"),
        Mov if (0..info.op_count())
            .any(|i| matches!(info.op_kind(i), OpCodeOperandKind::cr_reg | OpCodeOperandKind::dr_reg)) =>
        {
            Some("privileged")
        }
        Sgdt | Sidt | Sldt | Str | Smsw | Lar | Lsl | Verr | Verw => Some("shows the system's tables"),
        Int | Int1 | Int3 | Iret | Iretd | Iretq | Retf => Some("leaves for the system or another segment"),
        Call | Jmp if format!("{code:?}").contains("_m16") => {
            Some("leaves for the system or another segment")
        }
        Movsxd if code == Code::Movsxd_r16_rm16 => Some("vendors read two bytes or four"),
        Bswap if matches!(code, Code::Bswap_r16) => Some("the manual leaves the result undefined"),
        Reservednop if format!("{code:?}").ends_with("_0F0D") => {
            Some("a register form that vendors treat differently")
        }
        Ud0 if code == Code::Ud0 => Some("a form without ModR/M, of old processors only"),
        Lss | Lfs | Lgs => Some("loads a segment register"),
        Pop if matches!(code, Code::Popw_FS | Code::Popq_FS | Code::Popw_GS | Code::Popq_GS) => {
            Some("loads a segment register")
        }
        Mov if matches!(code, Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16) => {
            Some("loads a segment register")
        }
        _ => None,
    }
}

#[test]
fn every_form_is_the_same_on_the_host() {
    let features = &[
        CpuidFeature::INTEL8086,
        CpuidFeature::INTEL186,
        CpuidFeature::INTEL286,
        CpuidFeature::INTEL386,
        CpuidFeature::INTEL486,
        CpuidFeature::X64,
        CpuidFeature::CMOV,
        CpuidFeature::CX8,
        CpuidFeature::CMPXCHG16B,
        CpuidFeature::POPCNT,
        CpuidFeature::MULTIBYTENOP,
    ];
    oracle::run(&oracle::Group { features, excluded, bits: 64, samples: 100, seed: 1, floor: 600 }, &[]);
}
