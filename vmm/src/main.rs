//! The `fencepost` command.

use std::process::ExitCode;
use std::sync::Arc;

use fencepost::cli::{self, Command, RunArgs};
use fencepost::console::{self, RawTerminal};
use fencepost::demo::demo;
use fencepost::doctor::doctor;
use fencepost::error::HostError;
use fencepost::run::{Hooks, run};
use fencepost::trace_cli::trace;
use fencepost::{report, signals};

fn main() -> ExitCode {
    signals::outlive_file_limits();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return exit_code(status),
    };
    let result = match cli.command {
        Command::Run(args) => run_command(&args),
        Command::Demo(args) => demo(&args),
        Command::Doctor(args) => Ok(doctor(&args)),
        Command::Trace(args) => trace(&args),
    };
    console::restore();
    match result {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("fencepost: {error}");
            exit_code(error.status())
        }
    }
}

fn run_command(args: &RunArgs) -> Result<i32, HostError> {
    let hooks = Hooks::new(Box::new(std::io::stdout()));
    let control = Arc::clone(&hooks.control);
    let _signals = signals::watch(Arc::clone(&control));
    let terminal = RawTerminal::enter();
    let reader = console::read_stdin(control, terminal.is_some());
    let outcome = run(args, hooks);
    drop(reader);
    drop(terminal);
    let outcome = outcome?;
    for line in report::lines(args, &outcome) {
        eprintln!("{line}");
    }
    Ok(outcome.with_trace(outcome.status()))
}

fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
