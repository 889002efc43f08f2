//! The guest's side: requests as bytes, replies taken apart. Numbers and offsets are those of Linux's `fuse.h`, written out again.

use std::path::Path;

use fencepost_devices::virtio_fs::{Access, FileServer};

use super::super::server::Server;

/// A guest and the server that it asks.
pub struct Guest {
    pub server: Server,
    unique: u64,
}

pub type Reply = Result<Vec<u8>, i32>;

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A request: its header is 40 bytes.
pub fn request(opcode: u32, unique: u64, node: u64, body: &[u8]) -> Vec<u8> {
    let len = 40 + body.len() as u32;
    let fields = [&len.to_le_bytes()[..], &opcode.to_le_bytes(), &unique.to_le_bytes(), &node.to_le_bytes()];
    [&fields.concat()[..], &[0; 16], body].concat()
}

pub fn nul(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

/// `struct fuse_read_in`.
pub fn read_in(handle: u64, offset: u64, size: u32) -> Vec<u8> {
    [&handle.to_le_bytes()[..], &offset.to_le_bytes(), &size.to_le_bytes(), &[0; 20]].concat()
}

impl Guest {
    pub fn new(dir: &Path, access: Access) -> Self {
        let mut guest = Guest { server: Server::new(dir, access, 1).unwrap(), unique: 0 };
        let init = [7u32, 38, 131_072, u32::MAX].map(u32::to_le_bytes).concat();
        let out = guest.ask(26, 0, &[&init[..], &[0; 48]].concat()).unwrap();
        assert_eq!((u32_at(&out, 0), u32_at(&out, 4), out.len()), (7, 31, 64));
        guest
    }

    /// The reply behind its header of 16 bytes, or the error number.
    pub fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Reply {
        self.unique += 1;
        let reply = self.server.handle(&request(opcode, self.unique, node, body), 1 << 21, 5_000_000_007);
        assert_eq!((u32_at(&reply, 0) as usize, u64_at(&reply, 8)), (reply.len(), self.unique));
        match u32_at(&reply, 4) as i32 {
            0 => Ok(reply[16..].to_vec()),
            error => {
                assert_eq!(reply.len(), 16);
                Err(-error)
            }
        }
    }

    pub fn lookup(&mut self, parent: u64, name: &str) -> Result<u64, i32> {
        self.ask(1, parent, &nul(name)).map(|entry| u64_at(&entry, 0))
    }

    /// The node at a path.
    pub fn walk(&mut self, path: &str) -> Result<u64, i32> {
        path.split('/').try_fold(1, |node, name| self.lookup(node, name))
    }

    pub fn read(&mut self, node: u64, offset: u64, size: u32) -> Reply {
        self.ask(15, node, &read_in(0, offset, size))
    }

    /// Opens to read and write; the handle.
    pub fn open(&mut self, node: u64) -> Result<u64, i32> {
        self.ask(14, node, &[2, 0, 0, 0, 0, 0, 0, 0]).map(|out| u64_at(&out, 0))
    }

    pub fn write(&mut self, node: u64, handle: u64, offset: u64, data: &[u8]) -> Result<u32, i32> {
        let body = [read_in(handle, offset, data.len() as u32), data.to_vec()].concat();
        self.ask(16, node, &body).map(|out| u32_at(&out, 0))
    }

    /// Makes a file; its node and handle.
    pub fn create(&mut self, parent: u64, name: &str, mode: u32) -> Result<(u64, u64), i32> {
        // O_RDWR and O_CREAT.
        let body = [[0o102u32, mode, 0, 0].map(u32::to_le_bytes).concat(), nul(name)].concat();
        self.ask(35, parent, &body).map(|out| (u64_at(&out, 0), u64_at(&out, 128)))
    }

    /// All names of a directory, with their inode numbers, some at a time.
    pub fn list(&mut self, node: u64, plus: bool) -> Vec<(String, u64)> {
        let (opcode, head) = if plus { (44, 128) } else { (28, 0) };
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let some = self.ask(opcode, node, &read_in(0, offset, 1024)).unwrap();
            assert!(some.len() <= 1024);
            if some.is_empty() {
                return names;
            }
            let mut at = 0;
            while at < some.len() {
                let dirent = &some[at + head..];
                let length = u32_at(dirent, 16) as usize;
                offset = u64_at(dirent, 8);
                names.push((String::from_utf8(dirent[24..24 + length].to_vec()).unwrap(), u64_at(dirent, 0)));
                at += head + (24 + length).next_multiple_of(8);
            }
        }
    }
}
