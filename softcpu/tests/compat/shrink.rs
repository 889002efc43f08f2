//! Makes a program that differs from the host smaller, for whoever must find out why.

use super::{CODE, STACK};

/// Bytes of the first page, whose code has 32 bits; that of the second has `bits`.
const PAGE: usize = 0x1000;
const NOP: u8 = 0x90;
/// What fills a program up to the second page.
const FILL: u8 = 0xcc;

/// A program and the registers that it starts with.
#[derive(Clone)]
pub struct Case {
    pub code: Vec<u8>,
    pub gpr: [u32; 8],
    /// How the code of the second page is decoded.
    pub bits: u32,
}

/// Its instructions: where each begins and ends in the bytes, and its text.
fn instructions(case: &Case) -> Vec<(usize, usize, String)> {
    let mut all = Vec::new();
    let second = case.code.len().min(PAGE);
    for (from, bits, origin) in [(0, 32, CODE), (second, case.bits, 0)] {
        let bytes = if from == 0 { &case.code[..second] } else { &case.code[second..] };
        let skipped =
            if from == 0 { 0 } else { bytes.iter().position(|&b| b != FILL).unwrap_or(bytes.len()) };
        let end = bytes.iter().rposition(|&b| b != FILL).map_or(skipped, |last| last + 1);
        let mut decoder =
            iced_x86::Decoder::with_ip(bits, &bytes[skipped..end.max(skipped)], origin + skipped as u64, 0);
        while decoder.can_decode() {
            let start = from + skipped + decoder.position();
            let text = decoder.decode().to_string();
            all.push((start, from + skipped + decoder.position(), text));
        }
    }
    all
}

/// Instructions become NOPs and registers zero, for as long as `differs` still says so.
pub fn shrink(mut case: Case, mut differs: impl FnMut(&Case) -> bool) -> Case {
    let mut smaller = true;
    while std::mem::take(&mut smaller) {
        for (start, end, _) in instructions(&case) {
            let mut next = case.clone();
            next.code[start..end].fill(NOP);
            if next.code != case.code && differs(&next) {
                (case, smaller) = (next, true);
            }
        }
    }
    for n in 0..case.gpr.len() {
        let mut next = case.clone();
        next.gpr[n] = if n == 4 { STACK as u32 } else { 0 };
        if differs(&next) {
            case = next;
        }
    }
    case
}

/// The instructions but NOPs, with their bytes, and the registers.
pub fn show(case: &Case) -> String {
    let line = |(start, end, text): (usize, usize, String)| {
        let bytes = &case.code[start..end];
        (bytes != [NOP]).then(|| format!("  {start:#06x}  {bytes:02x?}  {text}\n"))
    };
    let lines: String = instructions(case).into_iter().filter_map(line).collect();
    format!("{lines}  EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI {:x?}\n", case.gpr)
}

#[test]
fn a_failing_program_shrinks_to_what_makes_it_fail() {
    // mov eax, 1; inc ecx; mov edx, 2; inc ecx; on the second page: inc ecx; ret, as 16-bit code.
    let mut code = vec![0xb8, 1, 0, 0, 0, 0x41, 0xba, 2, 0, 0, 0, 0x41];
    code.resize(PAGE + 0x10, FILL);
    code.extend([0x41, 0xc3]);
    let case = Case { code, gpr: [7; 8], bits: 16 };
    // "Fails" for the MOV to EDX, and for ESI not being zero.
    let small = shrink(case, |case| case.code[6] == 0xba && case.gpr[6] != 0);
    assert_eq!(
        show(&small),
        "  0x0006  [ba, 02, 00, 00, 00]  mov $2,%edx\n  \
         EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI [0, 0, 0, 0, 20007f00, 0, 7, 0]\n"
    );
}
