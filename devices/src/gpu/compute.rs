//! Compute jobs: a small program that runs once for each place of a grid. docs/gpu.md has its instructions.

use serde::{Deserialize, Serialize};

use super::error::GpuError;
use super::progress::Progress;
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

/// A program that has begun: what it has for all places, and where it is in the one that it is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    from: Vec<u8>,
    to: Vec<u8>,
    steps_left: u32,
    registers: [u32; REGISTERS],
    /// The next instruction; none at the begin of a place.
    next: Option<u32>,
}

/// How many instructions are executed until somebody looks whether that is enough, and about what one takes.
const STRETCH: u32 = 1 << 16;
const INSTRUCTION_NS: u64 = 5;

/// What a compute job does.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The program.
    pub program: &'a [Instruction],
    /// What it writes.
    pub dst: &'a Window,
    /// What it reads.
    pub src: Option<&'a Window>,
    /// Width and height.
    pub grid: (u32, u32),
    /// The job's own two registers.
    pub values: [u32; 2],
}

/// The steps of a job: pieces of the windows that are read, places row by row, pieces that are written.
pub fn steps((dst, src): (&Window, Option<&Window>), grid: (u32, u32)) -> u64 {
    let [read, more, places, written] = phases((dst, src), grid);
    read.saturating_add(more).saturating_add(places).saturating_add(written)
}

fn phases((dst, src): (&Window, Option<&Window>), (width, height): (u32, u32)) -> [u64; 4] {
    let pieces = |window: &Window| window.pieces(true, window.piece_bytes()).count();
    let (written, read) = (pieces(dst), src.map_or(0, pieces));
    [read, written, u64::from(width).saturating_mul(height.into()), written]
}

impl Task<'_> {
    /// Goes on with the job. Nothing is written if it fails, before it has written all.
    pub fn advance(&self, it: &mut Progress, to: u64, view: &mut View<'_, '_>) -> Result<bool, GpuError> {
        let room = |window: &Window| vec![0; window.row_bytes() as usize];
        let mut running = it.running.take().unwrap_or_else(|| {
            let (from, to) = (self.src.map_or(Vec::new(), room), room(self.dst));
            Box::new(Running { from, to, steps_left: MAX_STEPS, registers: [0; REGISTERS], next: None })
        });
        let [read, more, places, _] = phases((self.dst, self.src), self.grid);
        let there = it.go(to, view, |step, view| {
            let Some(behind) = step.checked_sub(read) else {
                return self.src.map_or(Ok(true), |src| piece(src, step, &mut running.from, view));
            };
            let Some(place) = behind.checked_sub(more) else {
                return piece(self.dst, behind, &mut running.to, view);
            };
            let Some(written) = place.checked_sub(places) else {
                return self.go_on_at(place, &mut running, view);
            };
            let (at, bytes) = part(self.dst, written, &mut running.to);
            self.dst.write_at(at, bytes, view).map(|()| true)
        })?;
        it.running = Some(running);
        Ok(there)
    }

    /// Goes on at a place: whether the program has ended there.
    fn go_on_at(&self, place: u64, running: &mut Running, view: &mut View<'_, '_>) -> Result<bool, GpuError> {
        if running.next.is_none() {
            let width = u64::from(self.grid.0);
            let y = place.checked_div(width).unwrap_or(0);
            let x = place.saturating_sub(y.saturating_mul(width));
            running.registers = [0; REGISTERS];
            let [first, second] = self.values;
            running.registers[..4].copy_from_slice(&[x as u32, y as u32, first, second]);
        }
        loop {
            let before = running.steps_left;
            let ended = running.run(self.program)?;
            let steps = before.saturating_sub(running.steps_left);
            view.spend(u64::from(steps).saturating_mul(INSTRUCTION_NS).saturating_add(INSTRUCTION_NS));
            if ended || view.has_done_enough() {
                return Ok(ended);
            }
        }
    }
}

/// The place of a piece in its window, and its bytes.
fn part<'a>(window: &Window, number: u64, bytes: &'a mut [u8]) -> (u64, &'a mut [u8]) {
    let piece_bytes = window.piece_bytes();
    let (at, len) = window.pieces(true, piece_bytes).get(number);
    let start = number.saturating_mul(piece_bytes) as usize;
    (at, bytes.get_mut(start..start.saturating_add(len)).unwrap_or_default())
}

/// Reads a piece of a window.
fn piece(window: &Window, number: u64, bytes: &mut [u8], view: &mut View<'_, '_>) -> Result<bool, GpuError> {
    let (at, bytes) = part(window, number, bytes);
    window.read_at(at, bytes, view).map(|()| true)
}

impl Running {
    /// Whether a program of so many instructions with these windows can be there.
    pub fn is_sound(&self, instructions: usize, dst: &Window, src: Option<&Window>) -> bool {
        let from = src.map_or(0, |src| src.row_bytes() as usize);
        let next = self.next.is_none_or(|next| next as usize <= instructions);
        self.from.len() == from
            && self.to.len() == dst.row_bytes() as usize
            && self.steps_left <= MAX_STEPS
            && next
    }

    /// Executes a stretch: whether the program has ended.
    fn run(&mut self, program: &[Instruction]) -> Result<bool, GpuError> {
        let mut next = self.next.take().unwrap_or(0) as usize;
        for _ in 0..STRETCH {
            let Some(it) = program.get(next) else { return Ok(true) };
            self.steps_left = self.steps_left.checked_sub(1).ok_or(GpuError::Limit)?;
            next = next.saturating_add(1);
            let value = |register: u8| self.registers.get(usize::from(register)).copied().unwrap_or_default();
            let (a, b) = (value(it.a), value(it.b));
            let result = match it.operation {
                Operation::End => return Ok(true),
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
                    let stored = value(it.d);
                    self.store(a.wrapping_add(it.constant), stored)?;
                    continue;
                }
                Operation::JumpIfLess => {
                    next = if a < b { it.constant as usize } else { next };
                    continue;
                }
            };
            if let Some(register) = self.registers.get_mut(usize::from(it.d)) {
                *register = result;
            }
        }
        self.next = Some(next as u32);
        Ok(false)
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
