//! Traces that no machine recorded, through everything that reads one: random records with extreme values, and sound traces whose
//! frames were changed. What is made of them takes memory in proportion to the file, and ends.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::allocations::peak;
use crate::event::{Accel, Category, Event, ExitReason, JobKind};
use crate::file::{Definition, FileWriter, TraceFile};
use crate::guest::{GuestEvent, Value};
use crate::journey::synthetic::Machine;
use crate::journey::{FenceId, Journeys};
use crate::report::{self, Diff, Query, QueryHead, Report};
use crate::testing::{CAMERA, CAMERA_ENGINE, DISPLAY, DISPLAY_ENGINE, GPU, GPU_ENGINE, header};
use crate::{Record, Stamp, html, perfetto, svg};

/// Memory that a trace may take: so much, and so many times its own bytes.
const LEAST_BYTES: usize = 1 << 20;
const TIMES: usize = 300;
/// A case that takes longer hangs. The longest takes about a second.
const PATIENCE: Duration = Duration::from_secs(300);

/// Random numbers, half of them extreme, a quarter of them as some before.
struct Random {
    bits: fencepost_random::Random,
    before: Vec<u64>,
}

const EXTREME: [u64; 24] = [
    0,
    1,
    2,
    63,
    64,
    4095,
    4096,
    4097,
    1 << 20,
    (1 << 20) + 4096,
    u32::MAX as u64 - 1,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    (1 << 52) - 4096,
    (1 << 52) - 1,
    1 << 52,
    1 << 63,
    i64::MAX as u64,
    u64::MAX - 4096,
    u64::MAX - 4095,
    u64::MAX - 63,
    u64::MAX - 1,
    u64::MAX,
];

impl Random {
    fn new(seed: u64) -> Random {
        Random { bits: fencepost_random::Random::new(seed), before: vec![0x10_0000] }
    }

    fn word(&mut self) -> u64 {
        self.bits.bits()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }

    fn number(&mut self) -> u64 {
        let (extreme, before) = (self.below(EXTREME.len() as u64), self.below(self.before.len() as u64));
        let number = match self.below(4) {
            0 | 1 => EXTREME[extreme as usize],
            2 => self.before[before as usize],
            _ => self.word() >> self.below(64),
        };
        if self.before.len() < 50 {
            self.before.push(number);
        }
        number
    }

    /// One of a few, so that events are about the same things.
    fn small(&mut self) -> u64 {
        if self.below(8) == 0 { self.number() } else { self.below(4) }
    }

    fn engine(&mut self) -> crate::EngineId {
        [GPU_ENGINE, CAMERA_ENGINE, DISPLAY_ENGINE][self.below(3) as usize]
    }

    fn rid(&mut self) -> u16 {
        [GPU, CAMERA, DISPLAY, self.number() as u16][self.below(4) as usize]
    }

    fn dma(&mut self) -> Event {
        let (rid, iova, gpa) = (self.rid(), self.number(), self.number());
        // Half of them as large as a sound one can be.
        let len = if self.below(2) == 0 { self.number() } else { (1u64 << 52).saturating_sub(gpa) };
        if self.below(2) == 0 {
            Event::DmaRead { rid, iova, gpa, len }
        } else {
            Event::DmaWrite { rid, iova, gpa, len }
        }
    }

    fn event(&mut self, formats: u32) -> Event {
        let (queue, seqno) = (self.small() as u32, self.small());
        match self.below(24) {
            0..4 => self.dma(),
            4 => Event::RegisterWrite { cpu: 0, rid: self.rid(), offset: 0x110, value: self.number() },
            5 => Event::Doorbell { engine: self.engine(), queue, tail: self.number() },
            6 => Event::DescriptorFetch { rid: self.rid(), iova: self.number(), len: self.number() },
            7 => Event::IotlbInvalidate { domain: None, iova: self.number(), len: self.number() },
            8 => {
                let kind = [JobKind::Fence, JobKind::Copy, JobKind::Unknown][self.below(3) as usize];
                Event::JobStart { engine: GPU_ENGINE, queue, seqno, kind }
            }
            9 => Event::JobEnd { engine: GPU_ENGINE, queue, seqno, ok: self.below(4) > 0 },
            10 => Event::FenceWrite { engine: GPU_ENGINE, queue, seqno },
            11 => Event::FrameStart {
                engine: CAMERA_ENGINE,
                sequence: queue,
                buffer: Some(self.small() as u32),
            },
            12 => {
                let bytes = self.number() as u32;
                Event::FrameEnd {
                    engine: CAMERA_ENGINE,
                    sequence: queue,
                    buffer: self.small() as u32,
                    bytes,
                    crc: 1,
                }
            }
            13 => Event::FrameDropped { engine: CAMERA_ENGINE, sequence: queue },
            14 => Event::Latch { engine: DISPLAY_ENGINE, frame: self.number(), commit: self.number() },
            15 => Event::Flip { engine: DISPLAY_ENGINE, frame: self.number(), flip: self.number() },
            16 => Event::ScanOut { engine: DISPLAY_ENGINE, frame: self.number(), crc: 3 },
            17 => Event::MsiRaised { rid: self.rid(), vector: self.small() as u16 },
            18 => Event::InterruptDelivered { cpu: self.small() as u32, vector: self.small() as u8 },
            19 => Event::VcpuExit { cpu: queue, reason: ExitReason::Other, address: self.number() },
            20 => Event::Moved { to: [Accel::Kvm, Accel::Soft][self.below(2) as usize] },
            _ => self.guest(formats),
        }
    }

    fn guest(&mut self, formats: u32) -> Event {
        let values = (0..self.below(7)).map(|_| match self.below(8) {
            0 => Value::Text("x".repeat(self.below(600) as usize)),
            1 => Value::Bytes(vec![7; self.below(100) as usize]),
            2 => Value::Signed(self.number() as i64),
            _ => Value::Unsigned(self.small()),
        });
        let values = values.collect();
        let format = 500 + self.below(u64::from(formats) + 1) as u32;
        let (cpu, pid) = (self.below(3) as u32, self.small() as u32);
        Event::Guest(Box::new(GuestEvent { format, cpu, pid, values }))
    }

    fn records(&mut self, count: usize, formats: u32) -> Vec<Record> {
        let mut cycles = 0u64;
        let record = |_| {
            cycles = if self.below(50) == 0 { self.number() } else { cycles.wrapping_add(self.below(1000)) };
            let ns = if self.below(50) == 0 { self.number() } else { cycles };
            Record { stamp: Stamp { cycles, ns }, event: self.event(formats) }
        };
        (0..count).map(record).collect()
    }
}

/// Everything that `fencepost trace` makes of a trace. Gives how much it wrote.
fn consume(trace: &TraceFile) -> usize {
    let journeys = Journeys::build(trace);
    let report = Report::new(trace, &journeys);
    let mut written = 0;
    let mut out = Counter(&mut written);
    report.write_text(&mut out).expect("it takes everything");
    serde_json::to_writer(&mut out, &report).expect("it takes everything");
    report.objections(1);
    let diff = Diff::new([trace, trace], [&report, &report]);
    diff.write_markdown(&mut out).expect("it takes everything");
    diff.regressions(1.0);
    report::write_jsonl(trace, &mut out).expect("it takes everything");
    perfetto::write(trace, &journeys, &mut out).expect("it takes everything");
    html::write(trace, &journeys, &mut out).expect("it takes everything");
    for frame in (0..journeys.frames.len()).step_by(journeys.frames.len().div_ceil(10).max(1)) {
        // A frame of which nothing is known has no picture.
        let _ = svg::write(trace, &journeys, frame, &mut out);
    }
    for query in queries(&journeys) {
        let Ok(found) = report::find(trace, &journeys, query, &[]) else { continue };
        serde_json::to_writer(&mut out, &QueryHead::new(trace, query, &[], &found))
            .expect("it takes everything");
        found
            .iter()
            .filter_map(|one| trace.records.get(one.record))
            .for_each(|one| _ = report::describe(trace, one));
    }
    written
}

fn queries(journeys: &Journeys) -> Vec<Query> {
    let mut queries = vec![Query::Frame(usize::MAX), Query::Inode(u64::MAX), Query::Page(u64::MAX)];
    queries.extend([0, 1, journeys.frames.len() / 2].map(Query::Frame));
    queries.extend([0, journeys.buffers.len() / 2].map(Query::Buffer));
    queries.extend([0, 1, 1 << 40].map(Query::Page));
    queries.extend([0, 1].map(Query::Inode));
    queries.extend(journeys.timelines.iter().take(3).flat_map(|timeline| {
        let points = timeline.points.iter().take(3);
        points.map(|point| Query::Fence(FenceId { context: timeline.context, seqno: point.seqno }))
    }));
    queries.extend(journeys.fences.iter().take(3).map(|fence| Query::Ring(fence.queue, fence.seqno)));
    queries
}

struct Counter<'a>(&'a mut usize);

impl std::io::Write for Counter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        *self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has `work` done within the bounds of a trace of `bytes`, and in time.
fn within_bounds(what: String, bytes: usize, work: impl FnOnce() -> usize + Send + 'static) {
    let (told, done) = channel();
    let thread = std::thread::spawn(move || _ = told.send(peak(work)));
    match done.recv_timeout(PATIENCE) {
        Ok((written, peak)) => {
            let most = LEAST_BYTES + TIMES * bytes;
            assert!(peak <= most, "{what}: {peak} bytes of memory for {bytes} of trace");
            assert!(written <= 4 * most, "{what}: {written} bytes written for {bytes} of trace");
        }
        Err(RecvTimeoutError::Timeout) => panic!("{what}: it does not end"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it panicked"))
        }
    }
}

/// A file of these records.
fn file(records: &[Record], machine: &Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
    for format in machine.formats.values() {
        writer.define(&Definition::Format(format.clone())).expect("memory takes it");
    }
    records.iter().try_for_each(|record| writer.record(record)).expect("memory takes it");
    writer.finish().expect("memory takes it");
    bytes
}

#[test]
fn random_records_with_extreme_values_stay_within_bounds() {
    for seed in 0..40 {
        let machine = Machine::new(true);
        let mut random = Random::new(seed);
        let count = [50, 400, 1500, 3000][seed as usize % 4];
        let records = random.records(count, machine.formats.len() as u32);
        // As a reader takes them: frames with a record that is not sound are left out.
        let bytes = file(&records, &machine);
        within_bounds(format!("seed {seed}, read"), bytes.len(), move || {
            let trace = TraceFile::read(&bytes[..]).expect("its header is sound");
            assert!(trace.records.len() <= count);
            consume(&trace)
        });
        // And with all of them, whatever a reader would say.
        let size = count * 16;
        let trace = TraceFile { records: sorted(records), ..machine.trace() };
        within_bounds(format!("seed {seed}"), size, move || consume(&trace));
    }
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.stamp);
    records
}

/// What hung or aborted: one range of 2^40 bytes, of all addresses, and as many of them as 28 KB hold.
#[test]
fn long_ranges_are_not_walked() {
    for len in [1 << 40, (1 << 52) - 0x10_0000, u64::MAX] {
        let mut machine = Machine::new(true);
        for number in 0..300 {
            let at = number * 1000;
            machine.host(
                at,
                Event::FrameStart { engine: CAMERA_ENGINE, sequence: number as u32, buffer: Some(0) },
            );
            for rid in [CAMERA, GPU, DISPLAY] {
                let gpa = 0x10_0000 + number * 4096;
                machine.host(at + 1, Event::DmaWrite { rid, iova: 4096, gpa, len });
                machine.host(at + 2, Event::DmaRead { rid, iova: 4096, gpa, len });
            }
            machine.host(
                at + 3,
                Event::FrameEnd {
                    engine: CAMERA_ENGINE,
                    sequence: number as u32,
                    buffer: 0,
                    bytes: u32::MAX,
                    crc: 1,
                },
            );
            let (queue, kind) = (0, JobKind::Copy);
            machine.host(at + 4, Event::JobStart { engine: GPU_ENGINE, queue, seqno: number, kind });
            machine.host(at + 5, Event::JobEnd { engine: GPU_ENGINE, queue, seqno: number, ok: true });
            machine.host(at + 6, Event::Latch { engine: DISPLAY_ENGINE, frame: number, commit: number });
            machine.host(at + 7, Event::ScanOut { engine: DISPLAY_ENGINE, frame: number, crc: 0 });
            machine.begin_map(at + 8, number, 0);
            machine.pages(at + 9, 0, len / 4096);
        }
        let trace = machine.trace();
        within_bounds(format!("{len:#x}"), 28_000, move || consume(&trace));
    }
}

/// Names of the guest's are shown with many events.
#[test]
fn long_names_do_not_multiply() {
    let mut machine = Machine::new(true);
    let long = "n".repeat(100_000);
    let text = || Value::Text(long.clone());
    machine.guest(
        0,
        "dmabuf_map",
        7,
        vec![Value::Unsigned(3), Value::Unsigned(1 << 40), text(), text(), Value::Unsigned(0)],
    );
    machine.guest(0, "irq_handler_entry", 7, vec![Value::Unsigned(24), text()]);
    for at in 1..1000 {
        machine.host(at * 100, Event::MsiRaised { rid: GPU, vector: 0 });
        machine.host(at * 100 + 1, Event::InterruptDelivered { cpu: 0, vector: 0x31 });
        machine.pages(at * 100 + 2, at, 1);
        machine.fence(
            at * 100 + 3,
            "dma_fence_wait_start",
            7,
            (if at == 1 { &long } else { "" }, &long[..5], 1, at),
        );
    }
    let trace = machine.trace();
    within_bounds("long names".into(), 300_000, move || consume(&trace));
}

/// The frames of a sound file as kind and payload.
fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut frames) = (12, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().expect("four")) as usize;
        frames.push((bytes[at], bytes[at + 9..at + 9 + length].to_vec()));
        at += 9 + length;
    }
    frames
}

#[test]
fn changed_frames_with_the_right_checksum_stay_within_bounds() {
    let mut machine = Machine::new(true);
    let gaps: [u64; 24] = std::array::from_fn(|gap| 100 + gap as u64);
    let mut now = 1000;
    for number in 0..12 {
        now = machine.journey(now, number % 3, u64::from(number) % 2, &gaps);
    }
    let whole = file(&sorted(machine.records.clone()), &machine);
    assert_eq!(TraceFile::read(&whole[..]).expect("sound").damage, []);
    let mut random = Random::new(99);
    for round in 0..150 {
        let mut all = frames(&whole);
        for _ in 0..=random.below(4) {
            let frame = random.below(all.len() as u64) as usize;
            let (_, payload) = &mut all[frame];
            let place = random.below(payload.len() as u64) as usize;
            match random.below(4) {
                0 => payload[place] = random.word() as u8,
                1 => payload.truncate(place),
                // The longest varints.
                2 => payload.splice(place..place, [[0xff; 9].to_vec(), vec![1]].concat()).for_each(drop),
                _ => all.swap(frame, 0),
            }
        }
        let mut bytes = whole[..12].to_vec();
        for (kind, payload) in &all {
            bytes.extend([*kind]);
            bytes.extend((payload.len() as u32).to_le_bytes());
            bytes.extend(crate::file::checksum(*kind, payload).to_le_bytes());
            bytes.extend(payload);
        }
        within_bounds(format!("round {round}"), bytes.len(), move || {
            TraceFile::read(&bytes[..]).map_or(0, |trace| consume(&trace))
        });
    }
}

#[test]
fn every_category_is_among_the_random_records() {
    let records = Random::new(5).records(3000, 16);
    for category in Category::ALL {
        let there = records.iter().any(|one| one.event.category() == category);
        assert!(there || category == Category::Iotlb, "{category:?}");
    }
}
