//! `fencepost root`: its options, and what it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use clap::Args;
use fencepost_devices::parameters;
use fencepost_devices::registry::find;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cache;
use crate::config::{MachineConfig, Plug};
use crate::error::{HostError, plain};
use crate::root::boot;
use crate::root::initramfs::{Beside, Place, Task};
use crate::root::output::Output;
use crate::root::process::Job;
use crate::root::{Request, build};
use crate::say;

/// The tag of the folder that is shared as the root.
const TAG: &str = "fencepost-root";

/// `fencepost root`.
#[derive(Clone, Debug, Args)]
pub struct RootArgs {
    /// Packages, as apt-get takes them: NAME, NAME:ARCHITECTURE, NAME=VERSION. What they need, and what every Debian
    /// has (coreutils, a shell, ...), comes with them
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        required_unless_present = "kernel_package",
        requires = "output"
    )]
    pub packages: Vec<String>,
    /// Where to: an image for `fencepost run --disk`, or, with a slash at the end or where an empty folder is, a folder
    #[arg(short, long, value_name = "FILE|DIR/", requires = "packages")]
    pub output: Option<PathBuf>,
    /// Fetch a kernel with its modules into the cache as well, such as linux-image-6.12-amd64, for `fencepost run --root`
    #[arg(long, value_name = "NAME")]
    pub kernel_package: Option<String>,
    /// The release to prefer, of those in the host's package sources, such as bookworm
    #[arg(long, value_name = "NAME")]
    pub suite: Option<String>,
    /// Take packages from the sources in this file (see sources.list(5)), not from the host's
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// What the packages are built for, as Debian names it
    #[arg(long, value_name = "NAME", default_value = "amd64")]
    pub arch: String,
    /// Fetch the package lists anew, where those in the cache would be used
    #[arg(long)]
    pub update: bool,
}

/// The part of `fencepost run` that boots a root.
#[derive(Clone, Debug, Default, Args)]
pub struct BootArgs {
    /// Boot into this root, which `fencepost root` made: an image or a folder. The initramfs for it is made as well; without --kernel
    /// it is the kernel that `fencepost root --kernel-package` fetched last. What the guest writes is lost at its end (docs/root.md)
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["initrd", "restore"])]
    pub root: Option<PathBuf>,
    /// What the guest runs in its root, for its /bin/sh, instead of a shell on the console. Its status is the exit status
    #[arg(long, value_name = "COMMAND", requires = "root", allow_hyphen_values = true)]
    pub root_cmd: Option<String>,
}

impl BootArgs {
    /// Whether there is a root to be booted.
    pub fn is_given(&self) -> bool {
        self.root.is_some()
    }

    /// Gives a machine the root, and what it takes to get there. With `plain_line` nobody has chosen a kernel command
    /// line; `beside` is what the guest has beside its task.
    ///
    /// # Errors
    ///
    /// There is no such root, no kernel for it, or none of its modules.
    pub fn boot(
        &self,
        machine: &mut MachineConfig,
        plain_line: bool,
        beside: Beside,
    ) -> Result<(), HostError> {
        let Some(root) = &self.root else { return Ok(()) };
        let fix = "make it with `fencepost root`";
        let metadata =
            std::fs::metadata(root).map_err(|error| HostError::file("--root", root, &error, fix))?;
        // A comma in a value is written twice.
        let name = root.display().to_string().replace(',', ",,");
        let place = if metadata.is_dir() {
            plug(machine, "virtio-fs", &format!("tag={TAG},dir={name}"))?;
            Place::Shared(TAG.to_string())
        } else {
            Place::Disk(plug(machine, "virtio-blk", &format!("file={name},writes=refused,format=raw"))?)
        };
        let task = self.root_cmd.clone().map_or(Task::Shell, Task::Command);
        let cache = cache_folder()?;
        let kernel = match &machine.kernel.path {
            Some(path) => path.clone(),
            None => boot::kept_kernel(&cache)?,
        };
        let signal = AtomicI32::new(0);
        let job = Job::new(&signal, &tell);
        machine.kernel.initramfs = vec![boot::initramfs(&kernel, &place, (&task, beside), &cache, &job)?];
        machine.kernel.path = Some(kernel);
        if plain_line && machine.kernel.command_line.is_none() {
            machine.kernel.command_line = Some(boot::COMMAND_LINE.to_string());
        }
        Ok(())
    }
}

/// Plugs a device with the root; gives its slot.
fn plug(machine: &mut MachineConfig, kind: &str, keys: &str) -> Result<u8, HostError> {
    let mut plugged = || {
        let model = find(kind)?;
        let parameters = parameters::parse(keys, model.parameters)?;
        machine.plug(&Plug { model: model.kind, slot: None, parameters })?;
        Ok::<_, String>(machine.devices.last().map_or(0, |device| device.slot))
    };
    plugged().map_err(|why| HostError::Input(format!("--root: {kind}: {why}")))
}

fn cache_folder() -> Result<PathBuf, HostError> {
    cache::folder().ok_or_else(|| {
        HostError::input("there is no cache folder without HOME", "set HOME, or FENCEPOST_CACHE to a folder")
    })
}

/// Makes the root; gives the exit status.
///
/// # Errors
///
/// Why there is none.
pub fn root(args: &RootArgs) -> Result<i32, HostError> {
    args.check()?;
    let output = args.output.as_deref().map(Output::named).transpose()?;
    let cache = cache_folder()?;
    let signal = watch().map_err(|error| HostError::Host(format!("signals: {}", plain(&error))))?;
    let made = make(args, output.as_ref(), &cache, &Job::new(&signal, &tell));
    match (made, signal.load(Ordering::Relaxed)) {
        (Err(error), number) if number != 0 => {
            tell(&error.to_string());
            Ok(128 + number)
        }
        (made, _) => made.map(|()| 0),
    }
}

fn tell(text: &str) {
    say::line(format_args!("fencepost: {text}"));
}

/// Makes everything that is asked for.
fn make(args: &RootArgs, output: Option<&Output>, cache: &Path, job: &Job) -> Result<(), HostError> {
    if let Some(package) = &args.kernel_package {
        let kernel = boot::kernel(package, (args.sources.as_deref(), args.update), cache, job)?;
        job.say(&format!("{}: kernel, with its modules", kernel.display()));
    }
    let Some(output) = output else { return Ok(()) };
    let made = build(&args.request(), output, cache, job)?;
    // So that the root boots without a network, too.
    boot::busybox(args.sources.as_deref(), cache, job)?;
    let (what, path) = match output {
        Output::Folder(path) => ("folder", path),
        Output::Image(path) => ("image", path),
    };
    job.say(&format!("{}: {what} of {} packages, {} MiB", path.display(), made.packages, made.bytes >> 20));
    Ok(())
}

impl RootArgs {
    /// Refuses what apt would take for an option or a pattern.
    fn check(&self) -> Result<(), HostError> {
        let plain_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:=~".contains(&byte))
                && !name.ends_with('-')
        };
        let packages = self.packages.iter().map(|name| ("--packages", name));
        let kernel = self.kernel_package.iter().map(|name| ("--kernel-package", name));
        if let Some((option, wrong)) = packages.chain(kernel).find(|(_, name)| !plain_name(name)) {
            return Err(HostError::input(
                format!("{option} {wrong}: no name of a package"),
                "write names with commas between, such as bash,v4l-utils",
            ));
        }
        let named = [Some(("--arch", &self.arch)), self.suite.as_ref().map(|suite| ("--suite", suite))];
        for (option, value) in named.into_iter().flatten() {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(HostError::input(
                    format!("{option} {value}: no such name"),
                    "write amd64, or bookworm",
                ));
            }
        }
        Ok(())
    }

    fn request(&self) -> Request {
        Request {
            packages: self.packages.clone(),
            architecture: self.arch.clone(),
            suite: self.suite.clone(),
            sources: self.sources.clone(),
            update: self.update,
        }
    }
}

/// The number of the signal that came first, or 0. A second one ends the process at once.
pub(super) fn watch() -> std::io::Result<Arc<AtomicI32>> {
    let seen = Arc::new(AtomicI32::new(0));
    let again = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        signal_hook::flag::register(signal, Arc::clone(&again))?;
        let seen = Arc::clone(&seen);
        let note = move || {
            // Another one may have been first.
            let _ = seen.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
        };
        // SAFETY: an atomic exchange may be made in a signal handler.
        unsafe { signal_hook::low_level::register(signal, note)? };
    }
    Ok(seen)
}
