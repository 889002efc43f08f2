//! The host's ends of one run: the files, sockets and viewers that the guest's outputs go to and its inputs come from.

use std::sync::Arc;

use crate::channel::{self, Channel};
use crate::config::{Accel, MachineConfig};
use crate::console_log::ConsoleLog;
use crate::control::Control;
use crate::error::HostError;
use crate::frames::both;
use crate::hooks::Hooks;
use crate::input::InputDevices;
use crate::input_script;
use crate::inputs;
use crate::launch::Launch;
use crate::machine::recorded::Recording;
use crate::machine::{Machine, Timed};
use crate::outcome::Outcome;
use crate::outlet::Full;
use crate::outlet::bytes::Bytes;
use crate::serial_line::SerialLines;
use crate::shelf::Files;
use crate::shelf::png::PngFolder;
use crate::state_log::StateLog;
use crate::view::View;
use crate::wire::{self, Connected};

/// What is open for a run.
pub(crate) struct Ends {
    live: Live,
    frames: Option<Files>,
    console_log: Option<ConsoleLog>,
    serial: SerialLines,
    record: Option<Bytes>,
    states: Option<Bytes>,
    recording: Option<Recording>,
    script: Option<Timed>,
}

/// What other programs are connected to, and threads bring input from.
struct Live {
    _view: Option<View>,
    _channel: Option<Channel>,
    wire: Option<Connected>,
}

impl Ends {
    /// Opens all that `launch` names and connects it with `hooks`. `machine`: the one that runs, which may be a snapshot's; `recording`:
    /// what `--replay-input` brings it.
    ///
    /// # Errors
    ///
    /// What cannot be opened or does not fit the machine.
    pub(crate) fn open(
        launch: &Launch,
        machine: &MachineConfig,
        recording: Option<Recording>,
        hooks: &mut Hooks,
    ) -> Result<Self, HostError> {
        let script = launch.input.as_deref().map(|path| input_script::read(path, machine)).transpose()?;
        let frames = write_frames(launch, hooks)?;
        let console_log = log_console(launch, hooks)?;
        let serial = open_lines(launch, machine, hooks)?;
        let _view = watch(launch, machine, hooks)?;
        let wire = wire::connect(launch, machine, hooks)?;
        let record = inputs::open(launch, machine, &hooks.control)?;
        let states = log_states(launch, machine, hooks)?;
        let _channel = channel::connect(launch, machine, hooks)?;
        let live = Live { _view, _channel, wire };
        Ok(Ends { live, frames, console_log, serial, record, states, recording, script })
    }

    /// Leads what comes to `machine`'s devices.
    ///
    /// # Errors
    ///
    /// A record of input that is not of this run.
    pub(crate) fn bring(&mut self, launch: &Launch, machine: &mut Machine) -> Result<(), HostError> {
        inputs::connect(launch, self.record.as_ref(), self.recording.take(), machine)?;
        self.script.take().into_iter().for_each(|timed| machine.deliver_at(timed));
        Ok(())
    }

    /// The process that serves the network, if the run has started one.
    pub(crate) fn child(&self) -> Option<u32> {
        self.live.wire.as_ref().and_then(Connected::child)
    }

    /// Parts with all who are connected; what is left is files, to be closed.
    pub(crate) fn part(self) -> Closing {
        drop(self.live);
        let Ends { frames, console_log, serial, record, states, .. } = self;
        Closing { frames, console_log, serial, bytes: [record, states] }
    }
}

/// Files that are still written when the guest is over.
pub(crate) struct Closing {
    frames: Option<Files>,
    console_log: Option<ConsoleLog>,
    serial: SerialLines,
    bytes: [Option<Bytes>; 2],
}

impl Closing {
    /// Waits until all is written, and tells `outcome` what became of it.
    pub(crate) fn close(self, outcome: &mut Outcome, control: &Control) {
        let frames = self.frames.map(Files::finish);
        frames.into_iter().for_each(|output| outcome.add(output, control));
        let log = self.console_log.map(ConsoleLog::finish);
        log.into_iter().chain(self.serial.finish()).for_each(|output| outcome.add(output, control));
        let bytes = self.bytes.into_iter().flatten().map(Bytes::finish);
        bytes.for_each(|output| outcome.add(output, control));
    }
}

/// Has the states of the software CPUs written down, if they are to be.
fn log_states(launch: &Launch, machine: &MachineConfig, hooks: &Hooks) -> Result<Option<Bytes>, HostError> {
    let Some((path, every)) = &launch.state_log else { return Ok(None) };
    if machine.accel == Accel::Kvm {
        let why = "--state-log: under --accel kvm no two runs are the same";
        return Err(HostError::input(why, "use --accel soft"));
    }
    let failed = |error: std::io::Error| HostError::output("--state-log", path, &error, "name another file");
    let file = Bytes::create(path, "the log of states", &hooks.control).map_err(failed)?;
    hooks.control.log_states(StateLog::new(Box::new(file.writer(Full::Wait)), *every));
    Ok(Some(file))
}

/// Has each picture written into the folder of `--frames`, if there is one.
fn write_frames(launch: &Launch, hooks: &mut Hooks) -> Result<Option<Files>, HostError> {
    let Some(folder) = &launch.frames else { return Ok(None) };
    let (png, writer) =
        PngFolder::create(folder.clone(), &hooks.control, launch.slow_output, &hooks.allowance)?;
    launch.bounds.frames.into_iter().for_each(|most| writer.gate().end_after(most));
    hooks.frames = Some(both(hooks.frames.take(), png));
    hooks.gates.push(Arc::clone(writer.gate()));
    Ok(Some(writer))
}

/// Has the console written to the file of `--console-log` too, if there is one.
fn log_console(launch: &Launch, hooks: &mut Hooks) -> Result<Option<ConsoleLog>, HostError> {
    let Some(path) = &launch.console_log else { return Ok(None) };
    let log = ConsoleLog::create(path, &hooks.control)?;
    let screen = std::mem::replace(&mut hooks.console, Box::new(std::io::sink()));
    hooks.console = log.beside(screen, launch.slow_output, &hooks.allowance);
    launch.bounds.console.into_iter().for_each(|most| log.gate().end_after(most));
    hooks.gates.push(log.gate());
    Ok(Some(log))
}

/// The ends of the serial lines beside the console.
fn open_lines(launch: &Launch, machine: &MachineConfig, hooks: &mut Hooks) -> Result<SerialLines, HostError> {
    let ends = &launch.machine.serial;
    if ends.len() > machine.serial.len() {
        let has = machine.serial.len();
        let why = format!("--serial: the snapshot's machine has {has} serial ports beside the console");
        return Err(HostError::input(why, "leave out what is too much"));
    }
    let mut lines =
        SerialLines::open(ends, &hooks.control, (launch.slow_output, &hooks.allowance), &mut hooks.say)?;
    launch.bounds.console.into_iter().for_each(|most| lines.gates().for_each(|gate| gate.end_after(most)));
    hooks.serial = lines.take_outs();
    hooks.gates.extend(lines.gates());
    Ok(lines)
}

/// Opens the live view, if one is wanted, and tells the user where it is.
fn watch(launch: &Launch, machine: &MachineConfig, hooks: &mut Hooks) -> Result<Option<View>, HostError> {
    if launch.view.is_empty() {
        return Ok(None);
    }
    let devices = InputDevices::of(machine, Arc::clone(&hooks.control) as _);
    let view = View::open(launch.view, &devices)?;
    view.lines().iter().for_each(|line| (hooks.say)(line));
    hooks.watcher = Some(view.hub());
    Ok(Some(view))
}
