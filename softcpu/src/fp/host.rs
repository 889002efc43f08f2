//! x87 arithmetic by the host's own x87, where it has one: for the control word that nearly all programs have. The software's
//! arithmetic serves all others, and all other hosts.

use super::ops::{Binary, Operand};

/// A result of 80 bits, and the status word after it.
pub(super) type Result80 = (u128, u16);

/// Whether the host computes as a control word says: double extended precision, to nearest, no exception unmasked (Intel SDM vol. 1,
/// 8.1.5). The host's own control word is that of a new process, the same.
pub(super) fn serves(fcw: u16) -> bool {
    cfg!(target_arch = "x86_64") && fcw & 0x0f3f == 0x033f
}

#[cfg(target_arch = "x86_64")]
/// Runs x87 instructions between loading and storing, which leave an empty stack.
macro_rules! compute {
    ($to:expr, [$($line:tt)+], $($name:ident = $value:expr),*) => {{
        let status: u16;
        // SAFETY: the instructions read what the pointers show, write what `to` shows, and leave the x87 stack empty.
        unsafe {
            std::arch::asm!($($line)+, to = in(reg) $to, $($name = in(reg) $value,)* out("ax") status,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        status
    }};
}

/// `$what` of ST(0) and ST(1), which `$load` has loaded from `src`, or of ST(0) and `$memory`.
#[cfg(target_arch = "x86_64")]
macro_rules! operation {
    ($operation:expr, $to:expr, $dst:expr, $src:expr, $before:literal, $operand:literal, $after:literal) => {{
        macro_rules! one {
            ($name:literal) => {
                compute!(
                    $to,
                    [
                        $before,
                        "fld tbyte ptr [{dst}]",
                        "fnclex",
                        concat!($name, " ", $operand),
                        "fnstsw ax",
                        "fstp tbyte ptr [{to}]",
                        $after
                    ],
                    dst = $dst,
                    src = $src
                )
            };
        }
        match $operation {
            Binary::Add => one!("fadd"),
            Binary::Mul => one!("fmul"),
            Binary::Sub => one!("fsub"),
            Binary::SubReversed => one!("fsubr"),
            Binary::Div => one!("fdiv"),
            Binary::DivReversed => one!("fdivr"),
        }
    }};
}

/// Two registers.
#[cfg(target_arch = "x86_64")]
pub(super) fn binary(operation: Binary, dst: u128, src: u128) -> Result80 {
    let mut result = 0u128;
    let (to, dst, src) = (&raw mut result, &raw const dst, &raw const src);
    let status = operation!(operation, to, dst, src, "fld tbyte ptr [{src}]", "st, st(1)", "fstp st(0)");
    (result, status)
}

/// A register and a value from memory.
#[cfg(target_arch = "x86_64")]
pub(super) fn binary_memory(operation: Binary, dst: u128, operand: Operand) -> Result80 {
    let mut result = 0u128;
    let (to, dst) = (&raw mut result, &raw const dst);
    let status = match operand {
        Operand::F32(value) => operation!(operation, to, dst, &raw const value, "", "dword ptr [{src}]", ""),
        Operand::F64(value) => operation!(operation, to, dst, &raw const value, "", "qword ptr [{src}]", ""),
        Operand::Int(value) => {
            operation!(
                operation,
                to,
                dst,
                &raw const value,
                "fild qword ptr [{src}]",
                "st, st(1)",
                "fstp st(0)"
            )
        }
    };
    (result, status)
}

/// A value from memory as one of 80 bits.
#[cfg(target_arch = "x86_64")]
pub(super) fn load(operand: Operand) -> Result80 {
    let mut result = 0u128;
    let to = &raw mut result;
    let status = match operand {
        Operand::F32(value) => {
            compute!(
                to,
                ["fnclex", "fld dword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{to}]"],
                src = &raw const value
            )
        }
        Operand::F64(value) => {
            compute!(
                to,
                ["fnclex", "fld qword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{to}]"],
                src = &raw const value
            )
        }
        Operand::Int(value) => {
            compute!(
                to,
                ["fnclex", "fild qword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{to}]"],
                src = &raw const value
            )
        }
    };
    (result, status)
}

/// A square root.
#[cfg(target_arch = "x86_64")]
pub(super) fn square_root(value: u128) -> Result80 {
    let mut result = 0u128;
    let status = compute!(
        &raw mut result,
        ["fld tbyte ptr [{src}]", "fnclex", "fsqrt", "fnstsw ax", "fstp tbyte ptr [{to}]"],
        src = &raw const value
    );
    (result, status)
}

/// A register as a double, and the status word after it.
#[cfg(target_arch = "x86_64")]
pub(super) fn as_f64(value: u128) -> (u64, u16) {
    let mut result = 0u64;
    let status = compute!(
        &raw mut result,
        ["fld tbyte ptr [{src}]", "fnclex", "fstp qword ptr [{to}]", "fnstsw ax"],
        src = &raw const value
    );
    (result, status)
}

/// What is never asked of a host that [`serves`] nothing.
#[cfg(not(target_arch = "x86_64"))]
macro_rules! never {
    ($($name:ident($($operand:ty),*) -> $result:ty;)*) => {$(
        pub(super) fn $name($(_: $operand),*) -> $result {
            unreachable!("this host serves nothing")
        }
    )*};
}
#[cfg(not(target_arch = "x86_64"))]
never! {
    binary(Binary, u128, u128) -> Result80;
    binary_memory(Binary, u128, Operand) -> Result80;
    load(Operand) -> Result80;
    square_root(u128) -> Result80;
    as_f64(u128) -> (u64, u16);
}
