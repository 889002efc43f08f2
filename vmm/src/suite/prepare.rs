//! What scenarios need before they run: kernels, modules, a root, and machines that are booted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fencepost_report::{Outcome, Verdict};
use sha2::{Digest, Sha256};

use super::base::{Key, Place};
use super::guest::{self, HostSide};
use super::order::{Boot, Order, Play};
use super::plan::Item;
use super::stage::Stage;
use super::{Wanted, pool};
use crate::error::{HostError, plain};
use crate::kbuild::{self, KernelTree, index_with, kernel_of, order};
use crate::machine::log::hex;
use crate::root::initramfs::{Place as RootAt, Task};
use crate::root::output::Output;
use crate::root::process::Job;
use crate::root::{Request, boot, build};
use crate::scenario::{KernelName, Scenario};

/// In every scenario's root, beside what every Debian has.
const PACKAGES: [&str; 1] = ["kmod"];

/// A scenario that can be run.
pub struct Ready {
    /// Which.
    pub item: Item,
    /// What the worker is told, but for the folder of evidence.
    pub play: Play,
    /// Kept as long as it runs.
    pub stage: Stage,
}

/// What became of a scenario here.
pub enum Prepared {
    /// It can be run.
    Ready(Box<Ready>),
    /// It is skipped, or cannot be run.
    Over(Box<Outcome>),
}

/// Prepares one scenario after the other, and what they share once.
pub struct Preparing<'a> {
    cache: &'a Path,
    job: &'a Job<'a>,
    wanted: &'a Wanted,
    kernels: BTreeMap<KernelName, KernelTree>,
    roots: BTreeMap<Vec<String>, PathBuf>,
    booted: BTreeMap<PathBuf, Result<(), String>>,
}

impl<'a> Preparing<'a> {
    /// Nothing is prepared.
    pub fn new(cache: &'a Path, job: &'a Job<'a>, wanted: &'a Wanted) -> Self {
        let (kernels, roots, booted) = Default::default();
        Preparing { cache, job, wanted, kernels, roots, booted }
    }

    /// Prepares one.
    ///
    /// # Errors
    ///
    /// Bad input, and a signal. A machine that does not boot, or a module that does not build, is an outcome.
    pub fn item(&mut self, item: Item) -> Result<Prepared, HostError> {
        self.job.go_on().map_err(|error| HostError::Host(error.to_string()))?;
        if let Some(why) = &item.found.scenario.scenario.skip {
            return Ok(Prepared::Over(Box::new(over(&item, Verdict::Skipped, why))));
        }
        let scenario = &item.found.scenario;
        let kernel = self.kernel(&item.kernel)?;
        let root = self.root(&scenario.guest.packages)?;
        let modules = match self.modules(scenario, &kernel) {
            Ok(modules) => modules,
            Err(error) if self.job.go_on().is_ok() => {
                return Ok(Prepared::Over(Box::new(over(&item, Verdict::Broken, &error.to_string()))));
            }
            Err(error) => return Err(error),
        };
        let index = index_with(&kernel, &modules, self.cache, self.job)?;
        let stage = Stage::new(&self.folder("stages")?, scenario)?;
        let mut shares = scenario.guest.share.clone();
        let work =
            fs::canonicalize(crate::scenario::Scenario::folder_of(&item.found.path)).map_err(|error| {
                HostError::file("test", &item.found.path, &error, "name a scenario that is there")
            })?;
        shares.extend([
            (guest::STAGE.to_string(), stage.path().to_path_buf()),
            (guest::MODULES.to_string(), kernel.modules.clone()),
            (guest::INDEX.to_string(), index),
            (guest::WORK.to_string(), work),
        ]);
        let (mut machine, disk) = guest::machine(scenario, &HostSide { root: &root, shares })?;
        let initramfs =
            boot::initramfs(&kernel.image, &RootAt::Disk(disk), (&Task::Agent, false), self.cache, self.job)?;
        machine.kernel.path = Some(kernel.image.clone());
        machine.kernel.initramfs = vec![initramfs];
        machine.kernel.command_line = Some(guest::command_line(scenario));
        let load = load(&item, &modules);
        let prepare = guest::prepare(scenario, &kernel.release, &stage.copies, &load);
        let restore = match self.wanted.boot_each {
            true => None,
            false => match self.booted(&machine, &kernel.release)? {
                Ok(path) => Some(path),
                Err(why) => return Ok(Prepared::Over(Box::new(over(&item, Verdict::Broken, &why)))),
            },
        };
        let play = Play {
            name: item.name.clone(),
            path: item.found.path.clone(),
            text: item.found.text.clone(),
            machine,
            restore,
            seed: item.seed,
            release: kernel.release.clone(),
            prepare,
            preamble: guest::preamble(scenario, item.seed),
            folder: PathBuf::new(),
            shell: self.wanted.shell,
            save: true,
        };
        Ok(Prepared::Ready(Box::new(Ready { item, play, stage })))
    }

    /// The scenario's own modules, built where they have to be, in the order in which they need each other.
    fn modules(&self, scenario: &Scenario, kernel: &KernelTree) -> Result<Vec<PathBuf>, HostError> {
        let mut files = scenario.modules.files.clone();
        if let Some(dir) = &scenario.modules.build {
            files.extend(kbuild::build(dir, kernel, self.cache, self.job)?);
        }
        order(&files, kernel)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, HostError> {
        let folder = self.cache.join(name);
        fs::create_dir_all(&folder).map_err(|error| {
            let what = format!("{}: {}", folder.display(), plain(&error));
            HostError::input(what, "make room there, or set FENCEPOST_CACHE to a folder that can be written")
        })?;
        Ok(folder)
    }

    fn kernel(&mut self, name: &KernelName) -> Result<KernelTree, HostError> {
        if let Some(kernel) = self.kernels.get(name) {
            return Ok(kernel.clone());
        }
        let text = match name {
            KernelName::Package(package) => package.clone(),
            KernelName::Path(path) => path.display().to_string(),
        };
        let kernel = kernel_of(&text, false, self.cache, self.job)?;
        self.kernels.insert(name.clone(), kernel.clone());
        Ok(kernel)
    }

    /// The image with these packages.
    fn root(&mut self, packages: &[String]) -> Result<PathBuf, HostError> {
        let mut all: Vec<String> =
            PACKAGES.iter().map(|name| name.to_string()).chain(packages.iter().cloned()).collect();
        all.sort();
        all.dedup();
        if let Some(root) = self.roots.get(&all) {
            return Ok(root.clone());
        }
        let name = &hex(&Sha256::digest(all.join(",")))[..24];
        let path = self.folder("roots")?.join(format!("{name}.img"));
        if !path.is_file() {
            self.job.say(&format!("a root of {} is made", all.join(", ")));
            let request = Request {
                packages: all.clone(),
                architecture: "amd64".to_string(),
                suite: None,
                sources: None,
                update: false,
            };
            build(&request, &Output::Image(path.clone()), self.cache, self.job)?;
        }
        self.roots.insert(all, path.clone());
        Ok(path)
    }

    /// The snapshot of a machine whose agent waits; why there is none if it does not boot.
    fn booted(
        &mut self,
        machine: &crate::config::MachineConfig,
        release: &str,
    ) -> Result<Result<PathBuf, String>, HostError> {
        let place = Place::new(self.cache, Key::of(machine, release)?);
        let path = place.path();
        if let Some(before) = self.booted.get(&path) {
            return Ok(before.clone().map(|()| path));
        }
        let made = match place.find() {
            Some(_) => Ok(()),
            None => self.boot(machine, release, &place)?,
        };
        self.booted.insert(path.clone(), made.clone());
        Ok(made.map(|()| path))
    }

    fn boot(
        &self,
        machine: &crate::config::MachineConfig,
        release: &str,
        place: &Place,
    ) -> Result<Result<(), String>, HostError> {
        let why = place.stale().map(|why| format!(" anew: {why}")).unwrap_or_default();
        self.job.say(&format!("booting {release}{why}"));
        place.make_room()?;
        let console = place.path().with_extension("console");
        let mut machine = machine.clone();
        let nothing = self.folder("nothing")?;
        for device in machine.devices.iter_mut().filter(|device| device.kind == "virtio-fs") {
            device.parameters.insert(
                "dir".to_string(),
                fencepost_devices::parameters::Value::Text(nothing.display().to_string()),
            );
        }
        let order = Order::Boot(Box::new(Boot { machine, to: place.path(), console: console.clone() }));
        match pool::alone(&order, self.job.signal)? {
            Ok(_) => {
                let _ = fs::remove_file(console);
                place.keep().map(Ok)
            }
            Err(why) => Ok(Err(why)),
        }
    }
}

/// The modules that are loaded before the first step, with their parameters.
fn load(item: &Item, modules: &[PathBuf]) -> Vec<(String, String)> {
    let of = &item.found.scenario.modules;
    if !of.load {
        return Vec::new();
    }
    let name = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.split(".ko").next().unwrap_or_default().replace('-', "_")
    };
    let names = modules.iter().map(name);
    names.map(|name| (name.clone(), of.parameters.get(&name).cloned().unwrap_or_default())).collect()
}

/// The outcome of a scenario that was not run.
fn over(item: &Item, verdict: Verdict, why: &str) -> Outcome {
    item.without_run(verdict, "before the first step", "that it can be run", why)
}
