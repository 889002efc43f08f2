//! How long each dma-buf had its pages. An inode is never used again, pages are: what one dma-buf had and another has later is two
//! buffers, though a device sees the same addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::journey::At;
use crate::journey::buffers::MOST_PIECES;

/// The end of a buffer: from here on its pages are another's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub at: At,
    /// Its pages, as first page and count.
    pub pages: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Life {
    pages: BTreeSet<(u64, u64)>,
    /// When its last user was gone.
    released: Option<At>,
    /// Another mapped its pages thereafter.
    followed: bool,
}

/// All dma-bufs.
#[derive(Debug, Default)]
pub(super) struct Lives {
    lives: BTreeMap<u64, Life>,
    /// Whose pages are: the end of each range and the inode, by its begin.
    owners: BTreeMap<u64, (u64, u64)>,
}

impl Lives {
    /// Its last user is gone.
    pub fn release(&mut self, inode: u64, at: At) {
        self.lives.entry(inode).or_default().released = Some(at);
    }

    /// `count` pages from `first` on are mapped as its: whoever had one of them and is gone has ended.
    pub fn pages(&mut self, inode: u64, first: u64, count: u64) {
        let end = first.saturating_add(count);
        let overlapping = self.owners.range(..end).rev().take_while(|(_, (stop, _))| *stop > first);
        let overlapping = overlapping.take(MOST_PIECES);
        let overlapping: Vec<(u64, u64)> = overlapping.map(|(begin, (_, owner))| (*begin, *owner)).collect();
        let mut free = true;
        for (begin, owner) in overlapping {
            let life = self.lives.entry(owner).or_default();
            if life.released.is_some() && owner != inode {
                life.followed = true;
                self.owners.remove(&begin);
            } else {
                free = false;
            }
        }
        if free {
            self.owners.insert(first, (end, inode));
        }
        self.lives.entry(inode).or_default().pages.insert((first, count));
    }

    /// The ends of buffers whose pages became another's, by time.
    pub fn endings(self) -> Vec<Ending> {
        let followed = self.lives.into_values().filter(|life| life.followed);
        let ending =
            |life: Life| Some(Ending { at: life.released?, pages: life.pages.into_iter().collect() });
        let mut endings: Vec<Ending> = followed.filter_map(ending).collect();
        endings.sort_by_key(|ending| ending.at);
        endings
    }
}
