//! The `fencepost` command as a whole, which `main.rs` calls, and the program of whoever has device models of their own.

use std::process::ExitCode;
use std::sync::Arc;

use fencepost_devices::registry::{self, Entry};

use crate::cli::{self, Command, RunArgs};
use crate::control::Control;
use crate::demo::demo;
use crate::doctor::doctor;
use crate::error::{HostError, plain};
use crate::run::{Hooks, run};
use crate::sandbox::{self, Sandbox};
use crate::terminal::RawTerminal;
use crate::trace_cli::trace;
use crate::{config, console, descriptors, report, say, signals};

/// The whole command, with device models beside those that Fencepost has: `main` of a program that has such models calls this and
/// nothing else. They are plugged, listed, tested, saved and restored as the others are.
///
/// ```no_run
/// use fencepost_devices::registry::Entry;
/// # use fencepost_devices::edu::Edu as Mine;
///
/// fn main() -> std::process::ExitCode {
///     fencepost::main_with(&[Entry::of::<Mine>()])
/// }
/// ```
pub fn main_with(models: &[Entry]) -> ExitCode {
    descriptors::close_inherited();
    signals::outlive_file_limits();
    if let Err(why) = registry::add(models) {
        say::line(format_args!("fencepost: {why}"));
        return exit_code(2);
    }
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
        Command::New(args) => cli::new::new(&args),
        Command::Exec(args) => cli::test::exec(&args),
        Command::TestWorker => cli::test::work(),
        Command::Trace(args) => trace(&args),
        Command::Completions(args) => cli::completions::completions(&args),
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
    if args.sandbox {
        sandbox::prepare();
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
    if args.stats {
        control.measure_looks();
    }
    hooks.sandbox = args.sandbox.then(Sandbox::default);
    launch.bounds.console.into_iter().for_each(|most| screen.gate().end_after(most));
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
