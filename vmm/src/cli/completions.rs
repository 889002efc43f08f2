//! `fencepost completions`: the command's names and options, as a shell completes them.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;
use crate::error::HostError;
use crate::say;

/// `fencepost completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints the shell's script; gives the exit status.
///
/// # Errors
///
/// Standard output does not take it.
pub fn completions(args: &CompletionsArgs) -> Result<i32, HostError> {
    say::list(&script(args.shell))
}

/// Without the commands that are hidden: clap_complete lists those, too.
fn script(shell: Shell) -> String {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = clap::Command::new("fencepost")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommands(shown.collect::<Vec<_>>());
    let mut text = Vec::new();
    generate(shell, &mut command, "fencepost", &mut text);
    String::from_utf8(text).expect("clap_complete writes text")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_what_is_shown_and_nothing_that_is_hidden() {
        for shell in Shell::value_variants() {
            let text = script(*shell);
            // A command of a command, and an option.
            assert!(text.contains("convert") && text.contains("trace-limit"), "{shell}");
            assert!(!text.contains(crate::suite::order::COMMAND), "{shell}");
        }
    }
}
