//! The files that the guest knows: their numbers, and where they are.
//!
//! A file is known by parent and name, and by what it is on the host. Descriptors are a cache: a guest that knows a million files
//! holds no more of them than one that knows a hundred. A place that is opened again must be the same file as before, or it is stale.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, Statx};
use rustix::io::Errno;

use super::beneath::{self, Reopen};
use super::wire::ROOT_ID;

/// The most files that the guest knows at one time.
const NODES: usize = 1 << 20;
/// The most files whose descriptors are kept, two each.
const OPEN_NODES: usize = 128;
/// The most files that are kept although they have no name any more.
const PINNED: usize = 128;
/// The most directories above a file.
const DEPTH: usize = 4096;

/// A file that the guest knows.
#[derive(Debug)]
pub(super) struct Node {
    pub parent: u64,
    pub name: CString,
    pub kind: FileType,
    /// What it is on the host; none: it was gone when the machine was restored.
    pub host: Option<(u64, u64)>,
    /// How often the guest has been told of it and has not forgotten.
    pub lookups: u64,
    place: Option<Arc<OwnedFd>>,
    content: Option<Arc<OwnedFd>>,
    /// When it was used last.
    used: u64,
    /// It has no name any more, and its place is all that there is of it.
    pinned: bool,
}

/// All of them.
pub struct Tree {
    root: Arc<OwnedFd>,
    reopen: Reopen,
    pub(super) nodes: BTreeMap<u64, Node>,
    by_host: BTreeMap<(u64, u64), u64>,
    pub(super) next: u64,
    /// Those with descriptors that may go, by when they were used.
    open: BTreeMap<u64, u64>,
    uses: u64,
    pinned: usize,
}

impl Tree {
    /// The directory at `path`, of which the guest knows nothing yet.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn new(path: &Path) -> Result<Self, Errno> {
        Ok(Tree {
            root: Arc::new(beneath::root(path)?),
            reopen: Reopen::new()?,
            nodes: BTreeMap::new(),
            by_host: BTreeMap::new(),
            next: ROOT_ID + 1,
            open: BTreeMap::new(),
            uses: 0,
            pinned: 0,
        })
    }

    /// How places become files.
    pub fn reopen(&self) -> &Reopen {
        &self.reopen
    }

    /// Knows nothing again.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.by_host.clear();
        self.open.clear();
        (self.next, self.pinned) = (ROOT_ID + 1, 0);
    }

    /// What node `id` is.
    ///
    /// # Errors
    ///
    /// `ESTALE`: the guest knows no such file.
    pub fn kind(&self, id: u64) -> Result<FileType, Errno> {
        match id {
            ROOT_ID => Ok(FileType::Directory),
            _ => self.nodes.get(&id).map(|node| node.kind).ok_or(Errno::STALE),
        }
    }

    /// The number of what `name` is in directory `parent`, whose attributes are `stat`. The guest knows it once more.
    ///
    /// # Errors
    ///
    /// `ENFILE`: it knows too many.
    pub fn know(&mut self, parent: u64, name: &CStr, stat: &Statx) -> Result<u64, Errno> {
        let (host, kind) = (beneath::identity(stat), beneath::kind(stat));
        if let Some(&id) = self.by_host.get(&host)
            && let Some(node) = self.nodes.get_mut(&id).filter(|node| node.kind == kind && !node.pinned)
        {
            // The name that was used last is the one that most likely still is.
            if node.parent != parent || node.name.as_c_str() != name {
                (node.parent, node.name) = (parent, name.to_owned());
            }
            node.lookups = node.lookups.saturating_add(1);
            return Ok(id);
        }
        if self.nodes.len() >= NODES {
            return Err(Errno::NFILE);
        }
        let id = self.next;
        self.next += 1;
        self.add(id, Node::new(parent, name.to_owned(), kind, Some(host), 1));
        Ok(id)
    }

    pub(super) fn add(&mut self, id: u64, node: Node) {
        self.by_host.extend(node.host.map(|host| (host, id)));
        self.nodes.insert(id, node);
    }

    /// Node `id` is this file of the host's.
    pub(super) fn known_as(&mut self, host: (u64, u64), id: u64) {
        self.by_host.insert(host, id);
    }

    /// The guest forgets node `id` so many times.
    pub fn forget(&mut self, id: u64, lookups: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups > 0 {
            return;
        }
        if let Some(node) = self.nodes.remove(&id) {
            self.open.remove(&node.used);
            self.pinned -= usize::from(node.pinned);
            if let Some(host) = node.host.filter(|host| self.by_host.get(host) == Some(&id)) {
                self.by_host.remove(&host);
            }
        }
    }

    /// The place of node `id`.
    ///
    /// # Errors
    ///
    /// `ESTALE`: it is not where it was; the host's.
    pub fn place(&mut self, id: u64) -> Result<Arc<OwnedFd>, Errno> {
        // From the nearest directory above that is open, down to the file.
        let (mut missing, mut at) = (Vec::new(), id);
        let mut place = loop {
            if at == ROOT_ID {
                break self.root.clone();
            }
            let node = self.nodes.get(&at).ok_or(Errno::STALE)?;
            if let Some(place) = &node.place {
                break place.clone();
            }
            if missing.len() >= DEPTH {
                return Err(Errno::STALE);
            }
            missing.push(at);
            at = node.parent;
        };
        while let Some(id) = missing.pop() {
            let node = self.nodes.get_mut(&id).ok_or(Errno::STALE)?;
            let found = beneath::place(place.as_fd(), &node.name).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR => Errno::STALE,
                other => other,
            })?;
            // A number that the host has given again may be that of a file of another kind.
            let there = beneath::look_at(found.as_fd())?;
            if node.host != Some(beneath::identity(&there)) || node.kind != beneath::kind(&there) {
                return Err(Errno::STALE);
            }
            place = Arc::new(found);
            node.place = Some(place.clone());
            self.touch(id);
        }
        self.touch(id);
        Ok(place)
    }

    /// The content of node `id`, a file or directory, to read.
    ///
    /// # Errors
    ///
    /// As [`Self::place`]; `EACCES` of anything else.
    pub fn content(&mut self, id: u64) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(content) = self.nodes.get(&id).and_then(|node| node.content.clone()) {
            self.touch(id);
            return Ok(content);
        }
        let file = Arc::new(self.open(id, OFlags::RDONLY)?);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.content = Some(file.clone());
        }
        Ok(file)
    }

    /// Opens node `id`, a file or directory.
    ///
    /// # Errors
    ///
    /// As [`Self::content`].
    pub fn open(&mut self, id: u64, flags: OFlags) -> Result<OwnedFd, Errno> {
        if !matches!(self.kind(id)?, FileType::RegularFile | FileType::Directory) {
            return Err(Errno::ACCESS);
        }
        let place = self.place(id)?;
        self.reopen.open(place.as_fd(), flags)
    }

    /// Node `id` is used: another one's descriptors go if there are too many.
    fn touch(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        self.open.remove(&node.used);
        if node.pinned {
            return;
        }
        self.uses += 1;
        node.used = self.uses;
        self.open.insert(self.uses, id);
        if self.open.len() > OPEN_NODES
            && let Some((_, oldest)) = self.open.pop_first()
            && let Some(node) = self.nodes.get_mut(&oldest)
        {
            (node.place, node.content) = (None, None);
        }
    }

    /// The node of what `name` is in `parent`, if the guest knows it.
    pub fn known(&self, stat: &Statx) -> Option<u64> {
        self.by_host.get(&beneath::identity(stat)).copied()
    }

    /// Node `id` is about to lose its last name: it is kept while the guest knows it, if there are not too many such.
    pub fn pin(&mut self, id: u64) {
        let Ok(_) = self.place(id) else { return };
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.pinned) else { return };
        if self.pinned >= PINNED {
            return;
        }
        self.pinned += 1;
        node.pinned = true;
        self.open.remove(&node.used);
    }

    /// Node `id` has kept its name.
    pub fn unpin(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.pinned) else { return };
        node.pinned = false;
        self.pinned -= 1;
        self.touch(id);
    }

    /// Node `id` has another name now.
    pub fn moved(&mut self, id: u64, parent: u64, name: &CStr) {
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.parent, node.name) = (parent, name.to_owned());
        }
    }

    /// Parent and name of node `id`.
    ///
    /// # Errors
    ///
    /// `ESTALE`: the guest knows no such file, or it is the root.
    pub fn name_of(&self, id: u64) -> Result<(u64, CString), Errno> {
        self.nodes.get(&id).map(|node| (node.parent, node.name.clone())).ok_or(Errno::STALE)
    }
}

impl Node {
    pub(super) fn new(
        parent: u64,
        name: CString,
        kind: FileType,
        host: Option<(u64, u64)>,
        lookups: u64,
    ) -> Self {
        Node { parent, name, kind, host, lookups, place: None, content: None, used: 0, pinned: false }
    }
}
