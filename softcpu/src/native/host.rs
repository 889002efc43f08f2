//! Whether the host's processor is as generated code takes it to be where the manuals leave it open. All processors known are.

use std::arch::asm;

use crate::flags::{AF, CF, OF, PF, SF, STATUS, ZF};

/// Values that differ in sign, parity and lowest bits.
const VALUES: [u64; 6] = [0, 1, 0x8000_0000_0000_0000, !0, 0x1234_5678_9abc_def0, 0x0f];

/// The flags after an instruction on a register and CL, which finds `before`; and what it leaves in the register.
macro_rules! flags_after {
    ($instruction:literal, $value:expr, $other:expr, $before:expr) => {{
        let mut value: u64 = $value;
        let mut flags: u64 = $before;
        // SAFETY: it changes the two registers and the flags; what it pushes it pops.
        unsafe {
            asm!("push {f}", "popfq", $instruction, "pushfq", "pop {f}", f = inout(reg) flags, v = inout(reg) value, o = in(reg) $other);
        }
        (flags & STATUS, value)
    }};
}

/// Whether it is.
pub(super) fn is_as_expected() -> bool {
    VALUES.iter().all(|&value| VALUES.iter().all(|&other| logic(value, other) && bits(value, other)))
}

/// AF is clear after AND, OR, XOR and TEST.
fn logic(value: u64, other: u64) -> bool {
    [
        flags_after!("and {v}, {o}", value, other, 2 | AF),
        flags_after!("or {v}, {o}", value, other, 2 | AF),
        flags_after!("xor {v}, {o}", value, other, 2 | AF),
        flags_after!("test {v}, {o}", value, other, 2 | AF),
    ]
    .iter()
    .all(|(flags, _)| flags & AF == 0)
}

/// BT changes CF alone, a rotation by one CF and OF alone, and BSF of nothing leaves its destination.
fn bits(value: u64, other: u64) -> bool {
    let rest = PF | AF | ZF | SF;
    [rest, 0].into_iter().all(|before| {
        let kept = |(flags, _): (u64, u64), mask: u64| flags & mask == before & mask;
        kept(flags_after!("bt {v}, {o}", value, other, 2 | before), rest | OF)
            && kept(flags_after!("rol {v}, 1\n/* {o} */", value, other, 2 | before), rest)
            && kept(flags_after!("ror {v}, 1\n/* {o} */", value, other, 2 | before), rest)
            && kept(flags_after!("inc {v}\n/* {o} */", value, other, 2 | before), CF)
            && flags_after!("bsf {v}, {o}", value, 0u64, 2 | before).1 == value
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_host_is_as_expected() {
        assert!(super::is_as_expected());
    }
}
