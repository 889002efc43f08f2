//! One function's DMA as events: what continues in I/O virtual and in guest-physical addresses is one range.

use std::collections::VecDeque;

use fencepost_trace::{Event, Trace};

use super::platform::GpaRange;
use crate::ports::{Access, Iova};

/// Ranges that may still grow. A conversion reads two planes and writes one, row by row.
const OPEN_MAX: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Range {
    access: Access,
    iova: u64,
    gpa: u64,
    len: u64,
}

impl Range {
    fn event(self, rid: u16) -> Event {
        let Range { access, iova, gpa, len } = self;
        match access {
            Access::Read => Event::DmaRead { rid, iova, gpa, len },
            Access::Write => Event::DmaWrite { rid, iova, gpa, len },
        }
    }

    /// Takes in what follows directly; false if `next` does not.
    fn grow(&mut self, next: &Range) -> bool {
        let follows = self.access == next.access
            && self.iova.checked_add(self.len) == Some(next.iova)
            && self.gpa.checked_add(self.len) == Some(next.gpa);
        if follows {
            self.len = self.len.saturating_add(next.len);
        }
        follows
    }
}

/// The ranges touched since the last flush, oldest first.
#[derive(Default)]
pub(super) struct DmaLog {
    open: VecDeque<Range>,
}

impl DmaLog {
    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds an access from `iova` on, which reached `ranges`.
    pub fn add(&mut self, access: Access, iova: Iova, ranges: &[GpaRange], rid: u16, trace: &mut dyn Trace) {
        let heard = trace.is_heard();
        let mut unheard = 0u64;
        let mut at = iova.0;
        for range in ranges {
            let closed = self.add_range(Range { access, iova: at, gpa: range.gpa.0, len: range.len });
            match closed.filter(|_| heard) {
                Some(closed) => trace.record(closed.event(rid)),
                None => unheard = unheard.saturating_add(closed.is_some().into()),
            }
            at = at.saturating_add(range.len);
        }
        trace.count(unheard);
    }

    /// Adds a range; gives another that had to make room for it.
    fn add_range(&mut self, range: Range) -> Option<Range> {
        if self.open.iter_mut().any(|open| open.grow(&range)) {
            return None;
        }
        let closed = if self.open.len() >= OPEN_MAX { self.open.pop_front() } else { None };
        self.open.push_back(range);
        closed
    }

    /// Records what is open: before another event of the function, so that order is kept, and at the call's end.
    pub fn flush(&mut self, rid: u16, trace: &mut dyn Trace) {
        for range in self.open.drain(..) {
            trace.record(range.event(rid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Gpa;
    use crate::testing::FakeTrace;

    const RID: u16 = 8;

    fn logged(accesses: &[(Access, u64, u64, u64)]) -> Vec<Event> {
        let (mut log, mut trace) = (DmaLog::default(), FakeTrace::default());
        for &(access, iova, gpa, len) in accesses {
            log.add(access, Iova(iova), &[GpaRange { gpa: Gpa(gpa), len }], RID, &mut trace);
        }
        log.flush(RID, &mut trace);
        trace.events
    }

    fn read(iova: u64, gpa: u64, len: u64) -> Event {
        Event::DmaRead { rid: RID, iova, gpa, len }
    }

    fn write(iova: u64, gpa: u64, len: u64) -> Event {
        Event::DmaWrite { rid: RID, iova, gpa, len }
    }

    #[test]
    fn rows_of_two_windows_become_two_ranges() {
        use Access::{Read, Write};
        let rows = (0..8).flat_map(|y| {
            [(Read, 0x1000 + y * 16, 0x9000 + y * 16, 16), (Write, y * 64, 0x4000 + y * 64, 64)]
        });
        assert_eq!(logged(&rows.collect::<Vec<_>>()), [read(0x1000, 0x9000, 128), write(0, 0x4000, 512)]);
    }

    #[test]
    fn a_range_ends_where_either_address_jumps() {
        use Access::Read;
        let accesses =
            [(Read, 0x1000, 0x5000, 0x1000), (Read, 0x2000, 0x8000, 0x1000), (Read, 0x8000, 0x9000, 16)];
        assert_eq!(
            logged(&accesses),
            [read(0x1000, 0x5000, 0x1000), read(0x2000, 0x8000, 0x1000), read(0x8000, 0x9000, 16)]
        );
    }

    #[test]
    fn open_accesses_are_bounded_and_none_is_lost() {
        let scattered: Vec<_> =
            (0..100).map(|n| (Access::Write, n * 0x1000, (200 - n) * 0x1000, 8)).collect();
        let want: Vec<Event> = scattered.iter().map(|&(_, iova, gpa, len)| write(iova, gpa, len)).collect();
        assert_eq!(logged(&scattered), want);
    }
}
