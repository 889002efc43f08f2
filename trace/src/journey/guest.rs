//! What the guest's tracepoints say, indexed for joining.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::Serialize;

use crate::engine::EngineId;
use crate::event::Event;
use crate::file::TraceFile;
use crate::guest::GuestView;
use crate::journey::buffers::DmaBuf;
use crate::journey::lives::Lives;
use crate::journey::{At, PAGE_BYTES};

/// A thread that waited for a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The thread.
    pub pid: u32,
    /// The begin (`dma_fence_wait_start`).
    pub from: At,
    /// The end (`dma_fence_wait_end`).
    pub to: Option<At>,
}

/// One fence of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FencePoint {
    /// Its sequence number.
    pub seqno: u64,
    /// Made (`dma_fence_init`).
    pub made: Option<At>,
    /// Given to its device (`dma_fence_emit`).
    pub emitted: Option<At>,
    /// Signalled (`dma_fence_signaled`).
    pub signaled: Option<At>,
    /// Who waited for it, by the begin.
    pub waits: Vec<Wait>,
    /// Freed (`dma_fence_destroy`).
    pub destroyed: Option<At>,
    /// An engine's write of it, in `Journeys::fences`.
    pub written: Option<usize>,
}

/// A fence context of the guest's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FenceTimeline {
    /// Its number.
    pub context: u64,
    /// The driver's name.
    pub driver: String,
    /// The timeline's name.
    pub name: String,
    /// The engine and its ring whose fences these are.
    pub queue: Option<(EngineId, u32)>,
    /// Its fences by sequence number.
    pub points: Vec<FencePoint>,
}

/// What happened to a capture buffer in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vb2 {
    /// It is the driver's (`vb2_buf_queue`).
    Queued,
    /// The driver gives it back (`vb2_buf_done`).
    Done,
    /// The program takes it (`vb2_dqbuf`).
    Dequeued,
}

/// An interrupt handler that began.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandlerEntry {
    pub at: At,
    pub cpu: u32,
}

/// An event on a thread, with the fence of the job it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobPoint {
    pub at: At,
    pub pid: u32,
    pub fence: u64,
}

/// A dma-buf and one of its pages.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub at: At,
    pub page: u64,
    pub dma_buf: Rc<DmaBuf>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// By queue (its owner) and buffer index.
    pub vb2: BTreeMap<(u64, u32), Vec<(Vb2, At)>>,
    /// By context and sequence number.
    pub fences: BTreeMap<u64, (String, String, BTreeMap<u64, FencePoint>)>,
    /// `drm_sched_job` by the job's fence.
    pub submitted: HashMap<u64, Vec<At>>,
    /// `drm_run_job` in the order of time.
    pub run: Vec<JobPoint>,
    /// `irq_handler_entry` by interrupt number.
    pub entries: BTreeMap<u32, Vec<HandlerEntry>>,
    /// Names of the interrupts.
    pub irq_names: BTreeMap<u32, String>,
    /// `drm_vblank_event_delivered`.
    pub flip_events: Vec<At>,
    /// Pages of dma-bufs.
    pub mapped: Vec<Mapped>,
    /// From when to when dma-bufs had them.
    pub lives: Lives,
    /// The dma-bufs that threads are mapping, and how many bytes of each are still to come.
    mapping: HashMap<u32, (Rc<DmaBuf>, u64)>,
    /// The thread that each `dma_fence_init` was on, by context and sequence number.
    pub made_by: HashMap<(u64, u64), u32>,
}

/// A tracepoint that means something here.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Vb2(Vb2),
    FenceMade,
    FenceEmitted,
    FenceSignaled,
    FenceDestroyed,
    WaitStart,
    WaitEnd,
    Submitted,
    Run,
    HandlerEntry,
    FlipEvent,
    Mapping,
    IommuMap,
    IommuUnmap,
    Released,
}

fn kind(system: &str, name: &str) -> Option<Kind> {
    Some(match (system, name) {
        ("vb2", "vb2_buf_queue") => Kind::Vb2(Vb2::Queued),
        ("vb2", "vb2_buf_done") => Kind::Vb2(Vb2::Done),
        ("vb2", "vb2_dqbuf") => Kind::Vb2(Vb2::Dequeued),
        ("dma_fence", "dma_fence_init") => Kind::FenceMade,
        ("dma_fence", "dma_fence_emit") => Kind::FenceEmitted,
        ("dma_fence", "dma_fence_signaled") => Kind::FenceSignaled,
        ("dma_fence", "dma_fence_destroy") => Kind::FenceDestroyed,
        ("dma_fence", "dma_fence_wait_start") => Kind::WaitStart,
        ("dma_fence", "dma_fence_wait_end") => Kind::WaitEnd,
        // Linux 6.16 gave the scheduler's tracepoints other names.
        ("gpu_scheduler", "drm_sched_job" | "drm_sched_job_queue") => Kind::Submitted,
        ("gpu_scheduler", "drm_run_job" | "drm_sched_job_run") => Kind::Run,
        ("irq", "irq_handler_entry") => Kind::HandlerEntry,
        ("drm", "drm_vblank_event_delivered") => Kind::FlipEvent,
        ("fencepost", "dmabuf_map") => Kind::Mapping,
        ("iommu", "map") => Kind::IommuMap,
        ("iommu", "unmap") => Kind::IommuUnmap,
        ("fencepost", "dmabuf_release") => Kind::Released,
        _ => return None,
    })
}

/// Reads the guest's events, once, in the order of time.
pub(super) fn scan(trace: &TraceFile) -> Guest {
    let kinds: HashMap<u32, Kind> = trace
        .formats
        .values()
        .filter_map(|format| Some((format.id, kind(&format.system, &format.name)?)))
        .collect();
    let mut guest = Guest::default();
    // What happened before a snapshot has its other half in no trace; the agent sends it later than it happened.
    let begin = trace.header.snapshot.unwrap_or(0);
    for (record, one) in trace.records.iter().enumerate() {
        let Event::Guest(event) = &one.event else { continue };
        if one.stamp.cycles < begin {
            continue;
        }
        let Some(kind) = kinds.get(&event.format) else { continue };
        if let Some(view) = trace.guest(one) {
            guest.take(*kind, &view, At { stamp: one.stamp, record });
        }
    }
    guest
}

impl Guest {
    /// Adds one event; one without the fields that make it what it is adds nothing.
    fn take(&mut self, kind: Kind, view: &GuestView<'_>, at: At) -> Option<()> {
        match kind {
            Kind::Vb2(what) => {
                let index = u32::try_from(view.u64("index")?).ok()?;
                let owner = view.u64("owner").unwrap_or_default();
                self.vb2.entry((owner, index)).or_default().push((what, at));
            }
            Kind::Submitted | Kind::Run => {
                let point =
                    JobPoint { at, pid: view.event.pid, fence: view.u64("fence").unwrap_or_default() };
                match kind {
                    Kind::Run => self.run.push(point),
                    _ => self.submitted.entry(point.fence).or_default().push(at),
                }
            }
            Kind::HandlerEntry => {
                let irq = u32::try_from(view.u64("irq")?).ok()?;
                self.entries.entry(irq).or_default().push(HandlerEntry { at, cpu: view.event.cpu });
                if let Some(name) = view.label("name") {
                    self.irq_names.entry(irq).or_insert_with(|| name.to_string());
                }
            }
            Kind::FlipEvent => self.flip_events.push(at),
            Kind::Mapping => self.map_dma_buf(view)?,
            Kind::IommuMap => self.map_pages(view, at)?,
            // A thread that takes back what it mapped is not mapping a dma-buf any more.
            Kind::IommuUnmap => _ = self.mapping.remove(&view.event.pid),
            Kind::Released => self.lives.release(view.u64("inode")?, at),
            _ => return self.fence(kind, view, at),
        }
        Some(())
    }

    fn fence(&mut self, kind: Kind, view: &GuestView<'_>, at: At) -> Option<()> {
        let (context, seqno) = (view.u64("context")?, view.u64("seqno")?);
        let (_, _, points) = self.fences.entry(context).or_insert_with(|| {
            let text = |name| view.label(name).unwrap_or_default().to_string();
            (text("driver"), text("timeline"), BTreeMap::new())
        });
        let point = points.entry(seqno).or_insert_with(|| FencePoint { seqno, ..FencePoint::default() });
        match kind {
            Kind::FenceMade => {
                point.made.get_or_insert(at);
                self.made_by.insert((context, seqno), view.event.pid);
            }
            Kind::FenceEmitted => _ = point.emitted.get_or_insert(at),
            Kind::FenceSignaled => _ = point.signaled.get_or_insert(at),
            Kind::FenceDestroyed => _ = point.destroyed.get_or_insert(at),
            Kind::WaitStart => point.waits.push(Wait { pid: view.event.pid, from: at, to: None }),
            Kind::WaitEnd => {
                let open = |wait: &&mut Wait| wait.to.is_none() && wait.pid == view.event.pid;
                if let Some(wait) = point.waits.iter_mut().find(open) {
                    wait.to = Some(at);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// A thread begins to map a dma-buf for a device.
    fn map_dma_buf(&mut self, view: &GuestView<'_>) -> Option<()> {
        let (inode, size) = (view.u64("inode")?, view.u64("size")?);
        let text = |name| view.label(name).map(str::to_string);
        let dma_buf = DmaBuf {
            inode,
            exporter: text("exporter"),
            size: Some(size),
            devices: text("device").into_iter().collect(),
        };
        // A mapping that is only given out again brings no pages.
        let bytes = if view.u64("mapped") == Some(0) { size } else { 0 };
        self.mapping.insert(view.event.pid, (Rc::new(dma_buf), bytes));
        Some(())
    }

    /// What a thread maps behind that, up to the dma-buf's size, are the dma-buf's pages.
    fn map_pages(&mut self, view: &GuestView<'_>, at: At) -> Option<()> {
        let (address, len) = (view.u64("paddr")?, view.u64("size")?);
        let (dma_buf, bytes) = self.mapping.get_mut(&view.event.pid).filter(|(_, bytes)| *bytes > 0)?;
        *bytes = bytes.saturating_sub(len);
        let page = address / PAGE_BYTES;
        self.lives.pages(dma_buf.inode, page, len.div_ceil(PAGE_BYTES).max(1));
        self.mapped.push(Mapped { at, page, dma_buf: Rc::clone(dma_buf) });
        Some(())
    }
}
