//! Finding guests that are dead or stuck. KVM keeps a halted vCPU to itself, and a spinning one does not come out: now and
//! then, when the guest has made no exit for a while, the vCPUs' threads are asked to look.

use std::time::{Duration, Instant};

use fencepost_softcpu::apic::regs::CURRENT_COUNT;
use fencepost_softcpu::flags::IF;
use fencepost_softcpu::state::CpuState;

use crate::machine::GuestEnd;

/// From the last exit to the first look.
const FIRST: Duration = Duration::from_millis(100);
/// Between two looks at a guest that may be dead.
const SOON: Duration = Duration::from_millis(20);
/// The longest time between looks.
const LONGEST: Duration = Duration::from_millis(500);
/// A watchdog has at least so many looks in its time.
const LOOKS: u32 = 8;

/// What a vCPU's thread sees of its vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// It waits at HLT, or to be started.
    pub halted: bool,
    /// It takes interrupts.
    pub interrupts_on: bool,
    /// Its APIC's timer will fire.
    pub timer_set: bool,
}

impl View {
    /// The view of a vCPU in this state.
    pub fn of(state: &CpuState) -> Self {
        View {
            halted: state.halted,
            interrupts_on: state.rflags & IF != 0,
            timer_set: state.apic.regs[CURRENT_COUNT] != 0 || state.msr.tsc_deadline != 0,
        }
    }

    /// Whether nothing will wake it. While a device has asked to be called, something may: with interrupts off only an
    /// NMI, which a guest can have devices send; the console and the APIC's timer send none.
    fn is_hopeless(&self, outlook: Outlook) -> bool {
        self.halted && !outlook.event && !(self.interrupts_on && (self.timer_set || outlook.input))
    }
}

/// What else can bring something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// A device has asked to be called.
    pub event: bool,
    /// Console input may come.
    pub input: bool,
}

/// What is known of a vCPU.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Exits when it was looked at last, and whether there were more than before.
    exits: u64,
    moved: bool,
    /// Since when it was seen with interrupts off only.
    deaf: Option<Instant>,
}

/// Judges what is seen. Time is the caller's.
pub struct Watch {
    watchdog: Option<Duration>,
    cpus: Vec<Seen>,
    /// One of them has made an exit since `progress` was asked before.
    moved: bool,
    hopeless_before: bool,
    pause: Duration,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Look again after this time.
    Wait(Duration),
    /// The guest is lost, by this vCPU.
    End(GuestEnd, u32),
}

impl Watch {
    /// A watch over `cpus` vCPUs. `watchdog` is how long one may keep interrupts off without an exit.
    pub fn new(cpus: usize, watchdog: Option<Duration>) -> Self {
        Watch {
            watchdog,
            cpus: vec![Seen::default(); cpus],
            moved: false,
            hopeless_before: false,
            pause: FIRST,
        }
    }

    /// The longest wait that leaves the watchdog enough looks.
    fn bounded(&self, wait: Duration) -> Duration {
        let most = self.watchdog.map_or(LONGEST, |limit| (limit / LOOKS).min(LONGEST));
        wait.min(most).max(Duration::from_millis(1))
    }

    /// How long to wait before the first look.
    pub fn first(&self) -> Duration {
        self.bounded(FIRST)
    }

    /// Whether vCPUs have made exits since they were looked at. If that says that all is well, `Some` is for how long: one of them shows
    /// that the guest lives, but a watchdog is for each.
    pub fn progress(&mut self, exits: impl Iterator<Item = u64>) -> Option<Duration> {
        for (cpu, now) in self.cpus.iter_mut().zip(exits) {
            cpu.moved = cpu.exits != now;
            cpu.exits = now;
            if cpu.moved {
                cpu.deaf = None;
            }
        }
        self.moved = self.cpus.iter().any(|cpu| cpu.moved);
        if self.moved {
            self.hopeless_before = false;
            self.pause = FIRST;
        }
        let each = self.watchdog.is_none() || self.cpus.iter().all(|cpu| cpu.moved);
        (self.moved && each).then(|| self.first())
    }

    /// Judges a look at all vCPUs, made at `now`, as [`progress`](Self::progress) said it should be.
    pub fn judge(&mut self, views: &[View], outlook: Outlook, now: Instant) -> Next {
        // One that is asleep for good, taken off line by its kernel, matters only if no other is there.
        let one_hears = views.iter().any(|view| view.interrupts_on);
        for (cpu, view) in self.cpus.iter_mut().zip(views) {
            let moved = std::mem::take(&mut cpu.moved);
            let hears = view.interrupts_on || view.halted && one_hears || moved;
            cpu.deaf = if hears { None } else { cpu.deaf.or(Some(now)) };
        }
        if let Some(limit) = self.watchdog {
            let since = (0..).zip(&self.cpus).filter_map(|(number, cpu)| Some((number, cpu.deaf?)));
            let stuck = since.map(|(number, since)| (number, now.duration_since(since)));
            if let Some((number, _)) = stuck.filter(|(_, long)| *long >= limit).max_by_key(|(_, long)| *long)
            {
                return Next::End(GuestEnd::Stuck, number);
            }
        }
        let hopeless = !std::mem::take(&mut self.moved) && views.iter().all(|view| view.is_hopeless(outlook));
        if hopeless && self.hopeless_before {
            return Next::End(GuestEnd::Dead, 0);
        }
        // Twice, because an interrupt may be on its way inside the kernel.
        self.hopeless_before = hopeless;
        self.pause = if hopeless { SOON } else { (self.pause * 2).min(LONGEST) };
        Next::Wait(self.bounded(self.pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: View = View { halted: false, interrupts_on: true, timer_set: false };
    const IDLE: View = View { halted: true, ..RUNNING };
    const OFF: View = View { interrupts_on: false, ..RUNNING };
    const NOTHING: Outlook = Outlook { event: false, input: false };

    /// Looks every 10 ms, as often as it takes; at most 1000 times.
    fn end_of(views: &[View], outlook: Outlook, watchdog_ms: Option<u64>) -> Option<(GuestEnd, u64)> {
        let mut watch = Watch::new(views.len(), watchdog_ms.map(Duration::from_millis));
        let start = Instant::now();
        (0..1000).find_map(|look| {
            match watch.judge(views, outlook, start + Duration::from_millis(10 * look)) {
                Next::End(end, _) => Some((end, look)),
                Next::Wait(_) => None,
            }
        })
    }

    #[test]
    fn halted_with_nothing_to_come_is_dead_at_the_second_look() {
        for view in [IDLE, View { interrupts_on: false, ..IDLE }] {
            assert_eq!(end_of(&[view], NOTHING, None), Some((GuestEnd::Dead, 1)));
        }
        assert_eq!(end_of(&[IDLE, IDLE], NOTHING, None), Some((GuestEnd::Dead, 1)));
    }

    #[test]
    fn whatever_could_wake_it_keeps_it_alive() {
        assert_eq!(end_of(&[RUNNING], NOTHING, None), None);
        assert_eq!(end_of(&[View { timer_set: true, ..IDLE }], NOTHING, None), None);
        assert_eq!(end_of(&[IDLE], Outlook { event: true, ..NOTHING }, None), None);
        assert_eq!(end_of(&[IDLE], Outlook { input: true, ..NOTHING }, None), None);
        assert_eq!(end_of(&[IDLE, RUNNING], NOTHING, None), None, "another vCPU runs");
    }

    #[test]
    fn with_interrupts_off_neither_timer_nor_console_wakes_it() {
        let deaf = View { halted: true, interrupts_on: false, timer_set: true };
        let outlook = Outlook { input: true, ..NOTHING };
        assert_eq!(end_of(&[deaf], outlook, None), Some((GuestEnd::Dead, 1)));
    }

    #[test]
    fn the_watchdog_ends_what_keeps_interrupts_off() {
        let outlook = Outlook { event: true, input: true };
        assert_eq!(end_of(&[OFF], outlook, Some(500)), Some((GuestEnd::Stuck, 50)));
        assert_eq!(end_of(&[RUNNING, OFF], outlook, Some(500)), Some((GuestEnd::Stuck, 50)));
        assert_eq!(end_of(&[RUNNING], outlook, Some(500)), None);
        assert_eq!(end_of(&[OFF], outlook, None), None);
    }

    #[test]
    fn an_exit_and_a_look_with_interrupts_on_start_the_watchdog_anew() {
        let mut watch = Watch::new(1, Some(Duration::from_millis(100)));
        let at = |ms| Instant::now() + Duration::from_millis(ms);
        let outlook = Outlook { event: true, input: false };
        assert_ne!(watch.judge(&[OFF], outlook, at(0)), Next::End(GuestEnd::Stuck, 0));
        assert!(watch.progress([7].into_iter()).is_some());
        assert_ne!(watch.judge(&[OFF], outlook, at(1000)), Next::End(GuestEnd::Stuck, 0));
        assert_ne!(watch.judge(&[RUNNING], outlook, at(2000)), Next::End(GuestEnd::Stuck, 0));
        assert_ne!(watch.judge(&[OFF], outlook, at(3000)), Next::End(GuestEnd::Stuck, 0));
        assert_eq!(watch.progress([7].into_iter()), None, "no exit");
        assert_eq!(watch.judge(&[OFF], outlook, at(4000)), Next::End(GuestEnd::Stuck, 0));
    }

    #[test]
    fn the_watchdog_is_for_each_whatever_the_others_do() {
        let mut watch = Watch::new(2, Some(Duration::from_millis(100)));
        let start = Instant::now();
        let outlook = Outlook { event: true, input: false };
        // The first makes exits, asleep or not; the second has its interrupts off.
        for look in 0..3 {
            assert_eq!(watch.progress([look + 1, 0].into_iter()), None, "the second is to be looked at");
            let next = watch.judge(&[RUNNING, OFF], outlook, start + Duration::from_millis(60 * look));
            assert_eq!(next == Next::End(GuestEnd::Stuck, 1), look == 2, "{next:?}");
        }
        // It had made no exit in the first look that was asked for; a CPU off line is no trouble.
        let deaf = View { halted: true, ..OFF };
        assert_eq!(end_of(&[RUNNING, deaf], outlook, Some(500)), None);
        assert_eq!(end_of(&[OFF, deaf], outlook, Some(500)), Some((GuestEnd::Stuck, 50)));
    }

    #[test]
    fn without_a_watchdog_one_that_lives_is_enough() {
        let mut watch = Watch::new(2, None);
        assert!(watch.progress([1, 0].into_iter()).is_some());
        assert_eq!(watch.progress([1, 0].into_iter()), None);
    }

    #[test]
    fn a_quiet_guest_is_looked_at_less_and_less_often() {
        let mut watch = Watch::new(1, None);
        let input = Outlook { event: false, input: true };
        let mut wait = || match watch.judge(&[IDLE], input, Instant::now()) {
            Next::Wait(wait) => wait.as_millis(),
            Next::End(end, _) => panic!("{end:?}"),
        };
        assert_eq!([wait(), wait(), wait(), wait()], [200, 400, 500, 500]);
    }
}
