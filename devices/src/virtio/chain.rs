//! One buffer of a virtqueue: the memory that the device may read, and the memory that it may write.

use serde::{Deserialize, Serialize};

use crate::ports::{Dma, DmaExt, DmaFault, Iova};

/// A run of bytes at an I/O virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Where it starts.
    pub iova: u64,
    /// Its length in bytes.
    pub bytes: u32,
}

/// A descriptor chain that the driver has made available. It is plain data, so that a device may keep it from one call to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The index of its first descriptor, by which the driver knows it.
    pub head: u16,
    /// What the device may read, in order.
    pub readable: Vec<Span>,
    /// What the device may write, in order.
    pub writable: Vec<Span>,
}

fn total(spans: &[Span]) -> u64 {
    spans.iter().fold(0, |sum, span| sum.saturating_add(span.bytes.into()))
}

/// The parts of `spans` that hold `len` bytes from `skip` on, each with its place among those bytes; fewer where the spans end.
fn parts(spans: &[Span], skip: u64, len: usize) -> Vec<(Iova, std::ops::Range<usize>)> {
    let (mut skip, mut at, mut found) = (skip, 0usize, Vec::new());
    for span in spans {
        let bytes = u64::from(span.bytes);
        if skip >= bytes {
            skip = skip.saturating_sub(bytes);
            continue;
        }
        let room = usize::try_from(bytes.saturating_sub(skip)).unwrap_or(usize::MAX);
        let end = at.saturating_add(room.min(len.saturating_sub(at)));
        if end == at {
            break;
        }
        found.push((Iova(span.iova.wrapping_add(skip)), at..end));
        (skip, at) = (0, end);
    }
    found
}

impl Chain {
    /// How many runs of memory it has.
    pub fn parts(&self) -> usize {
        self.readable.len().saturating_add(self.writable.len())
    }

    /// Bytes that the device may read.
    pub fn readable_bytes(&self) -> u64 {
        total(&self.readable)
    }

    /// Bytes that the device may write.
    pub fn writable_bytes(&self) -> u64 {
        total(&self.writable)
    }

    /// Fills `data` with the readable bytes from `skip` on, as far as there are any; how many.
    ///
    /// # Errors
    ///
    /// Memory that the device may not read. Part of `data` may be filled then.
    pub fn read(&self, dma: &mut dyn Dma, skip: u64, data: &mut [u8]) -> Result<usize, DmaFault> {
        let mut done = 0;
        for (iova, range) in parts(&self.readable, skip, data.len()) {
            done = range.end;
            if let Some(part) = data.get_mut(range) {
                dma.read(iova, part)?;
            }
        }
        Ok(done)
    }

    /// Writes `data` to the writable bytes from `skip` on, as far as there are any; how many.
    ///
    /// # Errors
    ///
    /// Memory that the device may not write. Part of it may be written then.
    pub fn write(&self, dma: &mut dyn Dma, skip: u64, data: &[u8]) -> Result<usize, DmaFault> {
        let mut done = 0;
        for (iova, range) in parts(&self.writable, skip, data.len()) {
            done = range.end;
            if let Some(part) = data.get(range) {
                dma.write(iova, part)?;
            }
        }
        Ok(done)
    }

    /// The readable bytes, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_all(&self, dma: &mut dyn Dma, limit: usize) -> Result<Vec<u8>, DmaFault> {
        let bytes = usize::try_from(self.readable_bytes()).unwrap_or(usize::MAX).min(limit);
        let mut data = vec![0; bytes];
        self.read(dma, 0, &mut data)?;
        Ok(data)
    }
}
