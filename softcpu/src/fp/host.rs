//! x87 arithmetic by the host's own x87, where it has one: for the control word that nearly all programs have. The software's
//! arithmetic serves all others, and all other hosts.
//!
//! Registers are read and written where they are: a value that is stored in parts and loaded as a whole costs more than what is
//! computed. The exceptions of the host's status word stay there as the guest's stay in its own: they are cleared only if the guest's lacks
//! one of them.

use super::ops::{Binary, Operand};

/// The registers, not in the order of the stack.
pub(super) type Registers = [u128; 8];

/// Whether the host computes as a control word says: double extended precision, to nearest, no exception unmasked (Intel SDM vol. 1,
/// 8.1.5). The host's own control word is that of a new process, the same.
pub(super) fn serves(fcw: u16) -> bool {
    cfg!(target_arch = "x86_64") && fcw & 0x0f3f == 0x033f
}

/// Runs x87 instructions that leave an empty stack. Gives the status word.
#[cfg(target_arch = "x86_64")]
macro_rules! compute {
    ([$($line:tt)+], $($name:ident = $value:expr),*) => {{
        let status: u16;
        // SAFETY: the instructions read and write only what the pointers show, and leave the x87 stack empty.
        unsafe {
            std::arch::asm!($($line)+, $($name = in(reg) $value,)* out("ax") status,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        status
    }};
}

/// An operation of ST(0), which is at `$dst`, and an operand.
#[cfg(target_arch = "x86_64")]
macro_rules! operation {
    ($operation:expr, $dst:expr, $src:expr, $before:literal, $operand:literal, $after:literal) => {{
        macro_rules! one {
            ($name:literal) => {
                compute!(
                    [
                        $before,
                        "fld tbyte ptr [{dst}]",
                        concat!($name, " ", $operand),
                        "fnstsw ax",
                        "fstp tbyte ptr [{dst}]",
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

/// Clears the host's exceptions if `sticky`, the guest's status word, lacks one of them.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn begin(sticky: u16) {
    let status = compute!(["fnstsw ax"],);
    if status & !sticky & 0x3f != 0 {
        compute!(["fnclex", "fnstsw ax"],);
    }
}

/// Two registers, the first of which gets the result.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn binary(operation: Binary, registers: &mut Registers, dst: usize, src: usize) -> u16 {
    let (dst, src) = (&raw mut registers[dst & 7], &raw const registers[src & 7]);
    operation!(operation, dst, src, "fld tbyte ptr [{src}]", "st, st(1)", "fstp st(0)")
}

/// A register and a value from memory.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn binary_memory(
    operation: Binary,
    registers: &mut Registers,
    dst: usize,
    operand: Operand,
) -> u16 {
    let dst = &raw mut registers[dst & 7];
    match operand {
        Operand::F32(value) => operation!(operation, dst, &raw const value, "", "dword ptr [{src}]", ""),
        Operand::F64(value) => operation!(operation, dst, &raw const value, "", "qword ptr [{src}]", ""),
        Operand::Int(value) => {
            operation!(operation, dst, &raw const value, "fild qword ptr [{src}]", "st, st(1)", "fstp st(0)")
        }
    }
}

/// A value from memory to a register.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn load(registers: &mut Registers, dst: usize, operand: Operand) -> u16 {
    let dst = &raw mut registers[dst & 7];
    match operand {
        Operand::F32(value) => {
            compute!(
                ["fld dword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{dst}]"],
                dst = dst,
                src = &raw const value
            )
        }
        Operand::F64(value) => {
            compute!(
                ["fld qword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{dst}]"],
                dst = dst,
                src = &raw const value
            )
        }
        Operand::Int(value) => {
            compute!(
                ["fild qword ptr [{src}]", "fnstsw ax", "fstp tbyte ptr [{dst}]"],
                dst = dst,
                src = &raw const value
            )
        }
    }
}

/// A square root.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn square_root(registers: &mut Registers, dst: usize) -> u16 {
    let dst = &raw mut registers[dst & 7];
    compute!(["fld tbyte ptr [{dst}]", "fsqrt", "fnstsw ax", "fstp tbyte ptr [{dst}]"], dst = dst)
}

/// A register as a double.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn as_f64(registers: &Registers, src: usize) -> (u64, u16) {
    let mut result = 0u64;
    let src = &raw const registers[src & 7];
    let status = compute!(
        ["fld tbyte ptr [{src}]", "fstp qword ptr [{to}]", "fnstsw ax"],
        to = &raw mut result,
        src = src
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
    begin(u16) -> ();
    binary(Binary, &mut Registers, usize, usize) -> u16;
    binary_memory(Binary, &mut Registers, usize, Operand) -> u16;
    load(&mut Registers, usize, Operand) -> u16;
    square_root(&mut Registers, usize) -> u16;
    as_f64(&Registers, usize) -> (u64, u16);
}
