//! What a snapshot keeps of a share: which files the guest knows by which numbers, and what it has open. The files themselves stay where
//! they are, and are found again by name.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};
use serde::{Deserialize, Serialize};

use super::beneath;
use super::handles::Handle;
use super::listing::Listed;
use super::server::Server;
use super::tree::Node;
use super::wire::ROOT_ID;

#[derive(Serialize, Deserialize)]
struct SavedNode {
    id: u64,
    parent: u64,
    name: CString,
    /// The bits of its mode that say what it is.
    kind: u32,
    lookups: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    next_node: u64,
    nodes: Vec<SavedNode>,
    last_handle: u64,
    /// Handle, node, and whether it may be read.
    files: Vec<(u64, u64, bool)>,
    listings: Vec<(u64, Vec<Listed>)>,
}

/// Numbers that no run comes to: a snapshot with greater ones is none of ours, and leaves none to be given.
const NUMBER_MAX: u64 = 1 << 62;

/// The bytes of it.
pub(super) fn save(server: &Server) -> Vec<u8> {
    let node = |(&id, node): (&u64, &Node)| SavedNode {
        id,
        parent: node.parent,
        name: node.name.clone(),
        kind: node.kind.as_raw_mode(),
        lookups: node.lookups,
    };
    let file = |(&number, handle): (&u64, &Handle)| (number, handle.node, handle.readable);
    let saved = Saved {
        next_node: server.tree.next,
        nodes: server.tree.nodes.iter().map(node).collect(),
        last_handle: server.handles.last,
        files: server.handles.open.iter().map(file).collect(),
        listings: server.listings.open.iter().map(|(&number, names)| (number, names.to_vec())).collect(),
    };
    // Memory is all that it takes.
    postcard::to_stdvec(&saved).unwrap_or_default()
}

/// Finds all again. What is gone is stale.
pub(super) fn restore(server: &mut Server, saved: &[u8]) -> Result<(), String> {
    let nonsense = || "its files make no sense".to_string();
    let (saved, rest): (Saved, _) = postcard::take_from_bytes(saved).map_err(|_| nonsense())?;
    let numbers = saved.nodes.iter().all(|node| (ROOT_ID + 1..saved.next_node).contains(&node.id));
    let mut handles = saved.files.iter().map(|file| file.0).chain(saved.listings.iter().map(|it| it.0));
    let names = saved.nodes.iter().all(|node| beneath::name(&node.name).is_ok());
    let last = saved.next_node.max(saved.last_handle);
    let handles = handles.all(|handle| handle <= saved.last_handle);
    if !rest.is_empty() || !numbers || !names || !handles || last > NUMBER_MAX {
        return Err(nonsense());
    }
    server.tree.clear();
    for SavedNode { id, parent, name, kind, lookups } in saved.nodes {
        server.tree.add(id, Node::new(parent, name, FileType::from_raw_mode(kind), None, lookups));
    }
    server.tree.next = saved.next_node;
    server.tree.find_all();
    server.handles.last = saved.last_handle;
    for (number, node, readable) in saved.files {
        let flags = if readable { OFlags::RDWR } else { OFlags::WRONLY };
        let file = server.tree.open(node, flags).ok().map(Arc::new);
        server.handles.open.insert(number, Handle { node, readable, file });
    }
    server.listings.open =
        saved.listings.into_iter().map(|(number, names)| (number, Arc::new(names))).collect();
    Ok(())
}

impl super::tree::Tree {
    /// Says of each file that came from a snapshot what it is on this host now, if it is where it was and of the same kind.
    fn find_all(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        // A directory that was moved may have a greater number than what is in it: from the top down.
        let mut found: Vec<u64> = vec![ROOT_ID];
        let mut below: std::collections::BTreeMap<u64, Vec<u64>> = std::collections::BTreeMap::new();
        for id in ids {
            below.entry(self.nodes[&id].parent).or_default().push(id);
        }
        while let Some(parent) = found.pop() {
            let Ok(dir) = self.place(parent) else { continue };
            for id in below.remove(&parent).unwrap_or_default() {
                let Some(node) = self.nodes.get_mut(&id) else { continue };
                if let Ok(stat) = beneath::look(dir.as_fd(), &node.name)
                    && beneath::kind(&stat) == node.kind
                {
                    let host = beneath::identity(&stat);
                    node.host = Some(host);
                    self.known_as(host, id);
                    found.push(id);
                }
            }
        }
    }
}
