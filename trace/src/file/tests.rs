//! Files as written, and as damage leaves them.

use super::writer::END_BYTES;
use super::*;
use crate::event::Event;
use crate::guest::{GuestEvent, Value};
use crate::{Record, Stamp};

fn header() -> Header {
    Header {
        costs: vec![("gpu".into(), "500 cycles a packet".into())],
        seed: Some(7),
        ..crate::testing::header()
    }
}

fn record(cycles: u64, event: Event) -> Record {
    Record { stamp: Stamp { cycles, ns: cycles * 2 }, event }
}

fn vblank(cycles: u64) -> Record {
    record(cycles, Event::Vblank { engine: crate::testing::DISPLAY_ENGINE, frame: cycles })
}

/// A file of many frames.
fn long_file(count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
    for cycles in 0..count {
        writer.record(&vblank(cycles)).expect("memory takes it");
    }
    writer.finish().expect("memory takes it");
    bytes
}

#[test]
fn a_full_file_ends_cleanly_and_counts_what_came_later() {
    const COUNT: u64 = 200_000;
    let limited = |limit| {
        let mut bytes = Vec::new();
        let header = Header { limit: Some(limit), ..header() };
        let mut writer = FileWriter::new(&mut bytes, &header).expect("memory takes it");
        for cycles in 0..COUNT {
            writer.record(&vblank(cycles)).expect("memory takes it");
            if cycles % 10_000 == 0 {
                let name = format!("thread {cycles}");
                writer.define(&Definition::Task { pid: cycles as u32, name }).expect("memory takes it");
            }
        }
        let totals = writer.finish().expect("memory takes it");
        (bytes, totals)
    };
    let whole = limited(u64::MAX).0.len() as u64;
    for limit in [0, 2000, 1 << 17, whole - 1, whole, whole + END_BYTES] {
        let (bytes, totals) = limited(limit);
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        assert!(limit < 2000 || bytes.len() as u64 <= limit, "{} bytes of {limit}", bytes.len());
        assert!(trace.damage.is_empty() && trace.totals == Some(totals));
        assert_eq!(totals.records + totals.beyond_limit, COUNT);
        assert_eq!(totals.none_lost(), limit > whole);
        // What is there is all up to some time.
        assert!(trace.records.iter().map(|one| one.stamp.cycles).eq(0..totals.records));
    }
}

#[test]
fn a_file_of_a_version_without_limits_has_none() {
    let mut old = serde_json::to_value(header()).expect("JSON");
    old.as_object_mut().expect("an object").remove("limit");
    assert_eq!(serde_json::from_value::<Header>(old).expect("a header").limit, None);
    let totals: Totals = serde_json::from_str("{\"records\":1,\"lost\":0,\"guest_lost\":0}").expect("totals");
    assert!(totals.none_lost());
}

#[test]
fn written_records_are_read_in_time_order() {
    let format = GuestFormat {
        id: 300,
        system: "dma_fence".into(),
        name: "dma_fence_signaled".into(),
        fields: vec!["driver".into(), "context".into(), "seqno".into()],
    };
    let guest = GuestEvent {
        format: 300,
        cpu: 0,
        pid: 71,
        values: vec![Value::Text("fencepost".into()), Value::Unsigned(4), Value::Signed(9)],
    };
    let mut bytes = Vec::new();
    let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
    writer.record(&vblank(50)).expect("memory takes it");
    writer.define(&Definition::Format(format)).expect("memory takes it");
    writer.define(&Definition::Task { pid: 71, name: "flow".into() }).expect("memory takes it");
    writer.record(&record(20, Event::Guest(Box::new(guest)))).expect("memory takes it");
    writer.record(&vblank(u64::MAX / 4)).expect("memory takes it");
    writer.lost(3, 1);
    writer.finish().expect("memory takes it");
    let trace = TraceFile::read(&bytes[..]).expect("readable");
    assert_eq!(trace.header, header());
    assert_eq!(trace.records.iter().map(|r| r.stamp.cycles).collect::<Vec<_>>(), [20, 50, u64::MAX / 4]);
    assert_eq!(trace.totals, Some(Totals { records: 3, lost: 3, guest_lost: 1, beyond_limit: 0 }));
    assert!(trace.damage.is_empty());
    assert_eq!(trace.tasks[&71], "flow");
    let view = trace.guest(&trace.records[0]).expect("a guest event");
    assert!(view.is("dma_fence", "dma_fence_signaled"));
    assert_eq!(
        (view.text("driver"), view.u64("context"), view.u64("seqno")),
        (Some("fencepost"), Some(4), Some(9))
    );
}

#[test]
fn a_cut_file_is_readable_up_to_its_last_whole_frame() {
    let bytes = long_file(40_000);
    for cut in [bytes.len() - 1, bytes.len() / 2, bytes.len() / 3] {
        let trace = TraceFile::read(&bytes[..cut]).expect("readable in part");
        assert!(
            matches!(trace.damage[..], [Damage::Truncated { at }] if at <= cut as u64),
            "{:?}",
            trace.damage
        );
        assert!(trace.records.len() > 5000, "{}", trace.records.len());
        assert!(
            trace
                .records
                .iter()
                .zip(0..)
                .all(|(r, n)| r.event == Event::Vblank { engine: crate::testing::DISPLAY_ENGINE, frame: n })
        );
    }
}

#[test]
fn a_damaged_frame_costs_itself_alone() {
    let mut bytes = long_file(40_000);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let trace = TraceFile::read(&bytes[..]).expect("readable in part");
    assert!(matches!(trace.damage[..], [Damage::Frame { .. }]), "{:?}", trace.damage);
    assert!(trace.totals.is_some());
    assert!((20_000..40_000).contains(&trace.records.len()), "{}", trace.records.len());
}

/// Where the frames of a whole file begin.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut starts) = (MAGIC.len() + 4, Vec::new());
    while let Some(length) = bytes.get(at + 1..at + 5) {
        starts.push(at);
        at += FRAME_HEADER_BYTES + u32::from_le_bytes(length.try_into().expect("four")) as usize;
    }
    starts
}

#[test]
fn a_damaged_length_costs_one_frame_too() {
    let whole = long_file(40_000);
    let starts = frame_starts(&whole);
    let records = TraceFile::read(&whole[..]).expect("readable").records.len();
    // A records frame in the middle: kind, each byte of its length, its checksum.
    let middle = starts[starts.len() / 2];
    for byte in 0..FRAME_HEADER_BYTES {
        for bit in [0x01, 0x10, 0x80] {
            let mut bytes = whole.clone();
            bytes[middle + byte] ^= bit;
            let trace = TraceFile::read(&bytes[..]).expect("readable in part");
            let damage = Damage::Frame { at: middle as u64 };
            assert_eq!(trace.damage, [damage], "byte {byte} bit {bit}");
            assert!(trace.totals.is_some() && trace.records.len() > records / 2);
        }
    }
}

#[test]
fn a_file_of_what_looks_like_frames_is_read_in_bounded_time() {
    // Each place looks like a frame of half a mebibyte whose checksum must be tried.
    let header_end = frame_starts(&long_file(1))[1];
    let mut bytes = long_file(1)[..header_end].to_vec();
    bytes.extend([2, 0, 0, 8, 0, 1, 2, 3, 4].repeat(500_000));
    let trace = TraceFile::read(&bytes[..]).expect("the header is");
    assert!(trace.records.is_empty() && !trace.damage.is_empty());
}

/// A file that counts what is read of it.
struct Counted<R>(R, u64);

impl<R: std::io::Read> std::io::Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(bytes)?;
        self.1 += count as u64;
        Ok(count)
    }
}

/// A sparse file of 6 GiB was read whole before its first frame was looked at.
#[test]
fn a_file_without_an_end_is_read_as_far_as_frames_may_be() {
    let sound = long_file(10_000);
    let cut = frame_starts(&sound).last().copied().expect("the last frame");
    for (end, filling) in [(cut, 0), (cut, 2), (cut, 0xff), (cut + 5, 0), (sound.len(), 0)] {
        let mut file = Counted(std::io::Read::chain(&sound[..end], std::io::repeat(filling)), 0);
        let (trace, peak) =
            crate::allocations::peak(|| TraceFile::read(&mut file).expect("readable in part"));
        assert!(file.1 < 32 << 20, "{} bytes were read", file.1);
        assert!(peak < 64 << 20, "{peak} bytes of memory");
        assert_eq!(trace.records.len(), 10_000);
        assert!(
            matches!(trace.damage.last(), Some(Damage::Truncated { at }) if *at >= cut as u64),
            "{:?}",
            trace.damage
        );
    }
}

#[test]
fn a_trace_that_takes_too_much_memory_is_read_as_far_as_there_is_room() {
    let bytes = long_file(100_000);
    let memory = 50_000 * size_of::<Record>();
    let trace = TraceFile::read_within(&bytes[..], memory).expect("readable in part");
    assert!((25_000..=50_000).contains(&trace.records.len()), "{}", trace.records.len());
    assert!(matches!(trace.damage[..], [Damage::Large { .. }]), "{:?}", trace.damage);
}

#[test]
fn endless_damage_is_reported_in_a_few_words() {
    let sound = long_file(1);
    let starts = frame_starts(&sound);
    let (header, record) = (&sound[..starts[1]], &sound[starts[1]..starts[2]]);
    let mut broken = record.to_vec();
    broken[8] ^= 1;
    let mut bytes = header.to_vec();
    (0..5000).for_each(|_| bytes.extend([&broken[..], record].concat()));
    bytes.extend(&sound[starts[2]..]);
    let trace = TraceFile::read(&bytes[..]).expect("readable in part");
    assert_eq!(trace.records.len(), 5000);
    let (first, last) = trace.damage.split_at(trace.damage.len() - 1);
    assert!(
        first.len() < 100
            && matches!(last, [Damage::More { frames }] if *frames as usize + first.len() == 5000)
    );
}

#[test]
fn an_event_that_no_machine_records_is_damage() {
    let guest = |cpu, values| Event::Guest(Box::new(GuestEvent { format: 1, cpu, pid: 1, values }));
    let dma = |iova, gpa, len| Event::DmaWrite { rid: 8, iova, gpa, len };
    let text = |bytes: usize| vec![Value::Text("x".repeat(bytes))];
    for (event, sound) in [
        (dma(0, 0, 1 << 52), true),
        (dma(0, 1, 1 << 52), false),
        (dma(0, 1 << 20, 1 << 40), true),
        (dma(0, 1 << 20, u64::MAX), false),
        (dma(u64::MAX, 1 << 20, 1), false),
        (Event::DescriptorFetch { rid: 8, iova: 16, len: u64::MAX }, false),
        (guest(1023, text(64 << 10)), true),
        (guest(1024, vec![]), false),
        (guest(0, text(300 << 10)), false),
        (guest(0, vec![Value::Unsigned(0); 128]), true),
        (guest(0, vec![Value::Unsigned(0); 129]), false),
    ] {
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
        writer.record(&record(5, event.clone())).expect("memory takes it");
        writer.finish().expect("memory takes it");
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        assert_eq!(
            (trace.records.len(), trace.damage.len()),
            if sound { (1, 0) } else { (0, 1) },
            "{event:?}"
        );
    }
    for name in [128, 129] {
        let fields = vec!["x".repeat(name)];
        let format = GuestFormat { id: 1, system: "s".into(), name: "n".into(), fields };
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
        writer.define(&Definition::Format(format)).expect("memory takes it");
        writer.finish().expect("memory takes it");
        let trace = TraceFile::read(&bytes[..]).expect("readable");
        assert_eq!((trace.formats.len(), trace.damage.len()), if name == 128 { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn any_single_flipped_bit_is_found() {
    let whole = long_file(20);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = match TraceFile::read(&bytes[..]) {
            Err(_) => true,
            Ok(trace) => !trace.damage.is_empty(),
        };
        assert!(found, "bit {bit}");
    }
}

#[test]
fn foreign_and_newer_files_are_told_apart() {
    assert!(matches!(TraceFile::read(&b""[..]), Err(ReadError::Empty)));
    assert!(matches!(TraceFile::read(&b"FPTRAC"[..]), Err(ReadError::Foreign)));
    // One without an end is refused all the same.
    assert!(matches!(TraceFile::read(std::io::repeat(7)), Err(ReadError::Foreign)));
    assert!(matches!(TraceFile::read(&b"\x7fELF and more"[..]), Err(ReadError::Foreign)));
    let mut newer = long_file(1);
    newer[8] = 9;
    assert!(matches!(TraceFile::read(&newer[..]), Err(ReadError::Version(9))));
    assert!(matches!(TraceFile::read(&newer[..8]), Err(ReadError::Header)));
}

#[test]
fn a_machine_that_moved_says_that_its_stamps_are_of_two_kinds() {
    let stamps = |records: &[Record]| {
        let mut bytes = Vec::new();
        let mut writer = FileWriter::new(&mut bytes, &header()).expect("memory takes it");
        records.iter().try_for_each(|record| writer.record(record)).expect("memory takes it");
        writer.finish().expect("memory takes it");
        TraceFile::read(&bytes[..]).expect("readable").stamps()
    };
    assert_eq!(stamps(&[vblank(1)]), header().stamps());
    let moved =
        stamps(&[record(1, Event::Moved { to: Accel::Kvm }), record(9, Event::Moved { to: Accel::Soft })]);
    assert!(moved.contains("by turns") && moved.contains("2 times"), "{moved}");
}
