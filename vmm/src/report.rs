//! The messages on standard error after a run.

use fencepost_softcpu::stop_flag::{Done, Longest, Spent};

use crate::backend::End;
use crate::backend::kvm::assist::Assists;
use crate::backend::moves::Moves;
use crate::control::StopReason;
use crate::error::plain;
use crate::launch::Launch;
use crate::lengths::{Lengths, us};
use crate::machine::faults::FaultCount;
use crate::machine::{GuestEnd, GuestRefused, Unclaimed};
use crate::outlet::Delivery;
use crate::panic::OnPanic;
use crate::run::{Outcome, RunStats};

/// The lines that `fencepost run` ends with; with `stats` those of `--stats` among them.
pub fn lines(launch: &Launch, stats: bool, outcome: &Outcome) -> Vec<String> {
    let mut lines = end_lines(outcome);
    lines.extend(assists_line(&outcome.stats.assists));
    lines.extend(moves_lines(&outcome.stats.moves));
    if stats {
        lines.extend(stats_lines(outcome));
    }
    if let Some(error) = &outcome.snapshot_error {
        lines.push(format!("fencepost: {error}"));
    }
    if let Some(seed) = launch.machine.seed {
        lines.push(format!("seed: {seed}"));
    }
    if let Some(digest) = &outcome.log.digest {
        lines.push(format!("events: {}, sha256 {digest}", outcome.log.count));
    }
    let refused = outcome.stats.faults_refused.iter();
    lines.extend(refused.map(|why| format!("fencepost: fault not given: {why}")));
    lines.extend(outcome.device_errors.iter().map(|error| format!("fencepost: {error}")));
    lines.extend(trace_lines(launch, outcome));
    lines.extend(outcome.outputs.iter().flat_map(Delivery::lines));
    lines.extend(outcome.gave_up.map(|reason| match reason {
        StopReason::Signal(signal) => format!("fencepost: stopped by signal {signal} before all was written"),
        StopReason::Timeout => "fencepost: the time of --timeout was over before all was written".into(),
        StopReason::Quit => "fencepost: stopped by the escape key before all was written".into(),
        StopReason::Debugger => "fencepost: stopped by the debugger before all was written".into(),
        StopReason::InputEnded => "fencepost: standard input has ended before all was written".into(),
    }));
    if let Some(digest) = &outcome.memory_digest {
        lines.push(format!("guest memory: sha256 {digest}"));
    }
    lines.extend(outcome.findings.line().map(|line| format!("fencepost: {line}")));
    lines
}

/// What became of `--trace`.
fn trace_lines(launch: &Launch, outcome: &Outcome) -> Vec<String> {
    let (Some(path), Some(written)) = (&launch.machine.tracing.file, &outcome.log.written) else {
        return vec![];
    };
    let totals = match &written.result {
        Ok(totals) => totals,
        Err(error) => {
            let (path, why) = (path.display(), plain(error));
            return vec![format!("fencepost: --trace {path}: {why}; the trace is readable up to there")];
        }
    };
    let mut lines = vec![format!("trace: {} events in {}", totals.records, path.display())];
    if totals.beyond_limit > 0 {
        lines.push(format!(
            "trace: {} events came when the file had reached --trace-limit: it ends before them",
            totals.beyond_limit
        ));
    }
    if totals.lost > 0 {
        lines.push(format!("trace: {} events lost: the writer could not keep up", totals.lost));
    }
    if totals.guest_lost > 0 {
        lines.push(format!("trace: {} events lost by the guest's own buffer", totals.guest_lost));
    }
    let GuestRefused { senseless, misplaced } = outcome.stats.guest_trace_refused;
    if senseless > 0 || misplaced > 0 {
        lines.push(format!(
            "trace: left out of what the guest sent: {senseless} parts that made no sense, {misplaced} events at times when the guest's counter did not read that"
        ));
    }
    lines
}

fn end_lines(outcome: &Outcome) -> Vec<String> {
    let line = |text: &str| vec![format!("fencepost: {text}")];
    let with_dump = |text: &str| [line(text), outcome.last.lines()].concat();
    match &outcome.end {
        // The last line says why.
        End::Guest(GuestEnd::Panicked) if outcome.on_panic == Some(OnPanic::Dump) => {
            with_dump("the guest's kernel has failed")
        }
        End::Guest(GuestEnd::Panicked) => vec![],
        // The way in which a kernel restarts the machine may be a death.
        End::Guest(end) if end.is_death() && outcome.findings.panic.is_some() => {
            line("the guest's kernel has ended the machine")
        }
        End::Guest(GuestEnd::Exit(_) | GuestEnd::PowerOff | GuestEnd::Mark(_) | GuestEnd::Pause) => vec![],
        End::Guest(GuestEnd::Reset) => line("the guest asked for a reset"),
        End::Guest(GuestEnd::TripleFault) => {
            with_dump("the guest died of a triple fault (an exception while it handled a double fault)")
        }
        End::Guest(GuestEnd::Dead) => with_dump("the guest halted and nothing is left that could wake it"),
        End::Guest(GuestEnd::Stuck) => with_dump(
            "the guest is stuck: interrupts off and no access to the machine for the time of --watchdog",
        ),
        End::Guest(GuestEnd::Unrunnable(why)) => with_dump(&format!("the guest cannot go on: {why}")),
        End::Host(StopReason::Timeout) => with_dump("stopped: the time of --timeout is over"),
        End::Host(StopReason::Quit) => line("stopped by the escape key"),
        End::Host(StopReason::Debugger) => line("stopped by the debugger"),
        End::Host(StopReason::InputEnded) => line("stopped: standard input has ended (--eof end)"),
        End::Host(StopReason::Signal(signal)) => with_dump(&format!("stopped by signal {signal}")),
    }
}

fn stats_lines(outcome: &Outcome) -> Vec<String> {
    let stats: &RunStats = &outcome.stats;
    let mut lines = vec![format!(
        "stats: accel {}, started in {:.1} ms, ran {:.3} s",
        outcome.accel.name(),
        stats.startup.as_secs_f64() * 1e3,
        stats.wall.as_secs_f64()
    )];
    if let (Some(instructions), Some(mips)) = (stats.instructions, stats.mips()) {
        lines.push(format!(
            "stats: {instructions} guest instructions, {mips:.1} MIPS, guest clock {:.3} s",
            stats.cycles as f64 / stats.tsc_hz as f64
        ));
    }
    if let Some(bytes) = stats.beyond_ram_bytes {
        lines.push(format!(
            "stats: {:.1} MiB of host memory beyond guest RAM",
            bytes as f64 / f64::from(1 << 20)
        ));
    }
    lines.extend(stats.longest.map(longest_line));
    lines.extend(stats.spent.as_ref().map(spent_line));
    for (what, counts) in [("code", &stats.code), ("exceptions", &stats.exceptions)] {
        if !counts.is_empty() {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            lines.push(format!("stats: {what}: {}", counts.join(", ")));
        }
    }
    for (name, count) in &stats.unknown {
        lines.push(format!("stats: not known: {name}, {count} times"));
    }
    lines.extend(stats.counters.iter().map(|(name, counters)| {
        let counts: Vec<String> =
            counters.iter().map(|counter| format!("{} {}", counter.name, counter.value)).collect();
        format!("stats: {name}: {}", counts.join(", "))
    }));
    lines.extend(stats.faults.iter().map(|fault| {
        let FaultCount { spec, occasions, struck } = fault;
        let occasion = spec.about().occasion;
        format!("stats: fault {spec}: took place {struck} times, of {occasions} occasions ({occasion})")
    }));
    lines.push(unclaimed_line(&stats.unclaimed));
    lines
}

/// The longest that a reason to stop would have waited.
fn longest_line(longest: Longest) -> String {
    let what = match longest.done {
        Done::Call(rid) if rid >> 8 == 0 => format!("a call of the function in slot {}", rid >> 3),
        Done::Call(_) => "a call of the machine's own".into(),
        Done::Run | Done::Nothing => "what the CPU did".into(),
    };
    format!("stats: longest time between two looks at the host: {:.3} ms, {what}", longest.seconds * 1e3)
}

/// Where the host's time went.
fn spent_line(spent: &Spent) -> String {
    let calls = spent.calls.iter().map(|(slot, seconds)| format!(", calls of slot {slot} {seconds:.3} s"));
    format!("stats: host time: CPU {:.3} s{}", spent.run, calls.collect::<String>())
}

/// Says which instructions KVM left to the software CPU, if it did, and how long that took.
fn assists_line(assists: &Assists) -> Option<String> {
    let lengths = &assists.lengths;
    let (half, most) = (lengths.percentile(50)?, lengths.percentile(99)?);
    let mut names: Vec<(&String, u64)> = assists.by_name.iter().map(|(name, count)| (name, *count)).collect();
    names.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let names: Vec<String> = names.iter().map(|(name, count)| format!("{name} {count}")).collect();
    Some(format!(
        "fencepost: assists: {} instructions that KVM did not know ({}), p50 {}, p99 {} each",
        lengths.count(),
        names.join(", "),
        us(half),
        us(most)
    ))
}

/// How many moves there were each way, and how long they took.
fn moves_lines(moves: &Moves) -> Vec<String> {
    let line = |to: &str, lengths: &Lengths| {
        let (half, most) = (lengths.percentile(50)?, lengths.percentile(99)?);
        Some(format!("fencepost: moves to {to}: {}, p50 {}, p99 {}", lengths.count(), us(half), us(most)))
    };
    [line("kvm", &moves.to_kvm), line("soft", &moves.to_soft)].into_iter().flatten().collect()
}

/// Most ports named in a line.
const PORTS_NAMED: usize = 4;

fn unclaimed_line(unclaimed: &Unclaimed) -> String {
    let total: u64 = unclaimed.ports.values().sum();
    let mut most: Vec<(u16, u64)> = unclaimed.ports.iter().map(|(port, count)| (*port, *count)).collect();
    most.sort_by_key(|&(port, count)| (std::cmp::Reverse(count), port));
    let named: Vec<String> =
        most.iter().take(PORTS_NAMED).map(|(port, count)| format!("{port:#x} {count} times")).collect();
    let named = if named.is_empty() { String::new() } else { format!(" (most: {})", named.join(", ")) };
    let unheard = match unclaimed.doorbells {
        0 => String::new(),
        rings => format!(", {rings} rings of doorbells beyond those heard at a time"),
    };
    format!(
        "stats: unanswered accesses: {total} port bytes{named}, {} memory-mapped{unheard}",
        unclaimed.mmio
    )
}
