//! Values of ranges of numbers: as many entries as there are ranges, however many numbers are in them.

use std::collections::BTreeMap;
use std::ops::Range;

/// A value for each of some ranges. Ranges that touch and have the same value are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeMap<V> {
    /// End (exclusive) and value, by begin.
    map: BTreeMap<u64, (u64, V)>,
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        RangeMap { map: BTreeMap::new() }
    }
}

impl<V: Copy + PartialEq> RangeMap<V> {
    /// The value of a number.
    pub fn get(&self, at: u64) -> Option<V> {
        let (_, (end, value)) = self.map.range(..=at).next_back()?;
        (at < *end).then_some(*value)
    }

    /// The values of the numbers in `range`, in their order, cut to it.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, V)> + '_ {
        let before = self.map.range(..range.start).next_back().filter(|(_, (end, _))| *end > range.start);
        let inside = self.map.range(range.start..range.end.max(range.start));
        let cut = move |(begin, (end, value)): (&u64, &(u64, V))| {
            ((*begin).max(range.start)..(*end).min(range.end), *value)
        };
        before.into_iter().chain(inside).map(cut).filter(|(piece, _)| !piece.is_empty())
    }

    /// Gives each number in `range` the value that `change` makes of the one it has.
    pub fn update(&mut self, range: Range<u64>, mut change: impl FnMut(Option<V>) -> V) {
        if range.is_empty() {
            return;
        }
        let known: Vec<(Range<u64>, V)> = self.pieces(range.clone()).collect();
        let mut fresh: Vec<(Range<u64>, V)> = Vec::with_capacity(known.len().saturating_add(1));
        let mut at = range.start;
        let mut add = |piece: Range<u64>, value: V| match fresh.last_mut() {
            Some((last, same)) if last.end == piece.start && *same == value => last.end = piece.end,
            _ if piece.is_empty() => {}
            _ => fresh.push((piece, value)),
        };
        for (piece, value) in known {
            if at < piece.start {
                add(at..piece.start, change(None));
            }
            at = piece.end;
            add(piece, change(Some(value)));
        }
        if at < range.end {
            add(at..range.end, change(None));
        }
        self.clear(range);
        for (piece, value) in fresh {
            self.insert(piece, value);
        }
    }

    /// The numbers in all ranges together.
    pub fn count(&self) -> u64 {
        self.map.iter().fold(0, |sum, (begin, (end, _))| sum.saturating_add(end.saturating_sub(*begin)))
    }

    /// All ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.map.iter().map(|(begin, (end, _))| *begin..*end)
    }

    /// Removes the values of `range`.
    fn clear(&mut self, range: Range<u64>) {
        if let Some((begin, (end, value))) = self.map.range(..range.start).next_back().map(|(b, e)| (*b, *e))
            && end > range.start
        {
            self.map.insert(begin, (range.start, value));
            if end > range.end {
                self.map.insert(range.end, (end, value));
            }
        }
        let inside: Vec<u64> = self.map.range(range.start..range.end).map(|(begin, _)| *begin).collect();
        for begin in inside {
            if let Some((end, value)) = self.map.remove(&begin)
                && end > range.end
            {
                self.map.insert(range.end, (end, value));
            }
        }
    }

    /// Adds a range without a value so far, and makes it one with its neighbours where they have its value.
    fn insert(&mut self, piece: Range<u64>, value: V) {
        let (mut begin, mut end) = (piece.start, piece.end);
        if let Some((first, (stop, same))) = self.map.range(..begin).next_back().map(|(b, e)| (*b, *e))
            && stop == begin
            && same == value
        {
            begin = first;
        }
        if let Some((stop, same)) = self.map.get(&end).copied()
            && same == value
        {
            self.map.remove(&end);
            end = stop;
        }
        self.map.insert(begin, (end, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that repeat, spread over all that is asked of them.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *state >> 33
    }

    #[test]
    fn it_is_a_map_of_each_number() {
        let mut state = 1;
        for _ in 0..200 {
            let (mut map, mut naive) = (RangeMap::default(), BTreeMap::new());
            for _ in 0..40 {
                let begin = next(&mut state) % 64;
                let range = begin..begin + next(&mut state) % 20;
                let value = next(&mut state) % 4;
                let change = |before: Option<u64>| if value == 3 { before.unwrap_or(7) } else { value };
                map.update(range.clone(), change);
                for at in range.clone() {
                    let before = naive.get(&at).copied();
                    naive.insert(at, change(before));
                }
                assert!((0..90).all(|at| map.get(at) == naive.get(&at).copied()));
                assert_eq!(map.count(), naive.len() as u64);
                let pieces: Vec<(u64, u64)> = map
                    .pieces(range.clone())
                    .flat_map(|(piece, value)| piece.map(move |at| (at, value)))
                    .collect();
                assert!(pieces.iter().copied().eq(naive.range(range).map(|(at, value)| (*at, *value))));
                let ranges: Vec<_> = map.map.iter().collect();
                assert!(ranges.windows(2).all(|pair| pair[0].1.0 < *pair[1].0
                    || pair[0].1.0 == *pair[1].0 && pair[0].1.1 != pair[1].1.1));
            }
        }
    }

    #[test]
    fn a_range_of_all_numbers_is_one_entry() {
        let mut map = RangeMap::default();
        map.update(0..u64::MAX, |_| 1);
        map.update(5..6, |_| 2);
        assert_eq!((map.count(), map.ranges().count()), (u64::MAX, 3));
        assert_eq!(
            [map.get(4), map.get(5), map.get(u64::MAX - 1), map.get(u64::MAX)],
            [Some(1), Some(2), Some(1), None]
        );
    }
}
