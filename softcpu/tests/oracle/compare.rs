//! What counts as the same outcome.

use iced_x86::{Code, Instruction, Mnemonic, RflagsBits};

use super::generate::Case;
use super::layout::{DATA, DIRECTION, Outcome, STATUS_FLAGS};

/// The RFLAGS bits an instruction leaves undefined, by the manual.
fn undefined_flags(instr: &Instruction) -> u64 {
    let undefined = instr.rflags_undefined();
    [
        (RflagsBits::CF, 0x1),
        (RflagsBits::PF, 0x4),
        (RflagsBits::AF, 0x10),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, 0x800),
    ]
    .iter()
    .filter(|(bit, _)| undefined & bit != 0)
    .map(|(_, flag)| flag)
    .sum()
}

/// Approximations: each processor chooses its own low bits (Intel SDM vol. 2: relative error at most 1.5 * 2^-12).
fn approximate(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::Rcpps | Mnemonic::Rcpss | Mnemonic::Rsqrtps | Mnemonic::Rsqrtss)
}

fn close(a: u32, b: u32) -> bool {
    if a == b {
        return true;
    }
    let (x, y) = (f64::from(f32::from_bits(a)), f64::from(f32::from_bits(b)));
    (x - y).abs() <= 2.0 * 1.5 / 4096.0 * y.abs()
}

fn xmm_matches(instr: &Instruction, ours: &[u8], host: &[u8]) -> bool {
    if !approximate(instr.mnemonic()) {
        return ours == host;
    }
    let dword =
        |bytes: &[u8], i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    (0..16).step_by(4).all(|i| close(dword(ours, i), dword(host, i)))
}

/// The differences, in words; empty when there are none.
pub fn differences(instr: &Instruction, ours: &Outcome, host: &Outcome) -> String {
    let mut out = String::new();
    if ours.exception != host.exception {
        out += &format!(" exception {:?}, host {:?};", ours.exception, host.exception);
    }
    let (a, b) = (&ours.after, &host.after);
    // Of a POPA that faults some processors keep what they have popped.
    let popped = host.exception.is_some() && matches!(instr.mnemonic(), Mnemonic::Popa | Mnemonic::Popad);
    const RSP: usize = 4;
    for i in (0..16).filter(|&i| !popped || i == RSP) {
        if a.gpr[i] != b.gpr[i] {
            out += &format!(" r{i} {:#x}, host {:#x};", a.gpr[i], b.gpr[i]);
        }
    }
    if a.rip != b.rip {
        out += &format!(" rip {:#x}, host {:#x};", a.rip, b.rip);
    }
    let compared = (STATUS_FLAGS | DIRECTION) & !undefined_flags(instr);
    if (a.rflags ^ b.rflags) & compared != 0 {
        out += &format!(" flags {:#x}, host {:#x};", a.rflags & compared, b.rflags & compared);
    }
    fpu_differences(instr, &a.fx, &b.fx, &mut out);
    out
}

/// Inexact and underflow, in the status word as in the control word.
const INEXACT: u16 = 0x30;
/// ES and B, which an exception that is not masked sets.
const SUMMARY: u16 = 0x8080;

/// Bits of the status word on which manuals or processors differ: C1 where it is left or cleared; C1, and whether the
/// result counts as inexact (and so, if tiny, as underflow), of functions whose last bits are each processor's own.
fn unsettled_status(instr: &Instruction) -> u16 {
    const C1: u16 = 0x200;
    match instr.mnemonic() {
        mnemonic if transcendental(mnemonic) => C1 | INEXACT,
        _ if leaves_c1(instr.code()) => C1,
        _ => 0,
    }
}

fn leaves_c1(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        Fcmovb_st0_sti
            | Fcmovnb_st0_sti
            | Fcmove_st0_sti
            | Fcmovne_st0_sti
            | Fcmovbe_st0_sti
            | Fcmovnbe_st0_sti
            | Fcmovu_st0_sti
            | Fcmovnu_st0_sti
            | Fcomi_st0_sti
            | Fcomip_st0_sti
            | Fucomi_st0_sti
            | Fucomip_st0_sti
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|b| format!("{b:02x}")).collect()
}

/// The functions whose last bits each processor computes in its own way.
fn transcendental(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, F2xm1 | Fyl2x | Fyl2xp1 | Fptan | Fpatan | Fsin | Fcos | Fsincos)
}

/// Those of an angle, which is reduced by a pi of 66 bits or more (Intel SDM vol. 1, 8.3.8).
fn trigonometric(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Fptan | Fsin | Fcos | Fsincos)
}

/// Whether two 80-bit values are the same or, for a transcendental function, at most two units in the last place apart
/// (for a function of an angle: of a value near one).
fn stack_matches(instr: &Instruction, ours: &[u8], host: &[u8]) -> bool {
    // Without the integer bit, so that neighbours differ by one across a power of two.
    let value = |bytes: &[u8]| {
        let bits = bytes.iter().rev().fold(0i128, |sum, &b| sum << 8 | i128::from(b));
        bits >> 64 << 63 | bits & i128::from(i64::MAX)
    };
    if ours == host || !transcendental(instr.mnemonic()) {
        return ours == host;
    }
    let below_one = (0x3fff - ((i32::from(host[9]) << 8 | i32::from(host[8])) & 0x7fff)).clamp(0, 40);
    let tolerance = if trigonometric(instr.mnemonic()) { 2i128 << below_one } else { 2 };
    (value(ours) - value(host)).abs() <= tolerance
}

/// Not compared: the last instruction's opcode and pointers, which processors keep by different rules.
fn fpu_differences(instr: &Instruction, a: &[u8; 512], b: &[u8; 512], out: &mut String) {
    for (name, at, len) in [("fcw", 0, 2), ("tags", 4, 1), ("mxcsr", 24, 4)] {
        if a[at..at + len] != b[at..at + len] {
            *out += &format!(" {name} {}, host {};", hex(&a[at..at + len]), hex(&b[at..at + len]));
        }
    }
    let mut ignored = unsettled_status(instr);
    if ignored & INEXACT != 0 && a[0] & INEXACT as u8 != INEXACT as u8 {
        ignored |= SUMMARY;
    }
    let status = |image: &[u8; 512]| u16::from_le_bytes([image[2], image[3]]) & !ignored;
    if status(a) != status(b) {
        *out += &format!(" fsw {:#06x}, host {:#06x};", status(a), status(b));
    }
    for i in 0..8 {
        let range = 32 + 16 * i..42 + 16 * i;
        if !stack_matches(instr, &a[range.clone()], &b[range.clone()]) {
            *out += &format!(" st{i} {}, host {};", hex(&a[range.clone()]), hex(&b[range]));
        }
    }
    for i in 0..16 {
        let range = 160 + 16 * i..176 + 16 * i;
        if !xmm_matches(instr, &a[range.clone()], &b[range.clone()]) {
            *out += &format!(" xmm{i} {}, host {};", hex(&a[range.clone()]), hex(&b[range]));
        }
    }
}

/// Copies from the host's memory to ours what a saved x87 state holds of the last instruction's opcode and pointers,
/// which processors keep by different rules, and MXCSR's mask, which shows features.
pub fn overlook(case: &Case, host: &[u8], ours: &mut [u8]) {
    let ranges: &[(usize, usize)] = match case.instr.code() {
        Code::Fxsave_m512byte | Code::Fxsave64_m512byte => &[(6, 24), (28, 32)],
        Code::Fnstenv_m28byte | Code::Fnsave_m108byte => &[(12, 28)],
        Code::Fnstenv_m14byte | Code::Fnsave_m94byte => &[(6, 14)],
        _ => &[],
    };
    let start = case.address.wrapping_sub(DATA);
    for i in ranges.iter().flat_map(|&(from, to)| from..to) {
        let at = start.wrapping_add(i as u64) as usize;
        if at < ours.len() {
            ours[at] = host[at];
        }
    }
}
