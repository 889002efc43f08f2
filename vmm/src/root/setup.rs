//! What makes a usable root of unpacked packages: the few things that maintainer scripts do which every program counts on.
//!
//! docs/root.md lists them, and what is left to `dpkg --configure -a` in the guest.

use super::package::Unpacked;
use super::tree::{Attributes, Kind};

/// The folders that moved below `/usr`, and those of 64-bit libraries where there are any.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];
/// Architectures whose loader is in `/lib64`.
const WITH_LIB64: [&str; 1] = ["amd64"];

/// Files that scripts copy when a package is installed first: from, to, its mode (base-files, base-passwd, libc-bin).
const COPIES: [(&str, &str, u16); 8] = [
    ("/usr/share/base-passwd/passwd.master", "/etc/passwd", 0o644),
    ("/usr/share/base-passwd/group.master", "/etc/group", 0o644),
    ("/usr/share/base-files/profile", "/etc/profile", 0o644),
    ("/usr/share/base-files/motd", "/etc/motd", 0o644),
    ("/usr/share/base-files/dot.bashrc", "/root/.bashrc", 0o644),
    ("/usr/share/base-files/dot.profile", "/root/.profile", 0o644),
    ("/usr/share/libc-bin/nsswitch.conf", "/etc/nsswitch.conf", 0o644),
    ("/usr/share/adduser/adduser.conf", "/etc/adduser.conf", 0o644),
];

/// Links that scripts make (base-files), and `/bin/sh` where its package does not have it.
const LINKS: [(&str, &str); 5] = [
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/etc/mtab", "../proc/self/mounts"),
    ("/usr/bin/sh", "dash"),
    ("/usr/bin/sh", "bash"),
];

/// Alternatives (update-alternatives(1)): the link, its name below /etc/alternatives, and programs, the preferred one first.
const ALTERNATIVES: [(&str, &str, &[&str]); 8] = [
    ("/usr/bin/awk", "awk", &["/usr/bin/gawk", "/usr/bin/mawk", "/usr/bin/original-awk"]),
    ("/usr/bin/nawk", "nawk", &["/usr/bin/gawk", "/usr/bin/mawk", "/usr/bin/original-awk"]),
    ("/usr/bin/which", "which", &["/usr/bin/which.gnu", "/usr/bin/which.debianutils"]),
    ("/usr/bin/pager", "pager", &["/usr/bin/less", "/usr/bin/more"]),
    ("/usr/bin/vi", "vi", &["/usr/bin/vim.basic", "/usr/bin/vim.tiny", "/usr/bin/nvi"]),
    ("/usr/bin/vim", "vim", &["/usr/bin/vim.basic", "/usr/bin/vim.tiny"]),
    (
        "/usr/bin/editor",
        "editor",
        &["/usr/bin/vim.basic", "/usr/bin/vim.tiny", "/usr/bin/nano", "/usr/bin/ed"],
    ),
    ("/usr/bin/nc", "nc", &["/bin/nc.openbsd", "/bin/nc.traditional"]),
];

/// Files of ours, that a system has and no package brings.
const TEXTS: [(&str, &str); 4] = [
    ("/etc/hostname", "fencepost\n"),
    ("/etc/hosts", "127.0.0.1 localhost fencepost\n::1 localhost\n"),
    ("/etc/fstab", ""),
    ("/etc/resolv.conf", ""),
];

/// Folders to mount on, and those that base-files makes for the system's owner, with their modes.
const FOLDERS: [(&str, u16); 11] = [
    ("/dev", 0o755),
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/root", 0o700),
    ("/mnt", 0o755),
    ("/var/lib/dpkg/updates", 0o755),
    ("/usr/local/bin", 0o755),
    ("/usr/local/lib", 0o755),
    ("/usr/local/sbin", 0o755),
];

impl Unpacked<'_> {
    /// What has to be there before the packages: `/bin` is `/usr/bin`, and so on, as in every Debian since 12.
    ///
    /// # Errors
    ///
    /// None in an empty tree.
    pub fn begin(&mut self, architectures: &[&str]) -> Result<(), String> {
        let lib64 = architectures.iter().any(|one| WITH_LIB64.contains(one));
        for name in MERGED.into_iter().chain(lib64.then_some("lib64")) {
            self.tree.folder(format!("/usr/{name}").as_bytes(), Attributes::of_root(0o755, 0))?;
            self.link(&format!("/{name}"), &format!("usr/{name}"))?;
        }
        Ok(())
    }

    /// What is left to do after the packages.
    ///
    /// # Errors
    ///
    /// A package has something else in a place that must be free.
    pub fn complete(&mut self, architecture: &str, others: &[String]) -> Result<(), String> {
        for (path, mode) in FOLDERS {
            let attributes = Attributes::of_root(mode, self.newest);
            self.tree.folder(path.as_bytes(), attributes)?;
        }
        for (from, to, mode) in COPIES {
            let found = self.tree.find(from.as_bytes(), true);
            if let Some(Kind::File(content)) = found.map(|number| self.tree.node(number).kind.clone())
                && self.is_free(to)
            {
                self.tree.file(to.as_bytes(), Kind::File(content), Attributes::of_root(mode, self.newest))?;
            }
        }
        for (path, target) in LINKS {
            let program = !path.starts_with("/usr/bin/") || self.is_program(&format!("/usr/bin/{target}"));
            if self.is_free(path) && program {
                self.link(path, target)?;
            }
        }
        for (link, name, programs) in ALTERNATIVES {
            let program = programs.iter().find(|program| self.is_program(program));
            if let Some(program) = program.filter(|_| self.is_free(link)) {
                self.link(&format!("/etc/alternatives/{name}"), program)?;
                self.link(link, &format!("/etc/alternatives/{name}"))?;
            }
        }
        for (path, text) in TEXTS {
            if self.is_free(path) {
                self.text(path, text)?;
            }
        }
        self.database(architecture, others)
    }

    /// dpkg's own files.
    fn database(&mut self, architecture: &str, others: &[String]) -> Result<(), String> {
        let status = std::mem::take(&mut self.status);
        self.text("/var/lib/dpkg/status", &status)?;
        self.text("/var/lib/dpkg/info/format", "1\n")?;
        if !others.is_empty() {
            let all: Vec<&str> =
                std::iter::once(architecture).chain(others.iter().map(String::as_str)).collect();
            self.text("/var/lib/dpkg/arch", &(all.join("\n") + "\n"))?;
        }
        Ok(())
    }

    fn is_free(&self, path: &str) -> bool {
        self.tree.find(path.as_bytes(), false).is_none()
    }

    fn is_program(&self, path: &str) -> bool {
        self.tree.find(path.as_bytes(), true).is_some()
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), String> {
        let attributes = Attributes::of_root(0o777, self.newest);
        self.tree.file(path.as_bytes(), Kind::Link(target.into()), attributes)
    }

    fn text(&mut self, path: &str, text: &str) -> Result<(), String> {
        let content = self.spool.keep_bytes(text.as_bytes()).map_err(|error| crate::error::plain(&error))?;
        self.tree.file(path.as_bytes(), Kind::File(content), Attributes::of_root(0o644, self.newest))
    }
}
