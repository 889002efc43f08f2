//! The stream as a whole: pages captured from a real kernel, and noise.

use fencepost_random::Random;

use fencepost_time::Tsc;

use super::format::number;
use super::*;
use crate::file::Definition;
use crate::guest::{GuestEvent, Value};

const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
    \tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\
    \tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";
const FORMAT: &str = "demo\nname: tick\nID: 7\nformat:\n\
    \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
    \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\
    \tfield:u64 value;\toffset:8;\tsize:8;\tsigned:0;\n";

fn frame(kind: u16, cpu: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [kind.to_le_bytes(), cpu.to_le_bytes()].concat();
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(payload);
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// A page with one event of `FORMAT` at `cycles`, of thread 9.
fn page(cycles: u64, value: u64) -> Vec<u8> {
    let mut page = [cycles.to_le_bytes(), 20u64.to_le_bytes()].concat();
    page.extend(4u32.to_le_bytes());
    page.extend([7, 0, 0, 0, 9, 0, 0, 0]);
    page.extend(value.to_le_bytes());
    page
}

fn stream() -> Vec<u8> {
    [
        frame(kind::HEADER_PAGE, 0, HEADER_PAGE.as_bytes()),
        frame(kind::FORMAT, 0, FORMAT.as_bytes()),
        frame(kind::PAGE, 2, &page(500, 42)),
        frame(kind::TASKS, 0, b"9 kworker/0:1\n  12 a name\n"),
        frame(kind::TASKS, 0, b"9 kworker/0:1\n"),
        frame(kind::LOST, 2, &5u64.to_le_bytes()),
        frame(kind::LOST, 2, &8u64.to_le_bytes()),
    ]
    .concat()
}

fn news_of(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Vec<News> {
    let mut all = Vec::new();
    for part in bytes.chunks(step) {
        decoder.push(part, &mut |news| all.push(news));
    }
    all
}

#[test]
fn the_stream_may_come_in_any_parts() {
    let whole = news_of(&mut Decoder::new(), &stream(), usize::MAX);
    let task = |pid, name: &str| News::Definition(Definition::Task { pid, name: name.into() });
    let event = GuestEvent { format: 7, cpu: 2, pid: 9, values: vec![Value::Unsigned(42)] };
    assert!(matches!(&whole[0], News::Definition(Definition::Format(format)) if format.fields == ["value"]));
    let expected = [
        News::Event(Tsc(500), event),
        task(0, "<idle>"),
        task(9, "kworker/0:1"),
        task(12, "a name"),
        News::Lost(5),
        News::Lost(3),
    ];
    assert_eq!(whole[1..], expected);
    for step in [1, 3, 4, 7, 100] {
        let mut decoder = Decoder::new();
        assert_eq!(news_of(&mut decoder, &stream(), step), whole, "{step}");
        assert_eq!(decoder.refused(), 0);
    }
}

#[test]
fn after_a_frame_too_long_only_a_restart_helps() {
    let mut decoder = Decoder::new();
    let mut long = frame(kind::PAGE, 0, &[]);
    long[4..8].copy_from_slice(&(FRAME_MAX as u32 + 1).to_le_bytes());
    assert_eq!(news_of(&mut decoder, &[long, stream()].concat(), 4), []);
    assert_eq!(decoder.refused(), 1);
    decoder.restart();
    assert_eq!(news_of(&mut decoder, &stream(), 4).len(), 7);
}

#[test]
fn definitions_have_a_bound_in_bytes() {
    let mut decoder = Decoder::new();
    let (mut bytes, mut passed, mut refused) = (0, 0, 0);
    for round in 0..2000u32 {
        let mut text =
            "demo\nname: hostile\nID: 78\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n"
                .to_string();
        for field in 0..127 {
            let name = format!("{}{round:06}{field:03}", "x".repeat(100));
            text += &format!("\tfield:u8 {name};\toffset:8;\tsize:1;\tsigned:0;\n");
        }
        let before = (passed, decoder.refused());
        decoder.push(&frame(kind::FORMAT, 0, text.as_bytes()), &mut |news| {
            let News::Definition(definition) = news else { panic!("{news:?}") };
            bytes += definition.size();
            passed += 1;
        });
        refused += decoder.refused() - before.1;
        assert_eq!((passed - before.0) + (decoder.refused() - before.1), 1);
    }
    assert!(bytes <= DEFINITIONS_MAX_BYTES && bytes > DEFINITIONS_MAX_BYTES / 2, "{bytes}");
    assert!(refused > 500);
}

#[test]
fn nonsense_is_counted_and_the_rest_is_read() {
    let mut unknown = page(1, 1);
    unknown[20] = 8;
    let noise = [
        frame(99, 0, b"what"),
        frame(kind::PAGE, 0, &unknown),
        frame(kind::PAGE, 0, b"short"),
        frame(kind::FORMAT, 0, b"no line"),
        frame(kind::TASKS, 0, b"one two\n"),
        frame(kind::LOST, 2, &[1]),
        frame(kind::LOST, 2, &1u64.to_le_bytes()),
    ];
    let mut decoder = Decoder::new();
    let before = news_of(&mut decoder, &stream(), 4);
    assert_eq!(news_of(&mut decoder, &noise.concat(), 4), []);
    assert_eq!(decoder.refused(), noise.len() as u64);
    // Formats and threads are known already, and the lost events are behind the last count.
    let again = news_of(&mut decoder, &frame(kind::PAGE, 2, &page(500, 42)), 4);
    assert_eq!(again, before[1..2]);
}

/// What two kernels of Debian wrote in the same flow: the stream's frames that the tests below need.
const CAPTURED: [&[u8]; 2] =
    [include_bytes!("captured/linux-6.12.stream"), include_bytes!("captured/linux-6.1.stream")];

/// The events of one kind, with the values of the fields named.
fn reported(news: &[News], name: &str, fields: &[&str]) -> Vec<String> {
    let format = news.iter().find_map(|news| match news {
        News::Definition(Definition::Format(format)) if format.name == name => Some(format),
        _ => None,
    });
    let format = format.unwrap_or_else(|| panic!("{name} is in the capture"));
    let field = |event: &GuestEvent, name: &&str| {
        let at = format.fields.iter().position(|field| field == name).unwrap();
        match &event.values[at] {
            Value::Text(text) => text.clone(),
            value => format!("{:#x}", value.as_u64().unwrap()),
        }
    };
    let of = |event: &GuestEvent| fields.iter().map(|name| field(event, name)).collect::<Vec<_>>().join(" ");
    let events = news.iter().filter_map(|news| match news {
        News::Event(_, event) if event.format == format.id => Some(of(event)),
        _ => None,
    });
    events.collect()
}

#[test]
fn pages_of_real_kernels_tell_what_the_flow_does() {
    for captured in CAPTURED {
        let news = news_of(&mut Decoder::new(), captured, 4);
        // The flow has four camera buffers of 1024x768 NV12 and four screens of 1024x768 XRGB8888: the GPU, 00:01.0,
        // imports those, and the display, 00:03.0, imports these.
        let exported = reported(&news, "dmabuf_export", &["inode", "size", "exporter"]);
        let camera = (1..=4).map(|inode| format!("{inode:#x} 0x120000 videobuf2_dma_sg"));
        let screens = (5..=8).map(|inode| format!("{inode:#x} 0x300000 drm"));
        assert_eq!(exported, camera.chain(screens).collect::<Vec<_>>());
        let device = |inode| if inode < 5 { "0000:00:01.0" } else { "0000:00:03.0" };
        let imported: Vec<_> = (1..=8).map(|inode| format!("{inode:#x} {}", device(inode))).collect();
        assert_eq!(reported(&news, "dmabuf_map", &["inode", "device"]), imported);
        // The first page of every table is where iommu:map put something.
        let (tables, pages) =
            (reported(&news, "dmabuf_mapped", &["iova"]), reported(&news, "map", &["iova"]));
        assert_eq!(tables.len(), imported.len());
        assert!(tables.iter().all(|iova| pages.contains(iova)), "{tables:?} {pages:?}");
    }
}

#[test]
fn time_never_goes_back_on_a_real_page_and_threads_have_names() {
    for captured in CAPTURED {
        let news = news_of(&mut Decoder::new(), captured, usize::MAX);
        let time = |news: &News| if let News::Event(Tsc(at), _) = news { Some(*at) } else { None };
        let times: Vec<u64> = news.iter().filter_map(time).collect();
        assert!(times.len() > 50 && times.is_sorted(), "{times:?}");
        // The guest boots in 400 million cycles, and the flow takes less than a second.
        assert!(times.iter().all(|at| (400_000_000..2_000_000_000).contains(at)), "{times:?}");
        let flow =
            |news: &News| matches!(news, News::Definition(Definition::Task { name, .. }) if name == "flow");
        assert!(news.iter().any(flow));
    }
}

#[test]
fn a_real_kernels_events_keep_all_rules() {
    // What is refused are the events whose layouts were not captured.
    let refused = CAPTURED.map(|captured| {
        let mut decoder = Decoder::new();
        let id = |news: &News| match news {
            News::Definition(Definition::Format(format)) => Some(u64::from(format.id)),
            _ => None,
        };
        let known: Vec<u64> = news_of(&mut decoder, captured, usize::MAX).iter().filter_map(id).collect();
        let (mut unknown, mut at, mut layout) = (0, 0, None);
        while let Some(head) = captured.get(at..at + HEADER_BYTES) {
            let length = number(&head[4..]) as usize;
            let payload = &captured[at + HEADER_BYTES..at + HEADER_BYTES + length];
            match number(&head[..2]) as u16 {
                kind::HEADER_PAGE => layout = PageLayout::parse(std::str::from_utf8(payload).expect("text")),
                kind::PAGE => {
                    let mut count =
                        |_: u64, record: &[u8]| unknown += u64::from(!known.contains(&number(&record[..2])));
                    events(layout.expect("it comes first"), payload, &mut count).expect("a sound page");
                }
                _ => {}
            }
            at += HEADER_BYTES + length.next_multiple_of(4);
        }
        (decoder.refused(), unknown)
    });
    assert!(refused.iter().all(|(refused, unknown)| refused == unknown), "{refused:?}");
}

#[test]
fn noise_never_panics_and_never_grows() {
    let mut noise = Random::new(7);
    let bases = [stream(), CAPTURED[0].to_vec()];
    for turn in 0..20_000 {
        // The captured stream is long: a tenth of the turns.
        let mut bytes = bases[usize::from(turn % 10 == 0)].clone();
        for _ in 0..=noise.bits() % 8 {
            let at = noise.bits() as usize % bytes.len();
            bytes[at] = noise.bits() as u8;
        }
        let mut decoder = Decoder::new();
        let news = news_of(&mut decoder, &bytes, 1 + noise.bits() as usize % 64);
        assert!(news.len() <= 2000, "{}", news.len());
        let size = |one: &News| if let News::Event(_, event) = one { event.bytes() } else { 0 };
        // A byte that is a number takes 32 in memory, at most.
        let taken: usize = news.iter().map(size).sum();
        assert!(taken <= 64 * bytes.len(), "{taken} bytes of memory for {}", bytes.len());
    }
}
