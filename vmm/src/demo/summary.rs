//! What the demo says at its end.

use super::check::Findings;
use super::handoffs::{Dropped, Handoffs};
use crate::accel::Chosen;
use crate::cli::DemoArgs;
use crate::run::Outcome;

/// Mismatches that are told one by one.
const MOST_TOLD: usize = 5;
/// What stamps are under `soft`.
const EXACT: &str = "exact: 1 instruction = 1 cycle = 1 ns of the guest's clock";
/// Console lines shown when something went wrong.
const CONSOLE_TAIL: usize = 15;

/// Prints the summary; returns the exit status.
pub fn print(args: &DemoArgs, outcome: &Outcome, findings: &Findings, dropped: &Dropped) -> i32 {
    frames(args, findings, dropped);
    handoffs(args, outcome, findings);
    speed(outcome);
    let problems = problems(args, outcome, findings);
    for problem in &problems {
        println!("FAILED: {problem}");
    }
    if problems.is_empty() {
        println!("every pixel of every frame is what the host computed from the source");
        return 0;
    }
    let console = String::from_utf8_lossy(&findings.console);
    let lines: Vec<&str> = console.lines().collect();
    println!("the end of the guest's console ({}):", args.out.join("console.log").display());
    for line in &lines[lines.len().saturating_sub(CONSOLE_TAIL)..] {
        println!("  {line}");
    }
    1.max(outcome.status())
}

fn frames(args: &DemoArgs, findings: &Findings, dropped: &Dropped) {
    println!(
        "frames      {} shown of {} wanted, {} dropped by the camera, {} mismatches",
        findings.compared,
        args.frames,
        dropped.count(),
        findings.mismatches.len()
    );
    println!("pictures    {}", args.out.join("frame-NNNN.png").display());
}

fn handoffs(args: &DemoArgs, outcome: &Outcome, findings: &Findings) {
    let journeys = findings.guest.journeys();
    let (mut all, missing) = Handoffs::join(journeys.values(), outcome.log.recorder.records());
    println!("{:<34} {:>14} {:>14}", "hand-off, guest cycles", "mean", "worst");
    for (name, mean, worst) in all.rows() {
        println!("  {name:<32} {mean:>14} {worst:>14}");
    }
    if missing > 0 {
        println!("  ({missing} frames without all their stamps are left out)");
    }
    let lost = outcome.log.recorder.lost();
    if lost > 0 {
        println!("  (the oldest {lost} stamps of camera and display were given up for memory)");
    }
    println!("  {}", stamps(outcome.accel, !args.moves.is_empty(), args.seed));
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

fn speed(outcome: &Outcome) {
    let stats = &outcome.stats;
    let wall = stats.wall.as_secs_f64();
    match (stats.instructions, stats.mips()) {
        (Some(count), Some(mips)) => println!(
            "time        {wall:.1} s for {:.3} billion guest instructions: {mips:.0} million a second",
            count as f64 / 1e9
        ),
        _ => println!("time        {wall:.1} s"),
    }
    // MSRs that a kernel merely tries are no news; `fencepost run --stats` names them.
    for (name, count) in stats.unknown.iter().filter(|(name, _)| name.starts_with("instruction")) {
        println!("not known   {name}, {count} times");
    }
}

fn problems(args: &DemoArgs, outcome: &Outcome, findings: &Findings) -> Vec<String> {
    let mut problems: Vec<String> = findings.mismatches.iter().take(MOST_TOLD).cloned().collect();
    if findings.mismatches.len() > MOST_TOLD {
        problems.push(format!("and {} frames more differ", findings.mismatches.len() - MOST_TOLD));
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
    problems.extend(findings.write_error.iter().map(|error| format!("not everything was written: {error}")));
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
