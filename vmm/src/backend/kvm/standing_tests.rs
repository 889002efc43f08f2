use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

const CPUS: usize = 4;

/// A debugger that answers by what it was asked, and counts.
#[derive(Default)]
struct Answers {
    orders: Mutex<Vec<Order>>,
    reasons: Mutex<Vec<(Why, usize)>>,
    kicks: AtomicUsize,
    over: AtomicBool,
}

impl Desk for Answers {
    fn kick(&self, _: usize) {
        self.kicks.fetch_add(1, Ordering::SeqCst);
    }

    fn attend(&self, why: Why, cpus: &mut Stopped) -> (Order, Stops) {
        self.reasons.lock().unwrap().push((why, cpus.current));
        // Each has brought its own state, and gets another.
        assert!(cpus.cpus.iter().enumerate().all(|(number, state)| state.gpr[0] % 16 == number as u64));
        cpus.cpus.iter_mut().for_each(|state| state.gpr[0] += 16);
        let order = self.orders.lock().unwrap().pop().unwrap_or_default();
        (order, Stops::new([0x1000], Vec::new()))
    }

    fn holds(&self, _: Why) -> bool {
        true
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

fn state(cpu: usize) -> CpuState {
    let mut state = CpuState::default();
    state.gpr[0] = cpu as u64;
    state
}

/// A thread of a vCPU that looks until it is to stand, or does at once for a reason.
fn stand(standing: &Standing, cpu: usize, why: Option<Why>, desk: &Answers) -> GoesOn {
    while why.is_none() && !standing.is_wanted(cpu) {
        std::thread::yield_now();
    }
    standing.stand(cpu, why, state(cpu), desk)
}

#[test]
fn one_leads_and_all_get_what_the_debugger_made_of_them() {
    let (standing, desk) = (Standing::new(CPUS, false), Answers::default());
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (standing, desk) = (&standing, &desk);
            let why = (cpu == 2).then_some(Why::Called);
            scope.spawn(move || {
                let goes_on = stand(standing, cpu, why, desk);
                assert_eq!((goes_on.state.gpr[0], goes_on.step), (16 + cpu as u64, false));
                assert!(goes_on.stops.before(0x1000));
            });
        }
    });
    assert_eq!(*desk.reasons.lock().unwrap(), [(Why::Called, 2)]);
    assert!(desk.kicks.load(Ordering::SeqCst) < CPUS);
    assert!((0..CPUS).all(|cpu| !standing.is_wanted(cpu)));
}

#[test]
fn while_one_steps_the_others_stand() {
    let (standing, desk) = (Standing::new(CPUS, true), Answers::default());
    *desk.orders.lock().unwrap() = vec![Order::Run, Order::Step(3)];
    let stepped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for cpu in 0..CPUS - 1 {
            let (standing, desk, stepped) = (&standing, &desk, &stepped);
            let why = (cpu == 0).then_some(Why::Start);
            scope.spawn(move || {
                let goes_on = stand(standing, cpu, why, desk);
                assert!(stepped.load(Ordering::SeqCst));
                assert_eq!((goes_on.state.gpr[0], goes_on.step), (32 + cpu as u64, false));
            });
        }
        scope.spawn(|| {
            let first = stand(&standing, 3, None, &desk);
            assert_eq!((first.state.gpr[0], first.step), (19, true));
            assert!((0..3).all(|cpu| standing.is_wanted(cpu)) && !standing.is_wanted(3));
            std::thread::sleep(Duration::from_millis(20));
            stepped.store(true, Ordering::SeqCst);
            let second = standing.stand(3, Some(Why::Stepped), first.state, &desk);
            assert_eq!((second.state.gpr[0], second.step), (35, false));
        });
    });
    assert_eq!(*desk.reasons.lock().unwrap(), [(Why::Start, 0), (Why::Stepped, 3)]);
}

#[test]
fn a_reason_that_no_longer_holds_is_dropped_and_one_that_does_is_next() {
    let (standing, desk) = (Standing::new(2, false), Answers::default());
    // The debugger's only breakpoint is at 0x1000.
    std::thread::scope(|scope| {
        for (cpu, rip) in [(0, 0x1000), (1, 0x2000)] {
            let (standing, desk) = (&standing, &desk);
            scope.spawn(move || {
                let state = CpuState { rip, ..state(cpu) };
                let first = standing.stand(cpu, Some(Why::Failed), state, desk);
                // The other one has stood too: only one that is still at a breakpoint has something to say.
                standing.stand(cpu, Some(Why::Breakpoint), first.state, desk)
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        desk.over.store(true, Ordering::SeqCst);
        standing.wake();
    });
    let reasons = desk.reasons.lock().unwrap().clone();
    assert!(!reasons.contains(&(Why::Breakpoint, 1)), "{reasons:?}");
    assert!(reasons.iter().any(|(why, _)| *why == Why::Failed), "{reasons:?}");
}

#[test]
fn the_end_of_the_run_wakes_those_that_stand() {
    let (standing, desk) = (Standing::new(2, true), Answers::default());
    std::thread::scope(|scope| {
        scope.spawn(|| standing.stand(0, Some(Why::Start), state(0), &desk));
        std::thread::sleep(Duration::from_millis(10));
        desk.over.store(true, Ordering::SeqCst);
        standing.wake();
    });
    assert_eq!(desk.reasons.lock().unwrap().len(), 0, "the other one never stood");
}
