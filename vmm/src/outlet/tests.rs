//! Outlets whose thread takes everything, takes nothing, and takes it late.

use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::control::StopReason;
use crate::sandbox::Role;

const ONE: Load = Load { bytes: 10, units: 1 };

/// An outlet with room for three, whose thread takes one thing for each word it is told, and all when nobody is left to tell it.
fn slow(control: &Arc<Control>) -> (Outlet<u32, Vec<u32>>, Sender<()>) {
    let (tell, told) = channel();
    let work = move |items: &mut Items<u32>| {
        let mut taken = Vec::new();
        for item in items {
            let _ = told.recv();
            taken.push(item);
        }
        taken
    };
    (Outlet::start((Role::Output, "slow"), Gate::new(control, 30), work).expect("a thread"), tell)
}

fn waiting(outlet: &Outlet<u32, Vec<u32>>) -> u64 {
    outlet.gate().state().waiting.units
}

#[test]
fn output_without_room_is_dropped_and_counted() {
    let (outlet, tell) = slow(&Arc::default());
    let taken: Vec<u32> =
        (0..10).filter(|item| outlet.handle().put(*item, ONE, Full::Drop).is_ok()).collect();
    assert_eq!((taken, outlet.gate().dropped(), waiting(&outlet)), (vec![0, 1, 2], 7, 3));
    drop(tell);
    let Finished::Ended(Ok(written)) = outlet.finish() else { panic!("nobody said stop") };
    assert_eq!(written, [0, 1, 2]);
}

#[test]
fn one_thing_larger_than_the_bound_fits_alone() {
    let (outlet, tell) = slow(&Arc::default());
    let large = Load { bytes: 1000, units: 1 };
    assert!(outlet.handle().put(1, large, Full::Drop).is_ok());
    assert!(outlet.handle().put(2, ONE, Full::Drop).is_err());
    drop(tell);
    assert!(matches!(outlet.finish(), Finished::Ended(Ok(written)) if written == [1]));
}

#[test]
fn whoever_waits_loses_nothing_and_keeps_the_order() {
    let (outlet, tell) = slow(&Arc::default());
    let handle = outlet.handle().clone();
    let machine = std::thread::spawn(move || (0..100).all(|item| handle.put(item, ONE, Full::Wait).is_ok()));
    for _ in 0..100 {
        assert!(waiting(&outlet) <= 3);
        tell.send(()).expect("it listens");
    }
    assert!(machine.join().expect("no panic"));
    drop(tell);
    assert!(matches!(outlet.finish(), Finished::Ended(Ok(written)) if written.iter().copied().eq(0..100)));
}

#[test]
fn a_reason_to_stop_ends_every_wait_and_the_end_says_what_is_not_written() {
    let control = Arc::<Control>::default();
    let (outlet, _tell) = slow(&control);
    let handle = outlet.handle().clone();
    let machine = std::thread::spawn(move || {
        let put: Vec<bool> = (0..5).map(|item| handle.put(item, ONE, Full::Wait).is_ok()).collect();
        put
    });
    while waiting(&outlet) < 3 {
        std::thread::yield_now();
    }
    control.stop(StopReason::Signal(15));
    assert_eq!(machine.join().expect("no panic"), [true, true, true, false, false]);
    let gate = Arc::clone(outlet.gate());
    assert!(matches!(outlet.finish(), Finished::GivenUp(3)));
    assert_eq!(gate.dropped(), 2);
}

#[test]
fn an_output_that_makes_progress_is_not_given_up_at_a_reason_to_stop() {
    let control = Arc::<Control>::default();
    let (outlet, tell) = slow(&control);
    control.stop(StopReason::Timeout);
    drop(tell);
    assert!((0..1000).all(|item| outlet.handle().put(item, ONE, Full::Wait).is_ok()));
    assert!(matches!(outlet.finish(), Finished::Ended(Ok(written)) if written.len() == 1000));
}

#[test]
fn a_deferred_wait_is_made_by_whoever_settles() {
    let (outlet, tell) = slow(&Arc::default());
    outlet.gate().defer(true);
    assert!((0..10).all(|item| outlet.handle().put(item, ONE, Full::Wait).is_ok()), "nobody waits in here");
    let gate = Arc::clone(outlet.gate());
    let settled = std::thread::spawn(move || gate.settle());
    assert!(!settled.is_finished());
    (0..7).for_each(|_| tell.send(()).expect("it listens"));
    settled.join().expect("there is room");
    drop(tell);
    assert!(matches!(outlet.finish(), Finished::Ended(Ok(written)) if written.len() == 10));
}

#[test]
fn a_thread_that_ends_early_holds_nobody() {
    let work = |items: &mut Items<u32>| items.next();
    let outlet =
        Outlet::start((Role::Output, "short"), Gate::new(&Arc::default(), 30), work).expect("a thread");
    assert!((0..1000).all(|item| outlet.handle().put(item, ONE, Full::Wait).is_ok()));
    assert!(matches!(outlet.finish(), Finished::Ended(Ok(Some(0)))));
    let crash = |_: &mut Items<u32>| panic!("this test's own");
    let outlet =
        Outlet::start((Role::Output, "crash"), Gate::new(&Arc::default(), 30), crash).expect("a thread");
    assert!((0..1000).all(|item| outlet.handle().put(item, ONE, Full::Wait).is_ok()));
    assert!(matches!(outlet.finish(), Finished::Ended::<Result<(), _>>(Err(_))));
}
