//! Domains, who is in them, and what is mapped there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{LAST_ADDRESS, LAST_DOMAIN, MAPPINGS_MAX, MESSAGES, PAGE_BYTES, Reason, Status};
use crate::ports::Access;

/// A mapped range: where it is mapped is its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Its last address.
    pub last: u64,
    /// The guest-physical address of its first byte.
    pub gpa: u64,
    /// The device may read.
    pub read: bool,
    /// The device may write.
    pub write: bool,
}

type Mappings = BTreeMap<u64, Mapping>;

/// One address space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Addresses are physical.
    pub bypass: bool,
    /// What is mapped, by first address. No two overlap.
    pub mappings: Mappings,
    /// What was unmapped, and is still in force because a fault was asked for.
    pub stale: Mappings,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domains {
    /// By id. A domain is there as long as an endpoint is in it.
    pub domains: BTreeMap<u32, Domain>,
    /// The domain of each endpoint that is in one.
    pub endpoints: BTreeMap<u16, u32>,
    /// Endpoints in no domain reach memory by physical addresses.
    pub bypass: bool,
}

impl Default for Domains {
    fn default() -> Self {
        // A guest without a driver for the IOMMU can use its devices.
        Domains { domains: BTreeMap::new(), endpoints: BTreeMap::new(), bypass: true }
    }
}

/// What of `mappings` touches `first..=last`.
fn touching(mappings: &Mappings, first: u64, last: u64) -> impl Iterator<Item = (u64, &Mapping)> {
    let before = mappings.range(..first).next_back().filter(|(_, mapping)| mapping.last >= first);
    before.into_iter().chain(mappings.range(first..=last)).map(|(start, mapping)| (*start, mapping))
}

fn covering(mappings: &Mappings, at: u64) -> Option<(u64, &Mapping)> {
    touching(mappings, at, at).next()
}

/// Takes out what touches `first..=last`, at most so many, the lowest first.
fn remove(mappings: &mut Mappings, first: u64, last: u64, most: usize) -> Vec<(u64, Mapping)> {
    let found = touching(mappings, first, last).take(most);
    let found: Vec<_> = found.map(|(start, mapping)| (start, *mapping)).collect();
    found.iter().for_each(|(start, _)| _ = mappings.remove(start));
    found
}

impl Domains {
    /// Every endpoint leaves its domain, and with that all of them are gone.
    pub fn clear(&mut self) {
        self.domains.clear();
        self.endpoints.clear();
    }

    /// How many mappings there are.
    pub fn count(&self) -> usize {
        let of = |domain: &Domain| domain.mappings.len().saturating_add(domain.stale.len());
        self.domains.values().map(of).fold(0, usize::saturating_add)
    }

    /// Puts `endpoint` into a domain, which is made if it is not there (5.13.6).
    pub fn attach(&mut self, id: u32, endpoint: u16, bypass: bool) -> Status {
        if id > LAST_DOMAIN {
            return Status::NoEntry;
        }
        if self.domains.get(&id).is_some_and(|domain| domain.bypass != bypass) {
            return Status::Invalid;
        }
        if self.endpoints.get(&endpoint) == Some(&id) {
            return Status::Ok;
        }
        self.leave(endpoint);
        self.domains.entry(id).or_insert_with(|| Domain { bypass, ..Domain::default() });
        self.endpoints.insert(endpoint, id);
        Status::Ok
    }

    /// Takes `endpoint` out of its domain (5.13.6).
    pub fn detach(&mut self, id: u32, endpoint: u16) -> Status {
        if self.endpoints.get(&endpoint) != Some(&id) {
            return Status::Invalid;
        }
        self.leave(endpoint);
        Status::Ok
    }

    /// Takes `endpoint` out of its domain; the last one takes the domain along.
    fn leave(&mut self, endpoint: u16) {
        if let Some(left) = self.endpoints.remove(&endpoint)
            && !self.endpoints.values().any(|id| *id == left)
        {
            self.domains.remove(&left);
        }
    }

    /// Maps `first..=mapping.last` (5.13.6).
    pub fn map(&mut self, id: u32, first: u64, mapping: Mapping) -> Status {
        let count = self.count();
        let Some(domain) = self.domains.get_mut(&id) else { return Status::NoEntry };
        let Mapping { last, gpa, .. } = mapping;
        let aligned = |address: u64| address & PAGE_BYTES.saturating_sub(1) == 0;
        if domain.bypass || last < first {
            return Status::Invalid;
        }
        if last > LAST_ADDRESS || !aligned(first) || !aligned(last.wrapping_add(1)) || !aligned(gpa) {
            return Status::Range;
        }
        if gpa.checked_add(last.saturating_sub(first)).is_none() {
            return Status::Range;
        }
        let reserved = first <= MESSAGES.1 && last >= MESSAGES.0;
        if reserved || touching(&domain.mappings, first, last).next().is_some() {
            return Status::Invalid;
        }
        if count >= MAPPINGS_MAX {
            return Status::NoMemory;
        }
        domain.mappings.insert(first, mapping);
        Status::Ok
    }

    /// Unmaps what is in `first..=last` (5.13.6): nothing if a mapping is there only in part. With `keep` the translations stay
    /// in force. It takes `left` mappings out at most, and says how many more it could have; none if it is to be asked again.
    pub fn unmap(
        &mut self,
        id: u32,
        (first, last): (u64, u64),
        keep: bool,
        left: &mut usize,
    ) -> Option<Status> {
        let Some(domain) = self.domains.get_mut(&id) else { return Some(Status::NoEntry) };
        if domain.bypass || last < first {
            return Some(Status::Invalid);
        }
        // None overlaps another: only the outermost can be there in part.
        let begins_before =
            touching(&domain.mappings, first, last).next().is_some_and(|(start, _)| start < first);
        let highest = domain.mappings.range(first..=last).next_back();
        if begins_before || highest.is_some_and(|(_, mapping)| mapping.last > last) {
            return Some(Status::Range);
        }
        // What a fault keeps is kept at once.
        let most = if keep { MAPPINGS_MAX } else { *left };
        let stale = remove(&mut domain.stale, first, last, most).len();
        let removed = remove(&mut domain.mappings, first, last, most.saturating_sub(stale));
        *left = left.saturating_sub(stale).saturating_sub(removed.len());
        if keep {
            domain.stale.extend(removed);
            return Some(Status::Ok);
        }
        let more = touching(&domain.mappings, first, last).next().is_some();
        (!more).then_some(Status::Ok)
    }

    /// The domain of an access: `None` where addresses are physical.
    ///
    /// # Errors
    ///
    /// The endpoint may not reach memory at all.
    pub fn of(&self, endpoint: u16) -> Result<Option<&Domain>, Reason> {
        match self.endpoints.get(&endpoint).and_then(|id| self.domains.get(id)) {
            Some(domain) => Ok(Some(domain).filter(|domain| !domain.bypass)),
            None if self.bypass => Ok(None),
            None => Err(Reason::Domain),
        }
    }

    /// Whether a saved one is possible.
    pub fn is_well_formed(&self) -> bool {
        let inside = self.endpoints.values().all(|id| self.domains.contains_key(id));
        let used = self.domains.keys().all(|id| self.endpoints.values().any(|of| of == id));
        let good = |mappings: &Mappings| {
            let mut free = Some(0);
            mappings.iter().all(|(first, mapping)| {
                let apart = free.is_some_and(|free| free <= *first);
                free = mapping.last.checked_add(1);
                apart && *first <= mapping.last && mapping.last <= LAST_ADDRESS
            })
        };
        let mapped = |domain: &Domain| good(&domain.mappings) && good(&domain.stale);
        inside && used && self.count() <= MAPPINGS_MAX && self.domains.values().all(mapped)
    }
}

impl Domain {
    /// What is behind `at`: the guest-physical address, and how many bytes from there on are behind the same mapping.
    ///
    /// # Errors
    ///
    /// There is no mapping, or none with this right.
    pub fn translate(&self, at: u64, access: Access) -> Result<(u64, u64), Reason> {
        let found = covering(&self.stale, at).or_else(|| covering(&self.mappings, at));
        let (first, mapping) = found.ok_or(Reason::Mapping)?;
        let granted = match access {
            Access::Read => mapping.read,
            Access::Write => mapping.write,
        };
        if !granted {
            return Err(Reason::Mapping);
        }
        let mut bytes = mapping.last.saturating_sub(at).saturating_add(1);
        // A stale translation is in force where it begins.
        if let Some((next, _)) = self.stale.range(at.saturating_add(1)..).next() {
            bytes = bytes.min(next.saturating_sub(at));
        }
        Ok((mapping.gpa.saturating_add(at.saturating_sub(first)), bytes))
    }
}
