//! The numbers of the standard (5.13), and the limits that this device chooses.

use crate::registers::{Register, read_only, read_write};

/// The configuration has the range of addresses.
pub const INPUT_RANGE: u64 = 1 << 0;
/// The configuration has the range of domain ids.
pub const DOMAIN_RANGE: u64 = 1 << 1;
/// There are MAP and UNMAP requests.
pub const MAP_UNMAP: u64 = 1 << 2;
/// There are PROBE requests.
pub const PROBE: u64 = 1 << 4;
/// The driver may say what becomes of endpoints that are in no domain, and may attach some to a domain without translation.
pub const BYPASS_CONFIG: u64 = 1 << 6;

/// Pages are of this size, or of any power of two above it.
pub const PAGE_BYTES: u64 = 4096;
/// The last address that can be mapped.
pub const LAST_ADDRESS: u64 = (1 << 48) - 1;
/// The last domain id.
pub const LAST_DOMAIN: u32 = 0xffff;
/// Bytes that a PROBE request has room for.
pub const PROBE_BYTES: usize = 512;
/// Mappings of all domains together: each takes memory of the host's.
pub const MAPPINGS_MAX: usize = 1 << 18;
/// Faults that wait for a buffer of the event queue.
pub const REPORTS_MAX: usize = 64;

/// Where the byte `bypass` is in the configuration.
pub const BYPASS: usize = 36;
/// Messages of interrupts go there; no mapping may be there.
pub const MESSAGES: (u64, u64) = (0xfee0_0000, 0xfeef_ffff);

/// Attach: the domain does not translate.
pub const ATTACH_BYPASS: u32 = 1;
/// Map: the device may read.
pub const MAP_READ: u32 = 1;
/// Map: the device may write.
pub const MAP_WRITE: u32 = 1 << 1;

/// How a request ends (5.13.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It is done.
    Ok = 0,
    /// There is no such request.
    Unsupported = 2,
    /// A parameter is wrong.
    Invalid = 4,
    /// A parameter is out of range.
    Range = 5,
    /// A domain or an endpoint does not exist.
    NoEntry = 6,
    /// There is no room.
    NoMemory = 8,
}

/// Why an access was refused (5.13.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Reason {
    /// The fault was asked for, or has another reason.
    Unknown = 0,
    /// The endpoint is in no domain.
    Domain = 1,
    /// There is no mapping, or none with this right.
    Mapping = 2,
}

/// The configuration, as its page lists it.
pub fn table() -> Vec<Register> {
    vec![
        read_only("page_size_mask", 0, 8, !(PAGE_BYTES - 1)),
        read_only("input_start", 8, 8, 0),
        read_only("input_end", 16, 8, LAST_ADDRESS),
        read_only("domain_start", 24, 4, 0),
        read_only("domain_end", 28, 4, LAST_DOMAIN as u64),
        read_only("probe_size", 32, 4, PROBE_BYTES as u64),
        read_write("bypass", BYPASS, 1, 1, 1),
    ]
}

/// The bytes of the configuration.
pub fn bytes(bypass: bool) -> Vec<u8> {
    let row = |row: &Register| {
        row.reset.unwrap_or_default().to_le_bytes().into_iter().take(row.width).collect::<Vec<u8>>()
    };
    let mut bytes: Vec<u8> = table().iter().flat_map(row).collect();
    if let Some(place) = bytes.get_mut(BYPASS) {
        *place = bypass.into();
    }
    bytes
}
