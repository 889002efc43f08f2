//! The command line of `fencepost`.

mod bounds;
pub mod cache;
pub mod completions;
mod console;
mod disk;
mod errors;
mod fault;
mod foreign;
mod links;
pub mod new;
pub mod root;
mod run;
pub mod test;
pub mod trace;
mod values;
mod view;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use fencepost_devices::parameters::Parameters;

use crate::config::{Accel, Categories, IommuKind, Size};
use crate::launch::MoveAt;
use crate::picture_size::PictureSize;
use crate::say;
use fault::{FaultOption, fault_help};
use root::RootArgs;
pub use run::RunArgs;
use trace::TraceArgs;
use values::{
    ACCEL, DeviceOption, IOMMU, SANDBOX, device_help, memory_size, parameters_of, timeout, trace_limit,
    whole, word,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "fencepost", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Boot a kernel with the GPU, the camera and the display attached
    ///
    /// The serial console is on the terminal. Ctrl-] then q ends the machine; Ctrl-] twice sends one Ctrl-].
    /// The exit status is the guest's own (exit port), 0 after power-off, 2 for bad input, 3 if the guest died
    /// (triple fault, halted for ever, stuck by --watchdog), 4 after a guest reset, 5 after a panic of its kernel, 6 by --on-panic
    /// where it would be 0 and the kernel has reported a failure, 124 after --timeout, 130 or 143 after a signal, 159 where the sandbox ended it.
    Run(Box<RunArgs>),
    /// Send camera frames through the GPU to the display, and check every pixel
    ///
    /// Boots the kernel with an initramfs that holds the drivers and the flow (`ci/guest` makes it), shows a progress
    /// bar and a summary, and writes the frames that were on the screen as PNGs. The exit status is 0 when every pixel
    /// of every frame is what the host computes from the source, 2 for bad input, anything else otherwise.
    Demo(Box<DemoArgs>),
    /// Say what KVM is worth on this host, what is there to build and boot guests, and how to fix what is not
    ///
    /// Run the commands it names in Fencepost's source folder. The exit status is KVM's class: 0 native, 10 slow (KVM
    /// works but emulates kernel mode), 11 none (no KVM that can run a guest); 2 for bad input. Everything else that
    /// is amiss is shown and leaves the status alone.
    Doctor(DoctorArgs),
    /// Make a guest's root file system of Debian packages; nothing is installed on the host
    ///
    /// The host's apt finds the packages and fetches them into the cache folder; with all of them there, no network is
    /// needed. The same packages give the same bytes. docs/root.md says what is in it and how to boot it.
    Root(RootArgs),
    /// List what Fencepost and its scripts keep in the cache folder, or remove it
    ///
    /// Nothing in it is needed: it is made or fetched anew. The folder is FENCEPOST_CACHE, or fencepost in the user's caches.
    Cache(cache::CacheArgs),
    /// Run scenarios: tests of drivers, each in a guest of its own that starts within milliseconds
    ///
    /// A scenario is a TOML file (docs/scenarios.md): a kernel, modules, what is done in the guest and on the host, and what is
    /// expected. The exit status is 0 if all passed, 1 if one failed, 2 for bad input, 3 if the harness failed.
    Test(Box<test::TestArgs>),
    /// Write a starting point: a test of a driver, or a device of your own, with tests that pass
    New(new::NewArgs),
    /// Run a command in a running guest
    ///
    /// The guest was started with `fencepost run --root ROOT --agent PATH`. What the command writes is shown as it comes; its exit
    /// status is this one's, 1 if the guest ended before it.
    Exec(test::ExecArgs),
    /// Do an order of `fencepost test`
    #[command(name = crate::suite::order::COMMAND, hide = true)]
    TestWorker,
    /// Say what a trace file tells: hand-offs and where their time went, differences, single events; convert it
    Trace(TraceArgs),
    /// Print what a shell needs to complete this command's names and options
    ///
    /// For bash: `fencepost completions bash >~/.local/share/bash-completion/completions/fencepost`. The Debian package brings them.
    Completions(completions::CompletionsArgs),
}

/// `fencepost doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// One JSON object instead: class, status, checks, and the facts behind them
    #[arg(long)]
    pub json: bool,
}

/// What the guest captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CaptureFormat {
    /// Semi-planar 4:2:0.
    Nv12,
    /// Packed 4:2:2.
    Yuyv,
}

/// `fencepost demo`. Of an option that is given twice the last counts, so that a script can have defaults.
#[derive(Clone, Debug, Args)]
#[command(args_override_self = true)]
pub struct DemoArgs {
    /// Kernel: a vmlinux (ELF) or a distribution's bzImage
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// Initial RAM file system with the drivers and the flow
    #[arg(long, value_name = "FILE")]
    pub initrd: PathBuf,
    /// Pictures for the camera, Y4M or PNG; a test pattern when absent
    #[arg(long, value_name = "FILE")]
    pub camera_source: Option<PathBuf>,
    /// How large the pictures and the screen are: the pictures' own size (a test pattern's is 640x480), or of a PNG a part,
    /// which wanders over it
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub size: Option<PictureSize>,
    /// Frames to show
    #[arg(long, value_name = "COUNT", default_value = "120", value_parser = whole::<u32>(1, 100_000))]
    pub frames: u32,
    /// What the guest captures
    #[arg(long, value_enum, default_value = "nv12")]
    pub format: CaptureFormat,
    /// Folder for the scanned-out frames and the guest's console
    #[arg(long, value_name = "DIR", default_value = "demo-frames")]
    pub out: PathBuf,
    /// Kernel command line, without the job
    #[arg(
        long,
        value_name = "STRING",
        default_value = "console=ttyS0 quiet panic=-1 reboot=acpi intel_iommu=on",
        allow_hyphen_values = true
    )]
    pub append: String,
    /// Guest memory, with K, M or G (of 1024); MiB without
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory_size, allow_hyphen_values = true)]
    pub memory: Size,
    /// What runs the guest's CPU
    #[arg(long, default_value = "auto", value_parser = word(ACCEL))]
    pub accel: Accel,
    /// GPU cost model: latency=CYCLES, bytes-per-cycle=N
    #[arg(long, value_name = "KEY=VALUE,...", default_value = "", value_parser = parameters_of("gpu"))]
    pub gpu: Parameters,
    /// The IOMMU that the guest finds: on is VT-d
    #[arg(long, default_value = "on", action = ArgAction::Set, value_parser = word(IOMMU))]
    pub iommu: IommuKind,
    /// Vary by this number what hardware may vary: how long jobs take, the order of what is due at one moment, the
    /// delay of interrupts (docs/machine.md). The same number gives the same run. With --accel soft only
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0, u64::MAX), allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Move the running machine to another back end (kvm or soft) at a mark: the flow writes 1 when everything is set
    /// up and 2 after the last frame
    #[arg(long = "move", value_name = "MARK=BACKEND")]
    pub moves: Vec<MoveAt>,
    /// Refreshes of the display, and frames of the camera if not 60, a second
    #[arg(long, value_name = "HZ", default_value = "60", value_parser = whole::<u16>(1, 240))]
    pub rate: u16,
    /// Give up after this many seconds of host time, with status 124
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    pub timeout: Option<Duration>,
    /// Trace the run into a file, for `fencepost trace`
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// What to trace: names out of register, dma, iommu, iotlb, engine, interrupt, vcpu, guest, or all, default, none;
    /// +NAME and -NAME change the default
    #[arg(long, value_name = "LIST", default_value = "default", allow_hyphen_values = true)]
    pub trace_categories: Categories,
    /// Bytes that the trace's file may take, with K, M or G. A full one ends there, readable; what comes later is counted
    #[arg(long, visible_alias = "max-trace", value_name = "SIZE", default_value = "1G", value_parser = trace_limit)]
    pub trace_limit: Size,
    /// Print the SHA-256 of guest memory at the end
    #[arg(long)]
    pub memory_hash: bool,
    /// Whether the process gives up, before the guest's first instruction, all that the run does not need (docs/security.md): calls of the
    /// host's kernel, files, the network, capabilities
    #[arg(long, value_name = "on|off", default_value = "on", action = ArgAction::Set, value_parser = word(SANDBOX))]
    pub sandbox: bool,
    /// Print the demo's machine as a file for `fencepost run --machine`, and end
    #[arg(long)]
    pub print_machine: bool,
}

/// Parses the process's arguments; on an error (or --help) prints it and gives the exit status.
pub fn parse() -> Result<Cli, i32> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let (over, status) = match parse_from(&arguments) {
        Ok((cli, note)) => {
            note.iter().for_each(|note| say::line(format_args!("fencepost: {note}")));
            return Ok(cli);
        }
        Err(over) => (over, 2),
    };
    match over {
        Over::Help(error) => {
            let _ = error.print();
            let asked = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
            Err(if asked { 0 } else { status })
        }
        Over::List(text) => Err(say::list(&text).unwrap_or_else(|error| {
            say::line(format_args!("fencepost: {error}"));
            error.status()
        })),
        Over::Refused(line) => {
            say::line(format_args!("fencepost: {line}"));
            Err(status)
        }
    }
}

/// What ends the command before it began.
enum Over {
    /// Help or version, whether asked for or not.
    Help(clap::Error),
    /// What was asked for instead of a command.
    List(String),
    /// What is wrong, in one line.
    Refused(String),
}

/// Parses arguments, the program's name first. Gives what the user should know of what was understood, too.
fn parse_from(arguments: &[OsString]) -> Result<(Cli, Option<String>), Over> {
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|matches| {
        let note = matches.subcommand().and_then(|(_, matches)| size_note(matches));
        Ok((Cli::from_arg_matches(&matches)?, note))
    });
    let parsed = parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => match errors::instead_of_help(arguments) {
            Some(line) => Over::Refused(line),
            None => Over::Help(error),
        },
        ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Over::Help(error),
        _ => Over::Refused(errors::one_line(&error, arguments)),
    });
    let (cli, note) = parsed?;
    match &cli.command {
        Command::Run(args) if args.devices.contains(&DeviceOption::Help) => Err(Over::List(device_help())),
        Command::Run(args) if args.faults.contains(&FaultOption::Help) => Err(Over::List(fault_help())),
        Command::Run(args) if args.lacks_kernel() => {
            Err(Over::Refused(errors::lacks("--kernel <FILE>", arguments)))
        }
        _ => Ok((cli, note)),
    }
}

/// A bare number is MiB here as with other launchers, and bytes with some: it is said which.
fn size_note(matches: &clap::ArgMatches) -> Option<String> {
    ["memory", "trace-limit", "max-console", "max-disk"].into_iter().find_map(|option| {
        let id = option.replace('-', "_");
        let given = matches.try_get_raw(&id).ok()??.next_back()?.to_str()?;
        let bare = matches.value_source(&id) == Some(ValueSource::CommandLine)
            && given.bytes().all(|byte| byte.is_ascii_digit());
        bare.then(|| format!("--{option} {given}: taken as {given} MiB"))
    })
}

#[cfg(test)]
#[path = "cli/errors_tests.rs"]
mod errors_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_counts_for_a_demo() {
        let line = "fencepost demo --kernel k --initrd i --timeout 1800 --timeout 5";
        let Command::Demo(demo) = Cli::try_parse_from(line.split(' ')).expect("taken").command else {
            panic!("another command")
        };
        assert_eq!(demo.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
