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
    for i in 0..16 {
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

/// Not compared: the last instruction's opcode and pointers, which processors keep by different rules.
fn fpu_differences(instr: &Instruction, a: &[u8; 512], b: &[u8; 512], out: &mut String) {
    for (name, at, len) in [("fcw", 0, 2), ("fsw", 2, 1), ("tags", 4, 1), ("mxcsr", 24, 4)] {
        if a[at..at + len] != b[at..at + len] {
            *out += &format!(" {name} {}, host {};", hex(&a[at..at + len]), hex(&b[at..at + len]));
        }
    }
    // C1 is left or cleared by some instructions: the vendors' manuals differ.
    let ignored = if leaves_c1(instr.code()) { 0x02 } else { 0 };
    if (a[3] ^ b[3]) & !ignored != 0 {
        *out += &format!(" fsw {:02x}{:02x}, host {:02x}{:02x};", a[3], a[2], b[3], b[2]);
    }
    for i in 0..8 {
        let range = 32 + 16 * i..42 + 16 * i;
        if a[range.clone()] != b[range.clone()] {
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
/// which processors keep by different rules, and MXCSR's mask, which tells of features.
pub fn overlook(case: &Case, host: &[u8], ours: &mut [u8]) {
    let ranges: &[std::ops::Range<usize>] = match case.instr.code() {
        Code::Fxsave_m512byte | Code::Fxsave64_m512byte => &[6..24, 28..32],
        Code::Fnstenv_m28byte | Code::Fnsave_m108byte => &[12..28],
        Code::Fnstenv_m14byte | Code::Fnsave_m94byte => &[6..14],
        _ => &[],
    };
    let start = case.address.wrapping_sub(DATA);
    for i in ranges.iter().cloned().flatten() {
        let at = start.wrapping_add(i as u64) as usize;
        if at < ours.len() {
            ours[at] = host[at];
        }
    }
}
