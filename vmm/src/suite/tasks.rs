//! What a scenario's steps are to the player: tasks.

use fencepost_devices::changes::{Change, Presence};
use fencepost_devices::faults::FaultSpec;
use toml::Spanned;

use super::order::Play;
use super::play::{HostTask, Task, Wanted};
use crate::error::HostError;
use crate::input_script;
use crate::scenario::{Action, Found, Step};

/// The number of the first step: the task before it makes the guest ready.
const STEPS_FROM: usize = 1;
/// A shell on the console, in the scenario's folder.
const SHELL: &str = "cd /work; export HOME=/root TERM=vt102
    echo 'fencepost: a shell at the step that failed; exit ends the scenario' >/dev/console
    exec /run/fencepost/busybox cttyhack /bin/bash -l </dev/console >/dev/console 2>&1\n";
/// How long the guest may take to say what its kernel has said.
const ENDING_LIMIT_NS: u64 = 10_000_000_000;

/// The step that a task is, if it is one.
pub fn step(found: &Found, task: usize) -> Option<&Spanned<Step>> {
    found.scenario.steps.get(task.checked_sub(STEPS_FROM)?)
}

/// The number of the last task: the kernel's messages.
pub fn last(found: &Found) -> usize {
    STEPS_FROM + found.scenario.steps.len()
}

/// What a task is called.
pub fn title(found: &Found, task: usize) -> String {
    match step(found, task) {
        Some(step) => step.get_ref().title(),
        None if task < STEPS_FROM => "the guest is made ready".to_string(),
        None => "the kernel's messages".to_string(),
    }
}

/// The tasks of an order: the guest is made ready, the steps, the kernel's messages.
///
/// # Errors
///
/// A step that this build cannot do.
pub fn wanted(order: &Play, found: &Found) -> Result<Wanted, HostError> {
    let mut tasks = vec![Task::Command { script: order.prepare.clone(), limit_ns: None }];
    let mut timed = Vec::new();
    for (index, step) in found.scenario.steps.iter().enumerate() {
        let refused =
            |why: String| HostError::Input(format!("{}:{}: {why}", found.path.display(), found.line(step)));
        let number = STEPS_FROM + index;
        let wanted = step.get_ref();
        let task = match wanted.action().map_err(refused)? {
            Action::Run(command) => Task::Command {
                script: format!("{}{command}\n", order.preamble),
                limit_ns: wanted.timeout.map(crate::scenario::Length::ns),
            },
            Action::Snapshot(name) => {
                let path = order.folder.join(name.file_name().unwrap_or_default());
                let save: HostTask =
                    Box::new(move |machine, save| save(machine, &path).map_err(|error| error.to_string()));
                Task::Host(save)
            }
            Action::Input(line) => {
                let all = input_script::deliveries(line, &order.machine).map_err(refused)?;
                Task::Host(Box::new(move |machine, _| {
                    all.iter().for_each(|(slot, data)| machine.deliver(*slot, data.clone()));
                    Ok(())
                }))
            }
            Action::Fault(text) => {
                let spec: FaultSpec = text.parse().map_err(refused)?;
                Task::Host(Box::new(move |machine, _| machine.give_fault(&spec)))
            }
            Action::Set(text) => {
                let change: Change = text.parse().map_err(refused)?;
                Task::Host(Box::new(move |machine, _| machine.change(&change)))
            }
            Action::Hotplug(text) => {
                let presence: Presence = text.parse().map_err(refused)?;
                Task::Host(Box::new(move |machine, _| machine.set_there(&presence)))
            }
        };
        match (task, wanted.at) {
            (Task::Host(action), Some(at)) => {
                timed.push((at.ns(), number, action));
                // Its place in the order stays, so that steps keep their numbers.
                tasks.push(Task::Elsewhere);
            }
            (task, _) => tasks.push(task),
        }
    }
    tasks.push(Task::Command {
        script: super::guest::ending(&found.scenario),
        limit_ns: Some(ENDING_LIMIT_NS),
    });
    Ok(Wanted {
        tasks,
        timed,
        limit_ns: u64::MAX,
        waiting: false,
        judge: Box::new(|_| true),
        shell: order.shell.then(|| SHELL.to_string()),
        save: None,
    })
}
