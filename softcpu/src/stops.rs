//! Where a CPU is to stop for whoever looks at it from outside. The guest sees nothing of it: no byte of its memory and no
//! debug register is used.

/// What is done to a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kinds {
    /// It is read.
    pub read: bool,
    /// It is written.
    pub write: bool,
}

/// Bytes that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// Linear address of the first.
    pub start: u64,
    /// How many, at least one.
    pub bytes: u64,
    /// Which accesses stop the CPU.
    pub kinds: Kinds,
}

impl Range {
    /// Whether it shares a byte with `bytes` bytes at `start`.
    pub fn meets(&self, start: u64, bytes: u64) -> bool {
        let last = |start: u64, bytes: u64| start.saturating_add(bytes.saturating_sub(1));
        start <= last(self.start, self.bytes) && self.start <= last(start, bytes)
    }
}

/// An access to watched bytes; the instruction that made it has retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The linear address that is watched.
    pub watched: u64,
    /// Which of the accesses that are watched it was.
    pub write: bool,
}

/// Where a CPU stops. Addresses are linear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Before the instructions that begin there, in ascending order.
    instructions: Vec<u64>,
    /// After accesses to these.
    data: Vec<Range>,
}

impl Stops {
    /// Stops before the instructions at these addresses, and after accesses to `data`.
    pub fn new(instructions: impl IntoIterator<Item = u64>, data: Vec<Range>) -> Stops {
        let mut instructions: Vec<u64> = instructions.into_iter().collect();
        instructions.sort_unstable();
        instructions.dedup();
        Stops { instructions, data }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty() && self.data.is_empty()
    }

    /// The addresses of instructions to stop before.
    pub fn instructions(&self) -> &[u64] {
        &self.instructions
    }

    /// What is watched.
    pub fn data(&self) -> &[Range] {
        &self.data
    }

    /// Whether an instruction at `linear` is one to stop before.
    pub fn before(&self, linear: u64) -> bool {
        self.instructions.binary_search(&linear).is_ok()
    }

    /// The addresses from `start` (inclusive) to `end` (exclusive) to stop before.
    pub(crate) fn between(&self, start: u64, end: u64) -> &[u64] {
        let from = self.instructions.partition_point(|&at| at < start);
        let to = self.instructions.partition_point(|&at| at < end);
        self.instructions.get(from..to).unwrap_or_default()
    }

    /// Whether bytes are watched at all.
    pub(crate) fn watches(&self) -> bool {
        !self.data.is_empty()
    }

    /// Whether any byte of a page is watched.
    pub(crate) fn watches_page(&self, page: u64) -> bool {
        self.data.iter().any(|range| range.meets(page, 4096))
    }

    /// The first watched range that such an access meets.
    pub(crate) fn access(&self, start: u64, bytes: u64, write: bool) -> Option<Access> {
        let asks = |kinds: Kinds| if write { kinds.write } else { kinds.read };
        let met = self.data.iter().find(|range| asks(range.kinds) && range.meets(start, bytes))?;
        Some(Access { watched: met.start, write })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_they_share_a_byte() {
        let kinds = Kinds { read: false, write: true };
        let range = Range { start: 0x1000, bytes: 4, kinds };
        let met = [(0xfff, 1), (0xfff, 2), (0x1003, 1), (0x1004, 8), (0, u64::MAX)];
        assert_eq!(met.map(|(start, bytes)| range.meets(start, bytes)), [false, true, true, false, true]);
        let last = Range { start: u64::MAX, bytes: 8, kinds };
        assert!(last.meets(u64::MAX - 3, 8) && !last.meets(0, 8));
    }

    #[test]
    fn stops_are_found_by_address_and_kind() {
        let kinds = Kinds { read: true, write: false };
        let stops = Stops::new([9, 3, 9, 5], vec![Range { start: 0x2ffc, bytes: 8, kinds }]);
        assert_eq!(stops.between(3, 9), [3, 5]);
        assert!(stops.between(9, 3).is_empty());
        assert!(stops.before(9) && !stops.before(4));
        assert_eq!(stops.access(0x3000, 1, false), Some(Access { watched: 0x2ffc, write: false }));
        assert_eq!(stops.access(0x3000, 1, true), None);
        assert!(stops.watches_page(0x2000) && stops.watches_page(0x3000) && !stops.watches_page(0x4000));
    }
}
