//! What the demo says at its end.

use super::check::Findings;
use super::handoffs::{Dropped, Handoffs};
use crate::accel::Chosen;
use crate::cli::DemoArgs;
use crate::run::Outcome;

/// Mismatches that are reported one by one.
const MOST_TOLD: usize = 5;
/// What stamps are under `soft`.
const EXACT: &str = "exact: 1 instruction = 1 cycle = 1 ns of the guest's clock";
/// Console lines shown when something went wrong.
const CONSOLE_TAIL: usize = 15;

/// The summary's lines, and the exit status.
pub fn lines(
    args: &DemoArgs,
    outcome: &Outcome,
    findings: &Findings,
    dropped: &Dropped,
) -> (Vec<String>, i32) {
    let mut lines = frames(args, findings, dropped);
    lines.extend(handoffs(args, outcome, findings));
    lines.extend(speed(outcome));
    let problems = problems(args, outcome, findings);
    lines.extend(problems.iter().map(|problem| format!("FAILED: {problem}")));
    if problems.is_empty() {
        lines.push("every pixel of every frame is what the host computed from the source".into());
        return (lines, 0);
    }
    let console = String::from_utf8_lossy(&findings.console);
    let said: Vec<&str> = console.lines().collect();
    lines.push(format!("the end of the guest's console ({}):", args.out.join("console.log").display()));
    lines.extend(said.iter().skip(said.len().saturating_sub(CONSOLE_TAIL)).map(|line| format!("  {line}")));
    (lines, 1.max(outcome.status()))
}

fn frames(args: &DemoArgs, findings: &Findings, dropped: &Dropped) -> Vec<String> {
    let counts = format!(
        "frames      {} shown of {} wanted, {} dropped by the camera, {} mismatches",
        findings.compared,
        args.frames,
        dropped.count(),
        findings.differing
    );
    vec![counts, format!("pictures    {}", args.out.join("frame-NNNN.png").display())]
}

fn handoffs(args: &DemoArgs, outcome: &Outcome, findings: &Findings) -> Vec<String> {
    let journeys = findings.guest.journeys();
    let (mut all, missing) = Handoffs::join(journeys.values(), outcome.log.recorder.records());
    let mut lines = vec![format!("{:<34} {:>14} {:>14}", "hand-off, guest cycles", "mean", "worst")];
    for (name, mean, worst) in all.rows() {
        lines.push(format!("  {name:<32} {mean:>14} {worst:>14}"));
    }
    if missing > 0 {
        lines.push(format!("  ({missing} frames without all their stamps are left out)"));
    }
    let lost = outcome.log.recorder.lost();
    if lost > 0 {
        lines.push(format!("  (the oldest {lost} stamps of camera and display were given up for memory)"));
    }
    lines.push(format!("  {}", stamps(outcome.accel, !args.moves.is_empty(), args.seed)));
    lines
}

/// What the table's numbers are.
fn stamps(accel: Chosen, moves: bool, seed: Option<u64>) -> String {
    match (accel, seed) {
        _ if moves => {
            "exact cycles under soft, stamps of the guest's TSC under kvm: the machine moved".into()
        }
        (Chosen::Soft, None) => format!("{EXACT}; engines by their cost models"),
        (Chosen::Soft, Some(seed)) => {
            format!("{EXACT}; engines by their cost models, they and interrupts varied by --seed {seed}")
        }
        (Chosen::Kvm, _) => "stamps of the guest's TSC, not exact cycles".into(),
    }
}

fn speed(outcome: &Outcome) -> Vec<String> {
    let stats = &outcome.stats;
    let wall = stats.wall.as_secs_f64();
    let mut lines = vec![match (stats.instructions, stats.mips()) {
        (Some(count), Some(mips)) => format!(
            "time        {wall:.1} s for {:.3} billion guest instructions: {mips:.0} million a second",
            count as f64 / 1e9
        ),
        _ => format!("time        {wall:.1} s"),
    }];
    // MSRs that a kernel merely tries are no news; `fencepost run --stats` names them.
    for (name, count) in stats.unknown.iter().filter(|(name, _)| name.starts_with("instruction")) {
        lines.push(format!("not known   {name}, {count} times"));
    }
    lines
}

fn problems(args: &DemoArgs, outcome: &Outcome, findings: &Findings) -> Vec<String> {
    let mut problems: Vec<String> = findings.mismatches.iter().take(MOST_TOLD).cloned().collect();
    let told = problems.len() as u32;
    if findings.differing > told {
        problems.push(format!("and {} frames more differ", findings.differing - told));
    }
    if findings.given_up > 0 && !findings.missing().is_empty() {
        problems.push(format!(
            "{} pictures were given up for memory before the guest told which frames they are",
            findings.given_up
        ));
    }
    let missing = findings.missing();
    if !missing.is_empty() {
        problems.push(format!(
            "{} frames were reported by the guest but not on the screen at their vblank, the first is frame {}",
            missing.len(),
            missing[0]
        ));
    }
    if findings.compared < args.frames {
        problems.push(format!("only {} of {} frames were shown", findings.compared, args.frames));
    }
    if outcome.status() != 0 {
        problems.push(format!("the guest ended with status {}", outcome.status()));
    }
    let unwritten = outcome.outputs.iter().filter_map(|output| output.error.as_ref());
    problems.extend(unwritten.map(|error| format!("not everything was written: {error}")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_its_numbers_are() {
        let says = |accel, moves, seed, words: &[&str]| {
            let line = stamps(accel, moves, seed);
            words.iter().for_each(|word| assert!(line.contains(word), "{word} is not in: {line}"));
        };
        says(Chosen::Soft, false, None, &["exact: 1 instruction = 1 cycle"]);
        says(Chosen::Soft, false, Some(4), &["exact", "--seed 4"]);
        says(Chosen::Kvm, false, None, &["stamps of the guest's TSC", "not exact"]);
        for accel in [Chosen::Soft, Chosen::Kvm] {
            says(accel, true, None, &["exact cycles under soft", "TSC under kvm", "moved"]);
        }
    }
}
