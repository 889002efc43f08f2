//! A file system in memory: names, owners, modes and times; what regular files hold is kept in a [`Spool`](super::spool::Spool).
//!
//! Whatever paths a package has, nothing of it is written to the host before the whole tree is known.

use std::collections::BTreeMap;

use super::spool::Content;

/// Symbolic links that are followed to one place; the kernel follows as many.
const MOST_LINKS: usize = 40;
/// Longest name of one file, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Owner, rights and time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, with set-user-ID, set-group-ID and sticky: 12 bits.
    pub mode: u16,
    /// User and group.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Time of the last change, in seconds since 1970.
    pub seconds: u64,
}

impl Attributes {
    /// What belongs to root.
    pub fn of_root(mode: u16, seconds: u64) -> Attributes {
        Attributes { mode, uid: 0, gid: 0, seconds }
    }
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder: names, and the numbers of their nodes.
    Folder(BTreeMap<Vec<u8>, usize>),
    /// A regular file.
    File(Content),
    /// A symbolic link's target.
    Link(Vec<u8>),
}

/// A file of any kind. Several names may lead to one.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub attributes: Attributes,
}

/// A file system.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// The node of the root folder.
pub const ROOT: usize = 0;

impl Tree {
    /// An empty root folder, of the time `seconds`.
    pub fn new(seconds: u64) -> Tree {
        let kind = Kind::Folder(BTreeMap::new());
        Tree { nodes: vec![Node { kind, attributes: Attributes::of_root(0o755, seconds) }] }
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// How many numbers there are. Of some nodes there may be no name any more.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing, which is never so: the root folder is always there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node that a path leads to; a symbolic link at its end is followed if `follow`.
    pub fn find(&self, path: &[u8], follow: bool) -> Option<usize> {
        let mut links = 0;
        self.walk(ROOT, path, follow, &mut links).ok()
    }

    /// Puts a folder. One that is there gets the attributes; a symbolic link to a folder stays, as dpkg leaves it.
    ///
    /// # Errors
    ///
    /// Something else is there, or the path leads nowhere.
    pub fn folder(&mut self, path: &[u8], attributes: Attributes) -> Result<(), String> {
        if parts(path).next().is_none() {
            self.nodes[ROOT].attributes = attributes;
            return Ok(());
        }
        match self.find(path, true) {
            Some(number) if matches!(self.nodes[number].kind, Kind::Folder(_)) => {
                if self.find(path, false) == Some(number) {
                    self.nodes[number].attributes = attributes;
                }
                Ok(())
            }
            Some(_) => Err(format!("{} is a file already", shown(path))),
            None => self.new_folder(path, attributes).map(drop),
        }
    }

    /// Puts a folder where nothing is; a link that leads nowhere is something.
    fn new_folder(&mut self, path: &[u8], attributes: Attributes) -> Result<usize, String> {
        if self.find(path, false).is_some() {
            return Err(format!("{} is a link that leads nowhere", shown(path)));
        }
        self.put(path, Node { kind: Kind::Folder(BTreeMap::new()), attributes })
    }

    /// Puts a regular file or a symbolic link in the place of what is there.
    ///
    /// # Errors
    ///
    /// A folder is there, or the path leads nowhere.
    pub fn file(&mut self, path: &[u8], kind: Kind, attributes: Attributes) -> Result<(), String> {
        self.put(path, Node { kind, attributes }).map(drop)
    }

    /// Gives the regular file `of` one more name.
    ///
    /// # Errors
    ///
    /// There is no such file, or the path leads nowhere.
    pub fn hard_link(&mut self, path: &[u8], of: &[u8]) -> Result<(), String> {
        let number = self.find(of, false).ok_or_else(|| format!("{}: no such file", shown(of)))?;
        if matches!(self.nodes[number].kind, Kind::Folder(_)) {
            return Err(format!("{} is a folder and can have one name only", shown(of)));
        }
        self.name(path, number)
    }

    /// Every path below the root folder, each folder before what is in it, with its node.
    pub fn paths(&self) -> Vec<(Vec<u8>, usize)> {
        let mut all = Vec::new();
        let mut open = vec![(Vec::new(), ROOT)];
        while let Some((path, number)) = open.pop() {
            if let Kind::Folder(names) = &self.nodes[number].kind {
                for (name, child) in names.iter().rev() {
                    open.push(([&path[..], b"/", name].concat(), *child));
                }
            }
            if number != ROOT {
                all.push((path, number));
            }
        }
        all
    }

    fn put(&mut self, path: &[u8], node: Node) -> Result<usize, String> {
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        self.name(path, number).map(|()| number)
    }

    /// Gives a node its name. What else has the name loses it; a folder does not.
    fn name(&mut self, path: &[u8], number: usize) -> Result<(), String> {
        let name = parts(path).last().ok_or("a file needs a name")?.to_vec();
        if name.len() > NAME_MAX || name == b".." {
            return Err(format!("{}: no name for a file", shown(path)));
        }
        let end = path.len() - path.iter().rev().take_while(|byte| **byte == b'/').count() - name.len();
        let parent = self.parent(&path[..end])?;
        let old = match &self.nodes[parent].kind {
            Kind::Folder(names) => names.get(&name).copied(),
            _ => return Err(format!("{} is no folder", shown(&path[..end]))),
        };
        if old.is_some_and(|old| matches!(self.nodes[old].kind, Kind::Folder(_))) {
            return Err(format!("{} is a folder already", shown(path)));
        }
        if let Kind::Folder(names) = &mut self.nodes[parent].kind {
            names.insert(name, number);
        }
        Ok(())
    }

    /// The folder of a path, which is made with the root's time if it is not there.
    fn parent(&mut self, path: &[u8]) -> Result<usize, String> {
        if let Some(number) = self.find(path, true) {
            return Ok(number);
        }
        let attributes = Attributes::of_root(0o755, self.nodes[ROOT].attributes.seconds);
        self.new_folder(path, attributes)
    }

    fn walk(&self, from: usize, path: &[u8], follow: bool, links: &mut usize) -> Result<usize, ()> {
        // The folders that were entered: `..` of the root is the root.
        let mut trail = vec![from];
        let mut left = parts(path).peekable();
        while let Some(part) = left.next() {
            let here = *trail.last().ok_or(())?;
            let Kind::Folder(names) = &self.nodes[here].kind else { return Err(()) };
            if part == b".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let child = *names.get(part).ok_or(())?;
            let Kind::Link(target) = &self.nodes[child].kind else {
                trail.push(child);
                continue;
            };
            if left.peek().is_none() && !follow {
                return Ok(child);
            }
            *links += 1;
            if *links > MOST_LINKS {
                return Err(());
            }
            let rest: Vec<u8> = left.flat_map(|part| [b"/", part].concat()).collect();
            let base = if target.starts_with(b"/") { Vec::new() } else { self.spell(&trail) };
            return self.walk(ROOT, &[&base[..], b"/", target, &rest].concat(), follow, links);
        }
        trail.last().copied().ok_or(())
    }

    /// The path of folders that were entered one after the other.
    fn spell(&self, trail: &[usize]) -> Vec<u8> {
        let mut path = Vec::new();
        for pair in trail.windows(2) {
            let Kind::Folder(names) = &self.nodes[pair[0]].kind else { continue };
            let name = names.iter().find(|(_, child)| **child == pair[1]).map(|(name, _)| &name[..]);
            path.extend([b"/", name.unwrap_or_default()].concat());
        }
        path
    }
}

/// The names in a path.
fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

/// A path for a message.
pub fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
