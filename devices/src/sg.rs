//! Scatter-gather lists: the one descriptor format of all three devices.
//!
//! A list is an array of [`SG_ENTRY_BYTES`]-byte little-endian entries, contiguous in I/O virtual memory:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | `iova`: I/O virtual address of the segment |
//! | 8..12 | `len_bytes`: length of the segment, not zero |
//! | 12..16 | reserved, zero |
//!
//! The segments, one after the other, are the buffer. A list has at most [`SG_MAX_ENTRIES`] entries.

use vm_memory::VolatileSlice;

use crate::ports::{Access, DmaFault, Iova, Kept, Ports, Seen};

/// Bytes in one entry.
pub const SG_ENTRY_BYTES: u32 = 16;

/// The longest list a device accepts: 128 MiB in 4 KiB pages, well above any legitimate frame.
pub const SG_MAX_ENTRIES: u32 = 32_768;

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Segment {
    /// Where it starts.
    pub iova: Iova,
    /// How long it is, in bytes.
    pub len_bytes: u32,
}

/// A fetched, checked list.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<Segment>", into = "Vec<Segment>")]
pub struct SgList {
    segments: Vec<Segment>,
    /// Where each segment ends in the buffer, exclusive: rises strictly.
    ends: Vec<u64>,
    /// The length of the shortest but for the last.
    shortest: u32,
}

/// Why a list, or an access through it, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SgError {
    /// No entries, or more than [`SG_MAX_ENTRIES`].
    #[error("Scatter-gather list of {0} entries")]
    Count(u32),
    /// An entry of no bytes, with a reserved field that is not zero, or that wraps the address space.
    #[error("Bad scatter-gather entry {0}")]
    Entry(u32),
    /// An access beyond the end of the buffer.
    #[error("Access at {offset:#x}+{len:#x} beyond a buffer of {buffer:#x} bytes")]
    Bounds {
        /// Byte offset into the buffer.
        offset: u64,
        /// Length of the access.
        len: u64,
        /// Length of the buffer.
        buffer: u64,
    },
    /// The memory behind it refused.
    #[error(transparent)]
    Dma(#[from] DmaFault),
}

impl TryFrom<Vec<Segment>> for SgList {
    type Error = SgError;

    /// As [`SgList::from_segments`], but no segments make the empty default list.
    fn try_from(segments: Vec<Segment>) -> Result<Self, SgError> {
        if segments.is_empty() { Ok(SgList::default()) } else { SgList::from_segments(segments) }
    }
}

impl From<SgList> for Vec<Segment> {
    fn from(list: SgList) -> Self {
        list.segments
    }
}

impl SgList {
    /// Checks segments that did not come from guest memory.
    pub fn from_segments(segments: Vec<Segment>) -> Result<Self, SgError> {
        let count = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        if count == 0 || count > SG_MAX_ENTRIES {
            return Err(SgError::Count(count));
        }
        let mut ends = Vec::with_capacity(segments.len());
        let but_last = segments.len().saturating_sub(1);
        let shortest = segments.iter().take(but_last).map(|segment| segment.len_bytes).min();
        let mut len_bytes = 0u64;
        for (index, segment) in (0u32..).zip(&segments) {
            let len = u64::from(segment.len_bytes);
            if len == 0 || segment.iova.0.checked_add(len).is_none() {
                return Err(SgError::Entry(index));
            }
            // At most 2^15 segments of less than 2^32 bytes: no overflow.
            len_bytes = len_bytes.saturating_add(len);
            ends.push(len_bytes);
        }
        Ok(SgList { segments, ends, shortest: shortest.unwrap_or(u32::MAX) })
    }

    /// Fetches the list of `count` entries at `table`.
    pub fn fetch(table: Iova, count: u32, ports: &mut Ports<'_>) -> Result<Self, SgError> {
        if count == 0 || count > SG_MAX_ENTRIES {
            return Err(SgError::Count(count));
        }
        let len = u64::from(count).saturating_mul(u64::from(SG_ENTRY_BYTES));
        let mut bytes = vec![0; len as usize];
        ports.fetch(table, &mut bytes)?;
        let mut segments = Vec::with_capacity(count as usize);
        for (index, entry) in (0u32..).zip(bytes.chunks_exact(SG_ENTRY_BYTES as usize)) {
            segments.push(parse(entry).ok_or(SgError::Entry(index))?);
        }
        Self::from_segments(segments)
    }

    /// The buffer's length: the sum of its segments.
    pub fn len_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The length of the shortest segment, where there are several; the last counts for none.
    pub fn shortest(&self) -> u32 {
        self.shortest
    }

    /// The segments in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Visits `len` bytes from byte `offset` of the buffer, in order, as [`crate::ports::Dma::visit`] does for one
    /// range. A range that crosses segments is checked segment by segment: those before a refused one were visited.
    pub fn visit(
        &self,
        offset: u64,
        len: u64,
        access: Access,
        ports: &mut Ports<'_>,
        visit: &mut dyn FnMut(VolatileSlice<'_>),
    ) -> Result<(), SgError> {
        self.parts(offset, len)?.try_for_each(|(iova, len)| Ok(ports.dma.visit(iova, len, access, visit)?))
    }

    /// The same to read, as [`crate::ports::Dma::visit_again`] does.
    pub fn visit_again(
        &self,
        offset: u64,
        len: u64,
        seen: &mut Seen,
        ports: &mut Ports<'_>,
        visit: &mut dyn FnMut(VolatileSlice<'_>, Kept),
    ) -> Result<(), SgError> {
        self.parts(offset, len)?
            .try_for_each(|(iova, len)| Ok(ports.dma.visit_again(iova, len, seen, visit)?))
    }

    /// How many segments have some of `len` bytes from byte `offset` of the buffer on.
    pub fn segments_of(&self, offset: u64, len: u64) -> u64 {
        let behind = |at: u64| self.ends.partition_point(|&end| end <= at) as u64;
        let last = offset.saturating_add(len.saturating_sub(1));
        behind(last).saturating_sub(behind(offset)).saturating_add(1)
    }

    /// Where so many segments end in the buffer, from that of byte `offset` on.
    pub fn end_of(&self, offset: u64, segments: u64) -> u64 {
        let first = self.ends.partition_point(|&end| end <= offset);
        let last = first.saturating_add(segments.saturating_sub(1) as usize);
        self.ends.get(last).copied().unwrap_or(self.len_bytes())
    }

    /// The addresses and lengths of `len` bytes from byte `offset` of the buffer on, segment by segment.
    fn parts(&self, offset: u64, len: u64) -> Result<impl Iterator<Item = (Iova, u64)>, SgError> {
        let bounds = SgError::Bounds { offset, len, buffer: self.len_bytes() };
        if offset.checked_add(len).is_none_or(|end| end > self.len_bytes()) {
            return Err(bounds);
        }
        let first = self.ends.partition_point(|&end| end <= offset);
        let (mut at, mut left) = (offset, len);
        let segments = self.segments.iter().zip(&self.ends).skip(first);
        Ok(segments.map_while(move |(segment, &end)| {
            if left == 0 {
                return None;
            }
            let rest = end.saturating_sub(at);
            let skip = u64::from(segment.len_bytes).saturating_sub(rest);
            let take = rest.min(left);
            (at, left) = (end, left.saturating_sub(take));
            Some((Iova(segment.iova.0.saturating_add(skip)), take))
        }))
    }

    /// Copies `buf.len()` bytes from byte `offset` of the buffer.
    pub fn read(&self, offset: u64, buf: &mut [u8], ports: &mut Ports<'_>) -> Result<(), SgError> {
        let len = buf.len() as u64;
        let mut rest = buf;
        self.visit(offset, len, Access::Read, ports, &mut |span| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(span.len());
            span.copy_to(head);
            rest = tail;
        })
    }

    /// Copies `buf` to byte `offset` of the buffer.
    pub fn write(&self, offset: u64, buf: &[u8], ports: &mut Ports<'_>) -> Result<(), SgError> {
        let len = buf.len() as u64;
        let mut rest = buf;
        self.visit(offset, len, Access::Write, ports, &mut |span| {
            let (head, tail) = rest.split_at(span.len());
            span.copy_from(head);
            rest = tail;
        })
    }
}

fn parse(entry: &[u8]) -> Option<Segment> {
    let iova = u64::from_le_bytes(entry.get(0..8)?.try_into().ok()?);
    let len_bytes = u32::from_le_bytes(entry.get(8..12)?.try_into().ok()?);
    let reserved = u32::from_le_bytes(entry.get(12..16)?.try_into().ok()?);
    (reserved == 0).then_some(Segment { iova: Iova(iova), len_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn list(parts: &[(u64, u32)]) -> SgList {
        SgList::from_segments(
            parts.iter().map(|&(iova, len_bytes)| Segment { iova: Iova(iova), len_bytes }).collect(),
        )
        .unwrap()
    }

    #[test]
    fn a_read_crosses_segments_in_list_order() {
        let mut world = World::new(0x10000);
        world.memory_mut()[0x2000..0x2004].copy_from_slice(b"abcd");
        world.memory_mut()[0x1000..0x1004].copy_from_slice(b"efgh");
        let sg = list(&[(0x2000, 4), (0x1000, 4)]);
        let mut buf = [0; 4];
        sg.read(2, &mut buf, &mut world.ports()).unwrap();
        assert_eq!(&buf, b"cdef");
    }

    #[test]
    fn an_access_beyond_the_end_is_refused() {
        let mut world = World::new(0x10000);
        let sg = list(&[(0x1000, 4)]);
        let result = sg.read(1, &mut [0; 4], &mut world.ports());
        assert!(matches!(result, Err(SgError::Bounds { .. })));
    }

    #[test]
    fn a_fetched_entry_with_reserved_bits_is_refused() {
        let mut world = World::new(0x10000);
        world.memory_mut()[0x100..0x110]
            .copy_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]);
        let result = SgList::fetch(Iova(0x100), 1, &mut world.ports());
        assert_eq!(result, Err(SgError::Entry(0)));
    }

    #[test]
    fn a_far_offset_starts_in_its_own_segment() {
        let mut world = World::new(0x10000);
        world.memory_mut()[0x3000..0x3002].copy_from_slice(b"xy");
        let sg = list(&[(0x1000, 3), (0x2000, 5), (0x3000, 2)]);
        let mut buf = [0; 2];
        sg.read(8, &mut buf, &mut world.ports()).unwrap();
        assert_eq!(&buf, b"xy");
    }

    #[test]
    fn so_many_segments_end_behind_the_last_of_them() {
        let sg = list(&[(0x1000, 3), (0x2000, 5), (0x3000, 2)]);
        let ends = [(0, 1), (0, 2), (2, 1), (3, 1), (3, 2), (7, 9)].map(|(at, count)| sg.end_of(at, count));
        assert_eq!(ends, [3, 8, 3, 8, 10, 10]);
    }

    #[test]
    fn a_saved_list_is_its_segments_and_is_checked_again() {
        let sg = list(&[(0x2000, 4), (0x1000, 4)]);
        let text = serde_json::to_string(&sg).unwrap();
        assert_eq!(text, r#"[{"iova":8192,"len_bytes":4},{"iova":4096,"len_bytes":4}]"#);
        assert_eq!(serde_json::from_str::<SgList>(&text).unwrap(), sg);
        assert!(serde_json::from_str::<SgList>(&text.replace('4', "0")).is_err());
    }
}
