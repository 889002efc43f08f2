//! What scenarios need before they run: kernels, modules, a root, and machines that are booted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fencepost_report::{Outcome, Verdict};
use sha2::{Digest, Sha256};

use super::Wanted;
use super::base::{Key, Place};
use super::booting::Base;
use super::guest::{self, HostSide};
use super::order::Play;
use super::plan::Item;
use super::stage::Stage;
use crate::config::MachineConfig;
use crate::error::{HostError, plain};
use crate::kbuild::{self, KernelTree, index_with, kernel_of, order};
use crate::machine::log::hex;
use crate::root::initramfs::{Beside, Place as RootAt, Task};
use crate::root::output::Output;
use crate::root::process::Job;
use crate::root::{Request, boot, build};
use crate::scenario::{KernelName, Load, Modules, Scenario};

/// Counts changes of what `fencepost root` makes of the same packages: a root that was made before must not be taken for one.
const ROOTS_VERSION: u32 = 2;
/// In every scenario's root, beside what every Debian has.
const PACKAGES: [&str; 1] = ["kmod"];

/// A scenario that can be run.
pub struct Ready {
    /// Which.
    pub item: Item,
    /// What the worker is told, but for the folder of evidence and the snapshot.
    pub play: Play,
    /// Kept as long as it runs.
    pub stage: Stage,
    /// The machine from which it starts; it boots one of its own without.
    pub base: Option<Arc<Base>>,
    /// The same with its modules loaded, and the script for what is left to do.
    pub loaded: Option<(Arc<Base>, String)>,
}

impl Ready {
    /// Whether its machine is booted by somebody else now.
    pub fn is_booting(&self) -> bool {
        let loaded = self.loaded.as_ref().map(|(base, _)| base);
        loaded.or(self.base.as_ref()).is_some_and(|base| base.is_booting())
    }
}

/// What became of a scenario here.
pub enum Prepared {
    /// It can be run.
    Ready(Box<Ready>),
    /// It is skipped, or cannot be run.
    Over(Box<Outcome>),
}

/// A scenario's own modules, and the folder with the lists by which the guest finds them.
#[derive(Clone)]
struct Built {
    modules: Vec<PathBuf>,
    index: PathBuf,
}

/// Prepares one scenario after the other, and what they share once.
pub struct Preparing<'a> {
    cache: &'a Path,
    job: &'a Job<'a>,
    wanted: &'a Wanted,
    kernels: BTreeMap<KernelName, Result<KernelTree, String>>,
    roots: BTreeMap<Vec<String>, Result<PathBuf, String>>,
    built: Vec<((Modules, String), Result<Built, String>)>,
    bases: BTreeMap<PathBuf, Arc<Base>>,
}

impl<'a> Preparing<'a> {
    /// Nothing is prepared.
    pub fn new(cache: &'a Path, job: &'a Job<'a>, wanted: &'a Wanted) -> Self {
        let (kernels, roots, built, bases) = Default::default();
        Preparing { cache, job, wanted, kernels, roots, built, bases }
    }

    /// Prepares one. What it cannot have is its own outcome, and nothing else's.
    ///
    /// # Errors
    ///
    /// A signal.
    pub fn item(&mut self, item: Item) -> Result<Prepared, HostError> {
        if let Some(why) = &item.found.scenario.scenario.skip {
            return Ok(Prepared::Over(Box::new(over(&item, Verdict::Skipped, why))));
        }
        match self.ready(&item) {
            Ok(ready) => Ok(Prepared::Ready(Box::new(ready))),
            Err(error) if self.job.go_on().is_ok() => {
                let mut outcome = over(&item, Verdict::Broken, &error.to_string());
                outcome.reproduce = self.wanted.command_for(&item);
                Ok(Prepared::Over(Box::new(outcome)))
            }
            Err(error) => Err(error),
        }
    }

    fn ready(&mut self, item: &Item) -> Result<Ready, HostError> {
        self.job.go_on().map_err(|error| HostError::Host(error.to_string()))?;
        let scenario = &item.found.scenario;
        let kernel = self.kernel(&item.kernel)?;
        let root = self.root(&scenario.guest.packages)?;
        let Built { modules, index } = self.modules(scenario, &kernel)?;
        let stage = Stage::new(&self.folder(super::STAGES)?, scenario)?;
        let mut shares = scenario.guest.share.clone();
        let work =
            fs::canonicalize(crate::scenario::Scenario::folder_of(&item.found.path)).map_err(|error| {
                HostError::file("test", &item.found.path, &error, "name a scenario that is there")
            })?;
        shares.extend([
            (guest::STAGE.to_string(), stage.path().to_path_buf()),
            (guest::MODULES.to_string(), kernel.modules.clone()),
            (guest::INDEX.to_string(), index.clone()),
            (guest::WORK.to_string(), work),
        ]);
        let (mut machine, disk) = guest::machine(scenario, &HostSide { root: &root, shares })?;
        let initramfs = boot::initramfs(
            &kernel.image,
            &RootAt::Disk(disk),
            (&Task::Agent, Beside { iommu: machine.iommu, ..Beside::default() }),
            self.cache,
            self.job,
        )?;
        machine.kernel.path = Some(kernel.image.clone());
        machine.kernel.initramfs = vec![initramfs];
        machine.kernel.command_line = Some(guest::command_line(scenario));
        let load = load(item, &modules)?;
        let scripts = guest::prepare(scenario, &kernel.release, &stage.copies, &load);
        let base = match self.wanted.boot_each {
            true => None,
            false => Some(self.base(&machine, &kernel.release)?),
        };
        let loaded = match (&base, scripts.once) {
            // A seed is to vary what the drivers do from their start.
            (Some(base), Some((once, rest))) if item.seed.is_none() => {
                let names = load.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
                let what = format!("loading {names} on {}", kernel.release);
                Some((self.loaded(&machine, &kernel.release, base, (what, once, &index))?, rest))
            }
            _ => None,
        };
        let play = Play {
            name: item.name.clone(),
            path: item.found.path.clone(),
            text: item.found.text.clone(),
            machine,
            soft_cpu: self.wanted.soft_cpu,
            restore: None,
            seed: item.seed,
            variant: item.variant.clone(),
            release: kernel.release.clone(),
            prepare: scripts.whole,
            preamble: guest::preamble(scenario, item.seed),
            folder: PathBuf::new(),
            shell: self.wanted.shell,
            gdb: self.wanted.gdb.clone(),
            save: true,
            keep: self.wanted.keep,
            sandbox: self.wanted.sandbox,
        };
        Ok(Ready { item: item.clone(), play, stage, base, loaded })
    }

    /// The scenario's own modules, built where they have to be, in the order in which they need each other.
    fn modules(&mut self, scenario: &Scenario, kernel: &KernelTree) -> Result<Built, HostError> {
        // How they are loaded makes no difference to the files.
        let files = Modules { parameters: BTreeMap::new(), load: Load::All, ..scenario.modules.clone() };
        let key = (files, kernel.release.clone());
        if let Some((_, built)) = self.built.iter().find(|(other, _)| *other == key) {
            return again(built);
        }
        let (cache, job) = (self.cache, self.job);
        let build = || {
            let mut files = scenario.modules.files.clone();
            if let Some(dir) = &scenario.modules.build {
                files.extend(kbuild::build(dir, &scenario.modules.make, kernel, cache, job)?);
            }
            let modules = order(&files, kernel)?;
            let index = index_with(kernel, &modules, cache, job)?;
            Ok(Built { modules, index })
        };
        let built = build().map_err(|error: HostError| error.to_string());
        self.built.push((key, built.clone()));
        again(&built)
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
        let text = match name {
            KernelName::Package(package) => package.clone(),
            KernelName::Path(path) => path.display().to_string(),
        };
        let (cache, job) = (self.cache, self.job);
        let find = || kernel_of(&text, false, cache, job).map_err(|error| error.to_string());
        again(self.kernels.entry(name.clone()).or_insert_with(find))
    }

    /// The image with these packages.
    fn root(&mut self, packages: &[String]) -> Result<PathBuf, HostError> {
        let mut all: Vec<String> =
            PACKAGES.iter().map(|name| name.to_string()).chain(packages.iter().cloned()).collect();
        all.sort();
        all.dedup();
        if let Some(root) = self.roots.get(&all) {
            return again(root);
        }
        let root = self.make_root(&all).map_err(|error| error.to_string());
        self.roots.insert(all, root.clone());
        again(&root)
    }

    fn make_root(&self, packages: &[String]) -> Result<PathBuf, HostError> {
        let key = format!("{ROOTS_VERSION} {}", packages.join(","));
        let name = &hex(&Sha256::digest(key))[..24];
        let path = self.folder("roots")?.join(format!("{name}.img"));
        if !path.is_file() {
            self.job.say(&format!("a root of {} is made", packages.join(", ")));
            let request = Request {
                packages: packages.to_vec(),
                architecture: "amd64".to_string(),
                suite: None,
                sources: None,
                update: false,
            };
            build(&request, &Output::Image(path.clone()), self.cache, self.job).map_err(of_packages)?;
        }
        Ok(path)
    }

    /// The machine from which the scenario starts, the same for all that have the same.
    fn base(&mut self, machine: &MachineConfig, release: &str) -> Result<Arc<Base>, HostError> {
        let place = Place::new(self.cache, Key::of(machine, release)?);
        if let Some(base) = self.bases.get(&place.path()) {
            return Ok(Arc::clone(base));
        }
        let nothing = self.folder("nothing")?.display().to_string();
        let path = place.path();
        let what = format!("booting {release}");
        let base =
            Arc::new(Base::new((machine, self.wanted.sandbox), (what, place), None, &nothing, |_| true));
        self.bases.insert(path, Arc::clone(&base));
        Ok(base)
    }

    /// The same machine with modules loaded by `script`, which finds them by `index`.
    fn loaded(
        &mut self,
        machine: &MachineConfig,
        release: &str,
        base: &Arc<Base>,
        (what, script, index): (String, String, &Path),
    ) -> Result<Arc<Base>, HostError> {
        let mut key = Key::of(machine, release)?;
        key.what = format!("{}, {what}", key.what);
        // The folder's name is a digest of what is in it.
        key.parts.insert("the set of modules".to_string(), format!("{} {script}", index.display()));
        let place = Place::new(self.cache, key);
        if let Some(base) = self.bases.get(&place.path()) {
            return Ok(Arc::clone(base));
        }
        let nothing = self.folder("nothing")?.display().to_string();
        let path = place.path();
        let from = Some((Arc::clone(base), script));
        let of_scenario = |tag: &str| tag != guest::MODULES && tag != guest::INDEX;
        let base =
            Arc::new(Base::new((machine, self.wanted.sandbox), (what, place), from, &nothing, of_scenario));
        self.bases.insert(path, Arc::clone(&base));
        Ok(base)
    }
}

/// An error that names options of `fencepost root`.
fn of_packages(error: HostError) -> HostError {
    match error {
        HostError::Input(line) => {
            let line = line.replacen("--packages ", "guest.packages: ", 1);
            HostError::Input(line.replace("add --update", "call `fencepost root` with --update"))
        }
        other => other,
    }
}

/// What was found for one scenario holds for the next.
fn again<T: Clone>(found: &Result<T, String>) -> Result<T, HostError> {
    found.clone().map_err(HostError::Input)
}

/// The modules that are loaded before the first step, with their parameters.
///
/// # Errors
///
/// One that is named is not among them.
fn load(item: &Item, modules: &[PathBuf]) -> Result<Vec<(String, String)>, HostError> {
    let of = &item.found.scenario.modules;
    let name = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.split(".ko").next().unwrap_or_default().replace('-', "_")
    };
    let names: Vec<String> = modules.iter().map(name).collect();
    if let Load::These(these) = &of.load
        && let Some(missing) = these.iter().find(|name| !names.contains(name))
    {
        let why = format!("{}: modules.load: there is no {missing}", item.found.path.display());
        return Err(HostError::input(why, format!("there are {}", names.join(", "))));
    }
    let wanted = names.into_iter().filter(|name| match &of.load {
        Load::All => true,
        Load::These(these) => these.contains(name),
    });
    Ok(wanted.map(|name| (name.clone(), of.parameters.get(&name).cloned().unwrap_or_default())).collect())
}

/// The outcome of a scenario that was not run.
fn over(item: &Item, verdict: Verdict, why: &str) -> Outcome {
    item.without_run(verdict, "before the first step", "that it can be run", why)
}
