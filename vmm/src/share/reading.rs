//! Requests that change nothing.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::{Errno, pread};
use zerocopy::IntoBytes;

use super::attributes::{attr_out, entry_out};
use super::beneath;
use super::listing::{self, Listed};
use super::server::{Answer, Asked, DATA_MAX_BYTES, Server, bytes};
use super::wire::{Dirent, EntryOut, ROOT_ID, ReadIn, StatfsOut, UNKNOWN_INO};

impl Server {
    pub(super) fn lookup(&mut self, mut it: Asked<'_>) -> Answer {
        let name = it.name()?;
        let dir = self.directory(it.node)?;
        self.entry(it.node, &dir, name).and_then(|entry| bytes(&entry))
    }

    /// The place of a directory.
    pub(super) fn directory(&mut self, node: u64) -> Result<Arc<OwnedFd>, Errno> {
        match self.tree.kind(node)? {
            FileType::Directory => self.tree.place(node),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The entry of what `name` is in directory `node`, whose place is `dir`: the guest knows it once more.
    pub(super) fn entry(
        &mut self,
        node: u64,
        dir: &OwnedFd,
        name: &std::ffi::CStr,
    ) -> Result<EntryOut, Errno> {
        let stat = beneath::look(dir.as_fd(), name)?;
        let id = self.tree.know(node, name, &stat)?;
        Ok(entry_out(self.owner.attributes(id, &stat), self.cache_s))
    }

    pub(super) fn getattr(&mut self, it: Asked<'_>) -> Answer {
        let place = self.tree.place(it.node)?;
        let stat = beneath::look_at(place.as_fd())?;
        bytes(&attr_out(self.owner.attributes(it.node, &stat), self.cache_s))
    }

    pub(super) fn readlink(&mut self, it: Asked<'_>) -> Answer {
        if self.tree.kind(it.node)? != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        let place = self.tree.place(it.node)?;
        let target = rustix::fs::readlinkat(&*place, c"", Vec::new())?;
        Ok(target.into_bytes())
    }

    pub(super) fn read(&mut self, mut it: Asked<'_>) -> Answer {
        let asked: ReadIn = it.take()?;
        if self.tree.kind(it.node)? == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        let file = match self.handles.readable(asked.handle, it.node) {
            Some(file) => file,
            None => self.tree.content(it.node)?,
        };
        let mut data = vec![0; (asked.size.min(DATA_MAX_BYTES) as usize).min(it.room)];
        let mut done = 0;
        while done < data.len() {
            match pread(&file, &mut data[done..], asked.offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        data.truncate(done);
        Ok(data)
    }

    /// The names of a directory from the place `offset` on, each with its entry where `plus` asks for that.
    pub(super) fn readdir(&mut self, mut it: Asked<'_>, plus: bool) -> Answer {
        let asked: ReadIn = it.take()?;
        let room = (asked.size.min(DATA_MAX_BYTES) as usize).min(it.room);
        let dir = self.directory(it.node)?;
        let read = || listing::read(self.tree.content(it.node)?.as_fd());
        let listing = self.listings.get(asked.handle, it.node, asked.offset, read)?;
        let mut reply = Vec::new();
        let first = usize::try_from(asked.offset).unwrap_or(usize::MAX);
        for (at, listed) in listing.iter().enumerate().skip(first) {
            let head = if plus { size_of::<EntryOut>() } else { 0 };
            let length = head + (size_of::<Dirent>() + listed.name.count_bytes()).next_multiple_of(8);
            if reply.len() + length > room {
                break;
            }
            let entry = if plus { self.listed_entry(it.node, &dir, listed) } else { EntryOut::default() };
            let ino = match listed.name.to_bytes() {
                b"." => it.node,
                b".." => self.tree.name_of(it.node).map_or(ROOT_ID, |(parent, _)| parent),
                _ if entry.node != 0 => entry.node,
                _ => UNKNOWN_INO,
            };
            let end = reply.len() + length;
            if plus {
                reply.extend(entry.as_bytes());
            }
            let name_bytes = listed.name.count_bytes() as u32;
            let dirent = Dirent { ino, off: at as u64 + 1, name_bytes, kind: listed.kind.into() };
            reply.extend(dirent.as_bytes());
            reply.extend(listed.name.to_bytes());
            reply.resize(end, 0);
        }
        Ok(reply)
    }

    /// The entry of a name that was listed; node 0 of one that the guest is to ask for itself, and is told then why it cannot.
    fn listed_entry(&mut self, node: u64, dir: &OwnedFd, listed: &Listed) -> EntryOut {
        match listed.name.to_bytes() {
            b"." | b".." => EntryOut::default(),
            _ => self.entry(node, dir, &listed.name).unwrap_or_default(),
        }
    }

    /// The same of every host: 1 TiB, all of it free. A host's disk that is full says so when it is written to.
    pub(super) fn statfs() -> Answer {
        const BLOCKS: u64 = 1 << 28;
        const FILES: u64 = 1 << 32;
        bytes(&StatfsOut {
            blocks: BLOCKS,
            bfree: BLOCKS,
            bavail: BLOCKS,
            files: FILES,
            ffree: FILES,
            bsize: 4096,
            name_bytes: 255,
            frsize: 4096,
            ..StatfsOut::default()
        })
    }
}
