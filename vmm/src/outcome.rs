//! What a run gives back: how it ended, what it left, its figures, and the exit status they stand for.

use std::time::Duration;

use fencepost_devices::function::Counter;
use fencepost_softcpu::stop_flag::{Longest, Spent};

use crate::accel::Chosen;
use crate::backend::End;
use crate::backend::kvm::assist::Assists;
use crate::backend::moves::Moves;
use crate::control::{Control, StopReason};
use crate::dump::LastMoment;
use crate::error::HostError;
use crate::machine::faults::FaultCount;
use crate::machine::log::FinishedLog;
use crate::machine::{GuestEnd, GuestRefused, Unclaimed};
use crate::outlet::Delivery;
use crate::panic::{Findings, OnPanic};

/// What was executed and how fast.
#[derive(Clone, Debug)]
pub struct RunStats {
    /// From the call of [`run`](crate::run::run) to the first guest instruction.
    pub startup: Duration,
    /// From the first guest instruction to the last.
    pub wall: Duration,
    /// Instructions retired; `None` where the back end cannot count them.
    pub instructions: Option<u64>,
    /// Of these, retired before this run: the snapshot's, if it began at one.
    pub retired_before: u64,
    /// The guest's TSC at the end, idle time included.
    pub cycles: u64,
    /// Instructions and MSRs that were not known, by name, with how often each was met.
    pub unknown: Vec<(String, u64)>,
    /// Exceptions that the software CPU delivered, by name, and how many of each; those under `kvm` are not counted.
    pub exceptions: Vec<(&'static str, u64)>,
    /// What became of the guest's code in the software CPU, by name; nothing under `kvm`.
    pub code: Vec<(&'static str, u64)>,
    /// What the software CPU did for KVM.
    pub assists: Assists,
    /// The moves between back ends.
    pub moves: Moves,
    /// The guest's TSC frequency.
    pub tsc_hz: u64,
    /// Unanswered accesses.
    pub unclaimed: Unclaimed,
    /// What of the guest's trace was left out.
    pub guest_trace_refused: GuestRefused,
    /// What each device counted, by its name.
    pub counters: Vec<(String, Vec<Counter>)>,
    /// The faults that were asked for and what became of them.
    pub faults: Vec<FaultCount>,
    /// Why some could not be given.
    pub faults_refused: Vec<String>,
    /// The longest that the host was not listened to, where that was measured: under `soft`.
    pub longest: Option<Longest>,
    /// Where the host's time went, where that was measured.
    pub spent: Option<Spent>,
    /// Resident host memory beyond guest RAM at the end, where the host tells.
    pub beyond_ram_bytes: Option<u64>,
}

impl RunStats {
    /// Million guest instructions per second of host time.
    pub fn mips(&self) -> Option<f64> {
        let executed = self.instructions.map(|count| count.saturating_sub(self.retired_before));
        executed.map(|count| count as f64 / self.wall.as_secs_f64().max(1e-9) / 1e6)
    }
}

/// Exit status: the guest's kernel has panicked, or failed so that `--on-panic` ended the run.
const PANICKED: i32 = 5;
/// Exit status with `--on-panic`: the guest ended with 0, and its kernel has reported a failure.
const FLAWED: i32 = 6;

/// How a run ended and what it left.
pub struct Outcome {
    /// Why it is over.
    pub end: End,
    /// The back end that ran it.
    pub accel: Chosen,
    /// Figures.
    pub stats: RunStats,
    /// The trace's newest records, the number of events and their digest.
    pub log: FinishedLog,
    /// SHA-256 of guest memory, if asked for.
    pub memory_digest: Option<String>,
    /// The CPU as it was left.
    pub last: LastMoment,
    /// What the host could not do for devices, a line for each file.
    pub device_errors: Vec<String>,
    /// What became of the outputs, the trace apart.
    pub outputs: Vec<Delivery>,
    /// Why an output was given up that took nothing when the guest had ended.
    pub gave_up: Option<StopReason>,
    /// Why the last snapshot was not written, if it was not.
    pub snapshot_error: Option<HostError>,
    /// What the guest's kernel has reported of its own failures.
    pub findings: Findings,
    /// What was wanted when it fails.
    pub on_panic: Option<OnPanic>,
}

impl Outcome {
    /// The exit status that the end stands for.
    pub fn status(&self) -> i32 {
        match &self.end {
            End::Guest(GuestEnd::Exit(0) | GuestEnd::PowerOff) if self.is_flawed() => FLAWED,
            End::Guest(GuestEnd::Exit(status)) => i32::from(*status),
            End::Guest(GuestEnd::PowerOff | GuestEnd::Mark(_) | GuestEnd::Pause) => 0,
            End::Guest(GuestEnd::Panicked) => PANICKED,
            // However a panicked kernel restarts the machine, it is the panic that ended it.
            End::Guest(_) if self.findings.panic.is_some() => PANICKED,
            End::Guest(GuestEnd::Reset) => 4,
            End::Guest(_) => 3,
            End::Host(reason) => reason.status(),
        }
    }

    /// Whether a guest that ended well has reports of its kernel's against it, and somebody asked.
    fn is_flawed(&self) -> bool {
        self.on_panic.is_some() && !self.findings.is_empty()
    }

    /// Why the trace file is not whole, if it is not.
    pub fn trace_error(&self) -> Option<&std::io::Error> {
        self.log.written.as_ref().and_then(|written| written.result.as_ref().err())
    }

    /// Takes what became of an output.
    pub fn add(&mut self, output: Delivery, control: &Control) {
        self.give_up(output.given_up, control);
        self.outputs.push(output);
    }

    /// Notes that the wait for an output that would not take the rest was `given_up`.
    pub(crate) fn give_up(&mut self, given_up: bool, control: &Control) {
        if given_up && matches!(self.end, End::Guest(_)) {
            self.gave_up = self.gave_up.or(control.stop_reason());
        }
    }

    /// `status` of a command that ran the guest, as its files leave it: that of the reason to stop which ended the wait for
    /// an output, and not 0 when the host failed to write one, or to serve a device.
    pub fn with_outputs(&self, status: i32) -> i32 {
        let failed = self.trace_error().is_some()
            || self.snapshot_error.is_some()
            || !self.device_errors.is_empty()
            || self.outputs.iter().any(Delivery::failed);
        match self.gave_up {
            Some(reason) => reason.status(),
            None if status == 0 && failed => 1,
            None => status,
        }
    }
}
