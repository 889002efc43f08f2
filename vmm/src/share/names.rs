//! Requests that change the names in a directory.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::beneath;
use super::server::{Answer, Asked, Server, bytes};
use super::wire::{LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn};
use super::writing::mode;

/// The longest target of a link (Linux, `PATH_MAX`), with its end.
const TARGET_BYTES: usize = 4096;

impl Server {
    /// The reply of a request that has made `name` in directory `node`.
    fn made(&mut self, node: u64, dir: &OwnedFd, name: &CStr) -> Answer {
        self.stamp_place(dir.as_fd())?;
        self.entry(node, dir, name).and_then(|entry| bytes(&entry))
    }

    /// Files only: a device, socket or pipe of the guest's would be one of the host's.
    pub(super) fn mknod(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: MknodIn = it.take()?;
        let name = it.name()?;
        if !matches!(FileType::from_raw_mode(asked.mode), FileType::RegularFile) {
            return Err(Errno::PERM);
        }
        let dir = self.directory(it.node)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = beneath::open(dir.as_fd(), name, flags, mode(asked.mode))?;
        rustix::fs::fchmod(&file, mode(asked.mode))?;
        rustix::fs::futimens(&file, &self.modified_now())?;
        self.made(it.node, &dir, name)
    }

    pub(super) fn mkdir(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: MkdirIn = it.take()?;
        let name = it.name()?;
        let dir = self.directory(it.node)?;
        rustix::fs::mkdirat(&*dir, name, mode(asked.mode))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        // One that its owner may not read keeps the mode that the host gave it.
        if let Ok(new) = beneath::open(dir.as_fd(), name, flags, Mode::empty()) {
            rustix::fs::fchmod(&new, mode(asked.mode))?;
            rustix::fs::futimens(&new, &self.modified_now())?;
        }
        self.made(it.node, &dir, name)
    }

    pub(super) fn symlink(&mut self, mut it: Asked<'_>) -> Answer {
        let name = it.name()?;
        let target = it.text()?;
        if target.count_bytes() >= TARGET_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        let dir = self.directory(it.node)?;
        rustix::fs::symlinkat(target, &*dir, name)?;
        rustix::fs::utimensat(&*dir, name, &self.modified_now(), AtFlags::SYMLINK_NOFOLLOW)?;
        self.made(it.node, &dir, name)
    }

    pub(super) fn link(&mut self, mut it: Asked<'_>) -> Answer {
        let LinkIn { node } = it.take()?;
        let name = it.name()?;
        let dir = self.directory(it.node)?;
        // The place is opened again, so that the name still means the file that the guest means.
        let (parent, old) = self.tree.name_of(node)?;
        let from = self.directory(parent)?;
        let stat = beneath::look(from.as_fd(), &old)?;
        if self.tree.known(&stat) != Some(node) {
            return Err(Errno::STALE);
        }
        rustix::fs::linkat(&*from, &old, &*dir, name, AtFlags::empty())?;
        self.made(it.node, &dir, name)
    }

    /// Before the name of a file goes: the guest may have it open.
    fn going(&mut self, dir: &OwnedFd, name: &CStr) {
        let Ok(stat) = beneath::look(dir.as_fd(), name) else { return };
        let last = beneath::kind(&stat) == FileType::Directory || stat.stx_nlink == 1;
        if let Some(node) = self.tree.known(&stat).filter(|_| last) {
            self.tree.pin(node);
        }
    }

    pub(super) fn unlink(&mut self, mut it: Asked<'_>, directory: bool) -> Answer {
        let name = it.name()?;
        let dir = self.directory(it.node)?;
        self.going(&dir, name);
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let removed = rustix::fs::unlinkat(&*dir, name, flags);
        self.stays(&dir, name);
        removed?;
        self.stamp_place(dir.as_fd())?;
        Ok(Vec::new())
    }

    /// What did not go is no more kept than before.
    fn stays(&mut self, dir: &OwnedFd, name: &CStr) {
        if let Some(node) = beneath::look(dir.as_fd(), name).ok().and_then(|stat| self.tree.known(&stat)) {
            self.tree.unpin(node);
        }
    }

    pub(super) fn rename(&mut self, mut it: Asked<'_>, flagged: bool) -> Answer {
        let (to, flags) = match flagged {
            true => {
                let Rename2In { new_dir, flags, .. } = it.take()?;
                (new_dir, flags)
            }
            false => (it.take::<RenameIn>()?.new_dir, 0),
        };
        let (old, new) = (it.name()?, it.name()?);
        let flags = match RenameFlags::from_bits_retain(flags) {
            flags if (RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(flags) => flags,
            _ => return Err(Errno::INVAL),
        };
        let (from_dir, to_dir) = (self.directory(it.node)?, self.directory(to)?);
        let known = |server: &Server, dir: &OwnedFd, name| {
            beneath::look(dir.as_fd(), name).ok().and_then(|stat| server.tree.known(&stat))
        };
        let (moved, other) = (known(self, &from_dir, old), known(self, &to_dir, new));
        if flags.is_empty() && moved != other {
            self.going(&to_dir, new);
        }
        let renamed = rustix::fs::renameat_with(&*from_dir, old, &*to_dir, new, flags);
        if let Err(error) = renamed {
            self.stays(&to_dir, new);
            return Err(error);
        }
        moved.iter().for_each(|&node| self.tree.moved(node, to, new));
        if flags.contains(RenameFlags::EXCHANGE) {
            other.iter().for_each(|&node| self.tree.moved(node, it.node, old));
        }
        self.stamp_place(from_dir.as_fd())?;
        self.stamp_place(to_dir.as_fd())?;
        Ok(Vec::new())
    }
}
