//! The `fencepost` command.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

use std::process::ExitCode;
use std::sync::Arc;

use fencepost::cli::{self, Command, RunArgs};
use fencepost::control::Control;
use fencepost::demo::demo;
use fencepost::doctor::doctor;
use fencepost::error::{HostError, plain};
use fencepost::run::{Hooks, run};
use fencepost::terminal::RawTerminal;
use fencepost::trace_cli::trace;
use fencepost::{config, console, descriptors, report, say, signals};

fn main() -> ExitCode {
    descriptors::close_inherited();
    signals::outlive_file_limits();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return exit_code(status),
    };
    let result = match cli.command {
        Command::Run(args) => run_command(&args),
        Command::Demo(args) => demo(&args),
        Command::Doctor(args) => Ok(doctor(args.json)),
        Command::Root(args) => cli::root::root(&args),
        Command::Cache(args) => cli::cache::cache(&args),
        Command::Test(args) => cli::test::test(&args),
        Command::Exec(args) => cli::test::exec(&args),
        Command::TestWorker => cli::test::work(),
        Command::Trace(args) => trace(&args),
    };
    match result {
        Ok(status) => exit_code(status),
        Err(error) => {
            say::line(format_args!("fencepost: {error}"));
            exit_code(error.status())
        }
    }
}

fn run_command(args: &RunArgs) -> Result<i32, HostError> {
    if args.print_machine {
        return say::list(&config::print(&args.described()?)?);
    }
    let control = Arc::<Control>::default();
    let _signals = signals::watch(Arc::clone(&control));
    say::beside(&control, || run_on_terminal(args, &control))
}

fn run_on_terminal(args: &RunArgs, control: &Arc<Control>) -> Result<i32, HostError> {
    let launch = args.launch()?;
    let screen = say::output(control)
        .map_err(|error| HostError::Host(format!("standard output: {}", plain(&error))))?;
    let mut hooks = Hooks::new(Box::new(screen.writer(args.slow_output)));
    hooks.terminal = Some(Box::new(screen.writer(args.slow_output)));
    hooks.control = Arc::clone(control);
    hooks.gates.push(Arc::clone(screen.gate()));
    if args.console.console_size.is_none() {
        control.size_by_terminal();
    }
    let terminal = RawTerminal::enter();
    let reader = console::read_stdin(Arc::clone(control), terminal.is_some(), args.console.eof);
    let outcome = run(&launch, hooks);
    drop(reader);
    let mut outcome = outcome?;
    outcome.add(screen.finish(), control);
    drop(terminal);
    for line in report::lines(&launch, args.stats, &outcome) {
        say::line(line);
    }
    Ok(outcome.with_outputs(outcome.status()))
}

fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
