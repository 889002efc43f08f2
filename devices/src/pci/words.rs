//! Splitting accesses of any size into aligned 32-bit words, in one place.

/// One aligned 32-bit word that an access touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Offset of the word, a multiple of 4.
    pub offset: u64,
    /// First byte of the word that the access touches, 0..4.
    pub first: usize,
    /// Number of its bytes that the access touches, 1..=4.
    pub bytes: usize,
    /// Index of the first of them in the access's data.
    pub at: usize,
}

impl Word {
    /// Whether the access covers the whole word.
    pub fn is_whole(&self) -> bool {
        self.bytes == 4
    }

    /// The word of a whole-word write.
    pub fn value(&self, data: &[u8]) -> Option<u32> {
        let end = self.at.checked_add(4)?;
        self.is_whole().then(|| data.get(self.at..end)?.try_into().ok().map(u32::from_le_bytes))?
    }

    /// Puts the bytes of `value` that the access touches into `data`.
    pub fn store(&self, value: u32, data: &mut [u8]) {
        let from = value.to_le_bytes();
        let from = from.iter().skip(self.first).take(self.bytes);
        data.iter_mut().skip(self.at).zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// The words that an access of `len` bytes at `offset` touches, lowest first.
pub fn split(offset: u64, len: usize) -> impl Iterator<Item = Word> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let left = len.checked_sub(at).filter(|&left| left > 0)?;
        let byte = offset.checked_add(at as u64)?;
        let first = (byte & 3) as usize;
        let bytes = left.min(4usize.saturating_sub(first));
        let word = Word { offset: byte & !3, first, bytes, at };
        at = at.saturating_add(bytes);
        Some(word)
    })
}
