//! Several CPUs on one memory, interleaved by one thread.
//!
//! One runs at a time, and the machine's counter counts the instructions of all: so their time-stamp counters agree, whatever is
//! due is due for all at the same moment, and what one has written the next one reads. A CPU has the machine for a *turn*, whose
//! length the machine says ([`Bus::turn`]), or until it executes PAUSE or HLT. One that wakes has the next turn, at once.
//! Everything that decides who runs is in the CPUs' states and in [`Turn`].

use fencepost_time::Cycles;
use serde::{Deserialize, Serialize};

use crate::apic::{DeliveryMode, InterruptMessage};
use crate::bus::{Bus, Exit};
use crate::cpu::Cpu;
use crate::flags::IF;

/// Most CPUs.
pub const CPUS_MAX: usize = 64;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The CPU that has the turn.
    pub cpu: u32,
    /// When its turn ends, if another one has something to do then.
    pub ends: Cycles,
    /// The CPU that is next, if it is not the one behind it.
    pub next: Option<u32>,
    /// Those that had something to do when that was last looked at.
    pub awake: u64,
}

/// CPUs that share a memory and a machine. The one that has the turn keeps the decoded code for all.
pub struct Cpus {
    cpus: Vec<Cpu>,
    turn: Turn,
}

impl Cpus {
    /// `cpus`, by their numbers, which are their APIC ids; the first one has the turn. They must have been made for the same memory and
    /// the same [`CodePages`](crate::code::CodePages), and their [`Config`](crate::Config) must say how many they are.
    ///
    /// # Panics
    ///
    /// There must be 1 to [`CPUS_MAX`].
    pub fn new(mut cpus: Vec<Cpu>) -> Cpus {
        assert!((1..=CPUS_MAX).contains(&cpus.len()), "{} CPUs", cpus.len());
        if let [cpu] = &mut cpus[..] {
            cpu.solitary = true;
        }
        Cpus { cpus, turn: Turn { awake: 1, ..Turn::default() } }
    }

    /// All of them.
    pub fn all(&self) -> &[Cpu] {
        &self.cpus
    }

    /// All of them, to set their states.
    pub fn all_mut(&mut self) -> &mut [Cpu] {
        &mut self.cpus
    }

    /// Whose turn it is.
    pub fn turn(&self) -> Turn {
        self.turn
    }

    /// Goes on as [`turn`](Self::turn) said, after the CPUs' states have been set. False, with nothing changed, if there is no
    /// such CPU.
    pub fn set_turn(&mut self, turn: Turn) -> bool {
        let known = |cpu: u32| (cpu as usize) < self.cpus.len();
        let possible = known(turn.cpu) && turn.next.is_none_or(known);
        if possible {
            self.switch(turn.cpu as usize);
            self.turn = turn;
        }
        possible
    }

    /// The one that has the turn.
    pub fn current(&self) -> &Cpu {
        &self.cpus[self.turn.cpu as usize]
    }

    /// The same, to be changed.
    pub fn current_mut(&mut self) -> &mut Cpu {
        &mut self.cpus[self.turn.cpu as usize]
    }

    /// The machine's counter.
    pub fn cycles(&self) -> Cycles {
        self.current().cycles()
    }

    /// Instructions that all of them have retired.
    pub fn retired(&self) -> u64 {
        self.cpus.iter().map(Cpu::retired).fold(0, u64::wrapping_add)
    }

    /// Lets idle time pass up to `until`.
    pub fn skip_to(&mut self, until: Cycles) {
        self.cpus.iter_mut().for_each(|cpu| cpu.skip_to(until));
    }

    /// When the first timer fires that wakes a CPU.
    pub fn next_timer(&mut self) -> Option<Cycles> {
        let now = self.cycles();
        self.cpus.iter_mut().filter_map(|cpu| cpu.wakes_at(now)).min()
    }

    /// Whether an interrupt could wake one of them, or is taken by one that runs.
    pub fn takes_interrupts(&self) -> bool {
        self.cpus.iter().any(Cpu::takes_interrupts)
    }

    /// Delivers a message from the machine, or from one of them, to those whom it names.
    pub fn deliver(&mut self, message: InterruptMessage) {
        self.meet();
        if message.delivery_mode == DeliveryMode::LowestPriority {
            // Of the same priority it is the lowest number's (Intel SDM vol. 3, 11.6.2.4 leaves that open).
            let named = self.cpus.iter_mut().filter(|cpu| cpu.apic().is_candidate(&message));
            if let Some(cpu) = named.min_by_key(|cpu| cpu.apic().ppr()) {
                cpu.deliver(message);
            }
            return;
        }
        self.cpus.iter_mut().for_each(|cpu| cpu.deliver(message));
    }

    /// Runs until the machine's counter reaches `until` (exactly), or something else ends it. [`Exit::Halted`]: all of them are. What
    /// else it says is of the [current](Self::current) one.
    pub fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        if let [cpu] = &mut self.cpus[..] {
            return cpu.run(bus, until);
        }
        bus.runs(self.turn.cpu);
        let exit = self.run_in_turns(bus, until);
        self.meet();
        exit
    }

    fn run_in_turns(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        loop {
            let now = self.meet();
            if now >= until {
                return Exit::Deadline;
            }
            let timer = self.look_around(now);
            if self.turn.awake == 0 {
                return Exit::Halted;
            }
            let over = now >= self.turn.ends && !self.runs_alone();
            if over || self.turn.awake & 1 << self.turn.cpu == 0 {
                self.next_turn(bus, now);
            }
            let alone = self.runs_alone();
            let ends = if alone { Cycles::MAX } else { self.turn.ends };
            let limit = until.min(ends).min(timer.unwrap_or(Cycles::MAX).max(now + 1));
            let cpu = self.current_mut();
            cpu.gives_way = !alone;
            let exit = cpu.run(bus, limit);
            self.carry_messages();
            match exit {
                Exit::Deadline | Exit::Halted => {}
                Exit::Paused => self.turn.ends = self.cycles(),
                _ => return exit,
            }
        }
    }

    /// Brings all to the same time. Gives it.
    fn meet(&mut self) -> Cycles {
        let now = self.cycles();
        self.skip_to(now);
        now
    }

    fn runs_alone(&self) -> bool {
        self.turn.awake == 1 << self.turn.cpu
    }

    /// Finds out who has something to do: who has woken is next, now. When the first timer
    /// fires that wakes one of the others.
    fn look_around(&mut self, now: Cycles) -> Option<Cycles> {
        let (mut awake, mut timer) = (0, None::<Cycles>);
        for (number, cpu) in self.cpus.iter_mut().enumerate() {
            if cpu.has_something_to_do() {
                awake |= 1 << number;
            } else if let Some(at) = cpu.wakes_at(now) {
                timer = Some(timer.map_or(at, |first| first.min(at)));
            }
        }
        let woken = awake & !self.turn.awake & !(1 << self.turn.cpu);
        self.turn.awake = awake;
        if woken != 0 {
            self.turn.next = Some(woken.trailing_zeros());
            self.turn.ends = now;
        }
        timer
    }

    /// Gives the turn to the next one that has something to do.
    fn next_turn(&mut self, bus: &mut dyn Bus, now: Cycles) {
        let (cpu, awake) = (self.turn.cpu, self.turn.awake);
        let count = self.cpus.len() as u32;
        let named = self.turn.next.take().filter(|next| awake & 1 << next != 0);
        let behind = (1..=count).map(|step| (cpu + step) % count).find(|next| awake & 1 << next != 0);
        let next = named.or(behind).unwrap_or(cpu);
        self.switch(next as usize);
        self.turn.cpu = next;
        self.turn.ends = Cycles(now.0.saturating_add(bus.turn().max(1)));
        bus.runs(next);
    }

    /// Gives the decoded code to another one. What was decoded since that last ran is guarded in its translations too.
    fn switch(&mut self, to: usize) {
        let from = self.turn.cpu as usize;
        if let Ok([from, to]) = self.cpus.get_disjoint_mut([from, to]) {
            std::mem::swap(&mut from.blocks, &mut to.blocks);
            to.obey_guards();
        }
    }

    /// Brings the others what the current one has sent.
    fn carry_messages(&mut self) {
        let from = self.turn.cpu as usize;
        if self.cpus[from].sent.is_empty() {
            return;
        }
        self.meet();
        for icr in std::mem::take(&mut self.cpus[from].sent) {
            let Some(message) = InterruptMessage::from_icr(icr) else { continue };
            if message.delivery_mode == DeliveryMode::LowestPriority {
                // If the sender is among those named it has taken it.
                if !self.current().apic().is_destination(&message) {
                    self.deliver(message);
                }
                continue;
            }
            // The sender has had its share.
            let others = self.cpus.iter_mut().enumerate().filter(|(number, _)| *number != from);
            others.for_each(|(_, cpu)| cpu.deliver(message));
        }
    }
}

impl Cpu {
    /// Whether it goes on if it is run now.
    fn has_something_to_do(&mut self) -> bool {
        self.apic.advance(self.moment(self.cycles));
        let interrupted = self.control & IF != 0 && self.apic.highest_pending().is_some();
        let nmi = self.sys.nmi_pending && !self.sys.nmi_blocked;
        !self.sys.halted || interrupted || nmi || self.sys.pending_exception.is_some()
    }

    /// Whether it waits for an interrupt.
    pub fn is_halted(&self) -> bool {
        self.sys.halted
    }

    /// When its timer wakes it, if it sleeps.
    fn wakes_at(&mut self, now: Cycles) -> Option<Cycles> {
        let sleeps = self.sys.halted && self.takes_interrupts();
        sleeps.then(|| self.apic.next_timer(self.moment(now))).flatten()
    }

    /// What it has sent to others since this was last asked, as [`InterruptMessage::from_icr`] takes it. [`Cpus`] carries that by itself.
    pub fn take_sent(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.sent)
    }

    /// Whether it takes interrupts.
    pub fn takes_interrupts(&self) -> bool {
        self.control & IF != 0
    }
}
