//! Decoded blocks, kept by the physical address they were decoded from.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ptr::NonNull;

use crate::arena::{Arena, Id};
use crate::generated::{Entry, Generated};
use crate::op::{Op, Pool};

/// Most instructions in a block.
pub const BLOCK_OPS: usize = 64;
/// Dropped blocks that are freed at once.
const BURIED_AT_ONCE: usize = 16_384;
/// Most decoded instructions kept; beyond that some pages' are dropped, to be decoded again.
const MOST_OPS: usize = 500_000;
/// So many are kept then: what is dropped at once is little.
const ROOMY_OPS: usize = MOST_OPS - MOST_OPS / 32;
/// Enough that a stock boot's blocks (some 100,000) mostly have one each.
const BUCKETS: usize = 1 << 17;
const BUCKET_SHIFT: u32 = 64 - 17;

/// A straight run of instructions within one page.
pub(crate) struct Block<C> {
    /// Physical address of the first byte.
    pub gpa: u64,
    /// How the code was decoded: as 16, 32 or 64-bit code.
    pub mode: u8,
    /// Physical page of the last byte, when the (single) instruction straddles two linear pages. It may be the page of
    /// the first byte: a guest may map one page twice.
    pub second: Option<u64>,
    /// The instructions, and one more that only ends the block.
    pub ops: Box<[Op<C>]>,
    /// Operands that some of the instructions point to.
    pub _extended: Pool<C>,
    /// Known successors in the same page: for the last branch taken, and not taken.
    pub links: [Link<C>; 2],
    /// Its generated code.
    pub entry: Entry,
    /// How often the interpreter has run it, since it was last asked whether there is to be code for it.
    pub runs: u32,
    /// How often that was asked.
    pub asked: u32,
    next: *mut Block<C>,
    id: Id,
}

impl<C> Block<C> {
    pub fn new(gpa: u64, mode: u8, second: Option<u64>, ops: Vec<Op<C>>, extended: Pool<C>) -> Block<C> {
        Block {
            gpa,
            mode,
            second,
            ops: ops.into_boxed_slice(),
            _extended: extended,
            links: [Link::NONE; 2],
            entry: Entry::default(),
            runs: 0,
            asked: 0,
            next: std::ptr::null_mut(),
            id: Id::NONE,
        }
    }

    /// The numbers of the physical pages that the block lies in, each once.
    pub fn pages(&self) -> impl Iterator<Item = u64> + use<C> {
        let first = self.gpa >> 12;
        let second = self.second.map(|page| page >> 12).filter(|page| *page != first);
        std::iter::once(first).chain(second)
    }
}

/// A successor; valid while no block was dropped since.
pub(crate) struct Link<C> {
    pub to: *mut Block<C>,
    pub epoch: u64,
}

// By hand: derived ones would ask that `C` can be copied too.
impl<C> Clone for Link<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for Link<C> {}

impl<C> Link<C> {
    pub const NONE: Link<C> = Link { to: std::ptr::null_mut(), epoch: 0 };
}

/// All blocks. The arena owns them. Everything else only refers to them: the pages' lists by name, the chains by
/// pointers that are taken out when a block is dropped ([`check`](Self::check) says what holds), and the links and the
/// run loop by pointers that are good until a drop counts the epoch on and [`bury`](Self::bury) frees.
pub(crate) struct Blocks<C> {
    buckets: Box<[*mut Block<C>]>,
    /// What pages are multiplied by to find the buckets of their addresses, which are one behind the other: so those of code that runs
    /// are near each other. An odd number that no guest knows, so that none can have all its code in one chain. What is found where does
    /// not depend on it.
    key: u64,
    /// Blocks by physical page: each once in each of its pages.
    pages: BTreeMap<u64, Vec<Id>>,
    /// Where the next pages to drop are looked for when there is too much: after those of the last time.
    hand: u64,
    arena: Arena<Block<C>>,
    ops: usize,
    /// Generated code, if there is to be any.
    pub generated: Option<Generated>,
    /// Whether it was found out if there can be any.
    pub prepared: bool,
    /// Incremented at each drop: a [`Link`] of an older epoch may dangle.
    pub epoch: u64,
}

// SAFETY: all the pointers in it and in its blocks are to blocks of its own arena, which moves to the other thread with
// them (old links may dangle: they are not followed). The blocks hold plain data beside them. A pointer that was given
// out is used by `Cpu` alone, which has it only while it runs.
unsafe impl<C> Send for Blocks<C> {}

impl<C> Blocks<C> {
    pub fn new() -> Blocks<C> {
        let buckets = vec![std::ptr::null_mut(); BUCKETS].into_boxed_slice();
        Blocks {
            buckets,
            key: RandomState::new().hash_one(0u64) | 1,
            pages: BTreeMap::new(),
            hand: 0,
            arena: Arena::new(),
            ops: 0,
            generated: None,
            prepared: false,
            epoch: 1,
        }
    }

    #[inline(always)]
    fn bucket(&self, gpa: u64) -> usize {
        let page = (gpa >> 12).wrapping_mul(self.key) >> BUCKET_SHIFT;
        page.wrapping_add(gpa & 0xfff) as usize & (BUCKETS - 1)
    }

    /// The block decoded at a physical address; null if there is none.
    #[inline(always)]
    pub fn find(&self, gpa: u64, mode: u8) -> *mut Block<C> {
        let mut at = self.buckets[self.bucket(gpa)];
        // SAFETY: the table and the chains hold only live blocks: `drop_page` unlinks before it retires.
        unsafe {
            while !at.is_null() && ((*at).gpa != gpa || (*at).mode != mode) {
                at = (*at).next;
            }
        }
        at
    }

    /// Adds a block, replacing one at the same address, and returns a pointer to it.
    pub fn insert(&mut self, mut block: Block<C>) -> *mut Block<C> {
        let old = self.find(block.gpa, block.mode);
        if !old.is_null() {
            self.drop_page(block.gpa >> 12);
        }
        self.ops = self.ops.saturating_add(block.ops.len());
        let pages = block.pages();
        let bucket = self.bucket(block.gpa);
        let head = &mut self.buckets[bucket];
        block.next = *head;
        let mut name = Id::NONE;
        let at = self.arena.insert(|id| {
            name = id;
            Block { id, ..block }
        });
        *head = at.as_ptr();
        for page in pages {
            self.pages.entry(page).or_default().push(name);
        }
        at.as_ptr()
    }

    /// Drops every block of a physical page.
    pub fn drop_page(&mut self, page: u64) {
        let Some(dropped) = self.pages.remove(&page) else { return };
        self.epoch = self.epoch.wrapping_add(1);
        for id in dropped {
            let at = self.arena.get(id);
            debug_assert!(at.is_some(), "a page lists a block that was dropped, or lists one twice");
            let Some(at) = at else { continue };
            self.unlink(at);
            // SAFETY: the arena has just said that it is live. One that is running is referred to only by its operations, which
            // lie elsewhere (`Cpu::run_blocks`, `native::run::Running`).
            let block = unsafe { &mut *at.as_ptr() };
            if let Some(generated) = &mut self.generated {
                generated.forget(block.gpa, &mut block.entry);
            }
            for other in block.pages() {
                if let Some(list) = self.pages.get_mut(&other) {
                    list.retain(|listed| *listed != id);
                }
            }
            self.ops = self.ops.saturating_sub(block.ops.len());
            self.arena.retire(id);
        }
    }

    /// Forgets all generated code. None may be running.
    pub fn drop_generated(&mut self) {
        for at in self.arena.live() {
            // SAFETY: the arena says that it is live, and nobody else refers to its entry.
            unsafe { (*at.as_ptr()).entry = Entry::default() };
        }
        self.generated.iter_mut().for_each(Generated::clear);
    }

    /// Has every link looked up again.
    pub fn forget_links(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Takes a live block out of its chain.
    fn unlink(&mut self, block: NonNull<Block<C>>) {
        let block = block.as_ptr();
        // SAFETY: chains hold only live blocks, and `block` is live.
        unsafe {
            let bucket = self.bucket((*block).gpa);
            let mut at: *mut *mut Block<C> = &raw mut self.buckets[bucket];
            while !(*at).is_null() {
                if *at == block {
                    *at = (*block).next;
                    return;
                }
                at = &raw mut (**at).next;
            }
        }
        debug_assert!(false, "a live block is in no chain");
    }

    /// Frees what was dropped, or a part of much: links to it are of an older epoch. No block may be running.
    pub fn bury(&mut self) {
        self.arena.free_retired(BURIED_AT_ONCE);
        // Checking many blocks takes long: do it only sometimes then.
        if cfg!(debug_assertions) && (self.ops < 1000 || self.epoch & 63 == 0) {
            self.check();
        }
    }

    /// Asserts what must hold between calls: each live block is once in its own chain and once in the list of each of
    /// its pages, and the lists name nothing else.
    fn check(&self) {
        let (mut ops, mut places) = (0usize, 0usize);
        for at in self.arena.live() {
            // SAFETY: the arena says that it is live.
            let block = unsafe { at.as_ref() };
            assert!(self.arena.get(block.id) == Some(at), "a block has another's name");
            let mut next = self.buckets[self.bucket(block.gpa)];
            let mut found = 0usize;
            while let Some(linked) = NonNull::new(next) {
                // SAFETY: chains hold only live blocks, which this looks at.
                let linked = unsafe { linked.as_ref() };
                assert!(self.arena.get(linked.id).is_some(), "a chain holds a block that was dropped");
                found = found.saturating_add(usize::from(std::ptr::eq(linked, block)));
                next = linked.next;
            }
            assert_eq!(found, 1, "times that a block is in its chain");
            for page in block.pages() {
                let listed =
                    self.pages.get(&page).into_iter().flatten().filter(|id| **id == block.id).count();
                assert_eq!(listed, 1, "times that a page lists a block of its own");
                places = places.saturating_add(1);
            }
            ops = ops.saturating_add(block.ops.len());
        }
        assert_eq!(self.pages.values().map(Vec::len).sum::<usize>(), places, "what all the pages list");
        assert_eq!(self.ops, ops, "instructions kept");
    }

    /// Whether anything waits for [`bury`](Self::bury).
    #[inline(always)]
    pub fn has_dropped(&self) -> bool {
        self.arena.retired() != 0
    }

    /// How many blocks wait for [`bury`](Self::bury).
    pub fn dropped(&self) -> usize {
        self.arena.retired()
    }

    /// Whether it is time to drop some.
    pub fn is_full(&self) -> bool {
        self.ops > MOST_OPS
    }

    /// Whether there is room again for a while.
    pub fn has_room(&self) -> bool {
        self.ops <= ROOMY_OPS
    }

    /// Some of the pages that hold blocks, at most so many, in turns; none if there are none.
    pub fn page_numbers(&mut self, most: usize) -> Vec<u64> {
        let (before, after) = (self.pages.range(..self.hand), self.pages.range(self.hand..));
        let pages: Vec<u64> = after.chain(before).map(|(page, _)| *page).take(most).collect();
        self.hand = pages.last().map_or(0, |page| page.wrapping_add(1));
        pages
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Blocks};

    fn block(gpa: u64, second: Option<u64>) -> Block<()> {
        Block::new(gpa, 64, second, Vec::new(), Vec::new())
    }

    #[test]
    fn a_block_is_once_in_each_of_its_pages() {
        let pages = |gpa, second| block(gpa, second).pages().collect::<Vec<_>>();
        assert_eq!(pages(0x5123, None), [5]);
        assert_eq!(pages(0x5fff, Some(0x6000)), [5, 6]);
        assert_eq!(pages(0x5fff, Some(0x3000)), [5, 3]);
        assert_eq!(pages(0x5fff, Some(0x5000)), [5]);
    }

    #[test]
    fn a_block_is_dropped_once_through_any_of_its_pages() {
        for (second, through) in [(0x5000, 5), (0x6000, 5), (0x6000, 6), (0x3000, 3)] {
            let mut blocks = Blocks::<()>::new();
            blocks.insert(block(0x5fff, Some(second)));
            blocks.insert(block(0x5100, None));
            blocks.insert(block(0x6100, None));
            blocks.check();
            assert!(!blocks.find(0x5fff, 64).is_null());
            blocks.drop_page(through);
            blocks.check();
            assert!(blocks.find(0x5fff, 64).is_null());
            blocks.drop_page(5);
            blocks.drop_page(6);
            blocks.drop_page(second >> 12);
            assert_eq!(blocks.dropped(), 3, "{second:#x}");
            blocks.bury();
            blocks.check();
            assert_eq!((blocks.dropped(), blocks.ops), (0, 0));
        }
    }

    #[test]
    fn pages_to_drop_come_in_turns() {
        let mut blocks = Blocks::<()>::new();
        for page in [9, 2, 5, 7, 3] {
            blocks.insert(block(page << 12, None));
        }
        assert_eq!(blocks.page_numbers(2), [2, 3]);
        assert_eq!(blocks.page_numbers(2), [5, 7]);
        blocks.drop_page(2);
        assert_eq!(blocks.page_numbers(2), [9, 3]);
        assert_eq!(blocks.page_numbers(9), [5, 7, 9, 3]);
    }

    #[test]
    fn a_block_replaces_one_at_its_address() {
        let mut blocks = Blocks::<()>::new();
        let first = blocks.insert(block(0x5fff, Some(0x5000)));
        let second = blocks.insert(block(0x5fff, Some(0x6000)));
        assert_ne!(first, second);
        assert_eq!((blocks.find(0x5fff, 64), blocks.dropped()), (second, 1));
        blocks.check();
    }

    #[test]
    #[should_panic(expected = "lists")]
    fn a_page_that_lists_a_block_twice_is_noticed() {
        let mut blocks = Blocks::<()>::new();
        blocks.insert(block(0x5fff, None));
        let list = blocks.pages.get_mut(&5).unwrap();
        let id = list[0];
        list.push(id);
        blocks.check();
    }
}
