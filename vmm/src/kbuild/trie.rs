//! The binary index files of kmod, which `modprobe` and udev search: keys with values, in a trie.
//!
//! All numbers are 32 bits, big endian: a magic, a version, the root's place, then the nodes, each behind its children. A node's place
//! is its offset in the file with three flags, which say what it has, in this order (kmod, tools/depmod.c and libkmod/libkmod-index.c):
//! a prefix that ends with NUL; the first and the last byte that its children begin with, and a place for each byte from one to the
//! other, 0 where there is none; a count of values, each a priority and a text that ends with NUL.

/// What an index begins with.
const MAGIC: u32 = 0xb007_f457;
/// Version 2.1.
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 1 << 31;
const HAS_VALUES: u32 = 1 << 30;
const HAS_CHILDREN: u32 = 1 << 29;
/// An offset that has no room beside the flags.
const OFFSET_END: usize = 1 << 28;
/// Longest key in bytes: kmod's own buffers end there.
const KEY_MAX: usize = 1023;

/// A key with one of its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: String,
    priority: u32,
    value: String,
}

/// An index that is being made.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Adds a value; a key may have several, of which the one with the lowest priority comes first. What no index can have is left out:
    /// keys with other characters than ASCII, and very long ones.
    pub fn add(&mut self, key: String, priority: u32, value: String) {
        if key.is_ascii() && !key.contains('\0') && key.len() <= KEY_MAX {
            self.entries.push(Entry { key, priority, value });
        }
    }

    /// The bytes of the file; `None` if it would be too large for its offsets.
    pub fn write(mut self) -> Option<Vec<u8>> {
        self.entries.sort_unstable();
        let mut bytes = Vec::new();
        [MAGIC, VERSION, 0].iter().for_each(|word| put(&mut bytes, *word));
        // The root has no prefix, even where all keys begin alike.
        let root = node(&self.entries, 0, 0, &mut bytes)?;
        bytes[8..12].copy_from_slice(&root.to_be_bytes());
        Some(bytes)
    }
}

fn put(bytes: &mut Vec<u8>, word: u32) {
    bytes.extend(word.to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend(text);
    bytes.push(0);
}

/// Writes the node of `entries`, which are sorted, with all below it, and gives its place. Their keys are alike up to `end`, and the
/// node's prefix begins at `start`.
fn node(entries: &[Entry], start: usize, end: usize, bytes: &mut Vec<u8>) -> Option<u32> {
    let here = entries.partition_point(|entry| entry.key.len() == end);
    let (values, below) = entries.split_at(here);
    let mut children = Vec::new();
    for group in below.chunk_by(|a, b| a.key.as_bytes()[end] == b.key.as_bytes()[end]) {
        let place = node(group, end + 1, alike(group), bytes)?;
        children.push((group[0].key.as_bytes()[end], place));
    }
    let offset = bytes.len();
    let mut flags = 0;
    if start < end {
        flags |= HAS_PREFIX;
        put_text(bytes, &entries[0].key.as_bytes()[start..end]);
    }
    if let (Some((first, _)), Some((last, _))) = (children.first(), children.last()) {
        flags |= HAS_CHILDREN;
        bytes.extend([*first, *last]);
        let mut places = children.iter().peekable();
        for byte in *first..=*last {
            let place = places.next_if(|(of, _)| *of == byte);
            put(bytes, place.map_or(0, |(_, place)| *place));
        }
    }
    if !values.is_empty() {
        flags |= HAS_VALUES;
        put(bytes, values.len() as u32);
        for entry in values {
            put(bytes, entry.priority);
            put_text(bytes, entry.value.as_bytes());
        }
    }
    (offset < OFFSET_END).then_some(offset as u32 | flags)
}

/// How many bytes at their start all keys of a sorted group share.
fn alike(group: &[Entry]) -> usize {
    let (first, last) = (&group[0].key, &group[group.len() - 1].key);
    first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
#[path = "trie_tests.rs"]
mod tests;
