//! Dma-bufs that have the same pages one after the other.

use super::synthetic::{self, Machine};
use super::*;
use crate::event::{Category, Event};
use crate::report::{Query, Report, find};
use crate::timeline::{Group, Timeline};

/// What happens to the dma-bufs, at a time of its choosing, and how much time it takes.
type Change = fn(&mut Machine, u64) -> u64;

/// A machine whose frames are all in capture buffer 0, over 3 screens: three before `change`, three after it. The dma-buf of the first three
/// has inode 11. Gives the time of the change too.
fn machine(guest: bool, change: Change) -> (Machine, u64) {
    let mut machine = Machine::new(guest);
    machine.map(100, 11, 0);
    machine.queue(200, 0);
    let (mut now, mut changed) = (1000, 0);
    for frame in 0..6 {
        if frame == 3 {
            changed = now;
            now += change(&mut machine, now);
        }
        let gaps = std::array::from_fn(|step| 9 + (step as u64 * 31 + frame * 5) % 80);
        now = machine.journey(now, 0, frame % 3, &gaps) + 50;
    }
    (machine, changed)
}

/// Where the frames' pixels were, as the inodes of each one's buffer, and how many buffers hold pictures of the camera.
fn sources(guest: bool, change: Change) -> (Vec<Vec<u64>>, usize) {
    let (machine, _) = machine(guest, change);
    let journeys = Journeys::build(&machine.trace());
    assert_eq!(journeys.violations, []);
    let buffer = |frame: &Frame| &journeys.buffers[frame.source.expect("known")];
    let inodes = |frame| buffer(frame).dma_bufs.iter().map(|one| one.inode).collect();
    assert!(journeys.frames.iter().all(|frame| frame.outcome == Outcome::Complete));
    let ids: std::collections::BTreeSet<usize> =
        journeys.frames.iter().map(|frame| buffer(frame).id).collect();
    (journeys.frames.iter().map(inodes).collect(), ids.len())
}

/// The dma-buf is given up for another with the same pages.
fn reallocate(machine: &mut Machine, now: u64) -> u64 {
    machine.release(now + 5, 11);
    machine.map(now + 20, 12, 0);
    100
}

#[test]
fn a_buffer_released_before_another_takes_its_pages_is_a_separate_buffer() {
    let two = [vec![11], vec![11], vec![11], vec![12], vec![12], vec![12]];
    assert_eq!(sources(true, reallocate), (two.to_vec(), 2));
}

#[test]
fn a_buffer_that_lives_throughout_is_one_buffer() {
    let same = |inodes: &[u64]| (vec![inodes.to_vec(); 6], 1);
    // Mapped again after a while.
    let again = |machine: &mut Machine, now| {
        machine.map(now + 20, 11, 0);
        100
    };
    assert_eq!(sources(true, again), same(&[11]));
    // Again, with another dma-buf of the same memory meanwhile.
    let meanwhile = |machine: &mut Machine, now| {
        machine.map(now + 10, 12, 0);
        machine.map(now + 20, 11, 0);
        100
    };
    assert_eq!(sources(true, meanwhile), same(&[11, 12]));
    // Two at a time are two names for one buffer.
    let both = |machine: &mut Machine, now| {
        machine.map(now, 12, 0);
        100
    };
    assert_eq!(sources(true, both), same(&[11, 12]));
    // The camera goes on with a buffer whose dma-buf is gone.
    let gone = |machine: &mut Machine, now| {
        machine.release(now + 5, 11);
        100
    };
    assert_eq!(sources(true, gone), same(&[11]));
    // Without the guest's events nothing tells.
    assert_eq!(sources(false, reallocate), same(&[]));
}

#[test]
fn each_of_two_buffers_with_the_same_pages_has_its_own_events_and_lane() {
    let (machine, changed) = machine(true, reallocate);
    let trace = machine.trace();
    let journeys = Journeys::build(&trace);
    let events = |query, only: &[Category]| -> Vec<(u64, Event)> {
        let found = find(&trace, &journeys, query, only).expect("there is one");
        found
            .iter()
            .map(|one| &trace.records[one.record])
            .map(|r| (r.stamp.cycles, r.event.clone()))
            .collect()
    };
    let (first, second) = (events(Query::Inode(11), &[]), events(Query::Inode(12), &[]));
    assert!(first.iter().all(|(at, _)| *at <= changed + 5), "{first:?}");
    assert!(second.iter().all(|(at, _)| *at > changed + 5), "{second:?}");
    for (inode, all) in [(11, &first), (12, &second)] {
        // Two segments written and two read of each of three frames.
        let dma = events(Query::Inode(inode), &[Category::Dma]);
        assert_eq!(dma.len(), 3 * 4, "{dma:?}");
        assert!(all.len() > dma.len());
    }
    let both = events(Query::Page(Machine::source_page(0)), &[]);
    assert_eq!(both.len(), first.len() + second.len());
    // Of a buffer that was written for one frame, no event of the other's.
    let frame = events(Query::Frame(4), &[Category::Dma]);
    assert_eq!(frame.len(), 4 + 2 + 2, "{frame:?}");
    let report = Report::new(&trace, &journeys);
    let lines: Vec<_> = report.buffers.iter().filter(|one| !one.inodes.is_empty()).collect();
    let bytes = synthetic::SOURCE_PAGES * PAGE_BYTES;
    assert_eq!(
        lines.iter().map(|one| (one.inodes.clone(), one.bytes)).collect::<Vec<_>>(),
        [(vec![11], bytes), (vec![12], bytes)]
    );
    let timeline = Timeline::build(&trace, &journeys);
    for (inode, frames) in [(11, [0, 1, 2]), (12, [3, 4, 5])] {
        let name = format!("dma-buf inode {inode}");
        let mut lanes =
            timeline.lanes.iter().filter(|one| one.group == Group::Buffers && one.name.contains(&name));
        let lane = lanes.next().expect("a lane of its own");
        assert_eq!(lanes.next(), None);
        let written = lane.rows.iter().flatten().filter(|slice| slice.name == "camera writes");
        assert_eq!(written.filter_map(|slice| slice.frame).collect::<Vec<_>>(), frames);
    }
}

/// The inodes of the first frame's source, and of its screen, when thread 100 did `mapping` before.
fn names(mapping: fn(&mut Machine)) -> [Vec<u64>; 2] {
    let mut machine = Machine::new(true);
    mapping(&mut machine);
    machine.queue(200, 0);
    machine.journey(1000, 0, 0, &[20; 24]);
    let journeys = Journeys::build(&machine.trace());
    [journeys.frames[0].source, journeys.flips[0].buffer]
        .map(|buffer| journeys.buffers[buffer.expect("known")].dma_bufs.iter().map(|one| one.inode).collect())
}

#[test]
fn a_dma_bufs_pages_are_what_its_thread_maps_next_up_to_its_size() {
    let whole = |machine: &mut Machine| {
        machine.map(10, 11, 0);
        machine.pages(20, Machine::screen_page(0), 16);
    };
    assert_eq!(names(whole), [vec![11], vec![]]);
    let part = |machine: &mut Machine| {
        machine.begin_map(10, 11, 0);
        machine.pages(11, Machine::source_page(0), 1);
        machine.pages(12, Machine::screen_page(0), 1);
    };
    assert_eq!(names(part), [vec![11], vec![11]]);
    let given_out_again = |machine: &mut Machine| {
        machine.begin_map(10, 11, 0xffff_8880_0000_1000);
        machine.pages(11, Machine::source_page(0), 1);
    };
    assert_eq!(names(given_out_again), [const { Vec::<u64>::new() }; 2]);
    let failed = |machine: &mut Machine| {
        machine.begin_map(10, 11, 0);
        machine.pages(11, Machine::source_page(0), 1);
        machine.unmap(12);
        machine.pages(13, Machine::screen_page(0), 1);
    };
    assert_eq!(names(failed), [vec![11], vec![]]);
}
