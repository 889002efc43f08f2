//! Writes a tree as an EROFS image: read-only, nothing packed, so that the guest's page cache is filled by the block device alone.
//!
//! Format: Linux, fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst. One block is 4096 bytes. Block 0 holds the superblock;
//! from block 1 on come the inodes, of 64 bytes (the long kind, which has owner and time), with the ends of small files, folders and
//! symbolic links behind them; then the other contents. The same tree gives the same bytes.
//!
//! Of the crates that write such images, `backhand` (squashfs) needs one under a licence that is not taken here (BSL-1.0).

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::spool::Spool;
use super::tree::{Kind, Node, ROOT, Tree};

const BLOCK: usize = 4096;
/// Where the superblock lies, and what it begins with.
const SUPERBLOCK: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const BLOCK_BITS: u8 = 12;
/// Inodes have times of their own.
const COMPATIBLE_MTIME: u32 = 2;
const INODE: usize = 64;
/// Inodes are counted by 32 bytes.
const SLOT: usize = 32;
/// A name's entry in a folder.
const ENTRY: usize = 12;
/// Most bytes of a file's end that lie behind its inode: more would leave the blocks of inodes half empty.
const MOST_INLINE: usize = 2048;

/// The lengths of the parts of a file that are stored apart.
struct Place {
    /// The inode's number: its place behind block 1, in slots.
    nid: u64,
    /// The first block of what is stored in blocks.
    block: u32,
    /// Bytes that lie behind the inode, at the end of the file.
    inline: usize,
    size: u64,
    links: u32,
}

/// The image of a tree, laid out.
pub struct Image<'a> {
    tree: &'a Tree,
    spool: &'a Spool,
    /// The nodes that have names, in the order of their inodes: folders before what is in them.
    order: Vec<usize>,
    places: BTreeMap<usize, Place>,
    /// The parents of folders.
    parents: BTreeMap<usize, usize>,
    /// Blocks of inodes, and of everything.
    inode_blocks: u32,
    blocks: u32,
}

impl<'a> Image<'a> {
    /// Lays a tree out.
    ///
    /// # Errors
    ///
    /// It has more than the format can number.
    pub fn new(tree: &'a Tree, spool: &'a Spool) -> io::Result<Image<'a>> {
        let mut image = Image {
            tree,
            spool,
            order: Vec::new(),
            places: BTreeMap::new(),
            parents: BTreeMap::from([(ROOT, ROOT)]),
            inode_blocks: 0,
            blocks: 0,
        };
        image.number();
        image.place_inodes()?;
        image.place_blocks()?;
        Ok(image)
    }

    /// The size of the image, in bytes.
    pub fn len(&self) -> u64 {
        u64::from(self.blocks) * BLOCK as u64
    }

    /// Whether it has nothing, which is never so.
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Finds all nodes with names, folder by folder, and counts the names.
    fn number(&mut self) {
        let mut next = 0;
        self.add(ROOT);
        while let Some(number) = self.order.get(next).copied() {
            next += 1;
            let Kind::Folder(names) = &self.tree.node(number).kind else { continue };
            for child in names.values().copied() {
                if matches!(self.tree.node(child).kind, Kind::Folder(_)) {
                    self.parents.insert(child, number);
                    // The `..` in it is a name of this folder's.
                    self.link(number);
                }
                match self.places.contains_key(&child) {
                    true => self.link(child),
                    false => self.add(child),
                }
            }
        }
    }

    fn add(&mut self, number: usize) {
        let node = self.tree.node(number);
        // A folder's own `.` is one more name.
        let links = if matches!(node.kind, Kind::Folder(_)) { 2 } else { 1 };
        let size = match &node.kind {
            Kind::Folder(names) => folder_size(&entries(names, number, number)),
            Kind::File(content) => content.length,
            Kind::Link(target) => target.len() as u64,
        };
        self.order.push(number);
        self.places.insert(number, Place { nid: 0, block: 0, inline: 0, size, links });
    }

    fn link(&mut self, number: usize) {
        if let Some(place) = self.places.get_mut(&number) {
            place.links += 1;
        }
    }

    fn place_inodes(&mut self) -> io::Result<()> {
        let mut at = 0;
        for number in &self.order {
            let Some(place) = self.places.get_mut(number) else { continue };
            let end = (place.size % BLOCK as u64) as usize;
            let most = match self.tree.node(*number).kind {
                // The kernel reads a short link's target from behind its inode.
                Kind::Link(_) => BLOCK - INODE,
                _ => MOST_INLINE,
            };
            place.inline = if end <= most { end } else { 0 };
            // What lies behind an inode lies in its block.
            if at % BLOCK + INODE + place.inline > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            place.nid = (at / SLOT) as u64;
            at = (at + INODE + place.inline).next_multiple_of(SLOT);
        }
        self.inode_blocks = u32::try_from(at.div_ceil(BLOCK)).map_err(|_| too_large())?;
        Ok(())
    }

    fn place_blocks(&mut self) -> io::Result<()> {
        let mut next = 1 + u64::from(self.inode_blocks);
        for number in &self.order {
            let Some(place) = self.places.get_mut(number) else { continue };
            let blocks = (place.size - place.inline as u64).div_ceil(BLOCK as u64);
            if blocks > 0 {
                place.block = u32::try_from(next).map_err(|_| too_large())?;
            }
            next += blocks;
        }
        self.blocks = u32::try_from(next).map_err(|_| too_large())?;
        Ok(())
    }

    /// Writes the image. `go_on` is asked before each file.
    ///
    /// # Errors
    ///
    /// Why it cannot be written, or what `go_on` says.
    pub fn write(&self, to: &mut impl Write, go_on: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
        to.write_all(&self.superblock())?;
        let mut inodes = Vec::new();
        for (index, number) in self.order.iter().enumerate() {
            let place = &self.places[number];
            inodes.resize(place.nid as usize * SLOT, 0);
            inodes.extend(inode(index, self.tree.node(*number), place));
            inodes.extend(self.inline(*number, place)?);
        }
        inodes.resize(self.inode_blocks as usize * BLOCK, 0);
        to.write_all(&inodes)?;
        for number in &self.order {
            go_on()?;
            let place = &self.places[number];
            let stored = place.size - place.inline as u64;
            match &self.tree.node(*number).kind {
                Kind::File(content) => {
                    io::copy(&mut io::Read::take(self.spool.read(*content, 0), stored), to)?;
                }
                Kind::Folder(_) => to.write_all(&self.folder(*number)[..stored as usize])?,
                Kind::Link(target) => to.write_all(&target[..stored as usize])?,
            }
            to.write_all(&vec![0; (stored.next_multiple_of(BLOCK as u64) - stored) as usize])?;
        }
        Ok(())
    }

    /// The end of a file, which lies behind its inode.
    fn inline(&self, number: usize, place: &Place) -> io::Result<Vec<u8>> {
        let start = place.size - place.inline as u64;
        let mut bytes = Vec::new();
        match &self.tree.node(number).kind {
            _ if place.inline == 0 => {}
            Kind::File(content) => drop(self.spool.copy(*content, start, &mut bytes)?),
            Kind::Folder(_) => bytes.extend(&self.folder(number)[start as usize..]),
            Kind::Link(target) => bytes.extend(&target[start as usize..]),
        }
        Ok(bytes)
    }

    /// The content of a folder: in each block the entries, then the names, in the order of the bytes of all names.
    fn folder(&self, number: usize) -> Vec<u8> {
        let Kind::Folder(names) = &self.tree.node(number).kind else { return Vec::new() };
        let all = entries(names, number, self.parents[&number]);
        let mut bytes: Vec<u8> = Vec::new();
        for range in folder_blocks(&all) {
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            let mut name_at = range.len() * ENTRY;
            for (name, child) in &all[range.clone()] {
                bytes.extend(self.places[child].nid.to_le_bytes());
                bytes.extend((name_at as u16).to_le_bytes());
                bytes.extend([kind_in_folder(&self.tree.node(*child).kind), 0]);
                name_at += name.len();
            }
            all[range].iter().for_each(|(name, _)| bytes.extend(*name));
        }
        bytes
    }

    fn superblock(&self) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        let mut put = |at: usize, value: &[u8]| {
            bytes[SUPERBLOCK + at..SUPERBLOCK + at + value.len()].copy_from_slice(value);
        };
        put(0, &MAGIC.to_le_bytes());
        put(8, &COMPATIBLE_MTIME.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        // The root's inode is the first: its number, at 14, is 0.
        put(16, &(self.order.len() as u64).to_le_bytes());
        put(24, &self.tree.node(ROOT).attributes.seconds.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &1_u32.to_le_bytes());
        put(64, b"fencepost-root");
        bytes
    }
}

/// An inode of the long kind.
fn inode(index: usize, node: &Node, place: &Place) -> [u8; INODE] {
    let mut bytes = [0; INODE];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let (long, inline) = (1_u16, if place.inline > 0 { 2 << 1 } else { 0 });
    let kind = match node.kind {
        Kind::Folder(_) => 0o040_000,
        Kind::File(_) => 0o100_000,
        Kind::Link(_) => 0o120_000,
    };
    put(0, &(long | inline).to_le_bytes());
    put(4, &(kind | node.attributes.mode & 0o7777).to_le_bytes());
    put(8, &place.size.to_le_bytes());
    put(16, &place.block.to_le_bytes());
    put(20, &(index as u32 + 1).to_le_bytes());
    put(24, &node.attributes.uid.to_le_bytes());
    put(28, &node.attributes.gid.to_le_bytes());
    put(32, &node.attributes.seconds.to_le_bytes());
    put(44, &place.links.to_le_bytes());
    bytes
}

/// The kinds of files as entries in folders have them (`FT_*`).
fn kind_in_folder(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Folder(_) => 2,
        Kind::Link(_) => 7,
    }
}

/// All names of a folder in the order of their bytes: its own, and those of itself and of its parent.
fn entries(names: &BTreeMap<Vec<u8>, usize>, own: usize, parent: usize) -> Vec<(&[u8], usize)> {
    let mut all: Vec<_> = names.iter().map(|(name, child)| (&name[..], *child)).collect();
    all.extend([(&b"."[..], own), (&b".."[..], parent)]);
    all.sort_unstable();
    all
}

/// Which names go into which block of a folder.
fn folder_blocks(all: &[(&[u8], usize)]) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, (name, _)) in all.iter().enumerate() {
        if used + ENTRY + name.len() > BLOCK {
            blocks.push(start..index);
            (start, used) = (index, 0);
        }
        used += ENTRY + name.len();
    }
    blocks.push(start..all.len());
    blocks
}

/// The size of a folder: whole blocks, and what is used of the last one.
fn folder_size(all: &[(&[u8], usize)]) -> u64 {
    let blocks = folder_blocks(all);
    let last = blocks.last().cloned().unwrap_or_default();
    let used: usize = all[last].iter().map(|(name, _)| ENTRY + name.len()).sum();
    ((blocks.len() - 1) * BLOCK + used) as u64
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more than an EROFS image can hold")
}

#[cfg(test)]
#[path = "erofs_tests.rs"]
mod tests;
