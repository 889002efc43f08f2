//! Requests that change what is in a file, or its attributes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::{Errno, pwrite};

use super::attributes::{attr_out, entry_out};
use super::beneath;
use super::listing;
use super::server::{Answer, Asked, Server, bytes};
use super::wire::{
    CreateIn, FallocateIn, FsyncIn, OpenIn, OpenOut, ReadIn, ReleaseIn, SetattrIn, WriteOut, fattr,
};

/// When the guest's date clock starts, in seconds since 1970: 2026-01-01 (docs/machine.md).
const POWER_ON_S: i64 = 1_767_225_600;
/// The bits of a mode that a guest may set: not those by which a program on the host would run as somebody else.
const MODE_BITS: u32 = 0o1777;
/// FSYNC: the data will do.
const DATA_ONLY: u32 = 1;
/// `O_ACCMODE`, `O_WRONLY`, `O_RDWR`, `O_EXCL` (Linux, `include/uapi/asm-generic/fcntl.h`).
const ACCESS_MODE: u32 = 3;
const WRITE_ONLY: u32 = 1;
const READ_WRITE: u32 = 2;
const EXCLUSIVE: u32 = 0o200;

/// The mode that a guest may give a file.
pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & MODE_BITS)
}

impl Server {
    /// The guest's time, which is a changed file's time of modification: the host's clock is not for the guest to see.
    pub(super) fn now(&self) -> Timespec {
        const SECOND_NS: u64 = 1_000_000_000;
        let (s, ns) = ((self.now_ns / SECOND_NS) as i64, (self.now_ns % SECOND_NS) as i64);
        Timespec { tv_sec: POWER_ON_S + s, tv_nsec: ns }
    }

    pub(super) fn modified_now(&self) -> Timestamps {
        let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        Timestamps { last_access: keep, last_modification: self.now() }
    }

    /// A file that is open has been changed now.
    fn stamp(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        rustix::fs::futimens(file, &self.modified_now())
    }

    /// A file or directory at `place` has been changed now.
    pub(super) fn stamp_place(&self, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let (all, name) = self.tree.reopen().named(place);
        rustix::fs::utimensat(all, name, &self.modified_now(), AtFlags::empty())
    }

    pub(super) fn open(&mut self, mut it: Asked<'_>) -> Answer {
        let OpenIn { flags, .. } = it.take()?;
        let opened = |handle| bytes(&OpenOut { handle, ..OpenOut::default() });
        match flags & ACCESS_MODE {
            // So that what may not be read is told at once.
            0 => self.tree.content(it.node).and_then(|_| opened(0)),
            mode @ (WRITE_ONLY | READ_WRITE) => {
                self.handles.room()?;
                let readable = mode == READ_WRITE;
                let file = self.tree.open(it.node, if readable { OFlags::RDWR } else { OFlags::WRONLY })?;
                opened(self.handles.keep(it.node, readable, file))
            }
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn opendir(&mut self, it: Asked<'_>) -> Answer {
        self.directory(it.node)?;
        let listing = listing::read(self.tree.content(it.node)?.as_fd())?;
        let handle = self.handles.number();
        self.listings.keep(handle, listing)?;
        bytes(&OpenOut { handle, ..OpenOut::default() })
    }

    pub(super) fn release(&mut self, mut it: Asked<'_>) -> Answer {
        let ReleaseIn { handle, .. } = it.take()?;
        self.handles.open.remove(&handle);
        Ok(Vec::new())
    }

    pub(super) fn releasedir(&mut self, mut it: Asked<'_>) -> Answer {
        let ReleaseIn { handle, .. } = it.take()?;
        self.listings.open.remove(&handle);
        Ok(Vec::new())
    }

    pub(super) fn create(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: CreateIn = it.take()?;
        let name = it.name()?;
        self.handles.room()?;
        let dir = self.directory(it.node)?;
        // What is there and would block or act when it is opened is refused here.
        let there = match beneath::look(dir.as_fd(), name) {
            Ok(stat) if beneath::kind(&stat) != FileType::RegularFile => return Err(Errno::EXIST),
            Ok(_) => true,
            Err(Errno::NOENT) => false,
            Err(error) => return Err(error),
        };
        let (readable, access) = match asked.flags & ACCESS_MODE {
            WRITE_ONLY => (false, OFlags::WRONLY),
            _ => (true, OFlags::RDWR),
        };
        let exclusive = if asked.flags & EXCLUSIVE != 0 { OFlags::EXCL } else { OFlags::empty() };
        let flags = access | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY | exclusive;
        let file = beneath::open(dir.as_fd(), name, flags, mode(asked.mode))?;
        if !there {
            // The umask of the host's user is not the guest's.
            rustix::fs::fchmod(&file, mode(asked.mode))?;
            self.stamp(file.as_fd())?;
            self.stamp_place(dir.as_fd())?;
        }
        let stat = beneath::look_at(file.as_fd())?;
        if beneath::kind(&stat) != FileType::RegularFile {
            return Err(Errno::ACCESS);
        }
        let node = self.tree.know(it.node, name, &stat)?;
        let entry = entry_out(self.owner.attributes(node, &stat), self.cache_s);
        let handle = self.handles.keep(node, readable, file);
        let mut reply = bytes(&entry)?;
        reply.extend(bytes(&OpenOut { handle, ..OpenOut::default() })?);
        Ok(reply)
    }

    pub(super) fn write(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: ReadIn = it.take()?;
        let data = it.body.get(..asked.size as usize).ok_or(Errno::INVAL)?;
        let file = self.handles.writable(asked.handle, it.node)?;
        let mut done = 0;
        while done < data.len() {
            match pwrite(&file, &data[done..], asked.offset.saturating_add(done as u64)) {
                Ok(more) if more > 0 => done += more,
                Err(Errno::INTR) => {}
                // What was written is told; the rest will be tried again, and told then.
                _ if done > 0 => break,
                Ok(_) => return Err(Errno::NOSPC),
                Err(error) => return Err(error),
            }
        }
        self.stamp(file.as_fd())?;
        bytes(&WriteOut { size: done as u32, padding: 0 })
    }

    pub(super) fn setattr(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: SetattrIn = it.take()?;
        let place = self.tree.place(it.node)?;
        if asked.valid & (fattr::UID | fattr::GID) != 0 {
            self.keeps_owner(place.as_fd(), &asked)?;
        }
        if asked.valid & fattr::MODE != 0 {
            // A link has no mode, and its place is not to lead to what it means.
            if self.tree.kind(it.node)? == FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            let (all, name) = self.tree.reopen().named(place.as_fd());
            rustix::fs::chmodat(all, name, mode(asked.mode), AtFlags::empty())?;
        }
        if asked.valid & fattr::SIZE != 0 {
            self.resize(it.node, &asked)?;
        }
        if asked.valid & (fattr::ATIME | fattr::MTIME) != 0 {
            self.set_times(it.node, place.as_fd(), &asked)?;
        }
        let stat = beneath::look_at(place.as_fd())?;
        bytes(&attr_out(self.owner.attributes(it.node, &stat), self.cache_s))
    }

    /// A file's owner cannot be changed: it may be set to what it is.
    fn keeps_owner(&self, place: BorrowedFd<'_>, asked: &SetattrIn) -> Result<(), Errno> {
        let now = self.owner.attributes(0, &beneath::look_at(place)?);
        let other = |bit, wanted, is| asked.valid & bit != 0 && wanted != is;
        match other(fattr::UID, asked.uid, now.uid) || other(fattr::GID, asked.gid, now.gid) {
            true => Err(Errno::PERM),
            false => Ok(()),
        }
    }

    fn resize(&mut self, node: u64, asked: &SetattrIn) -> Result<(), Errno> {
        let truncate = |file: &OwnedFd, server: &Server| {
            rustix::fs::ftruncate(file, asked.size)?;
            server.stamp(file.as_fd())
        };
        match asked.valid & fattr::FH != 0 {
            true => truncate(&*self.handles.writable(asked.handle, node)?, self),
            false => {
                let file = self.tree.open(node, OFlags::WRONLY)?;
                truncate(&file, self)
            }
        }
    }

    /// Of times the modification's alone is kept ([`super::attributes`]).
    fn set_times(&mut self, node: u64, place: BorrowedFd<'_>, asked: &SetattrIn) -> Result<(), Errno> {
        if asked.valid & fattr::MTIME == 0 {
            return Ok(());
        }
        let mut times = self.modified_now();
        if asked.valid & fattr::MTIME_NOW == 0 {
            let ns = i64::from(asked.mtime_ns.min(999_999_999));
            times.last_modification = Timespec { tv_sec: asked.mtime as i64, tv_nsec: ns };
        }
        if self.tree.kind(node)? == FileType::Symlink {
            let (parent, name) = self.tree.name_of(node)?;
            let dir = self.directory(parent)?;
            return rustix::fs::utimensat(&*dir, &name, &times, AtFlags::SYMLINK_NOFOLLOW);
        }
        let (all, name) = self.tree.reopen().named(place);
        rustix::fs::utimensat(all, name, &times, AtFlags::empty())
    }

    pub(super) fn fallocate(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: FallocateIn = it.take()?;
        let flags = FallocateFlags::from_bits(asked.mode).ok_or(Errno::OPNOTSUPP)?;
        let file = self.handles.writable(asked.handle, it.node)?;
        if !self.allowance.take(asked.length) {
            return Err(Errno::NOSPC);
        }
        rustix::fs::fallocate(&file, flags, asked.offset, asked.length)?;
        self.stamp(file.as_fd())?;
        Ok(Vec::new())
    }

    pub(super) fn fsync(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: FsyncIn = it.take()?;
        let file = match self.handles.writable(asked.handle, it.node) {
            Ok(file) => file,
            Err(_) => self.tree.content(it.node)?,
        };
        match asked.flags & DATA_ONLY != 0 {
            true => rustix::fs::fdatasync(&file)?,
            false => rustix::fs::fsync(&file)?,
        }
        Ok(Vec::new())
    }

    pub(super) fn fsyncdir(&mut self, it: Asked<'_>) -> Answer {
        self.directory(it.node)?;
        rustix::fs::fsync(&*self.tree.content(it.node)?)?;
        Ok(Vec::new())
    }
}
