//! What comes over the serial ports' lines; port 0 is the console's, the others are numbered from 1.
//!
//! While a run is recorded, the guest gets what the machine has been shown only ([`Control::show_input`]): the machine looks at moments
//! of its own, which the record has.

use std::collections::VecDeque;

use fencepost_firmware::layout::MORE_SERIAL_MAX;

use super::{Control, INPUT_MAX_BYTES, Notes};

/// Serial ports that there may be.
pub const SERIAL_PORTS_MAX: usize = 1 + MORE_SERIAL_MAX;

/// What comes over a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A character.
    Character(u8),
    /// A BREAK: the line was held low for longer than a character takes.
    Break,
}

/// What waits at the other ends of the lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// By port.
    input: [VecDeque<Received>; SERIAL_PORTS_MAX],
    /// How much of it the machine has been shown, while it must be.
    shown: Option<[usize; SERIAL_PORTS_MAX]>,
    /// What the guest has taken of console input that comes from a file and is always there, where that is kept.
    taken: Option<VecDeque<Received>>,
    /// The guest gets what is kept of the host's, and nothing else.
    pub(super) held: bool,
}

impl Lines {
    fn of(&self, port: u8) -> Option<&VecDeque<Received>> {
        self.input.get(usize::from(port))
    }

    pub(super) fn waiting(&self, port: u8) -> usize {
        self.of(port).map_or(0, VecDeque::len)
    }

    /// Whether anything waits.
    pub(super) fn any(&self) -> bool {
        self.input.iter().any(|input| !input.is_empty())
    }

    /// Whether the guest may take something.
    pub(super) fn has(&self, port: u8) -> bool {
        let count = |shown: [usize; SERIAL_PORTS_MAX]| shown.get(usize::from(port)).copied();
        let shown = self.shown.filter(|_| !self.is_free(port));
        shown.map_or(self.waiting(port), |shown| count(shown).unwrap_or(0)) > 0
    }

    /// Whether a port's input need not be shown.
    fn is_free(&self, port: u8) -> bool {
        port == 0 && self.taken.is_some()
    }

    fn unshown(&self, port: u8) -> usize {
        let shown = self.shown.filter(|_| !self.held && !self.is_free(port));
        shown.map_or(0, |shown| self.waiting(port) - shown[usize::from(port)])
    }

    /// Adds what is given again: before all that was not shown.
    fn replay(&mut self, port: u8, received: &[Received]) {
        let Some(shown) = &mut self.shown else { return self.push(port, received.iter().copied()) };
        let at = usize::from(port);
        if let Some(input) = self.input.get_mut(at) {
            for one in received {
                input.insert(shown[at], *one);
                shown[at] += 1;
            }
        }
    }

    /// Forgets what was shown: it is given again.
    fn hide(&mut self) {
        for (input, shown) in self.input.iter_mut().zip(self.shown.iter_mut().flatten()) {
            input.drain(..std::mem::take(shown).min(input.len()));
        }
    }

    /// Gives back the last characters that were taken, where those are kept.
    fn give_back(&mut self, count: u64) -> bool {
        let Some(taken) = &mut self.taken else { return false };
        let from = taken.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        taken.drain(from..).rev().for_each(|one| self.input[0].push_front(one));
        true
    }

    pub(super) fn push(&mut self, port: u8, received: impl IntoIterator<Item = Received>) {
        if let Some(input) = self.input.get_mut(usize::from(port)) {
            input.extend(received);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Lines::default();
    }

    /// All characters that wait, which are not shown any more.
    pub(super) fn take_characters(&mut self, port: u8) -> Vec<u8> {
        let character = |received| match received {
            Received::Character(byte) => Some(byte),
            Received::Break => None,
        };
        let all = self.input.get_mut(usize::from(port)).map(std::mem::take);
        self.shown.iter_mut().for_each(|shown| shown[usize::from(port)] = 0);
        all.into_iter().flatten().filter_map(character).collect()
    }

    fn take(&mut self, port: u8) -> Option<Received> {
        let at = usize::from(port);
        if !self.has(port) {
            return None;
        }
        if !self.is_free(port) {
            self.shown.iter_mut().for_each(|shown| shown[at] -= 1);
        }
        let received = self.input.get_mut(at)?.pop_front()?;
        self.taken.iter_mut().filter(|_| port == 0).for_each(|taken| taken.push_back(received));
        Some(received)
    }
}

impl Notes {
    /// Whether the host's time brought something over a line that the guest has not taken.
    pub(super) fn has_typed(&self) -> bool {
        let more = (1u8..).take(MORE_SERIAL_MAX).any(|port| self.lines.waiting(port) > 0);
        more || self.lines.waiting(0) > 0 && !self.input_steady
    }
}

impl Control {
    /// From now on the guest gets what the machine has been shown only.
    pub fn show_input_first(&self) {
        self.notes().lines.shown.get_or_insert_default();
    }

    /// Whether [`show_input`](Self::show_input) would give something for any port.
    pub fn has_unshown(&self) -> bool {
        let notes = self.notes();
        (0u8..).take(SERIAL_PORTS_MAX).any(|port| notes.lines.unshown(port) > 0)
    }

    /// What has come for serial port `port` since this was last called, where the guest gets only what it gave.
    pub fn show_input(&self, port: u8) -> Vec<Received> {
        let lines = &mut self.notes().lines;
        if lines.unshown(port) == 0 {
            return Vec::new();
        }
        let at = usize::from(port);
        let Some(input) = lines.input.get(at) else { return Vec::new() };
        let Some(shown) = &mut lines.shown else { return Vec::new() };
        let new = input.iter().skip(shown[at]).copied().collect();
        shown[at] = input.len();
        new
    }

    /// From now on nothing of the host's reaches the guest but what [`replay_input`](Self::replay_input) and the machine itself bring.
    pub fn ignore_host(&self) {
        let mut notes = self.notes();
        notes.host_ignored = true;
        notes.lines.clear();
        notes.deliveries.clear();
        notes.delivery_bytes = 0;
        drop(notes);
        self.changed.notify_all();
    }

    /// Whether a record has what the guest gets.
    pub fn ignores_host(&self) -> bool {
        self.notes().host_ignored
    }

    /// Adds input of serial port `port` that a record has.
    pub fn replay_input(&self, port: u8, received: &[Received]) {
        self.notes().lines.replay(port, received);
        self.nudge();
    }

    /// From now on what the guest takes can be given to it again. Input that comes from a file is kept here; the machine is shown the rest.
    pub fn keep_input(&self) {
        let mut notes = self.notes();
        if notes.input_steady && notes.lines.shown.is_none() {
            notes.lines.taken.get_or_insert_default();
        }
        notes.lines.shown.get_or_insert_default();
    }

    /// What the guest takes is kept no longer. With `shown` it still gets only what the machine has been shown.
    pub fn keep_no_input(&self, shown: bool) {
        let mut notes = self.notes();
        notes.lines.taken = None;
        if !shown {
            notes.lines.shown = None;
        }
        drop(notes);
        self.hold_input(false);
    }

    /// While it is held, nothing new of the host's reaches the guest: what was shown it gets again.
    pub fn hold_input(&self, hold: bool) {
        let mut notes = self.notes();
        if hold {
            notes.lines.hide();
        }
        notes.lines.held = hold;
        drop(notes);
        self.nudge();
    }

    /// Gives back the last `count` characters of console input, where that comes from a file; whether it does.
    pub fn give_back(&self, count: u64) -> bool {
        self.notes().lines.give_back(count)
    }

    /// Adds a BREAK to the console's input.
    pub fn push_break(&self) {
        let mut notes = self.notes();
        if !notes.host_ignored {
            notes.lines.push(0, [Received::Break]);
        }
        drop(notes);
        self.raise();
    }

    /// Waits until the guest has taken all console input; false if it is gone before.
    pub fn wait_until_input_is_taken(&self) -> bool {
        let waits =
            |notes: &mut Notes| notes.lines.waiting(0) > 0 && notes.stop.is_none() && !notes.input_closed;
        let notes = self.changed.wait_while(self.notes(), waits);
        notes.unwrap_or_else(|poisoned| poisoned.into_inner()).lines.waiting(0) == 0
    }

    /// Whether serial port `port`, from 1, has room for more input.
    pub fn has_serial_room(&self, port: u8) -> bool {
        self.notes().lines.of(port).is_some_and(|input| input.len() < INPUT_MAX_BYTES)
    }

    /// Adds input of serial port `port`, from 1. Whoever brings it sees to it that there is room.
    pub fn push_serial_input(&self, port: u8, bytes: &[u8]) {
        let mut notes = self.notes();
        if !notes.host_ignored {
            notes.lines.push(port, bytes.iter().copied().map(Received::Character));
        }
        drop(notes);
        self.raise();
    }

    /// Whether input waits for serial port `port`; 0 is the console.
    pub fn has_serial_input(&self, port: u8) -> bool {
        if port == 0 { self.has_input() } else { self.notes().lines.has(port) }
    }

    /// Takes a character or BREAK for serial port `port`; 0 is the console.
    pub fn take_serial_input(&self, port: u8) -> Option<Received> {
        let mut notes = self.notes();
        let received = notes.lines.take(port)?;
        let room = port == 0 && notes.lines.waiting(0) < INPUT_MAX_BYTES;
        drop(notes);
        if room {
            self.changed.notify_all();
        }
        Some(received)
    }

    /// Takes a character or BREAK of console input.
    pub fn take_input(&self) -> Option<Received> {
        self.take_serial_input(0)
    }

    /// Whether console input waits.
    pub fn has_input(&self) -> bool {
        let coming = |notes: &mut Notes| {
            let steady = notes.input_steady && notes.input_open && !notes.host_ignored;
            notes.lines.waiting(0) == 0 && steady && notes.stop.is_none()
        };
        let notes = self.changed.wait_while(self.notes(), coming);
        notes.unwrap_or_else(|poisoned| poisoned.into_inner()).lines.has(0)
    }
}
