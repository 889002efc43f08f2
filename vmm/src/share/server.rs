//! The requests: what each asks for, and the reply's frame.

use std::ffi::CStr;
use std::path::Path;

use fencepost_devices::virtio_fs::{Access, FileServer};
use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::attributes::Owner;
use super::handles::Handles;
use super::listing::Listings;
use super::tree::Tree;
use super::wire::{
    BatchForgetIn, ForgetIn, ForgetOne, InHeader, InitIn, InitOut, MAJOR, MINOR, OLDEST_MINOR,
};
use super::wire::{OutHeader, init, opcode};
use crate::allowance::Allowance;

/// Bytes that a read or a write carries, at most.
pub(super) const DATA_MAX_BYTES: u32 = 1 << 20;

/// What a name is taken for in [`Allowance`].
const BLOCK_BYTES: u64 = 4096;

/// The server of one directory.
pub(super) struct Server {
    pub tree: Tree,
    pub listings: Listings,
    pub handles: Handles,
    pub access: Access,
    pub owner: Owner,
    pub cache_s: u32,
    /// What may be written yet.
    pub allowance: Allowance,
    /// The guest's clock at the request in hand, in nanoseconds since power-on.
    pub now_ns: u64,
}

/// What stands behind the header of a request, and how much the reply may have behind its own.
pub(super) struct Asked<'a> {
    pub node: u64,
    pub body: &'a [u8],
    pub room: usize,
}

/// The reply behind its header, or the error in it.
pub(super) type Answer = Result<Vec<u8>, Errno>;

impl<'a> Asked<'a> {
    /// Takes a structure from the front of the body.
    pub fn take<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, Errno> {
        let (value, rest) = T::read_from_prefix(self.body).map_err(|_| Errno::INVAL)?;
        self.body = rest;
        Ok(value)
    }

    /// Takes a text from the front of the body.
    pub fn text(&mut self) -> Result<&'a CStr, Errno> {
        let text = CStr::from_bytes_until_nul(self.body).map_err(|_| Errno::INVAL)?;
        self.body = &self.body[text.count_bytes() + 1..];
        Ok(text)
    }

    /// Takes a name from the front of the body.
    pub fn name(&mut self) -> Result<&'a CStr, Errno> {
        super::beneath::name(self.text()?)
    }
}

/// The bytes of a reply.
pub(super) fn bytes<T: IntoBytes + Immutable>(value: &T) -> Answer {
    Ok(value.as_bytes().to_vec())
}

/// A request that gets no reply.
fn is_mute(asked: u32) -> bool {
    matches!(asked, opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT)
}

impl Server {
    /// # Errors
    ///
    /// The host's.
    pub fn new(dir: &Path, access: Access, cache_s: u32) -> Result<Self, Errno> {
        Ok(Server {
            tree: Tree::new(dir)?,
            listings: Listings::default(),
            handles: Handles::default(),
            access,
            owner: Owner::of_process(),
            cache_s,
            allowance: Allowance::default(),
            now_ns: 0,
        })
    }

    /// Takes what the request adds to the host's disk: the bytes that it writes, wherever in the file, and a block for a name.
    fn pay(&self, asked: u32, it: &Asked<'_>) -> Result<(), Errno> {
        let bytes = match asked {
            opcode::WRITE => it.body.len() as u64,
            opcode::CREATE | opcode::MKNOD | opcode::MKDIR | opcode::SYMLINK | opcode::LINK => BLOCK_BYTES,
            _ => 0,
        };
        if self.allowance.take(bytes) { Ok(()) } else { Err(Errno::NOSPC) }
    }

    fn answer(&mut self, asked: u32, mut it: Asked<'_>) -> Answer {
        self.pay(asked, &it)?;
        match asked {
            opcode::INIT => self.init(it.take()?),
            opcode::DESTROY => {
                self.reset();
                Ok(Vec::new())
            }
            opcode::LOOKUP => self.lookup(it),
            opcode::GETATTR => self.getattr(it),
            opcode::READLINK => self.readlink(it),
            opcode::READ => self.read(it),
            opcode::READDIR => self.readdir(it, false),
            opcode::READDIRPLUS => self.readdir(it, true),
            opcode::STATFS => Self::statfs(),
            // The protocol: who opens need not ask, and is not to tell of closing (FUSE_NO_OPEN_SUPPORT).
            opcode::OPEN | opcode::OPENDIR if self.access == Access::Ro => Err(Errno::NOSYS),
            _ if self.access == Access::Ro && changes(asked) => Err(Errno::ROFS),
            opcode::OPEN => self.open(it),
            opcode::OPENDIR => self.opendir(it),
            opcode::RELEASE => self.release(it),
            opcode::RELEASEDIR => self.releasedir(it),
            opcode::WRITE => self.write(it),
            opcode::CREATE => self.create(it),
            opcode::SETATTR => self.setattr(it),
            opcode::FALLOCATE => self.fallocate(it),
            opcode::FSYNC => self.fsync(it),
            opcode::FSYNCDIR => self.fsyncdir(it),
            opcode::FLUSH => Ok(Vec::new()),
            opcode::MKNOD => self.mknod(it),
            opcode::MKDIR => self.mkdir(it),
            opcode::SYMLINK => self.symlink(it),
            opcode::LINK => self.link(it),
            opcode::UNLINK => self.unlink(it, false),
            opcode::RMDIR => self.unlink(it, true),
            opcode::RENAME => self.rename(it, false),
            opcode::RENAME2 => self.rename(it, true),
            _ => Err(Errno::NOSYS),
        }
    }

    /// The features of the protocol that both have. A new guest knows nothing of what the one before knew.
    fn init(&mut self, asked: InitIn) -> Answer {
        self.reset();
        if asked.major > MAJOR {
            // The guest's kernel is to ask again, in this version.
            return bytes(&InitOut { major: MAJOR, minor: MINOR, ..InitOut::default() });
        }
        if asked.major < MAJOR || asked.minor < OLDEST_MINOR {
            return Err(Errno::PROTO);
        }
        let mut wanted = init::ASYNC_READ
            | init::BIG_WRITES
            | init::AUTO_INVAL_DATA
            | init::DO_READDIRPLUS
            | init::READDIRPLUS_AUTO
            | init::MAX_PAGES
            | init::CACHE_SYMLINKS;
        if self.access == Access::Ro {
            wanted |= init::NO_OPEN_SUPPORT | init::NO_OPENDIR_SUPPORT;
        }
        bytes(&InitOut {
            major: MAJOR,
            minor: MINOR,
            max_readahead: asked.max_readahead.min(DATA_MAX_BYTES),
            flags: asked.flags & wanted,
            max_background: 64,
            congestion_threshold: 48,
            max_write: DATA_MAX_BYTES,
            time_gran_ns: 1,
            max_pages: (DATA_MAX_BYTES >> 12) as u16,
            ..InitOut::default()
        })
    }

    fn forget(&mut self, asked: u32, mut it: Asked<'_>) -> Result<(), Errno> {
        match asked {
            opcode::FORGET => {
                let ForgetIn { lookups } = it.take()?;
                self.tree.forget(it.node, lookups);
            }
            opcode::BATCH_FORGET => {
                let BatchForgetIn { count, .. } = it.take()?;
                for _ in 0..count {
                    let ForgetOne { node, lookups } = it.take()?;
                    self.tree.forget(node, lookups);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a request changes a file, or asks to be allowed to.
fn changes(asked: u32) -> bool {
    use opcode::*;
    matches!(
        asked,
        SETATTR | SYMLINK | MKNOD | MKDIR | UNLINK | RMDIR | RENAME | LINK | WRITE | SETXATTR | REMOVEXATTR
    ) || matches!(asked, CREATE | FALLOCATE | RENAME2 | TMPFILE)
}

impl FileServer for Server {
    fn handle(&mut self, request: &[u8], room: usize, now_ns: u64) -> Vec<u8> {
        self.now_ns = now_ns;
        let Ok((header, body)) = InHeader::read_from_prefix(request) else { return Vec::new() };
        let header_bytes = size_of::<OutHeader>();
        // The length that the header says, and what the queue has, may differ only in padding behind the request.
        let end = (header.len as usize).checked_sub(size_of::<InHeader>());
        let body = end.and_then(|end| body.get(..end));
        let asked = |body| Asked { node: header.node, body, room: room.saturating_sub(header_bytes) };
        if is_mute(header.opcode) {
            // What is cut short is forgotten as far as it goes.
            _ = body.map(|body| self.forget(header.opcode, asked(body)));
            return Vec::new();
        }
        if room < header_bytes {
            return Vec::new();
        }
        let answer = body.ok_or(Errno::INVAL).and_then(|body| self.answer(header.opcode, asked(body)));
        let answer = answer.and_then(|data| match data.len() <= room - header_bytes {
            true => Ok(data),
            false => Err(Errno::INVAL),
        });
        let (error, data) = match answer {
            Ok(data) => (0, data),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let len = (header_bytes + data.len()) as u32;
        let mut reply = OutHeader { len, error, unique: header.unique }.as_bytes().to_vec();
        reply.extend(data);
        reply
    }

    fn reset(&mut self) {
        self.tree.clear();
        self.listings.clear();
        self.handles.clear();
    }

    fn save(&self) -> Vec<u8> {
        super::saved::save(self)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        super::saved::restore(self, saved)
    }
}
