//! What the x87 comparisons, FTST and FXAM compute.

use std::cmp::Ordering;

use super::arith;
use super::number::{Class, Num};
use super::ops::Operand;
use super::stack::{C0, C2, C3, Unit};

/// C3, C2 and C0 for an order (Intel SDM vol. 2, FCOM).
fn conditions(order: Option<Ordering>) -> u16 {
    match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => C0,
        Some(Ordering::Equal) => C3,
        None => C0 | C2 | C3,
    }
}

/// The conditions are set even when an unmasked exception waits; only the pops are not done then.
fn compared(u: &mut Unit, order: Option<Ordering>, pops: usize) {
    u.set_conditions(conditions(order));
    if u.blocked() {
        return;
    }
    for _ in 0..pops {
        u.pop();
    }
}

/// Compares ST(0) with a value from memory.
pub fn compare_memory(u: &mut Unit, operand: Operand, pops: usize) {
    let order = if u.any_empty(&[0]) {
        None
    } else {
        let (a, b) = (u.st(0), operand.number(&u.env));
        arith::compare(&mut u.env, a, b, true)
    };
    compared(u, order, pops);
}

/// Compares ST(0) with ST(i). `unordered` ones take quiet NaNs without complaint.
pub fn compare(u: &mut Unit, i: usize, unordered: bool, pops: usize) {
    let order = order(u, i, unordered);
    compared(u, order, pops);
}

fn order(u: &mut Unit, i: usize, unordered: bool) -> Option<Ordering> {
    if u.any_empty(&[0, i]) {
        return None;
    }
    let (a, b) = (u.st(0), u.st(i));
    arith::compare(&mut u.env, a, b, !unordered)
}

/// Compares into ZF, PF and CF, given back in RFLAGS' places (FCOMI and its kin).
pub fn compare_flags(u: &mut Unit, i: usize, unordered: bool, pop: bool) -> u64 {
    let order = order(u, i, unordered);
    if pop && !u.blocked() {
        u.pop();
    }
    match order {
        None => 0x45,
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => 0x01,
        Some(Ordering::Equal) => 0x40,
    }
}

/// FTST.
pub fn test(u: &mut Unit) {
    let order = if u.any_empty(&[0]) {
        None
    } else {
        let a = u.st(0);
        arith::compare(&mut u.env, a, Num::zero(false), true)
    };
    compared(u, order, 0);
}

/// FXAM.
pub fn examine(u: &mut Unit) {
    let n = Num::from_f80(u.raw(0));
    let class = match n.class {
        _ if u.is_empty(0) => C3 | C0,
        Class::Unsupported => 0,
        Class::Nan => C0,
        Class::Finite if n.denormal => C3 | C2,
        Class::Finite => C2,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
    };
    u.c1 = n.sign;
    u.set_conditions(class);
}
