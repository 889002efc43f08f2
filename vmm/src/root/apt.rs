//! The host's apt with lists, downloads and a status of its own: it finds out which packages belong to a root, and fetches them.
//!
//! Sources, keys and the settings for downloads (proxies) are the host's; everything else of its configuration is left out, because it
//! names folders and commands that have nothing to do with ours. apt writes below one folder of the cache only, and needs no root.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fencepost_devices::parameters::did_you_mean;
use sha2::{Digest, Sha256};

use super::process::{Job, Ran};
use crate::error::{HostError, plain};
use crate::machine::log::hex;

/// What is said of a package's file that does not come: new lists may help.
const CANNOT_FETCH: &str = "cannot be fetched";

/// A package's file as the archive describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, without an architecture.
    pub name: String,
    /// Its version, with an epoch if it has one.
    pub version: String,
    /// What it is built for, or `all`.
    pub architecture: String,
}

impl Package {
    /// The name that apt gives to the file: a colon in the version is written `%3a`.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.architecture)
    }

    /// How `apt-cache show` is asked for exactly this one.
    fn exact(&self) -> String {
        match &*self.architecture {
            "all" => format!("{}={}", self.name, self.version),
            other => format!("{}:{other}={}", self.name, self.version),
        }
    }
}

/// What makes one apt differ from another.
pub struct Setting<'a> {
    /// The architecture, as Debian names it.
    pub architecture: &'a str,
    /// Others that packages may be named with.
    pub others: &'a [String],
    /// The release to prefer.
    pub suite: Option<&'a str>,
    /// Package sources in the place of the host's.
    pub sources: Option<&'a Path>,
}

/// One apt of ours.
pub struct Apt<'a> {
    folder: PathBuf,
    job: &'a Job<'a>,
    options: Vec<String>,
}

impl<'a> Apt<'a> {
    /// apt with a folder of its own, by its setting, below `folder`.
    ///
    /// # Errors
    ///
    /// There is no apt, the sources cannot be read, or the folder cannot be written.
    pub fn new(folder: &Path, setting: &Setting, job: &'a Job<'a>) -> Result<Apt<'a>, HostError> {
        let architectures: Vec<&str> =
            std::iter::once(setting.architecture).chain(setting.others.iter().map(String::as_str)).collect();
        let mut name = format!("apt-{}", architectures.join("-"));
        let mut options = vec![format!("APT::Architecture={}", setting.architecture)];
        options.extend(architectures.iter().map(|one| format!("APT::Architectures::={one}")));
        options.extend(setting.suite.map(|suite| format!("APT::Default-Release={suite}")));
        if let Some(path) = setting.sources {
            let fix = "name a file of package sources, see sources.list(5)";
            let failed = |error: std::io::Error| HostError::file("--sources", path, &error, fix);
            let path = fs::canonicalize(path).map_err(failed)?;
            let text = fs::read(&path).map_err(failed)?;
            // Lists of other sources are other lists.
            name.push_str(&format!("-{}", &hex(&Sha256::digest(&text))[..16]));
            options.push(format!("Dir::Etc::sourcelist={}", path.display()));
            options.push("Dir::Etc::sourceparts=/dev/null".to_string());
        }
        let folder = folder.join(name);
        for part in ["lists/partial", "archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(|error| cannot_write(&part, &error))?;
        }
        let apt = Apt { folder, job, options };
        apt.write_configuration()?;
        Ok(apt)
    }

    /// Writes what apt reads in the place of the host's own configuration.
    fn write_configuration(&self) -> Result<(), HostError> {
        let dump = self.job.run("apt-config", &["dump".into()], &[])?;
        let text = String::from_utf8_lossy(&dump.output).into_owned();
        let folder = self.folder.display();
        let mut lines = vec![
            format!("Dir::State \"{folder}\";"),
            format!("Dir::State::lists \"{folder}/lists\";"),
            format!("Dir::State::extended_states \"{folder}/extended_states\";"),
            "Dir::State::status \"/dev/null\";".to_string(),
            format!("Dir::Cache \"{folder}\";"),
            format!("Dir::Cache::archives \"{folder}/archives\";"),
            format!("Dir::Log \"{folder}\";"),
            "Dir::Etc::main \"/dev/null\";".to_string(),
            "Dir::Etc::parts \"/dev/null\";".to_string(),
            "Dir::Etc::preferences \"/dev/null\";".to_string(),
            "Dir::Etc::preferencesparts \"/dev/null\";".to_string(),
            // As root apt would hand the download to a user who may not write here.
            "APT::Sandbox::User \"root\";".to_string(),
            "APT::Install-Recommends \"false\";".to_string(),
            "APT::Install-Suggests \"false\";".to_string(),
            "APT::Get::Assume-Yes \"true\";".to_string(),
            "quiet \"1\";".to_string(),
        ];
        lines.extend(text.lines().filter(|line| line.starts_with("Acquire::")).map(str::to_string));
        // Nobody searches these lists by words.
        lines.push("#clear Acquire::Languages;".to_string());
        lines.push("Acquire::Languages \"none\";".to_string());
        lines.push("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";".to_string());
        let path = self.configuration();
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            std::io::Write::write_all(&mut file, (lines.join("\n") + "\n").as_bytes())?;
            // A proxy's address may hold a password.
            file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
            file.persist(&path).map_err(|error| error.error)
        };
        write().map(drop).map_err(|error| cannot_write(&path, &error))
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, HostError> {
        let mut all: Vec<String> = self.options.iter().flat_map(|one| ["-o".into(), one.clone()]).collect();
        all.extend(arguments.iter().map(|one| one.to_string()));
        let environment = [("APT_CONFIG", self.configuration().into_os_string()), ("LC_ALL", "C".into())];
        self.job.run(program, &all, &environment)
    }

    /// Whether package lists have been fetched.
    fn has_lists(&self) -> bool {
        let entries = fs::read_dir(self.folder.join("lists")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages")).count() > 0
    }

    /// Fetches the package lists. That one source of several fails does not matter here: a package that is missing is named later.
    fn update(&self) -> Result<(), HostError> {
        self.job.say("fetching the package lists");
        let ran = self.run("apt-get", &["update"])?;
        match ran.success || self.has_lists() {
            true => Ok(()),
            false => Err(HostError::input(
                format!("the package lists cannot be fetched: {}", ran.first_error()),
                "see to the network and to the host's package sources in /etc/apt",
            )),
        }
    }

    /// All packages that are to be unpacked for `wanted`, apt's names or patterns, sorted by name.
    ///
    /// # Errors
    ///
    /// There is no such package, or packages that exclude each other are wanted.
    fn resolve(&self, wanted: &[&str]) -> Result<Vec<Package>, HostError> {
        let ran = self.run("apt-get", &[&["--simulate", "install"], wanted].concat())?;
        if !ran.success {
            return Err(self.refused(&ran, wanted)?);
        }
        let text = String::from_utf8_lossy(&ran.output).into_owned();
        let mut packages: Vec<Package> = text.lines().filter_map(planned).collect();
        packages.sort_unstable_by_key(|package| (package.name.clone(), package.architecture.clone()));
        packages.dedup();
        Ok(packages)
    }

    /// What apt says against `wanted`, with a name that is near to one that there is not.
    fn refused(&self, ran: &Ran, wanted: &[&str]) -> Result<HostError, HostError> {
        let said = ran.first_error();
        let unknown = wanted.iter().find(|name| {
            let end = said.strip_prefix("Unable to locate package ");
            end == Some(name) || said == format!("Package '{name}' has no installation candidate")
        });
        let Some(name) = unknown else {
            let fix = "name packages that can be installed together";
            return Ok(HostError::input(
                format!("--packages {}: {said}{}", wanted.join(","), ran.unmet()),
                fix,
            ));
        };
        let names = self.run("apt-cache", &["pkgnames"])?;
        let names = String::from_utf8_lossy(&names.output).into_owned();
        let near = did_you_mean(name.split(':').next().unwrap_or_default(), names.lines());
        Ok(HostError::input(
            format!("--packages {name}: no package source has such a package{near}"),
            "write another name, or add --update for new package lists",
        ))
    }

    /// All packages whose names match `pattern`, a regular expression (regex(7)), and that the package sources have.
    ///
    /// # Errors
    ///
    /// There are no package lists, and none can be fetched.
    pub fn names(&self, pattern: &str, update: bool) -> Result<Vec<String>, HostError> {
        if update || !self.has_lists() {
            self.update()?;
        }
        let ran = self.run("apt-cache", &["search", "--names-only", pattern])?;
        let text = String::from_utf8_lossy(&ran.output).into_owned();
        Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_string).collect())
    }

    /// Finds all packages for `wanted`, and the files of those that `keep` takes. New lists are fetched where they are asked for, where
    /// there are none, and where they name files that the archive has no more.
    ///
    /// # Errors
    ///
    /// The network, the names, or the disk.
    pub fn obtain(
        &self,
        wanted: &[&str],
        update: bool,
        keep: &dyn Fn(&Package) -> bool,
    ) -> Result<(Vec<Package>, Vec<PathBuf>), HostError> {
        let new = update || !self.has_lists();
        if new {
            self.update()?;
        }
        let both = || {
            let mut packages = self.resolve(wanted)?;
            packages.retain(keep);
            let files = self.fetch(&packages)?;
            Ok((packages, files))
        };
        match both() {
            Err(HostError::Input(line)) if !new && line.contains(CANNOT_FETCH) => {
                self.update()?;
                both()
            }
            other => other,
        }
    }

    /// The files of the packages, which are fetched if they are not there. Their SHA-256 are those of the signed lists.
    ///
    /// # Errors
    ///
    /// They cannot be fetched, or one is not what the lists say, although it was fetched anew.
    fn fetch(&self, packages: &[Package]) -> Result<Vec<PathBuf>, HostError> {
        let hashes = self.hashes(packages)?;
        let paths: Vec<PathBuf> =
            packages.iter().map(|package| self.folder.join("archives").join(package.file_name())).collect();
        let missing = |index: &usize| !is(&paths[*index], &hashes[*index]);
        let absent: Vec<usize> = (0..paths.len()).filter(missing).collect();
        if absent.is_empty() {
            return Ok(paths);
        }
        self.job.say(&format!("fetching {} packages", absent.len()));
        absent.iter().for_each(|index| drop(fs::remove_file(&paths[*index])));
        let wanted: Vec<String> = absent.iter().map(|index| packages[*index].exact()).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let ran = self.download(&wanted)?;
        match absent.iter().find(|index| missing(index)) {
            None => Ok(paths),
            Some(index) => Err(HostError::input(
                format!("{} {CANNOT_FETCH}: {}", packages[*index].file_name(), ran.first_error()),
                "see to the network and the room in the cache folder, and add --update for new package lists",
            )),
        }
    }

    /// Downloads exactly these, where `apt-get install` would add what they need.
    fn download(&self, exact: &[&str]) -> Result<Ran, HostError> {
        let archives = self.folder.join("archives");
        let job = self.job.within(&archives);
        let own = Apt { folder: self.folder.clone(), job: &job, options: self.options.clone() };
        own.run("apt-get", &[&["download"], exact].concat())
    }

    /// The SHA-256 of each package's file.
    fn hashes(&self, packages: &[Package]) -> Result<Vec<String>, HostError> {
        let exact: Vec<String> = packages.iter().map(Package::exact).collect();
        let exact: Vec<&str> = exact.iter().map(String::as_str).collect();
        let ran = self.run("apt-cache", &[&["show"], &exact[..]].concat())?;
        let text = String::from_utf8_lossy(&ran.output).into_owned();
        let mut known = BTreeMap::new();
        for paragraph in text.split("\n\n") {
            let field = |name: &str| field(paragraph, name).map(str::to_string);
            if let (Some(name), Some(version), Some(architecture), Some(hash)) =
                (field("Package"), field("Version"), field("Architecture"), field("SHA256"))
            {
                known.insert(Package { name, version, architecture }.file_name(), hash);
            }
        }
        let hash = |package: &Package| {
            known.get(&package.file_name()).cloned().ok_or_else(|| {
                let what = format!("{}: the package lists have no SHA-256 for it", package.file_name());
                HostError::input(what, "add --update for new package lists")
            })
        };
        packages.iter().map(hash).collect()
    }
}

/// A field of a control paragraph (Debian Policy, 5.1) that has one line.
pub fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    paragraph.lines().find_map(value)
}

/// A package of a line of `apt-get --simulate`: `Inst NAME[:ARCH] (VERSION ORIGIN... [ARCH]) [...]`.
fn planned(line: &str) -> Option<Package> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once('(')?;
    let (inside, _) = rest.split_once(')')?;
    let version = inside.split(' ').next()?;
    let architecture = inside.rsplit_once('[')?.1.trim_end_matches(']');
    let name = name.split(':').next()?;
    Some(Package { name: name.into(), version: version.into(), architecture: architecture.into() })
}

/// Whether a file has this SHA-256.
fn is(path: &Path, hash: &str) -> bool {
    let Ok(mut file) = fs::File::open(path) else { return false };
    let mut digest = Sha256::new();
    let mut part = vec![0; 1 << 18];
    loop {
        match file.read(&mut part) {
            Ok(0) => return hex(&digest.finalize()) == hash,
            Ok(count) => digest.update(&part[..count]),
            Err(_) => return false,
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> HostError {
    HostError::input(
        format!("{}: {}", path.display(), plain(error)),
        "make room there, or set FENCEPOST_CACHE to a folder that can be written",
    )
}

#[cfg(test)]
#[path = "apt_tests.rs"]
mod tests;
