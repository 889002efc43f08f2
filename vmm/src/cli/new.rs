//! `fencepost new`: its options.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::error::HostError;
use crate::new;
use crate::say;
use crate::suite::quoted;

/// `fencepost new`.
#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// What is made.
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// A test of a driver: a scenario, and a small kernel module in whose place yours goes
    Scenario(ScenarioArgs),
    /// A device of your own: its model as a crate, a driver for it, and a scenario of both
    ///
    /// The crate's program is the `fencepost` command with this device among the others (docs/guide-driver.md).
    Device(DeviceArgs),
}

#[derive(Clone, Debug, Args)]
struct ScenarioArgs {
    /// Its folder, which is new or empty. The last part is the scenario's name
    #[arg(value_name = "DIR", default_value = ".")]
    path: PathBuf,
}

#[derive(Clone, Debug, Args)]
struct DeviceArgs {
    /// The device's kind, or the path of its folder, whose last part is that. The folder is new or empty
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// Take Fencepost's crates from this clone of its repository, not from the registry
    #[arg(long, value_name = "DIR")]
    crates: Option<PathBuf>,
}

/// Makes it; gives the exit status.
///
/// # Errors
///
/// Bad input, or a folder that cannot be written.
pub fn new(args: &NewArgs) -> Result<i32, HostError> {
    match &args.what {
        What::Scenario(ScenarioArgs { path }) => {
            new::scenario(path)?;
            say::line(format_args!("fencepost: written; next: fencepost test {}", shown(path)));
        }
        What::Device(DeviceArgs { path, crates }) => {
            new::device(path, crates.as_deref())?;
            let next = "cargo test && cargo run -- test scenarios";
            say::line(format_args!("fencepost: written; next: cd {} && {next}", shown(path)));
        }
    }
    Ok(0)
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.chars().all(plain) { text } else { quoted(&text) }
}
