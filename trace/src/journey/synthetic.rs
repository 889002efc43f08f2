//! A made-up machine for tests: frames go from camera to screen with delays that the test chooses, and every event is written
//! down on both sides together with what is true of it.

use std::collections::BTreeMap;

use crate::event::{Event, JobKind};
use crate::file::TraceFile;
use crate::guest::{GuestEvent, GuestFormat, Value};
use crate::journey::{PAGE_BYTES, Stage};
pub use crate::testing::{CAMERA, DISPLAY, GPU, header};
use crate::testing::{CAMERA_ENGINE, DISPLAY_ENGINE, GPU_ENGINE};
use crate::{Record, Stamp};

/// Nanoseconds are three times the cycles, so that a mistake of one for the other shows.
pub const NS: u64 = 3;
pub const SOURCE_PAGES: u64 = 6;
pub const SCREEN_PAGES: u64 = 8;
const QUEUE: u64 = 0xffff_8880_1234_0000;
pub const CONTEXT: u64 = 17;

/// A trace in the making.
pub struct Machine {
    pub records: Vec<Record>,
    pub formats: BTreeMap<u32, GuestFormat>,
    /// By frame and stage, when it was.
    pub truth: BTreeMap<(usize, Stage), u64>,
    pub guest: bool,
    pub direct: bool,
    frames: usize,
}

/// The tracepoints and their fields.
const FORMATS: [(&str, &str, &[&str]); 16] = [
    ("vb2", "vb2_buf_queue", &["owner", "index"]),
    ("vb2", "vb2_buf_done", &["owner", "index"]),
    ("vb2", "vb2_dqbuf", &["owner", "index"]),
    ("irq", "irq_handler_entry", &["irq", "name"]),
    ("dma_fence", "dma_fence_init", &["driver", "timeline", "context", "seqno"]),
    ("dma_fence", "dma_fence_signaled", &["driver", "timeline", "context", "seqno"]),
    ("dma_fence", "dma_fence_wait_start", &["driver", "timeline", "context", "seqno"]),
    ("dma_fence", "dma_fence_wait_end", &["driver", "timeline", "context", "seqno"]),
    ("gpu_scheduler", "drm_sched_job", &["fence", "name", "id"]),
    ("gpu_scheduler", "drm_run_job", &["fence", "name", "id"]),
    ("drm", "drm_vblank_event_delivered", &["file", "crtc", "seq"]),
    ("irq", "irq_handler_exit", &["irq", "ret"]),
    ("iommu", "unmap", &["iova", "size", "unmapped_size"]),
    ("fencepost", "dmabuf_map", &["inode", "size", "exporter", "device", "mapped"]),
    ("fencepost", "dmabuf_release", &["inode"]),
    ("iommu", "map", &["iova", "paddr", "size"]),
];

/// The CPU's vectors and the guest's interrupt numbers.
const LINES: [(u16, u16, u8, u64, &str); 3] =
    [(CAMERA, 0, 0x31, 24, "camera"), (GPU, 0, 0x32, 27, "gpu"), (DISPLAY, 1, 0x34, 31, "display-flip")];

impl Machine {
    pub fn new(guest: bool) -> Self {
        let formats = FORMATS.iter().zip(500..).map(|((system, name, fields), id)| {
            let fields = fields.iter().map(|field| field.to_string()).collect();
            (id, GuestFormat { id, system: system.to_string(), name: name.to_string(), fields })
        });
        let formats = if guest { formats.collect() } else { BTreeMap::new() };
        Machine { records: Vec::new(), formats, truth: BTreeMap::new(), guest, direct: false, frames: 0 }
    }

    pub fn host(&mut self, cycles: u64, event: Event) {
        self.records.push(Record { stamp: Stamp { cycles, ns: cycles * NS }, event });
    }

    pub fn guest(&mut self, cycles: u64, name: &str, pid: u32, values: Vec<Value>) {
        if !self.guest {
            return;
        }
        let format = self.formats.values().find(|format| format.name == name).expect("known").id;
        self.host(cycles, Event::Guest(Box::new(GuestEvent { format, cpu: 0, pid, values })));
    }

    fn true_at(&mut self, frame: usize, stage: Stage, cycles: u64) {
        self.truth.insert((frame, stage), cycles);
    }

    pub fn vb2(&mut self, cycles: u64, name: &str, index: u32) {
        self.guest(cycles, name, 100, vec![Value::Unsigned(QUEUE), Value::Unsigned(index.into())]);
    }

    /// An event of a fence: driver, timeline, context, sequence number.
    pub fn fence(&mut self, cycles: u64, name: &str, pid: u32, fence: (&str, &str, u64, u64)) {
        let (driver, timeline, context, seqno) = fence;
        let texts = [driver, timeline].map(|text| Value::Text(text.into()));
        let numbers = [context, seqno].map(Value::Unsigned);
        self.guest(cycles, name, pid, texts.into_iter().chain(numbers).collect());
    }

    /// An interrupt: raised, taken, handled. Gives when the handler began.
    fn interrupt(&mut self, frame: usize, line: usize, stages: [Stage; 3], at: u64, steps: [u64; 2]) -> u64 {
        let (rid, vector, cpu_vector, irq, name) = LINES[line];
        let (taken, handled) = (at + steps[0], at + steps[0] + steps[1]);
        self.host(at, Event::MsiRaised { rid, vector });
        self.host(taken, Event::InterruptDelivered { cpu: 0, vector: cpu_vector });
        self.host(taken, Event::EndOfInterrupt { cpu: 0, vector: cpu_vector });
        let values = vec![Value::Unsigned(irq), Value::Text(name.into())];
        self.guest(handled, "irq_handler_entry", 0, values);
        self.guest(handled + 1, "irq_handler_exit", 0, vec![Value::Unsigned(irq), Value::Unsigned(1)]);
        for (stage, cycles) in stages.into_iter().zip([at, taken, handled]) {
            self.true_at(frame, stage, cycles);
        }
        handled
    }

    pub fn dma(&mut self, cycles: u64, rid: u16, write: bool, page: u64, pages: u64) {
        // Two segments, the second before the first in memory.
        let half = pages / 2;
        for (segment, (page, pages)) in [(page + half, pages - half), (page, half)].into_iter().enumerate() {
            let (gpa, len) = (page * PAGE_BYTES, pages * PAGE_BYTES);
            let iova = (u64::from(rid) << 32) + gpa + segment as u64 * 0x1000_0000;
            self.host(
                cycles,
                if write {
                    Event::DmaWrite { rid, iova, gpa, len }
                } else {
                    Event::DmaRead { rid, iova, gpa, len }
                },
            );
        }
    }

    /// A timer's interrupt, which belongs to nobody.
    pub fn tick(&mut self, cycles: u64) {
        self.host(cycles, Event::InterruptDelivered { cpu: 0, vector: 0xec });
    }

    pub fn source_page(index: u32) -> u64 {
        0x1000 + u64::from(index) * 0x100
    }

    pub fn screen_page(screen: u64) -> u64 {
        0x8000 + screen * 0x100
    }

    /// A buffer is given to the camera.
    pub fn queue(&mut self, cycles: u64, index: u32) {
        self.vb2(cycles, "vb2_buf_queue", index);
    }

    /// Thread 100 maps a dma-buf of the pages of capture buffer `index` for the GPU.
    pub fn map(&mut self, now: u64, inode: u64, index: u32) {
        self.begin_map(now, inode, 0);
        let half = SOURCE_PAGES / 2;
        self.pages(now + 1, Self::source_page(index) + half, half);
        self.pages(now + 2, Self::source_page(index), half);
    }

    /// Thread 100 says that it maps a dma-buf of a capture buffer's size; `mapped`: that it is mapped already.
    pub fn begin_map(&mut self, now: u64, inode: u64, mapped: u64) {
        let text = |text: &str| Value::Text(text.into());
        let [inode, size, mapped] = [inode, SOURCE_PAGES * PAGE_BYTES, mapped].map(Value::Unsigned);
        let values = vec![inode, size, text("videobuf2_dma_sg"), text("0000:00:01.0"), mapped];
        self.guest(now, "dmabuf_map", 100, values);
    }

    /// Thread 100 maps pages.
    pub fn pages(&mut self, now: u64, first: u64, count: u64) {
        let values = [0x5000_0000, first * PAGE_BYTES, count * PAGE_BYTES].map(Value::Unsigned);
        self.guest(now, "map", 100, values.to_vec());
    }

    /// Thread 100 takes a page's mapping back.
    pub fn unmap(&mut self, now: u64) {
        self.guest(now, "unmap", 100, [0x5000_0000, PAGE_BYTES, PAGE_BYTES].map(Value::Unsigned).to_vec());
    }

    /// The last user of the dma-buf is gone.
    pub fn release(&mut self, now: u64, inode: u64) {
        self.guest(now, "dmabuf_release", 0, vec![Value::Unsigned(inode)]);
    }

    /// One whole journey from `begin`: `gaps` are the times between its steps. Gives when it ended.
    pub fn journey(&mut self, begin: u64, index: u32, screen: u64, gaps: &[u64; 24]) -> u64 {
        let frame = self.frames;
        self.frames += 1;
        let sequence = u32::try_from(frame).expect("few");
        let mut gaps = gaps.iter().copied();
        let mut now = begin;
        let mut step = || gaps.next().expect("enough gaps");
        // Camera.
        self.true_at(frame, Stage::FrameStart, now);
        self.host(now, Event::FrameStart { engine: CAMERA_ENGINE, sequence, buffer: Some(index) });
        now += step();
        self.dma(now, CAMERA, true, Self::source_page(index), SOURCE_PAGES);
        let record = Event::DmaWrite { rid: CAMERA, iova: 0x77_0000, gpa: 0x10_0000, len: 64 };
        self.host(now, record);
        let bytes = (SOURCE_PAGES * PAGE_BYTES) as u32;
        self.host(now, Event::FrameEnd { engine: CAMERA_ENGINE, sequence, buffer: index, bytes, crc: 1 });
        self.true_at(frame, Stage::FrameEnd, now);
        let stages = [Stage::CaptureMsi, Stage::CaptureDelivered, Stage::CaptureHandler];
        now = self.interrupt(frame, 0, stages, now, [step(), step()]);
        now += step();
        self.vb2(now, "vb2_buf_done", index);
        self.true_at(frame, Stage::BufferDone, now);
        now += step();
        self.vb2(now, "vb2_dqbuf", index);
        self.true_at(frame, Stage::Dequeued, now);
        if !self.direct {
            now = self.convert(frame, now, (index, screen), [step(), step(), step(), step(), step()]);
            now += step();
            now = self.signal(frame, now, [step(), step(), step()]);
        }
        now += step();
        let shown = if self.direct { Self::source_page(index) } else { Self::screen_page(screen) };
        let event = self.show(frame, now, shown, [step(), step(), step(), step(), step()]);
        let back = if self.direct { event + 1 } else { now + step() };
        self.vb2(back, "vb2_buf_queue", index);
        self.true_at(frame, Stage::Requeued, back);
        event.max(back)
    }

    fn convert(&mut self, frame: usize, mut now: u64, buffers: (u32, u64), gaps: [u64; 5]) -> u64 {
        let seqno = frame as u64 + 1;
        let job = |seqno: u64| {
            vec![Value::Unsigned(0xffff_0000 + seqno), Value::Text("ring".into()), Value::Unsigned(seqno)]
        };
        now += gaps[0];
        self.guest(now, "drm_sched_job", 100, job(seqno));
        self.true_at(frame, Stage::Submitted, now);
        now += gaps[1];
        self.guest(now, "drm_run_job", 55, job(seqno));
        self.true_at(frame, Stage::Scheduled, now);
        now += gaps[2];
        self.fence(now, "dma_fence_init", 55, ("gpu", "ring", CONTEXT, seqno));
        self.true_at(frame, Stage::FenceMade, now);
        now += gaps[3];
        let tail = (2 * (frame as u64 + 1)) % 128;
        self.host(now, Event::Doorbell { engine: GPU_ENGINE, queue: 0, tail });
        self.true_at(frame, Stage::JobDoorbell, now);
        now += gaps[4];
        let kind = JobKind::Convert;
        self.host(now, Event::JobStart { engine: GPU_ENGINE, queue: 0, seqno, kind });
        self.true_at(frame, Stage::JobStart, now);
        // The ring's tail word.
        self.host(now, Event::DmaRead { rid: GPU, iova: 0x99_0000, gpa: 0x20_0000, len: 4 });
        now += 40;
        self.dma(now, GPU, false, Self::source_page(buffers.0), SOURCE_PAGES);
        self.dma(now, GPU, true, Self::screen_page(buffers.1), SCREEN_PAGES);
        self.host(now, Event::JobEnd { engine: GPU_ENGINE, queue: 0, seqno, ok: true });
        self.true_at(frame, Stage::JobEnd, now);
        now
    }

    fn signal(&mut self, frame: usize, now: u64, gaps: [u64; 3]) -> u64 {
        let seqno = frame as u64 + 1;
        let kind = JobKind::Fence;
        self.host(now, Event::JobStart { engine: GPU_ENGINE, queue: 0, seqno, kind });
        self.host(now, Event::FenceWrite { engine: GPU_ENGINE, queue: 0, seqno });
        self.true_at(frame, Stage::FenceWrite, now);
        let stages = [Stage::FenceMsi, Stage::FenceDelivered, Stage::FenceHandler];
        let handled = self.interrupt(frame, 1, stages, now, [gaps[0], gaps[1]]);
        self.host(now, Event::JobEnd { engine: GPU_ENGINE, queue: 0, seqno, ok: true });
        let signaled = handled + gaps[2];
        self.fence(signaled, "dma_fence_signaled", 0, ("gpu", "ring", CONTEXT, seqno));
        self.fence(signaled + 1, "dma_fence_signaled", 0, ("drm_sched", "ring", CONTEXT + 1, seqno));
        self.true_at(frame, Stage::FenceSignaled, signaled);
        signaled + 1
    }

    fn show(&mut self, frame: usize, mut now: u64, page: u64, gaps: [u64; 5]) -> u64 {
        let commit = frame as u64 + 1;
        self.host(now, Event::Doorbell { engine: DISPLAY_ENGINE, queue: 0, tail: commit });
        self.true_at(frame, Stage::Commit, now);
        now += gaps[0];
        self.host(now, Event::Vblank { engine: DISPLAY_ENGINE, frame: commit + 70 });
        self.host(now, Event::Latch { engine: DISPLAY_ENGINE, frame: commit + 70, commit });
        self.host(now, Event::Flip { engine: DISPLAY_ENGINE, frame: commit + 70, flip: commit });
        self.true_at(frame, Stage::Latch, now);
        self.true_at(frame, Stage::Flip, now);
        let stages = [Stage::FlipMsi, Stage::FlipDelivered, Stage::FlipHandler];
        let handled = self.interrupt(frame, 2, stages, now, [gaps[1], gaps[2]]);
        let fenced = handled + gaps[3];
        self.fence(fenced, "dma_fence_signaled", 0, ("display", "CRTC:34-crtc-0", 3, commit));
        self.true_at(frame, Stage::OutFence, fenced);
        let event = fenced + gaps[4];
        let values = [1, 0, commit + 70].map(Value::Unsigned).to_vec();
        self.guest(event, "drm_vblank_event_delivered", 0, values);
        self.true_at(frame, Stage::FlipEvent, event);
        let read = now + 5000;
        self.dma(read, DISPLAY, false, page, if self.direct { SOURCE_PAGES } else { SCREEN_PAGES });
        self.host(read, Event::ScanOut { engine: DISPLAY_ENGINE, frame: commit + 70, crc: 9 });
        event.max(read)
    }

    /// The trace as a reader gives it.
    pub fn trace(&self) -> TraceFile {
        let mut records = self.records.clone();
        records.sort_by_key(|record| record.stamp);
        TraceFile {
            header: header(),
            formats: self.formats.clone(),
            tasks: BTreeMap::new(),
            records,
            totals: None,
            counted: Vec::new(),
            damage: Vec::new(),
        }
    }
}
