//! Handlers of the x87 instructions.

use super::compare;
use super::env::Rounding;
use super::image;
pub(super) use super::ops;
use super::ops::{Binary, Constant, Operand};
use super::stack::{self, ES, Unit};
use crate::control::Cr0;
use crate::cpu::{Cpu, Op};
use crate::file::{self, RIP_BASE};
use crate::flags::Flags;
use crate::mem::access::canonical;
use crate::step::{Step, Trap};
use crate::tri;
use crate::vector;

/// #NM by CR0.
fn available(cpu: &mut Cpu) -> Result<(), Trap> {
    if cpu.sys.has_cr0(Cr0::EM.union(Cr0::TS)) {
        cpu.raise(vector::NM, None);
        return Err(Trap);
    }
    Ok(())
}

/// What waiting instructions meet first: #NM by CR0, then an exception that an earlier instruction left (#MF).
fn ready(cpu: &mut Cpu) -> Result<(), Trap> {
    available(cpu)?;
    if cpu.fpu.fsw & ES != 0 {
        cpu.raise(vector::MF, None);
        return Err(Trap);
    }
    Ok(())
}

/// Remembers the instruction that left an unmasked exception. Like processors that report "FDP_EXCPTN_ONLY" (CPUID
/// leaf 7), the pointers change only then.
#[cold]
fn remember(cpu: &mut Cpu, op: &Op, memory: Option<u64>) {
    cpu.fpu.fip = cpu.reg::<u64>(RIP_BASE).wrapping_add(u64::from(op.off));
    cpu.fpu.fdp = memory.unwrap_or(0);
    cpu.fpu.fop = opcode(cpu, op).unwrap_or(0);
}

/// The eleven bits of the opcode (Intel SDM vol. 1, 8.1.9), read again from behind the prefixes.
fn opcode(cpu: &mut Cpu, op: &Op) -> Option<u16> {
    let start = cpu.fpu.fip;
    for i in 0..u64::from(op.len) {
        let byte: u8 = cpu.load(op, start.wrapping_add(i)).ok()?;
        if byte & 0xf8 == 0xd8 {
            let second: u8 = cpu.load(op, start.wrapping_add(i + 1)).ok()?;
            return Some(u16::from(byte & 7) << 8 | u16::from(second));
        }
    }
    None
}

/// Runs one instruction on the stack.
#[inline(always)]
fn run<R>(cpu: &mut Cpu, op: &Op, memory: Option<u64>, f: impl FnOnce(&mut Unit) -> R) -> R {
    let mut unit = Unit::new(&mut cpu.fpu);
    let result = f(&mut unit);
    unit.finish();
    if cpu.fpu.fsw & ES != 0 {
        remember(cpu, op, memory);
    }
    result
}

#[inline(always)]
pub(super) fn on_stack(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Unit)) -> Step {
    tri!(ready(cpu));
    run(cpu, op, None, f);
    Step::Next
}

/// The same for a function that takes long to work out.
pub(super) fn worked_out(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Unit)) -> Step {
    cpu.listen();
    on_stack(cpu, op, f)
}

/// Where memory operands come from.
pub(super) trait Source {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap>;
}
pub(super) enum M32 {}
pub(super) enum M64 {}
pub(super) enum I16 {}
pub(super) enum I32 {}
pub(super) enum I64 {}

impl Source for M32 {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap> {
        cpu.load::<u32>(op, address).map(Operand::F32)
    }
}
impl Source for M64 {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap> {
        cpu.load::<u64>(op, address).map(Operand::F64)
    }
}
impl Source for I16 {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap> {
        cpu.load::<u16>(op, address).map(|v| Operand::Int((v as i16).into()))
    }
}
impl Source for I32 {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap> {
        cpu.load::<u32>(op, address).map(|v| Operand::Int((v as i32).into()))
    }
}
impl Source for I64 {
    fn read(cpu: &mut Cpu, op: &Op, address: u64) -> Result<Operand, Trap> {
        cpu.load::<u64>(op, address).map(|v| Operand::Int(v as i64))
    }
}

#[inline(always)]
fn with_operand<S: Source>(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Unit, Operand)) -> Step {
    tri!(ready(cpu));
    let address = cpu.ea(op);
    let operand = tri!(S::read(cpu, op, address));
    run(cpu, op, Some(address), |u| f(u, operand));
    Step::Next
}

const BINARY: [Binary; 6] =
    [Binary::Add, Binary::Mul, Binary::Sub, Binary::SubReversed, Binary::Div, Binary::DivReversed];
// Places in `BINARY`: an enum cannot be the parameter of a function.
pub(super) const ADD: usize = 0;
pub(super) const MUL: usize = 1;
pub(super) const SUB: usize = 2;
pub(super) const SUB_REVERSED: usize = 3;
pub(super) const DIV: usize = 4;
pub(super) const DIV_REVERSED: usize = 5;

pub(super) fn binary_memory<S: Source, const N: usize>(cpu: &mut Cpu, op: &Op) -> Step {
    with_operand::<S>(cpu, op, |u, operand| ops::binary_memory(u, BINARY[N], operand))
}

/// ST(0) and ST(i).
pub(super) fn binary_top<const N: usize>(cpu: &mut Cpu, op: &Op) -> Step {
    on_stack(cpu, op, |u| ops::binary(u, BINARY[N], 0, op.reg2.into(), false))
}

/// ST(i) and ST(0), perhaps popping.
pub(super) fn binary_other<const N: usize, const POP: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    on_stack(cpu, op, |u| ops::binary(u, BINARY[N], op.reg1.into(), 0, POP))
}

pub(super) fn compare_memory<S: Source, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Step {
    with_operand::<S>(cpu, op, |u, operand| compare::compare_memory(u, operand, POPS))
}

pub(super) fn compare<const UNORDERED: bool, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Step {
    on_stack(cpu, op, |u| compare::compare(u, op.reg2.into(), UNORDERED, POPS))
}

/// FCOMPP and FUCOMPP have no operands: ST(1) is meant.
pub(super) fn compare_both<const UNORDERED: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    on_stack(cpu, op, |u| compare::compare(u, 1, UNORDERED, 2))
}

pub(super) fn compare_flags<const UNORDERED: bool, const POP: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let bits = run(cpu, op, None, |u| compare::compare_flags(u, op.reg2.into(), UNORDERED, POP));
    cpu.flags = Flags::from_bits(bits);
    Step::Next
}

pub(super) fn conditional_move<const CC: u8>(cpu: &mut Cpu, op: &Op) -> Step {
    let holds = cpu.flags.condition::<CC>();
    on_stack(cpu, op, |u| ops::conditional_move(u, op.reg2.into(), holds))
}

pub(super) fn load<S: Source>(cpu: &mut Cpu, op: &Op) -> Step {
    with_operand::<S>(cpu, op, ops::load)
}

/// Reads ten bytes.
fn load_ten(cpu: &mut Cpu, op: &Op, address: u64) -> Result<u128, Trap> {
    let mut bytes = [0; 16];
    let how = cpu.circumstance(op);
    cpu.load_bytes(how, address, &mut bytes[..10])?;
    Ok(u128::from_le_bytes(bytes))
}

pub(super) fn load_extended(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let address = cpu.ea(op);
    let bits = tri!(load_ten(cpu, op, address));
    run(cpu, op, Some(address), |u| u.push_raw(bits));
    Step::Next
}

pub(super) fn load_bcd(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let address = cpu.ea(op);
    let bits = tri!(load_ten(cpu, op, address));
    run(cpu, op, Some(address), |u| ops::load_bcd(u, bits));
    Step::Next
}

/// Stores what `convert` makes of ST(0). The stack and the flags change only when the store did not fault.
#[inline(always)]
fn store_with<T>(
    cpu: &mut Cpu,
    op: &Op,
    pop: bool,
    bytes: u64,
    convert: impl FnOnce(&mut Unit) -> Option<T>,
    write: impl FnOnce(&mut Cpu, u64, T) -> Step,
) -> Step {
    tri!(ready(cpu));
    let address = cpu.ea(op);
    let mut after = cpu.fpu.clone();
    let mut unit = Unit::new(&mut after);
    let value = convert(&mut unit);
    if value.is_some() && pop {
        unit.pop();
    }
    unit.finish();
    let step = match value {
        Some(value) => write(cpu, address, value),
        None => {
            // Nothing is stored, but the place must be one that could be written.
            tri!(cpu.load_to_write::<u8>(op, address));
            tri!(cpu.load_to_write::<u8>(op, cpu.beyond(address, bytes - 1)));
            Step::Next
        }
    };
    if step == Step::Trap {
        return step;
    }
    cpu.fpu = after;
    if cpu.fpu.fsw & ES != 0 {
        remember(cpu, op, Some(address));
    }
    step
}

pub(super) fn store_single<const POP: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    store_with(cpu, op, POP, 4, ops::as_f32, |cpu, address, value| cpu.store(op, address, value))
}

pub(super) fn store_double<const POP: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    store_with(cpu, op, POP, 8, ops::as_f64, |cpu, address, value| cpu.store(op, address, value))
}

fn store_ten(cpu: &mut Cpu, op: &Op, address: u64, value: u128) -> Step {
    let how = cpu.circumstance(op);
    cpu.store_bytes(how, address, &value.to_le_bytes()[..10])
}

pub(super) fn store_extended(cpu: &mut Cpu, op: &Op) -> Step {
    store_with(cpu, op, true, 10, ops::as_f80, |cpu, address, value| store_ten(cpu, op, address, value))
}

pub(super) fn store_bcd(cpu: &mut Cpu, op: &Op) -> Step {
    store_with(cpu, op, true, 10, ops::as_bcd, |cpu, address, value| store_ten(cpu, op, address, value))
}

/// The integer of a value, whose fraction is cut off if `CUT` (FISTTP), whatever the control word says.
fn integer<const CUT: bool>(u: &mut Unit, bits: u32) -> Option<i64> {
    if CUT {
        u.env.rounding = Rounding::Zero;
    }
    ops::as_integer(u, bits)
}

pub(super) fn store_i16<const POP: bool, const CUT: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let convert = |u: &mut Unit| integer::<CUT>(u, 16);
    store_with(cpu, op, POP, 2, convert, |cpu, address, value| cpu.store(op, address, value as u16))
}

pub(super) fn store_i32<const POP: bool, const CUT: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let convert = |u: &mut Unit| integer::<CUT>(u, 32);
    store_with(cpu, op, POP, 4, convert, |cpu, address, value| cpu.store(op, address, value as u32))
}

pub(super) fn store_i64<const CUT: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    let convert = |u: &mut Unit| integer::<CUT>(u, 64);
    store_with(cpu, op, true, 8, convert, |cpu, address, value| cpu.store(op, address, value as u64))
}

pub(super) fn constant(cpu: &mut Cpu, op: &Op, value: Constant) -> Step {
    on_stack(cpu, op, |u| ops::load_constant(u, value))
}

pub(super) fn wait(cpu: &mut Cpu, _: &Op) -> Step {
    if cpu.sys.has_cr0(Cr0::MP) && cpu.sys.has_cr0(Cr0::TS) {
        return cpu.raise(vector::NM, None);
    }
    if cpu.fpu.fsw & ES != 0 {
        return cpu.raise(vector::MF, None);
    }
    Step::Next
}

pub(super) fn init(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(available(cpu));
    stack::init(&mut cpu.fpu);
    Step::Next
}

pub(super) fn clear_exceptions(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(available(cpu));
    cpu.fpu.fsw &= 0x7f00;
    Step::Next
}

pub(super) fn nothing(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(ready(cpu));
    Step::Next
}

/// FNENI, FNDISI and FNSETPM: nothing since the 387.
pub(super) fn obsolete(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(available(cpu));
    Step::Next
}

pub(super) fn store_control(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(available(cpu));
    let address = cpu.ea(op);
    cpu.store::<u16>(op, address, cpu.fpu.fcw)
}

pub(super) fn load_control(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let address = cpu.ea(op);
    let value = tri!(cpu.load::<u16>(op, address));
    cpu.fpu.fcw = value & 0x1f3f | 0x40;
    stack::summarise(&mut cpu.fpu);
    Step::Next
}

pub(super) fn store_status(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(available(cpu));
    let address = cpu.ea(op);
    cpu.store::<u16>(op, address, cpu.fpu.fsw)
}

pub(super) fn status_to_ax(cpu: &mut Cpu, _: &Op) -> Step {
    tri!(available(cpu));
    cpu.set_reg::<u16>(file::RAX, cpu.fpu.fsw);
    Step::Next
}

pub(super) fn store_environment<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(available(cpu));
    let (address, how) = (cpu.ea(op), cpu.circumstance(op));
    let (bytes, len) = image::environment(&cpu.fpu, WIDE);
    let step = cpu.store_bytes(how, address, &bytes[..len]);
    if step != Step::Trap {
        cpu.fpu.fcw |= 0x3f;
        stack::summarise(&mut cpu.fpu);
    }
    step
}

pub(super) fn load_environment<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let (address, how) = (cpu.ea(op), cpu.circumstance(op));
    let mut bytes = [0; 28];
    let len = if WIDE { 28 } else { 14 };
    tri!(cpu.load_bytes(how, address, &mut bytes[..len]));
    image::load_environment(&mut cpu.fpu, &bytes, WIDE);
    Step::Next
}

pub(super) fn save<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(available(cpu));
    let (address, how) = (cpu.ea(op), cpu.circumstance(op));
    let (environment, len) = image::environment(&cpu.fpu, WIDE);
    let mut bytes = [0; 108];
    bytes[..len].copy_from_slice(&environment[..len]);
    bytes[len..len + 80].copy_from_slice(&image::registers(&cpu.fpu));
    let step = cpu.store_bytes(how, address, &bytes[..len + 80]);
    if step != Step::Trap {
        stack::init(&mut cpu.fpu);
    }
    step
}

pub(super) fn restore<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    tri!(ready(cpu));
    let (address, how) = (cpu.ea(op), cpu.circumstance(op));
    let mut bytes = [0; 108];
    let len = if WIDE { 28 } else { 14 };
    tri!(cpu.load_bytes(how, address, &mut bytes[..len + 80]));
    image::load_environment(&mut cpu.fpu, &bytes, WIDE);
    image::load_registers(&mut cpu.fpu, &bytes[len..]);
    Step::Next
}

/// The address of FXSAVE's and FXRSTOR's operand: a multiple of 16.
fn fx_address(cpu: &mut Cpu, op: &Op) -> Result<u64, Trap> {
    available(cpu)?;
    let address = cpu.ea(op);
    // An address that is not canonical goes on, to fault as such.
    if canonical(address) {
        crate::simd::check_aligned(cpu, address)?;
    }
    Ok(address)
}

pub(super) fn fxsave<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.listen();
    let address = tri!(fx_address(cpu, op));
    let how = cpu.circumstance(op);
    let bytes = image::fxsave(&cpu.fpu, WIDE);
    let used = fx_bytes(cpu);
    cpu.store_bytes(how, address, &bytes[..used])
}

/// How much of an FXSAVE image counts: XMM8 to XMM15 are for 64-bit code alone.
fn fx_bytes(cpu: &Cpu) -> usize {
    image::FXSAVE_BYTES - if cpu.in_long_code() { 0 } else { 8 * 16 }
}

pub(super) fn fxrstor<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Step {
    cpu.listen();
    let address = tri!(fx_address(cpu, op));
    let how = cpu.circumstance(op);
    let mut bytes = [0; image::FXSAVE_BYTES];
    let used = fx_bytes(cpu);
    tri!(cpu.load_bytes(how, address, &mut bytes[..used]));
    match image::fxrstor(&bytes, WIDE) {
        Some(mut state) => {
            if used < bytes.len() {
                state.xmm[8..].copy_from_slice(&cpu.fpu.xmm[8..]);
            }
            cpu.fpu = state;
            Step::Next
        }
        None => cpu.raise(vector::GP, Some(0)),
    }
}
