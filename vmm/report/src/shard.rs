//! `--shard K/N`: which part of a suite each of several hosts runs. The same inputs give the same parts everywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::outcome::{Suite, Verdict};

/// More parts than these are a slip of the hand.
pub const PARTS_MAX: u32 = 10_000;

/// Part `K` of `N`, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    part: u32,
    parts: u32,
}

/// A text that names no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no part of a suite: write K/N, such as 2/4, with 1 <= K <= N <= {PARTS_MAX}")]
pub struct ShardError(String);

impl Shard {
    /// Part `part` of `parts`, if there is such a part.
    pub fn new(part: u32, parts: u32) -> Option<Shard> {
        (1..=parts).contains(&part).then_some(Shard { part, parts }).filter(|_| parts <= PARTS_MAX)
    }

    /// As [`Suite::shard`] has it.
    pub fn pair(self) -> (u32, u32) {
        (self.part, self.parts)
    }

    /// The names that are in this part, in their order. `durations` are those of an earlier run, in milliseconds ([`durations`]).
    ///
    /// With durations, the longest goes first to the part that has least so far; then, in the order of their names, those without, as if
    /// they took the median: a new scenario does not move those that were measured. Without any duration, a hash of the name
    /// says which part it is in: a new one moves none.
    pub fn of<'a>(self, names: &[&'a str], durations: &BTreeMap<String, u64>) -> Vec<&'a str> {
        let parts = assign(names, durations, self.parts);
        names.iter().filter(|name| parts.get(*name) == Some(&(self.part - 1))).copied().collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let pair =
            text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
        let shard = pair.and_then(|(part, parts)| Shard::new(part, parts));
        shard.ok_or_else(|| ShardError(crate::text::cut(&crate::text::one_line(text), 40)))
    }
}

/// The durations that a report of an earlier run tells, for [`Shard::of`]: of what ran to its end.
pub fn durations(suite: &Suite) -> BTreeMap<String, u64> {
    let ran = suite.outcomes.iter().filter(|it| matches!(it.verdict, Verdict::Passed | Verdict::Failed));
    ran.map(|outcome| (outcome.name.clone(), outcome.wall_ms)).collect()
}

/// The part of each name, from 0 on.
fn assign<'a>(names: &[&'a str], durations: &BTreeMap<String, u64>, parts: u32) -> BTreeMap<&'a str, u32> {
    let mut measured: Vec<(u64, &str)> =
        names.iter().filter_map(|name| Some((*durations.get(*name)?, *name))).collect();
    if measured.is_empty() {
        return names.iter().map(|name| (*name, (hash(name) % u64::from(parts)) as u32)).collect();
    }
    measured.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(other.1)));
    measured.dedup_by_key(|(_, name)| *name);
    let median = measured.get(measured.len() / 2).map_or(0, |(took, _)| *took);
    let mut others: Vec<&str> =
        names.iter().filter(|name| !durations.contains_key(**name)).copied().collect();
    others.sort_unstable();
    others.dedup();
    let all = measured.into_iter().chain(others.into_iter().map(|name| (median, name)));
    // How long each part takes so far; of several that take least, the first is taken.
    let mut loads = vec![0u64; parts as usize];
    all.map(|(took, name)| {
        let least = (0..parts).min_by_key(|part| loads.get(*part as usize)).unwrap_or(0);
        if let Some(load) = loads.get_mut(least as usize) {
            // A scenario that took no time is still one to start.
            *load = load.saturating_add(took.max(1));
        }
        (name, least)
    })
    .collect()
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo), its halves folded: Rust's own hashers may differ from one version to the next.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash >> 32) ^ (hash & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use fencepost_random::Random;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("scenario-{number}[6.12]")).collect()
    }

    fn parts(names: &[String], durations: &BTreeMap<String, u64>, parts: u32) -> Vec<Vec<String>> {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let part = |part| Shard::new(part, parts).unwrap().of(&all, durations);
        (1..=parts).map(|number| part(number).into_iter().map(str::to_owned).collect()).collect()
    }

    fn random_durations(names: &[String], random: &mut Random) -> BTreeMap<String, u64> {
        let mut known = BTreeMap::new();
        for name in names {
            if !random.once_in(3) {
                known.insert(name.clone(), random.below(10_000));
            }
        }
        known
    }

    #[test]
    fn every_name_is_in_one_part_for_any_number_of_parts() {
        let mut random = Random::new(3);
        for count in [0, 1, 2, 7, 50] {
            let names = names(count);
            for durations in [BTreeMap::new(), random_durations(&names, &mut random)] {
                for number in [1, 2, 3, 4, 16, 100] {
                    let mut all: Vec<String> = parts(&names, &durations, number).concat();
                    all.sort();
                    let mut sorted = names.clone();
                    sorted.sort();
                    assert_eq!(all, sorted, "{count} in {number}");
                }
            }
        }
    }

    #[test]
    fn the_order_in_which_names_are_found_makes_no_difference() {
        let mut random = Random::new(4);
        let names = names(40);
        let durations = random_durations(&names, &mut random);
        let set = |parts: Vec<Vec<String>>| -> Vec<std::collections::BTreeSet<String>> {
            parts.into_iter().map(|part| part.into_iter().collect()).collect()
        };
        let turned: Vec<String> = names.iter().rev().cloned().collect();
        assert_eq!(set(parts(&names, &durations, 5)), set(parts(&turned, &durations, 5)));
    }

    #[test]
    fn the_split_is_the_same_on_every_host_and_in_every_version() {
        // FNV-1a of "a" is published: 0xaf63dc4c8601ec8c.
        assert_eq!(hash("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
        let durations = BTreeMap::from([("b".into(), 10), ("c".into(), 9), ("d".into(), 4), ("e".into(), 4)]);
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
        // b to 1, c to 2, d to 2 (9 < 10), e to 1 (10 < 13), a, as long as the median of 4, to 2 (13 < 14).
        assert_eq!(parts(&names, &durations, 2), [vec!["b", "e"], vec!["a", "c", "d"]]);
    }

    #[test]
    fn measured_parts_take_about_as_long_as_each_other() {
        let mut random = Random::new(5);
        let names = names(60);
        let durations: BTreeMap<String, u64> =
            names.iter().map(|name| (name.clone(), 100 + random.below(9_900))).collect();
        let load = |part: &Vec<String>| part.iter().map(|name| durations[name]).sum::<u64>();
        let loads: Vec<u64> = parts(&names, &durations, 4).iter().map(load).collect();
        let (most, all) = (loads.iter().max().unwrap(), loads.iter().sum::<u64>());
        // Graham, 1969: longest first is at most 4/3 of the best; with sixty it is far nearer.
        assert!(most * 4 <= all * 11 / 10, "{loads:?}");
        let hashed: Vec<usize> = parts(&names, &BTreeMap::new(), 4).iter().map(Vec::len).collect();
        assert!(hashed.iter().all(|count| (5..=30).contains(count)), "{hashed:?}");
    }

    #[test]
    fn a_new_scenario_moves_none_that_was_measured_and_none_of_a_hashed_split() {
        let names = names(30);
        let durations: BTreeMap<String, u64> =
            names.iter().enumerate().map(|(at, name)| (name.clone(), at as u64)).collect();
        let mut more = names.clone();
        more.insert(7, "a-new-one".into());
        for durations in [BTreeMap::new(), durations] {
            let without_new = |parts: Vec<Vec<String>>| -> Vec<Vec<String>> {
                parts
                    .into_iter()
                    .map(|part| part.into_iter().filter(|name| name != "a-new-one").collect())
                    .collect()
            };
            assert_eq!(parts(&names, &durations, 4), without_new(parts(&more, &durations, 4)));
        }
    }

    #[test]
    fn what_names_no_part_is_refused() {
        assert_eq!("2/4".parse::<Shard>().map(Shard::pair), Ok((2, 4)));
        for text in ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1/10001", "1/99999999999"] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("write K/N") && error.len() < 300, "{error}");
        }
    }
}
