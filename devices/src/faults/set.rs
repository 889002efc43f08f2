//! The faults that one function, or the IOMMU, was told of.

use std::collections::BTreeMap;

use fencepost_trace::FaultKind;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};
use serde::{Deserialize, Serialize};

use super::spec::FaultSpec;
use crate::parameters::fraction_millionths;

/// Faults that one function may have been told of. It is the host's user who tells, so this only bounds a mistake.
const ARMED_MAX: usize = 64;
/// Interrupts that are late at a time; beyond it they arrive in time.
const LATE_MAX: usize = 256;

/// A fault that was asked for, and what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Armed {
    spec: FaultSpec,
    /// From when on occasions count, in nanoseconds.
    from_ns: u64,
    random: SplitMix64,
    occasions: u64,
    struck: u64,
}

/// What a function, or the IOMMU, was told of, and what of that took place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultSet {
    armed: Vec<Armed>,
    /// How often any took place.
    struck: u64,
    /// Vectors that are late, by when they are due and the order in which they were raised.
    late: BTreeMap<(u64, u64), u16>,
    late_count: u64,
    /// The function was taken from the bus.
    pub(crate) gone: bool,
    /// When the bus asked the clock to be called for what is due here.
    pub(crate) called_ns: Option<u64>,
}

/// A fault takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// What was asked for.
    pub spec: FaultSpec,
    /// Which occasion of its own it was, from 1.
    pub occasion: u64,
}

impl Armed {
    /// An occasion, at `now_ns`: whether the fault takes place.
    fn see(&mut self, now_ns: u64) -> bool {
        if now_ns < self.from_ns || self.spec.is_timed() {
            return false;
        }
        self.occasions = self.occasions.saturating_add(1);
        let [every, probability] = [self.spec.number("every"), self.probability()];
        let unlimited = every.is_some() || probability.is_some();
        let count = self.spec.number("count").unwrap_or(if unlimited { u64::MAX } else { 1 });
        let first = self.spec.number("after").or(every).unwrap_or(1);
        let Some(behind) = self.occasions.checked_sub(first) else { return false };
        let turn = behind.checked_rem(every.unwrap_or(1)) == Some(0);
        turn && self.struck < count && probability.is_none_or(|millionths| self.draw() < millionths)
    }

    fn probability(&self) -> Option<u64> {
        self.spec.text("probability").and_then(fraction_millionths)
    }

    /// A number from 0 to 999 999.
    fn draw(&mut self) -> u64 {
        let scaled = u128::from(self.random.next_u64()).saturating_mul(1_000_000);
        (scaled >> 64) as u64
    }
}

impl FaultSet {
    /// Whether there is nothing that could take place, and nothing has that lasts.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty() && !self.gone
    }

    /// From now on `spec` takes place when it says, with draws by `seed`.
    ///
    /// # Errors
    ///
    /// Too many faults, as part of a line.
    pub fn give(&mut self, spec: &FaultSpec, seed: u64, now_ns: u64) -> Result<(), String> {
        if self.armed.len() >= ARMED_MAX {
            return Err(format!("{spec}: there are {ARMED_MAX} faults in it already; leave one out"));
        }
        self.armed.push(Armed {
            from_ns: spec.counts_from_ns(now_ns),
            spec: spec.clone(),
            random: SplitMix64::seed_from_u64(seed),
            occasions: 0,
            struck: 0,
        });
        Ok(())
    }

    /// An occasion for faults of `kind`, of those for which `fits` holds: the one that takes place, if any.
    pub fn see(&mut self, kind: FaultKind, now_ns: u64, fits: impl Fn(&FaultSpec) -> bool) -> Option<Struck> {
        let mut found = None;
        for armed in self.armed.iter_mut().filter(|armed| armed.spec.kind() == kind && fits(&armed.spec)) {
            if armed.see(now_ns) && found.is_none() {
                armed.struck = armed.struck.saturating_add(1);
                found = Some(Struck { spec: armed.spec.clone(), occasion: armed.occasions });
            }
        }
        if found.is_some() {
            self.struck = self.struck.saturating_add(1);
        }
        found
    }

    /// How often any took place.
    pub fn count(&self) -> u64 {
        self.struck
    }

    /// Each fault with its occasions, and how often it took place.
    pub fn all(&self) -> impl Iterator<Item = (&FaultSpec, u64, u64)> {
        self.armed.iter().map(|armed| (&armed.spec, armed.occasions, armed.struck))
    }

    /// Has `vector` raised at `at_ns`; false if too many are late already.
    pub(crate) fn delay(&mut self, at_ns: u64, vector: u16) -> bool {
        let room = self.late.len() < LATE_MAX;
        if room {
            self.late_count = self.late_count.saturating_add(1);
            self.late.insert((at_ns, self.late_count), vector);
        }
        room
    }

    /// Takes a fault that takes place by itself now.
    pub(crate) fn take_timed(&mut self, now_ns: u64) -> Option<Struck> {
        let due = |armed: &&mut Armed| armed.is_due_by_itself() && armed.from_ns <= now_ns;
        let armed = self.armed.iter_mut().find(due)?;
        (armed.occasions, armed.struck) = (1, 1);
        self.struck = self.struck.saturating_add(1);
        Some(Struck { spec: armed.spec.clone(), occasion: 1 })
    }

    /// Takes a vector that is due.
    pub(crate) fn take_late(&mut self, now_ns: u64) -> Option<u16> {
        let next = self.late.first_entry().filter(|next| next.key().0 <= now_ns)?;
        Some(next.remove())
    }

    /// When the bus must look here, in nanoseconds.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let timed = self.armed.iter().filter(|armed| armed.is_due_by_itself()).map(|armed| armed.from_ns);
        timed.chain(self.late.keys().map(|(at_ns, _)| *at_ns)).min()
    }
}

impl Armed {
    /// Whether it takes place at a time, and has not.
    fn is_due_by_itself(&self) -> bool {
        self.spec.is_timed() && self.occasions == 0
    }
}
