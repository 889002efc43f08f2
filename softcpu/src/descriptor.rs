//! Segment descriptors: what their bits say (Intel SDM vol. 3, 3.4.5).

use crate::state::Segment;

/// Attribute bits of [`Segment::attributes`].
pub mod attr {
    /// The type, whose bits for code and data segments follow.
    pub const TYPE: u16 = 0xf;
    /// It was loaded.
    pub const ACCESSED: u16 = 1;
    /// Data that may be written; code that may be read.
    pub const WRITABLE: u16 = 1 << 1;
    /// Code that runs at its caller's privilege; data that lies above its limit (it expands down).
    pub const CONFORMING: u16 = 1 << 2;
    /// Code, not data.
    pub const CODE: u16 = 1 << 3;
    /// Code or data, not a system descriptor.
    pub const S: u16 = 1 << 4;
    /// Present.
    pub const PRESENT: u16 = 1 << 7;
    /// 64-bit code.
    pub const LONG: u16 = 1 << 13;
    /// 32-bit code, stack or limit, not 16-bit.
    pub const BIG: u16 = 1 << 14;
    /// The limit counts pages.
    pub const GRANULAR: u16 = 1 << 15;
}

/// Descriptor privilege level.
pub(crate) fn dpl(attributes: u16) -> u8 {
    (attributes >> 5 & 3) as u8
}

/// Takes a descriptor's 8 bytes apart.
pub(crate) fn unpack(selector: u16, raw: u64) -> Segment {
    // The attribute word without the limit bits, which the hidden limit holds.
    let attributes = ((raw >> 40) as u16) & 0xf0ff;
    let base = (raw >> 16 & 0xff_ffff) | (raw >> 56) << 24;
    let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
    let limit = if attributes & attr::GRANULAR != 0 { limit << 12 | 0xfff } else { limit };
    Segment { selector, base, limit, attributes }
}
