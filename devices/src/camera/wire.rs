//! What lies in guest memory: descriptors and completion records (`docs/camera.md`).

use serde::{Deserialize, Serialize};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ports::Iova;

/// Bytes of a descriptor and of a completion record.
pub const RECORD_BYTES: u64 = 64;
/// Where `ordinal` lies in a completion record: it is written after the rest.
pub const ORDINAL_OFFSET: usize = 60;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawPlane {
    table: U64,
    entries: U32,
    len_bytes: U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawDescriptor {
    cookie: U64,
    index: U32,
    planes: U32,
    plane: [RawPlane; 2],
    sync: U64,
    reserved: [u8; 8],
}

/// One plane of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plane {
    /// Its SG list.
    pub table: Iova,
    /// Entries of the list.
    pub entries: u32,
    /// Room for pixels.
    pub len_bytes: u32,
}

/// A buffer the driver posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The driver's own.
    pub cookie: u64,
    /// The buffer's number.
    pub index: u32,
    /// All of the frame, or its first plane.
    pub first: Plane,
    /// The chroma plane, when it is apart.
    pub second: Option<Plane>,
    /// What it waits for and signals; 0: nothing.
    pub sync: Iova,
}

/// Reads a descriptor. On error (a field that is not as documented): its cookie and index, for the completion.
pub fn parse_descriptor(bytes: &[u8; RECORD_BYTES as usize]) -> Result<Descriptor, (u64, u32)> {
    // The array is as long as the struct, so the conversion cannot fail; a failure would be a bad descriptor.
    let raw = RawDescriptor::read_from_bytes(bytes).map_err(|_| (0, 0))?;
    let (cookie, index) = (raw.cookie.get(), raw.index.get());
    let plane = |raw: &RawPlane| Plane {
        table: Iova(raw.table.get()),
        entries: raw.entries.get(),
        len_bytes: raw.len_bytes.get(),
    };
    let unused = Plane { table: Iova(0), entries: 0, len_bytes: 0 };
    let [first, second] = [plane(&raw.plane[0]), plane(&raw.plane[1])];
    let second = match raw.planes.get() {
        1 if second == unused => None,
        2 => Some(second),
        _ => return Err((cookie, index)),
    };
    let sync = Iova(raw.sync.get());
    if raw.reserved != [0; 8] || sync.0 % 8 != 0 {
        return Err((cookie, index));
    }
    Ok(Descriptor { cookie, index, first, second, sync })
}

/// A completion record, as it lies in memory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    pub cookie: U64,
    pub index: U32,
    pub status: U32,
    pub sequence: U32,
    pub bytes: U32,
    pub start_cycles: U64,
    pub end_cycles: U64,
    pub crc: U32,
    pub dropped: U32,
    pub fault_iova: U64,
    pub controls: U32,
    pub ordinal: U32,
}

const _: () = assert!(size_of::<Completion>() == RECORD_BYTES as usize);
const _: () = assert!(size_of::<RawDescriptor>() == RECORD_BYTES as usize);
