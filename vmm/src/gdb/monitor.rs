//! gdb's `monitor` commands.

use fencepost_time::Cycles;

use crate::debug::Stopped;

/// Longest mark.
pub const MARK_MAX_BYTES: usize = 256;

const HELP: &str = "\
monitor help              this text
monitor time              the machine's counter and the instructions retired
monitor trace mark TEXT   puts TEXT into the trace (--trace), at this moment
";

/// Does what a command says; the text to show.
pub fn answer(command: &[u8], cpus: &Stopped, marks: &mut Vec<String>) -> String {
    let text = String::from_utf8_lossy(command);
    let text = text.trim();
    match text.split_once("trace mark").map(|(before, mark)| (before.trim(), mark.trim())) {
        Some(("", _)) if cpus.past => {
            return "the trace has gone on from here; `continue` to where the guest was farthest first\n"
                .into();
        }
        Some(("", "")) => return "name the mark: monitor trace mark TEXT\n".into(),
        Some(("", mark)) if mark.len() > MARK_MAX_BYTES => {
            return format!("a mark has at most {MARK_MAX_BYTES} bytes\n");
        }
        Some(("", mark)) => {
            marks.push(mark.into());
            return format!("marked at cycle {}\n", cycle(cpus));
        }
        _ => {}
    }
    match text {
        "" | "help" => HELP.into(),
        "time" => {
            let retired: u64 = cpus.cpus.iter().map(|cpu| cpu.retired).sum();
            format!("cycle {}, {retired} instructions retired\n", cycle(cpus))
        }
        _ => format!("there is no such command; these are:\n{HELP}"),
    }
}

fn cycle(cpus: &Stopped) -> Cycles {
    cpus.cpus.get(cpus.current).map_or(Cycles(0), |cpu| cpu.cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_answered_and_marks_kept() {
        let (state, mut marks) = (Stopped::default(), Vec::new());
        let mut ask = |text: &str| answer(text.as_bytes(), &state, &mut marks);
        assert_eq!(ask("help"), HELP);
        assert!(ask("trace mark  before the fault ").contains("cycle 0"));
        assert!(ask("trace mark").contains("name the mark"));
        assert!(ask(&format!("trace mark {}", "x".repeat(257))).contains("256"));
        assert!(ask("reset").contains("no such command"));
        assert_eq!(marks, ["before the fault"]);
    }
}
