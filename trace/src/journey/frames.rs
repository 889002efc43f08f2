//! Joining the devices' events with the guest's into frames and fence timelines.

use std::collections::BTreeMap;

use crate::engine::EngineId;
use crate::journey::buffers::MOST_PIECES;
use crate::journey::devices::Devices;
use crate::journey::flow::{self, Way, Work};
use crate::journey::guest::{Guest, Vb2};
use crate::journey::interrupts::Wires;
use crate::journey::outcome::Outcome;
use crate::journey::{
    At, Buffer, Capture, FenceId, FencePoint, FenceTimeline, FenceWrite, Flip, Frame, Job, Journeys, Msi,
    Rule, Stage, Step, Violation,
};

/// As many fence writes of a ring say which timeline is its.
const VOTES: usize = 1000;

/// Fills `journeys` with what was found on both sides.
pub(super) fn join(journeys: &mut Journeys, devices: Devices, guest: Guest, wires: &Wires) {
    let mut timelines: Vec<FenceTimeline> = guest
        .fences
        .iter()
        .map(|(context, found)| {
            let (driver, name, points) = found;
            FenceTimeline {
                context: *context,
                driver: driver.clone(),
                name: name.clone(),
                queue: None,
                points: points.values().cloned().collect(),
            }
        })
        .collect();
    find_queues(&mut timelines, &devices.fences);
    let written = link_writes(&mut timelines, &devices.fences);
    let queues = capture_queues(&guest, &devices.captures);
    let joiner = Joiner {
        guest: &guest,
        wires,
        timelines: &timelines,
        devices: &devices,
        written: &written,
        queues: &queues,
    };
    let dequeued: Vec<Option<At>> =
        devices.captures.iter().map(|capture| joiner.turn(capture).and_then(|turn| turn.dequeued)).collect();
    let ways = flow::ways(&devices, &dequeued);
    journeys.frames = ways.into_iter().enumerate().map(|(number, way)| joiner.frame(number, way)).collect();
    journeys.violations = not_queued(&devices.captures, &guest, &queues);
    let Devices { buffers, captures, jobs, fences, flips, pending, stores: _ } = devices;
    journeys.buffers = buffers;
    name_buffers(&mut journeys.buffers, &guest);
    (journeys.timelines, journeys.captures) = (timelines, captures);
    (journeys.jobs, journeys.fences, journeys.flips, journeys.pending) = (jobs, fences, flips, pending);
}

/// Gives each timeline the ring whose fences it has: the ring whose writes are nearest to its signals.
fn find_queues(timelines: &mut [FenceTimeline], fences: &[FenceWrite]) {
    let mut votes: BTreeMap<(usize, (EngineId, u32)), usize> = BTreeMap::new();
    let mut voted: BTreeMap<(EngineId, u32), usize> = BTreeMap::new();
    for fence in fences {
        let count = voted.entry((fence.engine, fence.queue)).or_default();
        if *count >= VOTES {
            continue;
        }
        *count += 1;
        let distance = |timeline: &FenceTimeline| {
            let signaled = point(timeline, fence.seqno)?.signaled?;
            Some(signaled.stamp.cycles.abs_diff(fence.at.stamp.cycles))
        };
        let nearest = timelines
            .iter()
            .enumerate()
            .filter(|(_, timeline)| timeline.driver != SCHEDULER)
            .filter_map(|(at, timeline)| Some((distance(timeline)?, at)))
            .min();
        if let Some((_, at)) = nearest {
            *votes.entry((at, (fence.engine, fence.queue))).or_default() += 1;
        }
    }
    for (at, timeline) in timelines.iter_mut().enumerate() {
        let of_this = votes.range((at, (EngineId::default(), 0))..).take_while(|((of, _), _)| *of == at);
        timeline.queue = of_this.max_by_key(|(_, count)| **count).map(|((_, queue), _)| *queue);
    }
}

/// The driver's name of the DRM scheduler's own fences, which only follow the device's.
const SCHEDULER: &str = "drm_sched";

/// The kernel's tracepoints have 32 bits of a sequence number.
fn in_kernel(seqno: u64) -> u64 {
    seqno & u64::from(u32::MAX)
}

fn place(timeline: &FenceTimeline, seqno: u64) -> Option<usize> {
    timeline.points.binary_search_by_key(&in_kernel(seqno), |point| point.seqno).ok()
}

fn point(timeline: &FenceTimeline, seqno: u64) -> Option<&FencePoint> {
    timeline.points.get(place(timeline, seqno)?)
}

/// Joins each write of a fence with the kernel's fence. Gives the fence of each write.
fn link_writes(timelines: &mut [FenceTimeline], fences: &[FenceWrite]) -> Vec<Option<FenceId>> {
    let mut found = Vec::with_capacity(fences.len());
    for (number, fence) in fences.iter().enumerate() {
        // A driver that was loaded anew begins to count again, in another context.
        let distance = |timeline: &FenceTimeline| {
            let point = point(timeline, fence.seqno).filter(|point| point.written.is_none())?;
            let near = point.signaled.or(point.made).or(point.emitted)?;
            Some(near.stamp.cycles.abs_diff(fence.at.stamp.cycles))
        };
        let nearest = timelines
            .iter()
            .enumerate()
            .filter(|(_, timeline)| timeline.queue == Some((fence.engine, fence.queue)))
            .filter_map(|(at, timeline)| Some((distance(timeline)?, at)))
            .min();
        let timeline = nearest.and_then(|(_, at)| timelines.get_mut(at));
        found.push(timeline.and_then(|timeline| {
            let at = place(timeline, fence.seqno)?;
            timeline.points.get_mut(at)?.written = Some(number);
            Some(FenceId { context: timeline.context, seqno: in_kernel(fence.seqno) })
        }));
    }
    found
}

/// The vb2 queue of each source: the one that gives back a buffer after the source wrote it, most often.
fn capture_queues(guest: &Guest, captures: &[Capture]) -> BTreeMap<EngineId, u64> {
    let mut votes: BTreeMap<EngineId, BTreeMap<u64, usize>> = BTreeMap::new();
    let mut voted: BTreeMap<EngineId, usize> = BTreeMap::new();
    for capture in captures {
        let (Some(end), Some(index)) = (capture.end, capture.index) else { continue };
        let count = voted.entry(capture.engine).or_default();
        if *count >= VOTES {
            continue;
        }
        *count += 1;
        let next = guest.vb2.iter().filter(|((_, at), _)| *at == index).filter_map(|((owner, _), events)| {
            let after = events.get(events.partition_point(|(_, at)| *at < end)..)?;
            let done = after.iter().find(|(what, _)| *what == Vb2::Done)?;
            Some((done.1, *owner))
        });
        if let Some((_, owner)) = next.min() {
            *votes.entry(capture.engine).or_default().entry(owner).or_default() += 1;
        }
    }
    let most = |votes: BTreeMap<u64, usize>| {
        votes
            .into_iter()
            .max_by_key(|(owner, count)| (*count, std::cmp::Reverse(*owner)))
            .map(|(owner, _)| owner)
    };
    votes.into_iter().filter_map(|(engine, votes)| Some((engine, most(votes)?))).collect()
}

struct Joiner<'a> {
    guest: &'a Guest,
    wires: &'a Wires,
    timelines: &'a [FenceTimeline],
    devices: &'a Devices,
    written: &'a [Option<FenceId>],
    queues: &'a BTreeMap<EngineId, u64>,
}

/// A buffer in the guest between two queueings.
struct Turn {
    done: Option<At>,
    dequeued: Option<At>,
    requeued: Option<At>,
}

impl Joiner<'_> {
    /// The journey of a way.
    fn frame(&self, number: usize, way: Way) -> Frame {
        let Way { visits, copied } = way;
        let mut frame = Frame {
            number,
            sequence: None,
            index: None,
            visits,
            copied,
            source: None,
            shown: None,
            job: None,
            flip: None,
            fence: None,
            outcome: Outcome::Complete,
            steps: Vec::new(),
        };
        for (at, visit) in frame.visits.clone().into_iter().enumerate() {
            let mut steps = Vec::new();
            let mut add =
                |stage, when: Option<At>| steps.extend(when.map(|when| Step { stage, visit: at, at: when }));
            self.visit(&mut frame, visit.work, &mut add);
            frame.steps.append(&mut steps);
        }
        frame.steps.sort_by_key(|step| (step.visit, step.stage));
        frame
    }

    /// All steps of a visit.
    fn visit(&self, frame: &mut Frame, work: Work, add: &mut impl FnMut(Stage, Option<At>)) {
        let devices = self.devices;
        match work {
            Work::Capture(number) => {
                let Some(capture) = devices.captures.get(number) else { return };
                (frame.sequence, frame.index) = (Some(capture.sequence), capture.index);
                frame.source = capture.buffer;
                add(Stage::FrameStart, capture.start.or(capture.dropped));
                add(Stage::FrameEnd, capture.end);
                self.interrupt(capture.msi.as_ref(), CAPTURE, add);
                if let Some(turn) = self.turn(capture) {
                    add(Stage::BufferDone, turn.done);
                    add(Stage::Dequeued, turn.dequeued);
                    add(Stage::Requeued, turn.requeued);
                }
            }
            Work::Job(number) => {
                let Some(job) = devices.jobs.get(number) else { return };
                frame.job = Some(number);
                frame.fence = self.job(job, add);
            }
            Work::Flip(number) => {
                let Some(flip) = devices.flips.get(number) else { return };
                (frame.flip, frame.shown) = (Some(number), flip.buffer);
                self.shown(flip, add);
            }
            Work::Pending(number) => add(Stage::Commit, devices.pending.get(number).map(|one| one.doorbell)),
        }
    }

    fn interrupt(
        &self,
        msi: Option<&Msi>,
        stages: [Stage; 3],
        add: &mut impl FnMut(Stage, Option<At>),
    ) -> Option<At> {
        let msi = msi?;
        let (delivered, handled) = self.wires.follow(msi);
        let [raised_stage, delivered_stage, handled_stage] = stages;
        add(raised_stage, Some(msi.at));
        add(delivered_stage, delivered);
        add(handled_stage, handled);
        handled
    }

    /// The buffer in the guest: between the queueing before the frame and the next.
    fn turn(&self, capture: &Capture) -> Option<Turn> {
        let (end, index) = (capture.end?, capture.index?);
        let queue = self.queues.get(&capture.engine)?;
        let (turn, requeued) = turn(self.guest.vb2.get(&(*queue, index))?, end);
        let first = |what| turn.iter().find(|(found, _)| *found == what).map(|(_, at)| *at);
        Some(Turn { done: first(Vb2::Done), dequeued: first(Vb2::Dequeued), requeued })
    }

    fn job(&self, job: &Job, add: &mut impl FnMut(Stage, Option<At>)) -> Option<FenceId> {
        add(Stage::JobDoorbell, job.doorbell);
        add(Stage::JobStart, Some(job.start));
        add(Stage::JobEnd, job.end);
        let write = job.fence?;
        let fence = self.devices.fences.get(write)?;
        add(Stage::FenceWrite, Some(fence.at));
        self.interrupt(fence.msi.as_ref(), FENCE, add);
        let id = self.written.get(write).copied().flatten()?;
        let timeline = self.timelines.binary_search_by_key(&id.context, |t| t.context).ok()?;
        let point = point(self.timelines.get(timeline)?, id.seqno)?;
        add(Stage::FenceSignaled, point.signaled);
        let made = point.made.or(point.emitted);
        add(Stage::FenceMade, made);
        if let (Some(made), Some(pid)) = (made, self.guest.made_by.get(&(id.context, id.seqno))) {
            let (submitted, run) = self.scheduled(made, *pid);
            add(Stage::Submitted, submitted);
            add(Stage::Scheduled, run);
        }
        Some(id)
    }

    /// The scheduler's events for the job whose fence was made on thread `pid` then.
    fn scheduled(&self, made: At, pid: u32) -> (Option<At>, Option<At>) {
        let before = self.guest.run.partition_point(|run| run.at <= made);
        let recent = self.guest.run.get(..before).unwrap_or_default();
        let Some(run) = recent.iter().rev().take(NEAR_RUNS).find(|run| run.pid == pid) else {
            return (None, None);
        };
        let submitted = self
            .guest
            .submitted
            .get(&run.fence)
            .and_then(|all| all.get(all.partition_point(|at| *at <= run.at).checked_sub(1)?).copied());
        (submitted, Some(run.at))
    }

    fn shown(&self, flip: &Flip, add: &mut impl FnMut(Stage, Option<At>)) {
        add(Stage::Commit, flip.doorbell);
        add(Stage::Latch, Some(flip.latch));
        add(Stage::Flip, flip.flip);
        let handler = self.interrupt(flip.msi.as_ref(), FLIP, add);
        let Some(handler) = handler else { return };
        // Both are the handler's doing: they come before the next handler begins.
        let next = self.next_entry(handler);
        let within = |at: &At| *at >= handler && next.is_none_or(|next| *at < next);
        let events = &self.guest.flip_events;
        let event = events.get(events.partition_point(|at| *at < handler)).copied();
        add(Stage::FlipEvent, event.filter(within));
        add(Stage::OutFence, self.out_fence(handler).filter(within));
    }

    /// The next beginning of any handler on the CPU that began one at `handler`.
    fn next_entry(&self, handler: At) -> Option<At> {
        let cpu = self.guest.entries.values().find_map(|entries| {
            let found = entries.binary_search_by_key(&handler, |entry| entry.at).ok()?;
            entries.get(found).map(|entry| entry.cpu)
        })?;
        let next = self.guest.entries.values().filter_map(|entries| {
            let later = entries.get(entries.partition_point(|entry| entry.at <= handler)..)?;
            later.iter().find(|entry| entry.cpu == cpu).map(|entry| entry.at)
        });
        next.min()
    }

    /// The first signal of a CRTC's fence at or after `from`.
    fn out_fence(&self, from: At) -> Option<At> {
        let crtcs = self.timelines.iter().filter(|timeline| timeline.name.starts_with(CRTC));
        let first = crtcs.filter_map(|timeline| {
            // Fences of a CRTC are signalled in their order.
            let later = timeline.points.partition_point(|point| point.signaled.is_none_or(|at| at < from));
            timeline.points.get(later)?.signaled
        });
        first.min()
    }
}

/// How DRM calls the timelines of OUT_FENCEs.
const CRTC: &str = "CRTC:";
/// A job's fence is made by the thread that ran it, so few runs of other threads can come between.
const NEAR_RUNS: usize = 64;
const CAPTURE: [Stage; 3] = [Stage::CaptureMsi, Stage::CaptureDelivered, Stage::CaptureHandler];
const FENCE: [Stage; 3] = [Stage::FenceMsi, Stage::FenceDelivered, Stage::FenceHandler];
const FLIP: [Stage; 3] = [Stage::FlipMsi, Stage::FlipDelivered, Stage::FlipHandler];

/// The events of a buffer from the queueing that was in force at `at` up to the next queueing, and that one.
fn turn(events: &[(Vb2, At)], at: At) -> (&[(Vb2, At)], Option<At>) {
    let queued = |(what, _): &(Vb2, At)| *what == Vb2::Queued;
    let split = events.partition_point(|(_, event)| event.stamp.cycles <= at.stamp.cycles);
    let (before, after) = events.split_at(split);
    let begin = before.iter().rposition(queued).unwrap_or(0);
    let next = after.iter().position(queued).map(|next| split + next);
    let turn = events.get(begin..next.unwrap_or(events.len())).unwrap_or_default();
    (turn, next.and_then(|next| events.get(next)).map(|(_, at)| *at))
}

/// Frames that a source began to write in buffers that were the guest's.
fn not_queued(captures: &[Capture], guest: &Guest, queues: &BTreeMap<EngineId, u64>) -> Vec<Violation> {
    let one = |(number, capture): (usize, &Capture)| {
        let (start, index) = (capture.start?, capture.index?);
        let queue = queues.get(&capture.engine)?;
        let events = guest.vb2.get(&(*queue, index))?;
        let before = events.partition_point(|(_, at)| at.stamp.cycles <= start.stamp.cycles);
        let (what, cause) = events.get(before.checked_sub(1)?)?;
        (*what != Vb2::Queued).then_some(Violation {
            rule: Rule::CaptureNotQueued,
            cause: Some(*cause),
            effect: start,
            stages: None,
            frame: Some(number),
            buffer: capture.buffer,
        })
    };
    captures.iter().enumerate().filter_map(one).collect()
}

/// Gives the buffers the names that the guest's kernel has for them.
fn name_buffers(buffers: &mut [Buffer], guest: &Guest) {
    let index = PageIndex::new(buffers);
    for mapped in &guest.mapped {
        let of_page =
            |buffer: &usize| buffers.get(*buffer).is_some_and(|one| one.has_page_at(mapped.page, mapped.at));
        let first = index.buffers(mapped.page).filter(of_page).min();
        if let Some(buffer) = first.and_then(|first| buffers.get_mut(first)) {
            buffer.name(&mapped.dma_buf);
        }
    }
}

/// Which buffers may have a page.
struct PageIndex {
    /// Begin, end, the last end so far, and the buffer, of each range of pages, by begin.
    ranges: Vec<(u64, u64, u64, usize)>,
}

impl PageIndex {
    fn new(buffers: &[Buffer]) -> PageIndex {
        let of = |(at, buffer): (usize, &Buffer)| -> Vec<(u64, u64, u64, usize)> {
            buffer.pages.iter().map(|(first, count)| (*first, first.saturating_add(*count), 0, at)).collect()
        };
        let mut ranges: Vec<_> = buffers.iter().enumerate().flat_map(of).collect();
        ranges.sort_unstable();
        let mut last = 0;
        for (_, end, so_far, _) in &mut ranges {
            last = last.max(*end);
            *so_far = last;
        }
        PageIndex { ranges }
    }

    /// The buffers with a range that has `page`, the last begin first; of a page that many have had, the last many.
    fn buffers(&self, page: u64) -> impl Iterator<Item = usize> + '_ {
        let begun = self.ranges.partition_point(|(first, ..)| *first <= page);
        let before = self.ranges.get(..begun).unwrap_or_default().iter().rev();
        let near = before.take_while(move |(_, _, so_far, _)| *so_far > page).take(MOST_PIECES);
        near.filter(move |(_, end, ..)| *end > page).map(|(.., buffer)| *buffer)
    }
}
