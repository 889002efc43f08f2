//! Plays a scenario within a run: gives the guest's agent one command after the other, does the host's actions at their times, and
//! ends the run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use fencepost_devices::virtio_console::Port;
use fencepost_devices::virtio_console::message::{DATA_MAX_BYTES, Message};

use super::heard::{Heard, Output};
use crate::agent;
use crate::conductor::{Conductor, Save};
use crate::control::{Control, StopReason};
use crate::machine::{Machine, Pauses};

/// The number of the shell among the orders.
const SHELL: usize = usize::MAX;

/// Something to do.
pub enum Task {
    /// A script for the guest, and how long it may take.
    Command { script: String, limit_ns: Option<u64> },
    /// Something of the host's.
    Host(HostTask),
    /// Nothing: it is done at a time of its own.
    Elsewhere,
}

/// Something that the host does to the machine. What is wrong with it is given back as part of a line.
pub type HostTask = Box<dyn FnMut(&mut Machine, &mut Save<'_>) -> Result<(), String> + Send>;

/// Says of a task that has ended whether it was as expected.
pub type Judge = Box<dyn FnMut(&Played) -> bool + Send>;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A command, with its exit status.
    Status(u8),
    /// It took too long.
    TimedOut,
    /// The host's action is done.
    Done,
    /// The host could not do it.
    Refused(String),
}

/// A task that was begun.
#[derive(Clone, Debug)]
pub struct Played {
    /// Which, counted from 0.
    pub task: usize,
    /// How it ended; nothing if the run ended before.
    pub ended: Option<Ended>,
    /// What a command wrote.
    pub output: Output,
    /// The guest's time at its beginning and its end, in nanoseconds.
    pub ns: (u64, u64),
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Record {
    /// The tasks that were begun, in the order in which they ended.
    pub played: Vec<Played>,
    /// The guest's time at the first task's beginning.
    pub began_ns: Option<u64>,
    /// The guest's time when it paused last.
    pub last_ns: u64,
    /// The scenario's time was over.
    pub over: bool,
    /// All tasks were done, or as many as there was any sense in.
    pub finished: bool,
    /// Why the machine was not saved.
    pub save_error: Option<String>,
}

/// What the worker wants of a play.
pub struct Wanted {
    /// What to do, in this order; but for what has a time.
    pub tasks: Vec<Task>,
    /// The host's actions at times of the guest's since the beginning, with the number that is given back for each.
    pub timed: Vec<(u64, usize, HostTask)>,
    /// The longest that all may take.
    pub limit_ns: u64,
    /// Whether the machine goes on from a snapshot in which the agent waits.
    pub waiting: bool,
    /// Whether what a task gave was as expected. Without it, the tasks behind it are left out, but for the last one.
    pub judge: Judge,
    /// What the guest runs at the first task that was not as expected, before the last one: a shell, without any limit of time.
    pub shell: Option<String>,
    /// The file to save the machine in when a task was not as expected, or when everything is done, and which of the two.
    pub save: Option<(PathBuf, SaveAt)>,
}

/// When the machine is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveAt {
    /// When a task was not as expected.
    Failure,
    /// When everything is done.
    End,
}

/// The player of one run.
pub struct Player {
    wanted: Wanted,
    heard: Heard,
    control: Arc<Control>,
    slot: u8,
    record: Arc<Mutex<Record>>,
    /// The task that is next, if the agent is ready for it.
    next: usize,
    /// The command that runs, since when.
    runs: Option<(usize, u64)>,
    ready: bool,
    failed: bool,
}

impl Player {
    /// A player whose guest has its channel in `slot`.
    pub fn new(
        wanted: Wanted,
        heard: Heard,
        control: &Arc<Control>,
        slot: u8,
        record: &Arc<Mutex<Record>>,
    ) -> Self {
        let ready = wanted.waiting;
        Player {
            wanted,
            heard,
            control: Arc::clone(control),
            slot,
            record: Arc::clone(record),
            next: 0,
            runs: None,
            ready,
            failed: false,
        }
    }

    fn record<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, machine: &mut Machine, text: &str) {
        for part in text.as_bytes().chunks(DATA_MAX_BYTES) {
            machine.deliver(self.slot, Message::Data(Port::Channel, part).bytes());
        }
    }

    /// Takes what the agent has said.
    fn listen(&mut self, now_ns: u64, machine: &mut Machine, save: &mut Save<'_>) {
        while let Some((mark, output)) = self.heard.take_mark() {
            if mark.order == "ready" {
                self.ready = true;
                continue;
            }
            let Some((task, since)) = self.runs.filter(|(task, _)| task.to_string() == mark.order) else {
                continue;
            };
            self.runs = None;
            if task == SHELL {
                continue;
            }
            let ended = Some(Ended::Status(mark.status));
            self.ended(Played { task, ended, output, ns: (since, now_ns) }, machine, save);
        }
    }

    fn ended(&mut self, played: Played, machine: &mut Machine, save: &mut Save<'_>) {
        let good = (self.wanted.judge)(&played);
        self.record(|record| record.played.push(played));
        if !good && !std::mem::replace(&mut self.failed, true) {
            self.save(SaveAt::Failure, machine, save);
        }
    }

    fn save(&self, at: SaveAt, machine: &mut Machine, save: &mut Save<'_>) {
        if let Some((path, _)) = self.wanted.save.as_ref().filter(|(_, when)| *when == at)
            && let Err(error) = save(machine, path)
        {
            self.record(|record| record.save_error = Some(error.to_string()));
        }
    }

    /// Does the host's actions whose time has come.
    fn do_timed(&mut self, began_ns: u64, now_ns: u64, machine: &mut Machine, save: &mut Save<'_>) {
        while let Some(at) =
            self.wanted.timed.iter().position(|(ns, ..)| began_ns.saturating_add(*ns) <= now_ns)
        {
            let (_, task, action) = self.wanted.timed.remove(at);
            self.do_host(task, action, now_ns, machine, save);
        }
    }

    fn do_host(
        &mut self,
        task: usize,
        mut action: HostTask,
        now_ns: u64,
        machine: &mut Machine,
        save: &mut Save<'_>,
    ) {
        let ended = match action(machine, save) {
            Ok(()) => Ended::Done,
            Err(why) => Ended::Refused(why),
        };
        let played = Played { task, ended: Some(ended), output: Output::default(), ns: (now_ns, now_ns) };
        self.ended(played, machine, save);
    }

    /// Begins tasks until a command runs or all are done.
    fn go_on(&mut self, now_ns: u64, machine: &mut Machine, save: &mut Save<'_>) {
        while self.ready && self.runs.is_none() {
            if self.failed {
                if let Some(script) = self.wanted.shell.take() {
                    // From here on the user takes the time.
                    self.wanted.limit_ns = u64::MAX;
                    return self.begin(SHELL, &script, now_ns, machine);
                }
                // What the kernel has said is asked for in any case.
                self.next = self.next.max(self.wanted.tasks.len().saturating_sub(1));
            }
            let Some(task) = self.wanted.tasks.get_mut(self.next) else { return self.finish(machine, save) };
            let number = self.next;
            self.next += 1;
            match task {
                Task::Command { script, .. } => {
                    let script = std::mem::take(script);
                    self.begin(number, &script, now_ns, machine);
                }
                Task::Elsewhere => {}
                Task::Host(action) => {
                    let action = std::mem::replace(action, Box::new(|_, _| Ok(())));
                    self.do_host(number, action, now_ns, machine, save);
                }
            }
        }
    }

    fn begin(&mut self, number: usize, script: &str, now_ns: u64, machine: &mut Machine) {
        self.runs = Some((number, now_ns));
        self.send(machine, &agent::run(number, script));
    }

    fn finish(&mut self, machine: &mut Machine, save: &mut Save<'_>) {
        self.record(|record| record.finished = true);
        self.save(SaveAt::End, machine, save);
        self.control.stop(StopReason::Quit);
    }

    /// Ends what takes too long. Gives the time at which that is to be looked at again.
    fn limit(&mut self, began_ns: u64, now_ns: u64, machine: &mut Machine, save: &mut Save<'_>) -> u64 {
        let end_ns = began_ns.saturating_add(self.wanted.limit_ns);
        let due_ns = self.limit_of_running().map_or(end_ns, |of_task| of_task.min(end_ns));
        if due_ns > now_ns {
            return due_ns;
        }
        self.record(|record| record.over = true);
        if let Some((task, since)) = self.runs.take() {
            let output = self.heard.take_rest();
            self.ended(
                Played { task, ended: Some(Ended::TimedOut), output, ns: (since, now_ns) },
                machine,
                save,
            );
        }
        self.control.stop(StopReason::Timeout);
        u64::MAX
    }

    /// When the command that runs has taken too long.
    fn limit_of_running(&self) -> Option<u64> {
        let (task, since) = self.runs?;
        match self.wanted.tasks.get(task) {
            Some(Task::Command { limit_ns, .. }) => limit_ns.map(|limit| since.saturating_add(limit)),
            _ => None,
        }
    }
}

impl Conductor for Player {
    fn paused(&mut self, machine: &mut Machine, save: &mut Save<'_>) {
        let now_ns = machine.now().ns;
        let began_ns = self.record(|record| {
            record.last_ns = now_ns;
            *record.began_ns.get_or_insert(now_ns)
        });
        if began_ns == now_ns && self.runs.is_none() {
            machine.deliver(self.slot, Message::Connected(true).bytes());
        }
        self.listen(now_ns, machine, save);
        self.do_timed(began_ns, now_ns, machine, save);
        let due_ns = self.limit(began_ns, now_ns, machine, save);
        if self.control.stop_reason().is_none() {
            self.go_on(now_ns, machine, save);
        }
        let timed = self.wanted.timed.iter().map(|(ns, ..)| began_ns.saturating_add(*ns));
        let task_due = self.limit_of_running();
        let at_ns: BTreeSet<u64> = timed.chain([due_ns]).chain(task_due).filter(|ns| *ns > now_ns).collect();
        machine.pause_at(Pauses { at_ns, ..Pauses::default() });
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // The guest ended in the middle of a command.
        if let Some((task, since)) = self.runs.take().filter(|(task, _)| *task != SHELL) {
            let output = self.heard.take_rest();
            self.record(|record| {
                let ns = (since, record.last_ns);
                record.played.push(Played { task, ended: None, output, ns });
            });
        }
    }
}
