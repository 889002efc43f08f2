//! One run of one guest, from the files on the command line to the exit status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::accel::Chosen;
use crate::allowance::Allowance;
use crate::backend::{End, Ran};
pub use crate::claims::claims;
use crate::conductor::Conductor;
use crate::confinement;
use crate::control::Control;
use crate::dump::LastMoment;
use crate::ends::Ends;
use crate::error::HostError;
use crate::footprint::Footprint;
use crate::gdb::{Ended, Gdb};
pub use crate::hooks::Hooks;
use crate::inputs;
use crate::launch::Launch;
use crate::loading::load;
use crate::machine::{GuestEnd, memory};
pub use crate::outcome::{Outcome, RunStats};
use crate::panic::OnPanic;
use crate::ready::{Ready, Source, pauses, powered_on, restored};
use crate::sandbox::{self, Sandbox};
use crate::snapshot;
use crate::time_limit::TimeLimit;
use crate::tracing;

/// Runs a guest to its end.
pub fn run(launch: &Launch, mut hooks: Hooks) -> Result<Outcome, HostError> {
    let start = Instant::now();
    launch.machine.check().map_err(HostError::Input)?;
    claims(launch)?;
    if !hooks.devices.is_empty() && (launch.snapshot.is_some() || launch.restore.is_some()) {
        return Err(HostError::input(
            "a device of the caller's own is in no snapshot",
            "add it to the registry, or leave out --snapshot and --restore",
        ));
    }
    hooks.allowance = Allowance::of(launch.bounds.disk);
    let control = Arc::clone(&hooks.control);
    launch.snapshot.as_deref().map_or(Ok(()), snapshot::check)?;
    let recording = inputs::read(launch)?;
    let source = match &launch.restore {
        None => Source::Boot(load(&launch.machine, launch.console_size, &mut hooks.say)?),
        Some(file) => Source::Saved(Box::new(snapshot::open(file)?)),
    };
    if let Some(limit) = launch.timeout {
        // For a trace's reader that does not come; the guest's time begins later.
        control.set_limit(start + limit);
    }
    let trace_file = tracing::create(launch, &control)?;
    let mut ends = Ends::open(launch, source.machine(launch), recording, &mut hooks)?;
    let (conductor, sandbox) = (hooks.conductor.take(), hooks.sandbox.take());
    let gdb = serve_debugger(launch, &mut hooks)?;
    let mut ready = match source {
        Source::Boot((memory, entry)) => powered_on(launch, memory, &entry, trace_file, hooks)?,
        Source::Saved(saved) => restored(launch, *saved, trace_file, hooks)?,
    };
    ready.machine.pause_at(pauses(launch));
    ends.bring(launch, &mut ready.machine)?;
    gdb.iter().for_each(|gdb| ready.back_end.attach(gdb.attached()));
    begin(&control, launch, conductor.is_some());
    let footprint = Footprint::open();
    if let Some(wanted) = sandbox {
        confine(wanted, launch, &mut ready, (&ends, gdb.as_ref()))?;
    }
    let limit = launch.timeout.map(|limit| TimeLimit::start(limit, Arc::clone(&control))).transpose()?;
    let startup = start.elapsed();
    let first = Instant::now();
    let (ready, ran, snapshot_error) = run_to_end(launch, ready, &control, conductor)?;
    let wall = first.elapsed();
    drop(limit);
    let closing = ends.part();
    let (longest, spent) = (control.longest_without_look(), control.spent());
    let mut outcome = finish(launch, ready, ran, snapshot_error, (startup, wall, footprint))?;
    // The threads of `kvm` look at other times.
    let looked = outcome.stats.instructions.is_some();
    (outcome.stats.longest, outcome.stats.spent) = (longest.filter(|_| looked), spent.filter(|_| looked));
    outcome.give_up(outcome.log.written.as_ref().is_some_and(|written| written.given_up), &control);
    closing.close(&mut outcome, &control);
    if let Some(gdb) = gdb {
        gdb.end(match outcome.end {
            End::Guest(_) => Ended::Exited(outcome.status()),
            End::Host(_) => Ended::Stopped,
        });
    }
    Ok(outcome)
}

/// Tells the control what is wanted of the run that begins.
fn begin(control: &Control, launch: &Launch, conducted: bool) {
    if launch.snapshot.is_some() || conducted {
        control.allow_pauses();
    }
    if conducted {
        control.request_pause();
    }
    control.set_watchdog(launch.watchdog);
    control.set_paced(launch.realtime);
    launch.console_size.iter().for_each(|size| control.set_console_size(*size));
    control.begin();
}

/// Takes from the process what the run does not need.
fn confine(
    mut wanted: Sandbox,
    launch: &Launch,
    ready: &mut Ready,
    (ends, gdb): (&Ends, Option<&Gdb>),
) -> Result<(), HostError> {
    ready.back_end.prepare();
    confinement::add(&mut wanted, launch, &ready.config, ready.accel);
    gdb.and_then(Gdb::folder).iter().for_each(|folder| confinement::allow_removal(&mut wanted, folder));
    ends.child().into_iter().for_each(|child| wanted.may_end(child));
    sandbox::engage(&wanted)?.iter().for_each(|line| (ready.say)(line));
    Ok(())
}

/// Listens for a debugger, where one may come.
fn serve_debugger(launch: &Launch, hooks: &mut Hooks) -> Result<Option<Gdb>, HostError> {
    let on_panic = launch.on_panic == Some(OnPanic::Gdb);
    if launch.gdb.is_none() && !on_panic {
        return Ok(None);
    }
    let gdb = Gdb::open(launch.gdb.as_ref(), on_panic, launch.gdb_at_end.as_deref(), &hooks.control)?;
    if launch.gdb.is_some() && launch.gdb_at_end.is_none() {
        (hooks.say)(&gdb.line());
    }
    Ok(Some(gdb))
}

/// Runs the machine to its end, and saves it wherever it pauses for that. A snapshot that cannot be written costs the guest
/// nothing; the last reason is given back.
fn run_to_end(
    launch: &Launch,
    mut ready: Ready,
    control: &Control,
    mut conductor: Option<Box<dyn Conductor>>,
) -> Result<(Ready, Ran, Option<HostError>), HostError> {
    let mut failed = None;
    loop {
        let (mut machine, ran) = ready.back_end.run(ready.machine, control)?;
        let pauses = ran.end == End::Guest(GuestEnd::Pause);
        if let (true, Some(conductor)) = (pauses, &mut conductor) {
            let config = &ready.config;
            conductor.paused(&mut machine, &mut |machine, path| {
                snapshot::save(path, config, machine, ran.cpus.clone())
            });
        }
        let saves = pauses && conductor.is_none()
            || ran.end == End::Guest(GuestEnd::Panicked) && launch.on_panic == Some(OnPanic::Dump);
        if let (true, Some(path)) = (saves, &launch.snapshot) {
            failed = snapshot::save(path, &ready.config, &mut machine, ran.cpus.clone()).err();
        }
        if pauses && (launch.snapshot.is_some() || conductor.is_some()) {
            machine.pass_mark();
            ready.machine = machine;
            continue;
        }
        ready.machine = machine;
        return Ok((ready, ran, failed));
    }
}

fn finish(
    launch: &Launch,
    ready: Ready,
    ran: Ran,
    snapshot_error: Option<HostError>,
    (startup, wall, footprint): (Duration, Duration, Footprint),
) -> Result<Outcome, HostError> {
    let Ready { accel, machine, retired_before, failures, panics, .. } = ready;
    let tsc_hz = machine.tsc_hz();
    let remains = machine.finish();
    let memory_digest = launch.memory_hash.then(|| memory::digest(&remains.memory)).transpose()?;
    let cycles = ran.cpus.current().cycles.0;
    // KVM counts none, so neither does a machine that was there for a while.
    let instructions = (accel == Chosen::Soft && launch.moves.is_empty()).then(|| ran.cpus.retired());
    let last = LastMoment::new(ran.cpus, &remains.memory, &remains.recent);
    let stats = RunStats {
        startup,
        wall,
        longest: None,
        spent: None,
        instructions,
        retired_before,
        cycles,
        unknown: ran.unknown,
        exceptions: ran.exceptions,
        code: ran.code,
        assists: ran.assists,
        moves: ran.moves,
        tsc_hz,
        unclaimed: remains.unclaimed,
        guest_trace_refused: remains.guest_trace_refused,
        counters: remains.counters,
        faults: remains.faults,
        faults_refused: remains.faults_refused,
        beyond_ram_bytes: footprint.beyond_ram_bytes(&remains.memory),
    };
    Ok(Outcome {
        end: ran.end,
        accel,
        stats,
        log: remains.log,
        memory_digest,
        last,
        device_errors: failures.lines(),
        outputs: Vec::new(),
        gave_up: None,
        snapshot_error,
        findings: panics.findings(),
        on_panic: launch.on_panic,
    })
}
