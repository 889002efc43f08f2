//! Whether the faults of a scenario's steps took place: a test of a fault that never was has tested nothing.

use fencepost_devices::faults::FaultSpec;
use fencepost_report::Judged;

use super::play::{Ended, Played};
use super::tasks;
use crate::machine::faults::FaultCount;
use crate::scenario::{Action, Found};

/// Compares the faults that steps gave with what became of them. One with a probability may well not take place.
pub fn judge(found: &Found, played: &[Played], counts: &[FaultCount], refused: &[String]) -> Judged {
    let mut judged = Judged::default();
    let mut counts: Vec<&FaultCount> = counts.iter().collect();
    for played in played.iter().filter(|played| played.ended == Some(Ended::Done)) {
        let Some(step) = tasks::step(found, played.task) else { continue };
        let Ok(Action::Fault(text)) = step.get_ref().action() else { continue };
        let Ok(spec) = text.parse::<FaultSpec>() else { continue };
        // The machine of a snapshot may have the same.
        let Some(at) = counts.iter().rposition(|count| count.spec == spec) else { continue };
        let count = counts.remove(at);
        if spec.text("probability").is_some() {
            continue;
        }
        let name = format!("step {}: {} takes place", played.task, tasks::title(found, played.task));
        match count.struck {
            0 => {
                let came =
                    format!("it has not, at {} occasions ({})", count.occasions, spec.about().occasion);
                judged.failed(name, "that the fault takes place", came, Vec::new());
                judged.failures.iter_mut().rev().take(1).for_each(|it| it.line = Some(found.line(step)));
            }
            times => judged.passed(name, format!("{times} times")),
        }
    }
    for why in refused {
        judged.failed("a fault that waited for a mark", "that it can be given", why, Vec::new());
    }
    judged
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SCENARIO: &str = "[scenario]
[[step]]
fault = \"gpu:hang,after=2\"
[[step]]
fault = \"gpu:hang,after=2\"
[[step]]
fault = \"camera:drop,probability=0.5\"
[[step]]
fault = \"gpu:slow\"
[[step]]
run = \"true\"
";

    fn played(task: usize, ended: Ended) -> Played {
        Played { task, ended: Some(ended), output: Default::default(), ns: (0, 0) }
    }

    #[test]
    fn a_fault_that_never_was_is_a_failure_of_its_step() {
        let found = Found::of(Path::new("Cargo.toml"), SCENARIO).unwrap();
        let all = [
            played(1, Ended::Done),
            played(2, Ended::Done),
            played(3, Ended::Done),
            // It never came to these.
            played(4, Ended::Refused("no such device".into())),
            played(5, Ended::Status(0)),
        ];
        let count =
            |text: &str, occasions, struck| FaultCount { spec: text.parse().unwrap(), occasions, struck };
        let counts = [
            count("gpu:hang,after=2", 1, 0),
            count("gpu:hang,after=2", 3, 1),
            count("camera:drop,probability=0.5", 9, 0),
        ];
        let judged = judge(&found, &all, &counts, &["gpu:hang: there are too many".into()]);
        assert_eq!(judged.checks.len(), 3, "{judged:?}");
        let [one, other] = &judged.failures[..] else { panic!("{judged:?}") };
        assert_eq!((one.line, one.came.as_str()), (Some(4), "it has not, at 1 occasions (job)"));
        assert!(other.came.contains("too many"), "{other:?}");
    }
}
