//! Builds a folder of module sources for a kernel (Linux, Documentation/kbuild/modules.rst), in a copy, which the next build goes on from.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::headers::headers;
use super::kept::prune;
use super::mirror::mirror;
use super::order::numbers;
use super::tree::KernelTree;
use crate::error::{HostError, plain};
use crate::machine::log::hex;
use crate::root::lock;
use crate::root::process::Job;

/// The folder for builds in the project's cache folder, and how many are kept at most.
const FOLDER: &str = "module-builds";
const MOST_KEPT: usize = 16;
/// Variables by which makefiles take the folder of a kernel's headers, so that it can be named.
const KERNEL_VARIABLES: [&str; 8] = [
    "KDIR",
    "KERNELDIR",
    "KERNEL_DIR",
    "KERNEL_SRC",
    "KERNEL_PATH",
    "KERNEL_BUILD",
    "KERNEL_SOURCE_DIR",
    "KSRC",
];
/// What a make or a kernel's build outside hands on to ours.
const NOT_HANDED_ON: [&str; 8] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKEFILES",
    "KERNELRELEASE",
    "ARCH",
    "CROSS_COMPILE",
    "KBUILD_EXTMOD",
];
/// Longest part of a compiler's message that is told, in characters.
const MESSAGE_MAX: usize = 110;

/// Builds the modules of `dir`, which has a `Kbuild` file or a `Makefile`, for `kernel`, and gives their files, without debug
/// information. Nothing is written into `dir`. `variables` are for `make`, each `NAME=VALUE`; those with others are built beside.
///
/// # Errors
///
/// The first error of the compiler with its file and line, and where the whole output is; what the host lacks; or a signal came, which
/// ends `make` with all that it started.
pub fn build(
    dir: &Path,
    variables: &[String],
    kernel: &KernelTree,
    cache: &Path,
    job: &Job,
) -> Result<Vec<PathBuf>, HostError> {
    let from = fs::canonicalize(dir).map_err(|error| unusable(dir, &error))?;
    let style = Style::of(dir, &from)?;
    let headers = headers(kernel, cache, job)?;
    let pahole = tools(&headers, &kernel.release, job)?;
    let mut key = Sha256::new();
    for part in [from.as_os_str(), headers.as_os_str(), kernel.release.as_ref()] {
        key.update(part.as_encoded_bytes());
        key.update([0]);
    }
    variables.iter().for_each(|variable| key.update(format!("{variable}\0")));
    let builds = cache.join(FOLDER);
    let work = builds.join(&hex(&key.finalize())[..16]);
    let _lock = lock(&work, job)?;
    job.uses.add(&work);
    prune(&builds, MOST_KEPT);
    let copy = mirror(&from, &work).map_err(|error| unusable(dir, &error))?;
    let log = work.join("log");
    let written = |error: io::Error| {
        let fix = "make room there, or set FENCEPOST_CACHE to a folder that can be written";
        HostError::file("modules", &work, &error, fix)
    };
    // What is not in the list anew is no longer built.
    let lists = |copy: &Path| found(copy, &|name| name == "modules.order");
    for list in lists(&copy).map_err(written)? {
        fs::remove_file(list).map_err(written)?;
    }
    let output = File::create(&log).map_err(written)?;
    let with: String = variables.iter().map(|variable| format!(" {variable}")).collect();
    job.say(&format!("building {}{with} for {}", dir.display(), kernel.release));
    if !job.run_group(style.command(&copy, &headers, pahole, variables), &output)? {
        let text = fs::read(&log).map_err(written)?;
        return Err(failed(dir, &copy, &String::from_utf8_lossy(&text), &log));
    }
    let modules = listed(&copy, &lists(&copy).map_err(written)?);
    if modules.is_empty() {
        return Err(HostError::input(
            format!("modules {}: they were built, and there is none; see {}", dir.display(), log.display()),
            "write a line such as `obj-m := NAME.o` into its Kbuild file",
        ));
    }
    // Stripped, they are in one folder.
    numbers(&modules)?;
    strip(&modules, &work.join("modules"), job)
}

/// How a folder is built.
#[derive(Debug, PartialEq, Eq)]
enum Style {
    /// By the kernel's makefile, which reads the folder's own.
    Kernel,
    /// By its own makefile, which finds the kernel by these variables, with this target.
    Own(Vec<&'static str>, Option<&'static str>),
}

impl Style {
    fn of(dir: &Path, from: &Path) -> Result<Style, HostError> {
        let text =
            ["Makefile", "makefile", "GNUmakefile"].iter().find_map(|name| fs::read(from.join(name)).ok());
        let Some(text) = text else {
            return match from.join("Kbuild").is_file() {
                true => Ok(Style::Kernel),
                false => Err(HostError::input(
                    format!("modules {}: it has neither a Kbuild file nor a Makefile", dir.display()),
                    "name the folder of a module's sources",
                )),
            };
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let variables: Vec<&str> =
            KERNEL_VARIABLES.into_iter().filter(|variable| words.contains(variable)).collect();
        if variables.is_empty() {
            return Ok(Style::Kernel);
        }
        let is_target = |line: &str| {
            let targets =
                line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')).map(|(targets, _)| targets);
            targets.is_some_and(|targets| targets.split_whitespace().any(|target| target == "modules"))
        };
        Ok(Style::Own(variables, text.lines().any(is_target).then_some("modules")))
    }

    /// The make that builds `copy`.
    fn command(&self, copy: &Path, headers: &Path, pahole: bool, variables: &[String]) -> Command {
        let mut command = Command::new("make");
        for name in NOT_HANDED_ON {
            command.env_remove(name);
        }
        // Many makefiles take the folder from there.
        command.env("PWD", copy).env("LC_ALL", "C").current_dir(copy);
        command.arg(format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from)));
        // Of two that give one variable the last counts.
        command.args(variables);
        if !pahole {
            // Type information for BPF needs it, and a driver does not need that.
            command.arg("CONFIG_DEBUG_INFO_BTF_MODULES=");
        }
        let assign = |name: &str, path: &Path| {
            let mut word = std::ffi::OsString::from(format!("{name}="));
            word.push(path);
            word
        };
        match self {
            Style::Kernel => command.arg("-C").arg(headers).arg(assign("M", copy)).arg("modules"),
            Style::Own(variables, target) => {
                command.args(variables.iter().map(|name| assign(name, headers))).args(target)
            }
        };
        command
    }
}

/// Sees whether the host has what builds modules; gives whether it has pahole, which is left out otherwise.
fn tools(headers: &Path, release: &str, job: &Job) -> Result<bool, HostError> {
    let needed = |program: &str| {
        // Debian's package has the name that follows the host's.
        let package = program.rsplit("gnu-").next().unwrap_or(program);
        match on_path(program) {
            true => Ok(()),
            false => Err(HostError::input(
                format!("{program}: there is no such program, and modules for {release} are built with it"),
                format!("install {package}, or name modules that are built"),
            )),
        }
    };
    needed("make")?;
    needed(&compiler(headers, job)?)?;
    Ok(on_path("pahole"))
}

/// The compiler that Debian's headers name: the one that built the kernel.
fn compiler(headers: &Path, job: &Job) -> Result<String, HostError> {
    const SETTINGS: &str = ".kernelvariables";
    let plain = || "gcc".to_string();
    if !headers.join(SETTINGS).is_file() {
        return Ok(plain());
    }
    let words = ["-s", "-f", SETTINGS, "--eval", "fencepost-compiler:;@echo $(CC)", "fencepost-compiler"];
    let nothing = || std::ffi::OsString::new();
    let environment: Vec<_> = NOT_HANDED_ON.iter().map(|name| (*name, nothing())).collect();
    let ran = job.within(headers).run("make", &words.map(str::to_string), &environment)?;
    let said = String::from_utf8_lossy(&ran.output).into_owned();
    Ok(said.split_whitespace().last().map_or_else(plain, str::to_string))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn unusable(dir: &Path, error: &io::Error) -> HostError {
    HostError::file("modules", dir, error, "name the folder of a module's sources")
}

/// The line about a build that failed.
fn failed(dir: &Path, copy: &Path, text: &str, log: &Path) -> HostError {
    let copy = format!("{}/", copy.display());
    let line = first_error(text).replace(&copy, "");
    let message: String = in_headers(&line).chars().take(MESSAGE_MAX).collect();
    HostError::input(format!("modules {}: {message}", dir.display()), format!("see {}", log.display()))
}

/// A line about a kernel's header without the folder that the headers are unpacked in, which would take all the room.
fn in_headers(line: &str) -> &str {
    let folder = line.starts_with('/').then(|| line.split_once("/linux-headers-")).flatten();
    folder.and_then(|(_, rest)| rest.split_once('/')).map_or(line, |(_, rest)| rest)
}

/// The line of a build's output that says best what is wrong.
fn first_error(text: &str) -> &str {
    let marks: [&dyn Fn(&str) -> bool; 5] = [
        &|line| line.contains(" error: "),
        &|line| line.contains("ERROR: modpost:"),
        // A program of the kernel's build that lacks a library.
        &|line| line.contains("error while loading shared libraries") || line.contains(": not found"),
        &|line| line.contains("*** "),
        &|line| !line.trim().is_empty(),
    ];
    let find = |mark: &&dyn Fn(&str) -> bool| text.lines().find(|line| mark(line));
    marks.iter().find_map(find).map_or("make failed without a word", str::trim)
}

/// The files in a folder whose names `take` takes, those that are nearest first.
fn found(folder: &Path, take: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else if take(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    folders.sort_unstable();
    for folder in folders {
        files.extend(found(&folder, take)?);
    }
    Ok(files)
}

/// The modules that a build says it made. A list names each object `.o`, older kernels `.ko`, by a whole path or one that the
/// list's folder, or one above it, has.
fn listed(copy: &Path, lists: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules: Vec<PathBuf> = Vec::new();
    for list in lists {
        let text = fs::read_to_string(list).unwrap_or_default();
        for line in text.lines() {
            let module = Path::new(line).with_extension("ko");
            let above = list.ancestors().skip(1).take_while(|folder| folder.starts_with(copy));
            let here = above.map(|folder| folder.join(&module)).find(|path| path.is_file());
            modules.extend(here.filter(|path| !modules.contains(path)));
        }
    }
    modules
}

/// Copies of the modules without debug information, which a guest would only copy: it is most of them.
fn strip(modules: &[PathBuf], to: &Path, job: &Job) -> Result<Vec<PathBuf>, HostError> {
    let failed = |path: &Path, why: String| HostError::Host(format!("module {}: {why}", path.display()));
    fs::create_dir_all(to).map_err(|error| failed(to, plain(&error)))?;
    let mut stripped = Vec::new();
    for module in modules {
        let path = to.join(module.file_name().unwrap_or_default());
        let words = ["--strip-debug", "-o"].map(str::to_string);
        let files = [&path, module].map(|path| path.to_string_lossy().into_owned());
        let ran = job.run("strip", &[words, files].concat(), &[])?;
        if !ran.success {
            return Err(failed(module, ran.first_error().to_string()));
        }
        stripped.push(path);
    }
    Ok(stripped)
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
