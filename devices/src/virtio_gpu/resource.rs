//! Resources: pictures in the host's memory, and guest memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pixels::{Format, PIXEL_BYTES};
use super::wire::{ENTRY_BYTES, Rect, Refusal};
use crate::ports::{Dma, DmaExt, DmaFault, Iova};
use crate::virtio::Span;

/// Pixels of the largest picture, of a resource or a scan-out.
pub const PIXELS_MAX: u64 = 1 << 24;
/// Host memory for pictures, of one device.
pub const MEMORY_MAX_BYTES: u64 = 256 << 20;
/// Resources of one device.
pub const RESOURCES_MAX: usize = 4096;
/// Entries of guest memory of one resource.
pub const ENTRIES_MAX: u32 = 16_384;
/// Entries of all resources of one device.
pub const ALL_ENTRIES_MAX: usize = 262_144;

/// Bytes of a picture of so many pixels.
pub fn picture_bytes(width: u32, height: u32) -> u64 {
    u64::from(width).saturating_mul(height.into()).saturating_mul(PIXEL_BYTES as u64)
}

/// Guest memory: runs of it, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Span>", into = "Vec<Span>")]
pub struct Backing {
    spans: Vec<Span>,
    /// Where each begins, and at last where they end.
    starts: Vec<u64>,
}

impl From<Vec<Span>> for Backing {
    fn from(spans: Vec<Span>) -> Self {
        let mut starts = vec![0];
        let mut end = 0u64;
        for span in &spans {
            end = end.saturating_add(span.bytes.into());
            starts.push(end);
        }
        Backing { spans, starts }
    }
}

impl From<Backing> for Vec<Span> {
    fn from(backing: Backing) -> Self {
        backing.spans
    }
}

impl Backing {
    /// Those that `struct virtio_gpu_mem_entry` list.
    pub fn parse(bytes: &[u8]) -> Self {
        let span = |entry: &[u8]| {
            let (iova, bytes) = (entry.first_chunk(), entry.get(8..).and_then(<[u8]>::first_chunk));
            Span {
                iova: iova.map_or(0, |it| u64::from_le_bytes(*it)),
                bytes: bytes.map_or(0, |it| u32::from_le_bytes(*it)),
            }
        };
        bytes.chunks_exact(ENTRY_BYTES).map(span).collect::<Vec<_>>().into()
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Fills `data` with what is at `offset`, which must be there.
    pub fn read(&self, dma: &mut dyn Dma, offset: u64, data: &mut [u8]) -> Result<(), DmaFault> {
        // The last that begins at or before it.
        let mut at = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let (mut offset, mut rest) = (offset, data);
        while let (false, Some(span), Some(start)) =
            (rest.is_empty(), self.spans.get(at), self.starts.get(at))
        {
            let inside = offset.saturating_sub(*start);
            let left = u64::from(span.bytes).saturating_sub(inside);
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (head, tail) = rest.split_at_mut(step);
            dma.read(Iova(span.iova.wrapping_add(inside)), head)?;
            (rest, offset, at) = (tail, offset.saturating_add(step as u64), at.saturating_add(1));
        }
        Ok(())
    }
}

/// What a resource is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A picture in the host's memory, as its format has it, rows without gaps.
    Host {
        /// The format.
        format: Format,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The pixels.
        pixels: Vec<u8>,
    },
    /// Guest memory of so many bytes.
    Guest {
        /// How many.
        bytes: u64,
    },
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub content: Content,
    /// Its guest memory.
    pub backing: Backing,
}

impl Resource {
    /// Host memory that it takes.
    pub fn host_bytes(&self) -> u64 {
        match &self.content {
            Content::Host { pixels, .. } => pixels.len() as u64,
            Content::Guest { .. } => 0,
        }
    }

    /// Whether a transfer of `rect`, whose guest memory starts at `offset`, copies anything: guest memory is where it is.
    ///
    /// # Errors
    ///
    /// A rectangle outside the picture, or less guest memory than it takes.
    pub fn check_transfer(&self, rect: &Rect, offset: u64) -> Result<bool, Refusal> {
        let Content::Host { width, height, .. } = self.content else { return Ok(false) };
        if !rect.is_within(width, height) {
            return Err(Refusal::Parameter);
        }
        let end = picture_bytes(width, 1)
            .checked_mul(u64::from(rect.height).saturating_sub(1))
            .and_then(|last| last.checked_add(picture_bytes(rect.width, 1)));
        match end.and_then(|end| end.checked_add(offset)).is_some_and(|end| end <= self.backing.bytes()) {
            true => Ok(true),
            false => Err(Refusal::Parameter),
        }
    }

    /// Copies `piece` of `rect` from guest memory, where the rectangle starts at `offset`, and a row is as long as one of the picture.
    pub fn transfer(
        &mut self,
        dma: &mut dyn Dma,
        rect: &Rect,
        piece: &Rect,
        offset: u64,
    ) -> Result<(), Refusal> {
        if !self.check_transfer(rect, offset)? {
            return Ok(());
        }
        let Content::Host { width, pixels, .. } = &mut self.content else { return Ok(()) };
        let stride = picture_bytes(*width, 1);
        let row = picture_bytes(piece.width, 1);
        let behind = |x: u32, y: u32| picture_bytes(x, 1).saturating_add(stride.saturating_mul(y.into()));
        let offset =
            offset.saturating_add(behind(piece.x.saturating_sub(rect.x), piece.y.saturating_sub(rect.y)));
        let first = behind(piece.x, piece.y);
        // Rows without gaps are one long row.
        let (rows, row) =
            if row == stride { (1, row.saturating_mul(piece.height.into())) } else { (piece.height, row) };
        for index in 0..u64::from(rows) {
            let behind = stride.saturating_mul(index);
            let (from, to) = (offset.saturating_add(behind), first.saturating_add(behind) as usize);
            if let Some(to) = pixels.get_mut(to..to.saturating_add(row as usize)) {
                self.backing.read(dma, from, to).map_err(|_| Refusal::Unspecified)?;
            }
        }
        Ok(())
    }

    /// Fills `data` with the bytes at `offset` of the picture or memory.
    pub fn read(&self, dma: &mut dyn Dma, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        let end = offset.checked_add(data.len() as u64);
        match &self.content {
            Content::Host { pixels, .. } => {
                let range = end.and_then(|end| pixels.get(offset as usize..usize::try_from(end).ok()?));
                data.copy_from_slice(range.ok_or(Refusal::Parameter)?);
                Ok(())
            }
            Content::Guest { bytes } => {
                if end.is_none_or(|end| end > (*bytes).min(self.backing.bytes())) {
                    return Err(Refusal::Parameter);
                }
                self.backing.read(dma, offset, data).map_err(|_| Refusal::Unspecified)
            }
        }
    }
}

/// The resources of a device, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources(pub BTreeMap<u32, Resource>);

impl Resources {
    /// Host memory that they take.
    pub fn host_bytes(&self) -> u64 {
        self.0.values().fold(0, |sum, resource| sum.saturating_add(resource.host_bytes()))
    }

    fn entries(&self) -> usize {
        self.0.values().fold(0, |sum, resource| sum.saturating_add(resource.backing.spans.len()))
    }

    /// That of `id`.
    pub fn get(&self, id: u32) -> Result<&Resource, Refusal> {
        self.0.get(&id).ok_or(Refusal::ResourceId)
    }

    /// That of `id`.
    pub fn get_mut(&mut self, id: u32) -> Result<&mut Resource, Refusal> {
        self.0.get_mut(&id).ok_or(Refusal::ResourceId)
    }

    /// Adds one as `id`, which no other has.
    pub fn add(&mut self, id: u32, content: Content) -> Result<(), Refusal> {
        self.check_new(id)?;
        self.0.insert(id, Resource { content, backing: Backing::default() });
        Ok(())
    }

    /// Whether another one may have the number `id`.
    pub fn check_new(&self, id: u32) -> Result<(), Refusal> {
        if id == 0 || self.0.contains_key(&id) {
            return Err(Refusal::ResourceId);
        }
        if self.0.len() >= RESOURCES_MAX { Err(Refusal::OutOfMemory) } else { Ok(()) }
    }

    /// Whether there is room for `count` more entries of guest memory, for one resource.
    pub fn check_entries(&self, count: u32) -> Result<(), Refusal> {
        if count > ENTRIES_MAX || self.entries().saturating_add(count as usize) > ALL_ENTRIES_MAX {
            return Err(Refusal::OutOfMemory);
        }
        Ok(())
    }
}
