//! Which CPU vector and which of the guest's interrupt numbers a function's MSI-X vector is.
//!
//! The trace does not say it: the guest programs it. It is learned from what follows what: of all candidates, the one that
//! comes once after each raising, and not without one. Where the trace has what the CPU took, a handler is that of what its CPU
//! took last.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::Record;
use crate::event::{Accel, Event};
use crate::file::TraceFile;
use crate::journey::At;
use crate::journey::Msi;
use crate::journey::guest::{Guest, HandlerEntry};

/// A function's MSI-X vector and what it is in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterruptLine {
    /// The function.
    pub rid: u16,
    /// Its MSI-X vector.
    pub msi: u16,
    /// The CPU's vector.
    pub cpu_vector: Option<u8>,
    /// The guest's interrupt number.
    pub irq: Option<u32>,
    /// The guest's name for it.
    pub name: Option<String>,
    /// How often it was raised.
    pub raised: usize,
    /// How often the CPU took it.
    pub delivered: usize,
    /// How often its handler began.
    pub handled: usize,
    /// How long it takes from a raising to the CPU's taking it; where the trace does not have that, to the handler's begin.
    #[serde(skip)]
    pub latency: Latency,
}

/// How long a line's raisings wait. Those that come before the first is taken are one with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The one that waited longest, and when it was taken.
    pub longest: Option<(At, At)>,
    /// One that was not taken before the trace's end.
    pub open: Option<At>,
}

impl Latency {
    fn of(raised: &[At], taken: &[At]) -> Latency {
        let mut latency = Latency::default();
        let mut next = raised.iter().peekable();
        for at in taken {
            let mut first = None;
            while let Some(raise) = next.next_if(|raise| *raise < at) {
                first.get_or_insert(*raise);
            }
            let Some(raise) = first else { continue };
            let took = |(from, to): (At, At)| to.stamp.cycles.saturating_sub(from.stamp.cycles);
            if latency.longest.is_none_or(|longest| took((raise, *at)) > took(longest)) {
                latency.longest = Some((raise, *at));
            }
        }
        latency.open = next.next().copied();
        latency
    }
}

/// One line with its events, each in the order of time.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub raised: Vec<At>,
    pub cpu_vector: Option<u8>,
    pub delivered: Vec<At>,
    pub irq: Option<u32>,
    pub handled: Vec<At>,
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Wires {
    pub wires: BTreeMap<(u16, u16), Wire>,
    names: BTreeMap<u32, String>,
}

impl Wires {
    /// Learns the lines from the whole trace.
    pub fn learn(trace: &TraceFile, guest: &Guest) -> Wires {
        // Only `soft` sees the CPU take interrupts: of a machine that was under `kvm` for a while they are not all there.
        let moved = |record: &Record| matches!(record.event, Event::Moved { .. });
        let seen = trace.header.accel == Accel::Soft && !trace.records.iter().any(moved);
        let mut wires: BTreeMap<(u16, u16), Wire> = BTreeMap::new();
        let mut delivered: BTreeMap<u8, Vec<At>> = BTreeMap::new();
        let mut taken: BTreeMap<u32, Vec<(At, u8)>> = BTreeMap::new();
        for (record, one) in trace.records.iter().enumerate() {
            let at = At { stamp: one.stamp, record };
            match one.event {
                Event::MsiRaised { rid, vector } => wires.entry((rid, vector)).or_default().raised.push(at),
                Event::InterruptDelivered { cpu, vector } if seen => {
                    delivered.entry(vector).or_default().push(at);
                    taken.entry(cpu).or_default().push((at, vector));
                }
                _ => {}
            }
        }
        let entries: BTreeMap<u32, Vec<At>> =
            guest.entries.iter().map(|(irq, all)| (*irq, all.iter().map(|e| e.at).collect())).collect();
        let mut raised: Vec<((u16, u16), &[At])> =
            wires.iter().map(|(key, w)| (*key, &w.raised[..])).collect();
        raised.sort_by_key(|(key, all)| (Reverse(all.len()), *key));
        raised.truncate(LINES_MAX);
        let vectors = assign(&raised, &delivered);
        let handlers = handlers(&taken, &guest.entries);
        let known: BTreeMap<(u16, u16), u32> =
            vectors.iter().filter_map(|(key, vector)| Some((*key, *handlers.get(vector)?))).collect();
        // The rest is found as the vectors are: of a trace without what the CPU took, that is all.
        raised.retain(|(key, _)| !known.contains_key(key));
        let mut left = entries.clone();
        left.retain(|irq, _| !known.values().any(|known| known == irq));
        let irqs = assign(&raised, &left).into_iter().chain(known);
        for (key, vector) in vectors {
            if let Some(wire) = wires.get_mut(&key) {
                wire.cpu_vector = Some(vector);
                wire.delivered = delivered.remove(&vector).unwrap_or_default();
            }
        }
        for (key, irq) in irqs {
            if let Some(wire) = wires.get_mut(&key) {
                wire.irq = Some(irq);
                wire.handled = entries.get(&irq).cloned().unwrap_or_default();
            }
        }
        Wires { wires, names: guest.irq_names.clone() }
    }

    /// When the CPU took `msi`, and when its handler began.
    pub fn follow(&self, msi: &Msi) -> (Option<At>, Option<At>) {
        let Some(wire) = self.wires.get(&(msi.rid, msi.vector)) else { return (None, None) };
        let after = |all: &[At], from: At| all.get(all.partition_point(|at| *at < from)).copied();
        let delivered = after(&wire.delivered, msi.at);
        (delivered, after(&wire.handled, delivered.unwrap_or(msi.at)))
    }

    /// The lines as outputs show them.
    pub fn into_lines(self) -> Vec<InterruptLine> {
        let names = self.names;
        let line = |((rid, msi), wire): ((u16, u16), Wire)| InterruptLine {
            rid,
            msi,
            cpu_vector: wire.cpu_vector,
            irq: wire.irq,
            name: wire.irq.and_then(|irq| names.get(&irq).cloned()),
            raised: wire.raised.len(),
            delivered: wire.delivered.len(),
            handled: wire.handled.len(),
            latency: Latency::of(
                &wire.raised,
                if wire.delivered.is_empty() { &wire.handled } else { &wire.delivered },
            ),
        };
        self.wires.into_iter().map(line).collect()
    }
}

/// The guest's interrupt number of each CPU vector: a handler belongs to what its CPU took last, since a CPU takes nothing while a
/// handler begins. `taken` is by CPU, in the order of time.
fn handlers(
    taken: &BTreeMap<u32, Vec<(At, u8)>>,
    entries: &BTreeMap<u32, Vec<HandlerEntry>>,
) -> BTreeMap<u8, u32> {
    let mut votes: BTreeMap<(u8, u32), usize> = BTreeMap::new();
    for (irq, entry) in entries.iter().flat_map(|(irq, all)| all.iter().map(move |entry| (*irq, entry))) {
        let before = taken.get(&entry.cpu).map_or(&[][..], |taken| {
            taken.get(..taken.partition_point(|(at, _)| *at < entry.at)).unwrap_or_default()
        });
        if let Some((_, vector)) = before.last() {
            *votes.entry((*vector, irq)).or_default() += 1;
        }
    }
    // A few may be anybody's: beginnings of which the trace has lost the cause.
    let most = |irq: &u32| entries.get(irq).map_or(0, Vec::len).div_ceil(2);
    let mut votes: Vec<(usize, (u8, u32))> = votes
        .into_iter()
        .filter(|((_, irq), count)| *count >= most(irq))
        .map(|(pair, count)| (count, pair))
        .collect();
    votes.sort_by_key(|(count, pair)| (Reverse(*count), *pair));
    pair_off(votes.into_iter().map(|(_, pair)| pair))
}

/// Takes pairs, the best first, as long as both of a pair are still free.
fn pair_off<L: Ord, C: Copy + Ord>(pairs: impl Iterator<Item = (L, C)>) -> BTreeMap<L, C> {
    let (mut taken, mut paired) = (BTreeSet::new(), BTreeMap::new());
    for (line, candidate) in pairs {
        if !paired.contains_key(&line) && taken.insert(candidate) {
            paired.insert(line, candidate);
        }
    }
    paired
}

/// Lines, and what may follow them, that are tried: the busiest. Each is tried with each.
const LINES_MAX: usize = 256;
const CANDIDATES_MAX: usize = 1024;

/// Gives each line the candidate that fits best, each candidate to one line.
fn assign<L: Copy + Ord, C: Copy + Ord>(lines: &[(L, &[At])], all: &BTreeMap<C, Vec<At>>) -> BTreeMap<L, C> {
    let mut fits: Vec<(Fit, L, C)> = Vec::new();
    let mut likely: Vec<(&C, &Vec<At>)> = all.iter().collect();
    likely.sort_by_key(|(candidate, follows)| (Reverse(follows.len()), **candidate));
    likely.truncate(CANDIDATES_MAX);
    for (line, raised) in lines {
        let candidates = likely.iter().filter_map(|(c, follows)| Some((fit(raised, follows)?, *line, **c)));
        fits.extend(candidates);
    }
    // The best first; where two fit equally well, the lower vector has the lower number, as the kernel gives them.
    fits.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    pair_off(fits.into_iter().map(|(_, line, candidate)| (line, candidate)))
}

/// How well something follows a line's raisings: the larger the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// Pairs among all, in quarters.
    quarters: u64,
    /// The power of two of the next: nearer than that, a share says more.
    magnitude: Reverse<u32>,
    /// Pairs among 1024: of two lines that are raised at the same moments, each has the candidate that follows it every time.
    share: u64,
    /// The mean time from a raising to what follows, in cycles: of what follows equally well, the nearest is its effect.
    latency: Reverse<u64>,
}

/// At least this many quarters, rounded down, must pair up.
const LEAST_QUARTERS: u64 = 1;

/// More than these make no difference: an interrupt may be lost or two be one.
const MOST_QUARTERS: u64 = 3;

fn fit(raised: &[At], follows: &[At]) -> Option<Fit> {
    let (mut pairs, mut next, mut latency) = (0u64, 0, 0u64);
    let mut pending: Option<At> = None;
    for at in follows {
        while let Some(raise) = raised.get(next).filter(|raise| *raise < at) {
            pending = pending.or(Some(*raise));
            next += 1;
        }
        if let Some(raise) = pending.take() {
            pairs += 1;
            latency = latency.saturating_add(at.stamp.cycles.saturating_sub(raise.stamp.cycles));
        }
    }
    let either = (raised.len() + follows.len()) as u64 - pairs;
    let quarters = (pairs * 4).checked_div(either)?;
    let quarters = quarters.min(MOST_QUARTERS);
    let share = (pairs * 1024).checked_div(either)?;
    (quarters >= LEAST_QUARTERS).then(|| {
        let latency = latency / pairs.max(1);
        let magnitude = latency.checked_ilog2().map_or(0, |power| power.saturating_add(1));
        Fit { quarters, magnitude: Reverse(magnitude), share, latency: Reverse(latency) }
    })
}
