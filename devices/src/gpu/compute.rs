//! Compute jobs: a small program that runs once for each place of a grid. docs/gpu.md has its instructions.

use serde::{Deserialize, Serialize};

use super::error::GpuError;
use super::view::View;
use super::window::Window;

/// Bytes of an instruction.
pub const INSTRUCTION_BYTES: u32 = 8;
/// The longest program, in instructions.
pub const MAX_INSTRUCTIONS: u32 = 256;
/// The most places of a grid.
pub const MAX_PLACES: u64 = 1 << 22;
/// The most bytes of a window that a program sees.
pub const MAX_WINDOW_BYTES: u32 = 1 << 24;
/// The most instructions that a job executes, all places together: it ends or fails.
pub const MAX_STEPS: u32 = 1 << 24;

const REGISTERS: usize = 16;

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    End,
    Set,
    Add,
    Sub,
    Mul,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    Load,
    Store,
    JumpIfLess,
}

const OPERATIONS: [Operation; 13] = [
    Operation::End,
    Operation::Set,
    Operation::Add,
    Operation::Sub,
    Operation::Mul,
    Operation::And,
    Operation::Or,
    Operation::Xor,
    Operation::ShiftLeft,
    Operation::ShiftRight,
    Operation::Load,
    Operation::Store,
    Operation::JumpIfLess,
];

/// An instruction: its operation, the registers that it names, and its constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    operation: Operation,
    d: u8,
    a: u8,
    b: u8,
    constant: u32,
}

impl Instruction {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[operation, d, a, b, c0, c1, c2, c3] = bytes else { return None };
        let operation = *OPERATIONS.get(usize::from(operation))?;
        let known = [d, a, b].into_iter().all(|register| usize::from(register) < REGISTERS);
        known.then_some(Instruction { operation, d, a, b, constant: u32::from_le_bytes([c0, c1, c2, c3]) })
    }
}

/// The program in `bytes`, if each of its instructions is one and no jump leaves it.
pub fn parse(bytes: &[u8]) -> Result<Vec<Instruction>, GpuError> {
    let instructions = bytes.chunks_exact(INSTRUCTION_BYTES as usize).map(Instruction::parse);
    let program: Vec<_> = instructions.collect::<Option<_>>().ok_or(GpuError::Packet)?;
    let stays =
        |it: &Instruction| it.operation != Operation::JumpIfLess || (it.constant as usize) < program.len();
    if program.iter().all(stays) { Ok(program) } else { Err(GpuError::Packet) }
}

/// What a program has for all places.
struct Memory {
    from: Vec<u8>,
    to: Vec<u8>,
    steps_left: u32,
}

/// Runs `program` at each place of the grid, row by row. Writes nothing if it fails.
pub fn run(
    program: &[Instruction],
    (dst, src): (&Window, Option<&Window>),
    (width, height): (u32, u32),
    values: [u32; 2],
    view: &mut View<'_, '_>,
) -> Result<(), GpuError> {
    let mut memory = Memory {
        from: src.map_or(Ok(Vec::new()), |src| contents(src, view))?,
        to: contents(dst, view)?,
        steps_left: MAX_STEPS,
    };
    for y in 0..height {
        for x in 0..width {
            memory.run_at([x, y], values, program)?;
        }
    }
    dst.write(0, &memory.to, view)
}

fn contents(window: &Window, view: &mut View<'_, '_>) -> Result<Vec<u8>, GpuError> {
    let mut bytes = vec![0; window.row_bytes() as usize];
    window.read(0, &mut bytes, view)?;
    Ok(bytes)
}

impl Memory {
    fn run_at(
        &mut self,
        [x, y]: [u32; 2],
        [first, second]: [u32; 2],
        program: &[Instruction],
    ) -> Result<(), GpuError> {
        let mut registers = [0; REGISTERS];
        registers[..4].copy_from_slice(&[x, y, first, second]);
        let mut next = 0usize;
        while let Some(it) = program.get(next) {
            self.steps_left = self.steps_left.checked_sub(1).ok_or(GpuError::Limit)?;
            next = next.saturating_add(1);
            let value = |register: u8| registers.get(usize::from(register)).copied().unwrap_or_default();
            let (a, b) = (value(it.a), value(it.b));
            let result = match it.operation {
                Operation::End => return Ok(()),
                Operation::Set => it.constant,
                Operation::Add => a.wrapping_add(b),
                Operation::Sub => a.wrapping_sub(b),
                Operation::Mul => a.wrapping_mul(b),
                Operation::And => a & b,
                Operation::Or => a | b,
                Operation::Xor => a ^ b,
                Operation::ShiftLeft => a.wrapping_shl(b),
                Operation::ShiftRight => a.wrapping_shr(b),
                Operation::Load => self.load(a.wrapping_add(it.constant))?,
                Operation::Store => {
                    self.store(a.wrapping_add(it.constant), value(it.d))?;
                    continue;
                }
                Operation::JumpIfLess => {
                    next = if a < b { it.constant as usize } else { next };
                    continue;
                }
            };
            if let Some(register) = registers.get_mut(usize::from(it.d)) {
                *register = result;
            }
        }
        Ok(())
    }

    fn load(&self, at: u32) -> Result<u32, GpuError> {
        let word = self.from.get(place(at)?..).and_then(|rest| rest.first_chunk());
        word.map(|&word| u32::from_le_bytes(word)).ok_or(GpuError::Bounds)
    }

    fn store(&mut self, at: u32, value: u32) -> Result<(), GpuError> {
        let word = self.to.get_mut(place(at)?..).and_then(|rest| rest.first_chunk_mut());
        *word.ok_or(GpuError::Bounds)? = value.to_le_bytes();
        Ok(())
    }
}

/// Words are where they are aligned.
fn place(at: u32) -> Result<usize, GpuError> {
    if at % 4 == 0 { Ok(at as usize) } else { Err(GpuError::Bounds) }
}
