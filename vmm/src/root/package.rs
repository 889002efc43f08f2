//! Unpacks Debian packages into a tree, as dpkg does, but for their scripts: those run nowhere.
//!
//! The host's `dpkg-deb` gives the two archives in a package as plain tar (deb(5)): it is wherever apt is, and reads every compression
//! that the host's packages have. The crate `tar` reads those.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;

use tar::{Archive, Entry, EntryType};

use super::apt::field;
use super::process::{Job, Output, stopped};
use super::spool::Spool;
use super::tree::{Attributes, Kind, Tree, shown};
use crate::error::HostError;

/// Where dpkg keeps what it knows.
const DATABASE: &str = "/var/lib/dpkg";
/// Files of a package's control archive that dpkg does not keep under their names (dpkg, src/main/unpack.c).
const NOT_KEPT: [&str; 1] = ["control"];

/// What is unpacked, and where to.
pub struct Unpacked<'a> {
    /// The files.
    pub tree: &'a mut Tree,
    /// What they hold.
    pub spool: &'a mut Spool,
    /// The newest time in the packages, in seconds since 1970.
    pub newest: u64,
    /// dpkg's list of packages, without the root's own.
    pub status: String,
}

impl<'a> Unpacked<'a> {
    /// Nothing yet.
    pub fn new(tree: &'a mut Tree, spool: &'a mut Spool) -> Unpacked<'a> {
        Unpacked { tree, spool, newest: 0, status: String::new() }
    }

    /// Unpacks a package: its files, and what dpkg would know of it.
    ///
    /// # Errors
    ///
    /// It is damaged, or does not fit what is there.
    pub fn add(&mut self, deb: &Path, job: &Job) -> Result<(), HostError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => stopped(&error),
            _ => HostError::Host(format!("{}: {}", deb.display(), crate::error::plain(&error))),
        };
        let mut list = String::new();
        let tar = |part: &str| job.read("dpkg-deb", &[OsStr::new(part), deb.as_os_str()]);
        let files = tar("--fsys-tarfile")?;
        each(files, job, &mut |entry| self.file(entry, &mut list)).map_err(failed)?;
        let mut control = Vec::new();
        let mut scripts = Vec::new();
        each(tar("--ctrl-tarfile")?, job, &mut |entry| {
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if name == "control" {
                control = bytes;
            } else if entry.header().entry_type().is_file() && !NOT_KEPT.contains(&&*name) {
                scripts.push((name, entry.header().mode()?, bytes));
            }
            Ok(())
        })
        .map_err(failed)?;
        self.register(&String::from_utf8_lossy(&control), &list, &scripts).map_err(failed)
    }

    /// Puts one file into the tree.
    fn file(&mut self, entry: &mut Entry<Output>, list: &mut String) -> io::Result<()> {
        let header = entry.header();
        let attributes = Attributes {
            mode: (header.mode()? & 0o7777) as u16,
            uid: number(header.uid()?)?,
            gid: number(header.gid()?)?,
            seconds: header.mtime()?,
        };
        self.newest = self.newest.max(attributes.seconds);
        let path = entry.path_bytes().into_owned();
        let kind = header.entry_type();
        let put = match kind {
            EntryType::Directory => self.tree.folder(&path, attributes),
            EntryType::Regular | EntryType::Continuous => {
                let content = self.spool.keep(entry)?;
                self.tree.file(&path, Kind::File(content), attributes)
            }
            EntryType::Symlink => {
                let target = target(entry)?;
                // A link in the place of a folder that is there leads to what replaced it, as `/bin` does.
                self.tree.file(&path, Kind::Link(target), attributes)
            }
            EntryType::Link => {
                let target = target(entry)?;
                self.tree.hard_link(&path, &target)
            }
            other => Err(format!("{}: a file of kind {other:?}", shown(&path))),
        };
        put.map_err(io::Error::other)?;
        let listed = String::from_utf8_lossy(&path).trim_start_matches('.').trim_end_matches('/').to_string();
        list.push_str(if listed.is_empty() { "/." } else { &listed });
        list.push('\n');
        Ok(())
    }

    /// Has dpkg know of a package: as unpacked, because its scripts have not run. `dpkg --configure -a` in the guest runs them.
    fn register(&mut self, control: &str, list: &str, scripts: &[(String, u32, Vec<u8>)]) -> io::Result<()> {
        let name = field(control, "Package").unwrap_or_default();
        let architecture = field(control, "Architecture").unwrap_or_default();
        let of = match field(control, "Multi-Arch") {
            Some("same") => format!("{name}:{architecture}"),
            _ => name.to_string(),
        };
        let mut put = |file: &str, mode: u16, bytes: &[u8]| {
            let content = self.spool.keep_bytes(bytes)?;
            let path = format!("{DATABASE}/info/{of}.{file}");
            let attributes = Attributes::of_root(mode, self.newest);
            self.tree.file(path.as_bytes(), Kind::File(content), attributes).map_err(io::Error::other)
        };
        put("list", 0o644, list.as_bytes())?;
        let mut conffiles = String::new();
        for (file, mode, bytes) in scripts {
            put(file, (mode & 0o777) as u16, bytes)?;
            if file == "conffiles" {
                conffiles = String::from_utf8_lossy(bytes).into_owned();
            }
        }
        let (first, rest) = control.split_once('\n').unwrap_or((control, ""));
        self.status.push_str(&format!("{first}\nStatus: install ok unpacked\n{}\n", rest.trim_end()));
        let conffiles: Vec<&str> = conffiles.lines().filter(|line| line.starts_with('/')).collect();
        if !conffiles.is_empty() {
            self.status.push_str("Conffiles:\n");
            conffiles.iter().for_each(|file| self.status.push_str(&format!(" {file} newconffile\n")));
        }
        self.status.push('\n');
        Ok(())
    }
}

/// Gives each file of a tar archive to `take`.
fn each(
    output: Output,
    job: &Job,
    take: &mut dyn FnMut(&mut Entry<Output>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = Archive::new(output);
    for entry in archive.entries()? {
        job.go_on()?;
        take(&mut entry?)?;
    }
    let mut output = archive.into_inner();
    // The rest of the last block: a program whose output is not read fails.
    io::copy(&mut output, &mut io::sink())?;
    output.finish()
}

fn target(entry: &Entry<Output>) -> io::Result<Vec<u8>> {
    let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
    Ok(target.into_owned())
}

fn number(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(|_| io::Error::other("an owner beyond 32 bits"))
}
