//! What segments allow outside 64-bit code (Intel SDM vol. 3, 5.3 to 5.5).
//!
//! An access that its segment refuses gets a non-canonical address (no 32-bit address is one). It then faults when it is
//! made, in the right order among the instruction's faults, and allowed accesses cost nothing extra.

use crate::cpu::{Cpu, Op};
use crate::descriptor::attr;
use crate::state::{Segment, seg};

/// The address of an access that its segment does not allow: #GP.
const OUTSIDE: u64 = 1 << 63;
/// The same for the stack segment: #SS. Both are multiples of 16, so that no alignment check fails first.
pub(super) const OUTSIDE_STACK: u64 = 1 << 63 | 1 << 16;

/// Whether a segment has all the bytes of an access, and lets them be read or written.
fn allows(segment: &Segment, offset: u64, bytes: u64, write: bool) -> bool {
    let a = segment.attributes;
    let is = |bit| a & bit != 0;
    let limit = u64::from(segment.limit);
    let last = offset + bytes.saturating_sub(1);
    // For data the bit of conforming code means that it lies above the limit.
    let inside = if !is(attr::CODE) && is(attr::CONFORMING) {
        let end = if is(attr::BIG) { 0xffff_ffff } else { 0xffff };
        offset > limit && last <= end
    } else {
        last <= limit
    };
    // For code the bit of writable data means that it may be read.
    let permitted = if is(attr::CODE) { !write && is(attr::WRITABLE) } else { !write || is(attr::WRITABLE) };
    // A null selector leaves nothing present.
    is(attr::PRESENT) && inside && permitted
}

impl Cpu {
    /// The linear address of an access to an offset in a segment (an index of `seg_base`), which is checked outside 64-bit
    /// code.
    #[inline(always)]
    pub(crate) fn segment_address(&self, segment: u8, offset: u64, bytes: u64, write: bool) -> u64 {
        if self.mode == 64 {
            return self.linear(segment, offset);
        }
        self.checked_address(segment, offset, bytes, write)
    }

    /// The linear address of a part of a memory operand that is read by itself, `from` bytes into it: the selector of a
    /// far pointer, say, which may lie at offset zero when the rest ends at the highest one. Only for operations that
    /// [`LowerCtx::in_parts`](crate::lower::LowerCtx::in_parts) made.
    pub(crate) fn part_address(&self, op: &Op, from: u64, bytes: u64) -> u64 {
        self.segment_address(op.seg, self.offset(op).wrapping_add(from) & op.imm, bytes, false)
    }

    pub(crate) fn checked_address(&self, segment: u8, offset: u64, bytes: u64, write: bool) -> u64 {
        let which = usize::from(segment) % 6;
        if allows(&self.sys.seg[which], offset, bytes, write) {
            self.linear(segment, offset)
        } else if which == seg::SS {
            OUTSIDE_STACK
        } else {
            OUTSIDE
        }
    }

    /// Bytes of code from an instruction pointer to the code segment's limit; unlimited in 64-bit code.
    pub(crate) fn code_bytes(&self, rip: u64) -> u64 {
        if self.limited_code {
            (u64::from(self.sys.seg[seg::CS].limit) + 1).saturating_sub(rip)
        } else {
            u64::MAX
        }
    }
}
