//! The forms that integer instructions come in.

use iced_x86::{ConditionCode, Instruction, OpKind};

/// What the first two operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    None,
    Reg,
    Mem,
    Imm,
    RegReg,
    RegImm,
    RegMem,
    MemReg,
    MemImm,
    Other,
}

/// The operands and the size of the first one.
#[derive(Clone, Copy, Debug)]
pub struct Shaped {
    /// Kinds.
    pub kind: Shape,
    /// Bytes of the first operand.
    pub bytes: usize,
}

#[derive(PartialEq)]
enum Kind {
    Reg,
    Mem,
    Imm,
    Other,
}

fn kind(instr: &Instruction, n: u32) -> Kind {
    match instr.op_kind(n) {
        OpKind::Register => Kind::Reg,
        OpKind::Memory => Kind::Mem,
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Kind::Imm,
        _ => Kind::Other,
    }
}

/// Sorts an instruction by its first two operands.
pub fn shape(instr: &Instruction) -> Shaped {
    let shape = match instr.op_count() {
        0 => Shape::None,
        1 => match kind(instr, 0) {
            Kind::Reg => Shape::Reg,
            Kind::Mem => Shape::Mem,
            Kind::Imm => Shape::Imm,
            Kind::Other => Shape::Other,
        },
        _ => match (kind(instr, 0), kind(instr, 1)) {
            (Kind::Reg, Kind::Reg) => Shape::RegReg,
            (Kind::Reg, Kind::Imm) => Shape::RegImm,
            (Kind::Reg, Kind::Mem) => Shape::RegMem,
            (Kind::Mem, Kind::Reg) => Shape::MemReg,
            (Kind::Mem, Kind::Imm) => Shape::MemImm,
            _ => Shape::Other,
        },
    };
    let bytes = match shape {
        Shape::None | Shape::Imm | Shape::Other => 0,
        Shape::Mem | Shape::MemReg | Shape::MemImm => instr.memory_size().size(),
        _ => instr.op_register(0).size(),
    };
    Shaped { kind: shape, bytes }
}

/// The condition of Jcc, SETcc, CMOVcc in the encoding's order.
pub fn condition(instr: &Instruction) -> Option<u8> {
    match instr.condition_code() {
        ConditionCode::None => None,
        cc => Some(cc as u8 - 1),
    }
}

/// The instance of a handler for 1, 2, 4 or 8 bytes.
#[macro_export]
macro_rules! by_size {
    ($bytes:expr, $f:ident $(, $g:ty)*) => {
        match $bytes {
            1 => $f::<$($g,)* u8> as $crate::cpu::Handler,
            2 => $f::<$($g,)* u16>,
            4 => $f::<$($g,)* u32>,
            8 => $f::<$($g,)* u64>,
            _ => return None,
        }
    };
}

/// The instance of a handler for a condition.
#[macro_export]
macro_rules! by_condition {
    ($cc:expr, $f:ident $(, $g:ty)*) => {
        match $cc {
            0 => $f::<$($g,)* 0> as $crate::cpu::Handler,
            1 => $f::<$($g,)* 1>,
            2 => $f::<$($g,)* 2>,
            3 => $f::<$($g,)* 3>,
            4 => $f::<$($g,)* 4>,
            5 => $f::<$($g,)* 5>,
            6 => $f::<$($g,)* 6>,
            7 => $f::<$($g,)* 7>,
            8 => $f::<$($g,)* 8>,
            9 => $f::<$($g,)* 9>,
            10 => $f::<$($g,)* 10>,
            11 => $f::<$($g,)* 11>,
            12 => $f::<$($g,)* 12>,
            13 => $f::<$($g,)* 13>,
            14 => $f::<$($g,)* 14>,
            _ => $f::<$($g,)* 15>,
        }
    };
}
