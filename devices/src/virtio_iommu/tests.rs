//! Requests against a model that keeps single pages, translations, and what the driver is told.

use std::collections::BTreeMap;

use fencepost_trace::{Event, Trace};
use vm_memory::GuestMemoryMmap;

use super::core::UNMAPPED_MAX;
use super::domains::{Domains, Mapping};
use super::facts::{BYPASS, BYPASS_CONFIG, MAPPINGS_MAX, REPORTS_MAX, Reason, Status};
use super::state::{Common, Report};
use super::*;
use crate::faults::FaultSpec;
use crate::function::Function as _;
use crate::pci::{DmaRequest, GpaRange, MsiWrite, Outbox, Translation};
use crate::ports::{Access, Clock as _, DmaFault, Gpa, Iova};
use crate::registry::Model as _;
use crate::state::{StateError, Stateful, pack, unpack};
use crate::testing::Random;
use crate::virtio::registers::CONFIG;
use crate::virtio::testing::{Driver, Part};

const GPU: u16 = 8;
const CAMERA: u16 = 16;
const OWN: u16 = 0xf8;
/// Where requests and their answers are in memory.
const ASKED: u64 = 0x1000;
const ANSWER: u64 = 0x2000;
const EVENT: u64 = 0x3000;
const PAGE: u64 = 0x1000;
const ALL: (u64, u64) = (0, 0xffff_ffff_ffff);

/// Keeps events.
#[derive(Default)]
struct Events(Vec<Event>);
impl Trace for Events {
    fn record(&mut self, event: Event) {
        self.0.push(event);
    }

    fn is_heard(&self) -> bool {
        true
    }
    fn count(&mut self, _events: u64) {}
}

/// A driver of the device, and a bus that asks the unit.
struct Bench {
    driver: Driver,
    unit: Unit,
    memory: GuestMemoryMmap,
    events: Events,
}

impl Bench {
    fn new() -> Self {
        let unit = Unit::new(OWN, [GPU, CAMERA, OWN]);
        let device = VirtioIommu::power_on(unit.clone()).unwrap();
        Bench {
            driver: Driver::new(Box::new(device), 0),
            unit,
            memory: GuestMemoryMmap::new(),
            events: Events::default(),
        }
    }

    /// Makes a request, and gives the status that comes back.
    fn ask(&mut self, request: &[&[u8]]) -> u8 {
        let bytes = request.concat();
        self.driver.store(ASKED, &bytes);
        self.driver.store(ANSWER, &[0xee; 4]);
        let parts = [Part::Read(ASKED, bytes.len() as u32), Part::Write(ANSWER, 4)];
        assert_eq!(self.driver.request(0, &parts), Some(4));
        let answer = self.driver.load(ANSWER, 4);
        assert_eq!(answer[1..], [0; 3]);
        answer[0]
    }

    fn attach(&mut self, domain: u32, endpoint: u32, flags: u32) -> u8 {
        let fields = [domain, endpoint, flags, 0].map(u32::to_le_bytes).concat();
        self.ask(&[&[1, 0, 0, 0], &fields])
    }

    fn detach(&mut self, domain: u32, endpoint: u32) -> u8 {
        let fields = [domain, endpoint, 0, 0].map(u32::to_le_bytes).concat();
        self.ask(&[&[2, 0, 0, 0], &fields])
    }

    fn map(&mut self, domain: u32, (first, last): (u64, u64), gpa: u64, flags: u32) -> u8 {
        let addresses = [first, last, gpa].map(u64::to_le_bytes).concat();
        self.ask(&[&[3, 0, 0, 0], &domain.to_le_bytes(), &addresses, &flags.to_le_bytes()])
    }

    fn unmap(&mut self, domain: u32, (first, last): (u64, u64)) -> u8 {
        let addresses = [first, last].map(u64::to_le_bytes).concat();
        self.ask(&[&[4, 0, 0, 0], &domain.to_le_bytes(), &addresses, &[0; 4]])
    }

    fn access(&mut self, rid: u16, iova: u64, len: u64, access: Access) -> Result<Vec<(u64, u64)>, DmaFault> {
        let (mut ranges, mut messages) = (Vec::new(), Vec::<MsiWrite>::new());
        let now_ns = self.driver.world.clock.now().ns;
        let mut out = Outbox { trace: &mut self.events, messages: &mut messages, now_ns };
        let request = DmaRequest { rid, iova: Iova(iova), len, access };
        self.unit.translate(&request, &self.memory, &mut ranges, &mut out)?;
        Ok(ranges.into_iter().map(|GpaRange { gpa: Gpa(gpa), len }| (gpa, len)).collect())
    }

    fn read(&mut self, rid: u16, iova: u64, len: u64) -> Result<Vec<(u64, u64)>, DmaFault> {
        self.access(rid, iova, len, Access::Read)
    }

    /// What the machine does behind each access of a device.
    fn make_call(&mut self) {
        if let Some((rid, token, _)) = self.unit.take_call() {
            assert_eq!(rid, OWN);
            self.driver.function.timer(token, &mut self.driver.world.ports());
        }
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.driver.function.counters();
        counters.iter().find(|counter| counter.name == name).unwrap().value
    }
}

fn refused(iova: u64) -> Result<Vec<(u64, u64)>, DmaFault> {
    Err(DmaFault::Refused { iova: Iova(iova), access: Access::Read })
}

/// Pages of one domain, each with the number of its mapping.
type Pages = BTreeMap<u64, (u64, u32, u64)>;

/// A driver that knows pages only: what the standard says of ranges is restated page by page.
#[derive(Default)]
struct Naive {
    domains: BTreeMap<u32, Pages>,
    of: BTreeMap<u16, u32>,
    next: u64,
}

impl Naive {
    fn attach(&mut self, domain: u32, rid: u16) -> Status {
        let old = self.of.insert(rid, domain);
        if let Some(old) = old.filter(|old| !self.of.values().any(|id| id == old)) {
            self.domains.remove(&old);
        }
        self.domains.entry(domain).or_default();
        Status::Ok
    }

    fn detach(&mut self, domain: u32, rid: u16) -> Status {
        if self.of.get(&rid) != Some(&domain) {
            return Status::Invalid;
        }
        self.of.remove(&rid);
        if !self.of.values().any(|id| *id == domain) {
            self.domains.remove(&domain);
        }
        Status::Ok
    }

    fn map(&mut self, domain: u32, pages: std::ops::Range<u64>, gpa_page: u64, flags: u32) -> Status {
        self.next += 1;
        let Some(there) = self.domains.get_mut(&domain) else { return Status::NoEntry };
        if pages.clone().any(|page| there.contains_key(&page)) {
            return Status::Invalid;
        }
        let first = pages.start;
        there.extend(pages.map(|page| (page, (gpa_page + page - first, flags, self.next))));
        Status::Ok
    }

    fn unmap(&mut self, domain: u32, pages: std::ops::Range<u64>) -> Status {
        let Some(there) = self.domains.get_mut(&domain) else { return Status::NoEntry };
        let inside = |page: &u64| pages.contains(page);
        let hit: Vec<u64> = there.iter().filter(|(page, _)| inside(page)).map(|(_, at)| at.2).collect();
        if there.iter().any(|(page, at)| !inside(page) && hit.contains(&at.2)) {
            return Status::Range;
        }
        there.retain(|page, _| !inside(page));
        Status::Ok
    }

    fn page(&self, rid: u16, page: u64, access: Access) -> Option<u64> {
        let (gpa, flags, _) = self.domains.get(self.of.get(&rid)?)?.get(&page)?;
        let needed = if access == Access::Read { 1 } else { 2 };
        (flags & needed != 0).then_some(*gpa)
    }
}

#[test]
fn random_requests_do_what_a_naive_model_says() {
    let (mut bench, mut naive, mut dice) = (Bench::new(), Naive::default(), Random::new(0x10aa));
    let mut seen = [0u32; 9];
    for step in 0..20_000 {
        let domain = dice.below(3) as u32;
        let rid = if dice.below(2) == 0 { GPU } else { CAMERA };
        let (first, count) = (dice.below(40), 1 + dice.below(6));
        let (pages, range) = (first..first + count, (first * PAGE, (first + count) * PAGE - 1));
        let (status, expected) = match dice.below(16) {
            0 => (bench.attach(domain, rid.into(), 0), naive.attach(domain, rid)),
            1 if dice.below(4) == 0 => (bench.detach(domain, rid.into()), naive.detach(domain, rid)),
            2..8 => {
                let (gpa_page, flags) = (dice.below(1 << 20), dice.below(4) as u32);
                (bench.map(domain, range, gpa_page * PAGE, flags), naive.map(domain, pages, gpa_page, flags))
            }
            8..12 => (bench.unmap(domain, range), naive.unmap(domain, pages)),
            _ => {
                let access = if dice.below(2) == 0 { Access::Read } else { Access::Write };
                let (offset, len) = (dice.below(PAGE), 1 + dice.below(3 * PAGE));
                let at = first * PAGE + offset;
                if !naive.of.contains_key(&rid) {
                    assert_eq!(bench.access(rid, at, len, access), Ok(vec![(at, len)]));
                    continue;
                }
                let bytes = bench
                    .access(rid, at, len, access)
                    .map(|ranges| ranges.iter().flat_map(|(gpa, len)| *gpa..gpa + len).collect::<Vec<_>>());
                let gpa = |at: u64| Some(naive.page(rid, at / PAGE, access)? * PAGE + at % PAGE);
                let wrong = (at..at + len).find(|at| gpa(*at).is_none());
                match wrong {
                    Some(iova) => assert_eq!(bytes, Err(DmaFault::Refused { iova: Iova(iova), access })),
                    None => assert_eq!(bytes, Ok((at..at + len).filter_map(gpa).collect())),
                }
                continue;
            }
        };
        assert_eq!(status, expected as u8, "step {step}");
        seen[usize::from(status)] += 1;
    }
    let often = [Status::Ok, Status::Invalid, Status::Range, Status::NoEntry];
    assert!(often.iter().all(|status| seen[*status as usize] > 20), "{seen:?}");
}

#[test]
fn a_request_that_is_wrong_gets_the_status_of_the_standard() {
    let mut bench = Bench::new();
    let (ok, unsupported, invalid, range, no_entry) = (0, 2, 4, 5, 6);
    assert_eq!(bench.attach(1, 24, 0), no_entry, "an endpoint that is not there");
    assert_eq!(bench.attach(1, OWN.into(), 0), no_entry, "the IOMMU itself");
    assert_eq!(bench.attach(0x1_0000, GPU.into(), 0), no_entry, "a domain beyond the last");
    assert_eq!(bench.attach(1, GPU.into(), 2), invalid, "an unknown flag");
    assert_eq!(bench.map(1, (0, 0xfff), 0, 1), no_entry, "a domain that is not there");
    assert_eq!(bench.unmap(1, ALL), no_entry);
    assert_eq!(bench.attach(1, GPU.into(), 0), ok);
    assert_eq!(bench.attach(1, CAMERA.into(), 1), invalid, "the domain translates");
    assert_eq!(bench.detach(2, GPU.into()), invalid, "it is in another domain");
    assert_eq!(bench.detach(1, 24), no_entry);
    assert_eq!(bench.map(1, (0, 0xffe), 0, 1), range);
    assert_eq!(bench.map(1, (1, 0xfff), 0, 1), range);
    assert_eq!(bench.map(1, (0, 0xfff), 8, 1), range);
    assert_eq!(bench.map(1, (1 << 48, (1 << 48) + 0xfff), 0, 1), range);
    assert_eq!(bench.map(1, (0, 0x1fff), !0xfff, 1), range, "the end of the address space is within");
    assert_eq!(bench.map(1, (0x1000, 0xfff), 0, 1), invalid);
    assert_eq!(bench.map(1, (0, 0xfff), 0, 4), invalid, "MMIO is not offered");
    assert_eq!(bench.map(1, (0xfeef_f000, 0xfef0_0fff), 0, 1), invalid, "messages of interrupts");
    assert_eq!(bench.unmap(1, (0x1000, 0xfff)), invalid);
    assert_eq!(bench.unmap(1, ALL), ok, "nothing is there to be unmapped");
    assert_eq!(bench.ask(&[&[9, 0, 0, 0], &[0; 16]]), unsupported);
    assert_eq!(bench.ask(&[&[3, 0, 0, 0], &[0; 16]]), invalid, "it is too short");
    assert_eq!(bench.ask(&[&[1, 0, 0, 0], &[0; 12], &[1, 0, 0, 0]]), invalid, "reserved");
    assert_eq!((bench.counter("requests"), bench.counter("refused-requests")), (23, 21));
}

#[test]
fn who_is_in_no_domain_reaches_memory_if_the_driver_lets_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(GPU, 0x5000, 16), Ok(vec![(0x5000, 16)]), "a guest without a driver");
    let bypass = (CONFIG + BYPASS) as u64;
    assert_eq!(bench.driver.read(bypass, 1), 1);
    bench.driver.write(bypass, 1, 0);
    assert_eq!(bench.read(GPU, 0x5000, 16), refused(0x5000));
    assert_eq!(bench.read(OWN, 0x5000, 16), Ok(vec![(0x5000, 16)]), "its own queues");
    bench.driver.restart();
    assert_eq!(bench.driver.read(bypass, 1), 0, "the driver's word holds");
    assert_eq!(bench.attach(7, GPU.into(), 1), 0);
    assert_eq!(bench.read(GPU, 0x5000, 16), Ok(vec![(0x5000, 16)]), "a domain that does not translate");
    assert_eq!(bench.map(7, (0, 0xfff), 0, 1), 4);
    // A reset takes all out of their domains.
    bench.driver.restart();
    assert_eq!(bench.read(GPU, 0x5000, 16), refused(0x5000));
}

#[test]
fn a_driver_that_does_not_take_the_feature_cannot_let_anybody_pass() {
    let mut bench = Bench::new();
    let device = VirtioIommu::power_on(bench.unit.clone()).unwrap();
    bench.driver = Driver::new(Box::new(device), BYPASS_CONFIG);
    assert_eq!(bench.attach(1, GPU.into(), 1), 4);
    let bypass = (CONFIG + BYPASS) as u64;
    bench.driver.write(bypass, 1, 0);
    assert_eq!(bench.driver.read(bypass, 1), 1);
}

#[test]
fn the_range_of_messages_is_not_memory_and_the_driver_is_told_of_it() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    assert_eq!(bench.read(GPU, 0xfedf_fff0, 32), Err(DmaFault::NoMemory { iova: Iova(0xfee0_0000) }));
    assert_eq!(bench.counter("faults"), 0);
    // 5.13.6: type 1, 20 bytes, subtype 1, first and last address.
    let probe = [&[5, 0, 0, 0, 8, 0, 0, 0][..], &[0; 64]].concat();
    bench.driver.store(ASKED, &probe);
    let parts = [Part::Read(ASKED, 72), Part::Write(ANSWER, 516)];
    assert_eq!(bench.driver.request(0, &parts), Some(516));
    let answer = bench.driver.load(ANSWER, 516);
    assert_eq!(answer[..8], [1, 0, 20, 0, 1, 0, 0, 0]);
    assert_eq!(answer[8..24], [0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xff, 0xff, 0xef, 0xfe, 0, 0, 0, 0]);
    assert!(answer[24..].iter().all(|byte| *byte == 0), "no other property, and OK");
    // An endpoint that is not there, and a buffer without room for the properties.
    bench.driver.store(ASKED + 4, &[0x18]);
    assert_eq!(bench.driver.request(0, &parts), Some(516));
    assert_eq!(bench.driver.load(ANSWER + 512, 4), [6, 0, 0, 0]);
    bench.driver.store(ASKED + 4, &[8]);
    assert_eq!(bench.driver.request(0, &[Part::Read(ASKED, 72), Part::Write(ANSWER, 100)]), Some(100));
    assert_eq!(bench.driver.load(ANSWER + 96, 4), [4, 0, 0, 0]);
}

#[test]
fn the_driver_is_told_of_a_fault() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    bench.map(1, (0x4000, 0x4fff), 0x9000, 1);
    assert_eq!(bench.read(GPU, 0x4800, 0x1000), refused(0x5000));
    bench.make_call();
    assert_eq!(bench.driver.used(1), [], "there is no buffer yet");
    bench.driver.add(1, &[Part::Write(EVENT, 24)]);
    bench.driver.kick(1);
    assert_eq!(bench.driver.used(1), [(0, 24)]);
    // Reason 2: no mapping; flags: a read, and there is an address.
    let told =
        [[2u32, 0x101, 8, 0].map(u32::to_le_bytes).concat(), 0x5000u64.to_le_bytes().to_vec()].concat();
    assert_eq!(bench.driver.load(EVENT, 24), told);
    bench.driver.add(1, &[Part::Write(EVENT, 24)]);
    let write = bench.access(GPU, 0x4000, 1, Access::Write);
    assert_eq!(write, Err(DmaFault::Refused { iova: Iova(0x4000), access: Access::Write }));
    bench.make_call();
    assert_eq!(bench.driver.used(1), [(1, 24)]);
    assert_eq!(bench.driver.load(EVENT + 4, 4), [2, 1, 0, 0]);
    let faults = |event: &&Event| matches!(event, Event::IommuFault { .. });
    let (reason, rid) = (Reason::Mapping as u8, GPU);
    let expected =
        [(0x5000, false), (0x4000, true)].map(|(iova, write)| Event::IommuFault { rid, iova, write, reason });
    assert!(bench.events.0.iter().filter(faults).eq(&expected));
}

#[test]
fn faults_without_end_are_counted_and_bounded() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    for at in 0..100 {
        assert_eq!(bench.read(GPU, at * PAGE, 1), refused(at * PAGE));
    }
    assert_eq!((bench.counter("faults"), bench.counter("lost-reports")), (100, 100 - REPORTS_MAX as u64));
    for _ in 0..60 {
        bench.driver.add(1, &[Part::Write(EVENT, 24)]);
    }
    bench.make_call();
    assert_eq!(bench.driver.used(1).len(), 60);
    assert_eq!(bench.driver.load(EVENT + 16, 8), (59 * PAGE).to_le_bytes(), "the oldest come first");
}

#[test]
fn mappings_are_capped() {
    let mut unit = Domains::default();
    unit.attach(0, GPU, false);
    let mapping = |last| Mapping { last, gpa: 0, read: true, write: true };
    for at in 0..MAPPINGS_MAX as u64 {
        assert_eq!(unit.map(0, at * 2 * PAGE, mapping(at * 2 * PAGE + 0xfff)), Status::Ok);
        // The range of messages is left out: the cap is reached below it.
        assert!(at * 2 * PAGE < 0xfee0_0000);
    }
    assert_eq!(unit.map(0, PAGE, mapping(2 * PAGE - 1)), Status::NoMemory);
    assert_eq!(unit.unmap(0, (0, 0xfff), false, &mut 1), Some(Status::Ok));
    assert_eq!(unit.map(0, PAGE, mapping(2 * PAGE - 1)), Status::Ok);
    assert!(unit.is_well_formed());
}

#[test]
fn faults_that_were_asked_for_take_place() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    bench.map(1, (0, 0xfff), 0x9000, 3);
    let give = |bench: &Bench, spec: &str| {
        bench.unit.give_fault(&spec.parse::<FaultSpec>().unwrap(), 1, 0).unwrap();
    };
    give(&bench, "iommu:translation,slot=1");
    assert_eq!(bench.read(GPU, 0, 4), refused(0));
    assert_eq!(bench.read(GPU, 0, 4), Ok(vec![(0x9000, 4)]));
    // An unmapping that leaves the translation, until the next one of the range.
    give(&bench, "iommu:stale");
    assert_eq!(bench.unmap(1, (0, 0xfff)), 0);
    assert_eq!(bench.read(GPU, 0, 4), Ok(vec![(0x9000, 4)]));
    assert_eq!(bench.map(1, (0, 0x1fff), 0x2_0000, 3), 0, "for the driver it is gone");
    assert_eq!(bench.read(GPU, 0xffc, 8), Ok(vec![(0x9ffc, 4), (0x2_1000, 4)]));
    assert_eq!(bench.unmap(1, (0, 0x1fff)), 0);
    assert_eq!(bench.read(GPU, 0, 4), refused(0));
    // One that takes long.
    give(&bench, "iommu:slow-invalidation,for=50us");
    bench.map(1, (0, 0xfff), 0x9000, 3);
    let request = [&[4, 0, 0, 0, 1, 0, 0, 0][..], &[0; 8], &0xfffu64.to_le_bytes(), &[0; 4]].concat();
    bench.driver.store(ASKED, &request);
    bench.driver.add(0, &[Part::Read(ASKED, 28), Part::Write(ANSWER, 4)]);
    bench.driver.kick(0);
    // A restored device waits for the same time.
    let saved = bench.driver.function.save_state();
    let restored: VirtioIommu = unpack(Unit::new(OWN, [GPU]), &saved).unwrap();
    bench.driver.world.clock = bench.driver.world.clock.without_calls();
    restored.rearm(&mut bench.driver.world.ports());
    assert_eq!(bench.driver.world.clock.pending(0), Some(bench.driver.world.clock.now().ns + 50_000));
    bench.driver.wait(49_999);
    assert_eq!((bench.driver.used(0), bench.read(GPU, 0, 4)), (vec![], Ok(vec![(0x9000, 4)])));
    bench.driver.wait(1);
    assert_eq!(bench.driver.used(0).len(), 1);
    assert_eq!(bench.read(GPU, 0, 4), refused(0));
    assert_eq!(bench.counter("requested-faults"), 3);
}

#[test]
fn an_unmapping_of_very_many_is_done_in_several_calls() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    let pages = 2 * UNMAPPED_MAX as u64 + 10;
    for page in 0..pages {
        let mapping = Mapping { last: page * PAGE + 0xfff, gpa: page * PAGE, read: true, write: false };
        assert_eq!(bench.unit.common().domains.map(1, page * PAGE, mapping), Status::Ok);
    }
    // All but the last 10; behind that a request that is answered when it is done.
    let last = (pages - 10) * PAGE - 1;
    let unmap = [&[4, 0, 0, 0, 1, 0, 0, 0][..], &[0; 8], &last.to_le_bytes(), &[0; 4]].concat();
    let detach = [2u32, 1, GPU.into(), 0, 0].map(u32::to_le_bytes).concat();
    bench.driver.store(ASKED, &unmap);
    bench.driver.store(ASKED + 0x40, &detach);
    bench.driver.add(0, &[Part::Read(ASKED, 28), Part::Write(ANSWER, 4)]);
    bench.driver.add(0, &[Part::Read(ASKED + 0x40, 20), Part::Write(ANSWER + 4, 4)]);
    bench.driver.store(ANSWER, &[0xee; 8]);
    bench.driver.kick(0);
    let mapped = |bench: &Bench| bench.unit.common().domains.count();
    assert_eq!(mapped(&bench), UNMAPPED_MAX + 10, "a part of it");
    assert_eq!((bench.driver.used(0).len(), bench.driver.load(ANSWER, 1)), (0, vec![0xee]));
    assert_eq!(bench.read(GPU, 0, 4), refused(0));
    // A restored device goes on.
    let saved = bench.driver.function.save_state();
    let unit = Unit::new(OWN, [GPU, CAMERA]);
    let restored: VirtioIommu = unpack(unit.clone(), &saved).unwrap();
    assert_eq!(pack(&restored), saved);
    (bench.unit, bench.driver.function) = (unit, Box::new(restored));
    bench.driver.wait(0);
    assert_eq!(bench.driver.load(ANSWER, 8), [0; 8], "both are done");
    assert_eq!(
        (bench.driver.used(0).len(), mapped(&bench)),
        (2, 0),
        "the last endpoint takes the rest along"
    );
    assert_eq!(bench.counter("requests"), 3);
}

#[test]
fn saving_and_restoring_keeps_mappings_reports_and_stale_translations() {
    let mut bench = Bench::new();
    bench.attach(1, GPU.into(), 0);
    bench.map(1, (0, 0xfff), 0x9000, 3);
    bench.unit.give_fault(&"iommu:stale".parse().unwrap(), 1, 0).unwrap();
    bench.unmap(1, (0, 0xfff));
    assert_eq!(bench.read(GPU, 0x7000, 4), refused(0x7000));
    let saved = bench.driver.function.save_state();
    let unit = Unit::new(OWN, [GPU, CAMERA]);
    let restored: VirtioIommu = unpack(unit.clone(), &saved).unwrap();
    assert_eq!(pack(&restored), saved);
    (bench.unit, bench.driver.function) = (unit, Box::new(restored));
    assert_eq!(bench.read(GPU, 0, 4), Ok(vec![(0x9000, 4)]));
    bench.driver.add(1, &[Part::Write(EVENT, 24)]);
    bench.driver.kick(1);
    assert_eq!(bench.driver.load(EVENT + 16, 8), 0x7000u64.to_le_bytes());
}

#[test]
fn an_impossible_state_is_refused() {
    let device = VirtioIommu::power_on(Unit::new(OWN, [GPU])).unwrap();
    let refused = |change: fn(&mut Common)| {
        let mut state = device.save();
        state.device.common.domains.attach(3, GPU, false);
        change(&mut state.device.common);
        let restored = VirtioIommu::restore(Unit::new(OWN, [GPU]), state);
        matches!(restored, Err(StateError::Impossible { kind: "virtio-iommu", .. }))
    };
    assert!(!refused(|_| {}));
    assert!(refused(|common| common.domains.domains.clear()), "it is in a domain that is not there");
    assert!(refused(|common| common.domains.endpoints.clear()), "a domain that nobody is in");
    assert!(refused(|common| {
        let report = Report { reason: Reason::Domain, write: false, endpoint: 0, address: 0 };
        common.reports.extend([report; REPORTS_MAX + 1]);
    }));
    assert!(refused(|common| {
        let mapping = |last| Mapping { last, gpa: 0, read: true, write: true };
        let domain = common.domains.domains.entry(3).or_default();
        domain.mappings.extend([(0, mapping(0x1fff)), (0x1000, mapping(0x1fff))]);
    }));
}
