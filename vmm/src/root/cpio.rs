//! Writes cpio archives of the "newc" format, as the kernel unpacks them (Linux, Documentation/driver-api/early-userspace/
//! buffer-format.rst). Owners are root, times are 0: the same files give the same bytes.

/// Bits of a mode that say what a file is.
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive that is being written.
#[derive(Debug, Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    files: usize,
}

impl Cpio {
    /// Adds a folder of mode 755. Its parent must have been added.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, b"");
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &str, mode: u16, bytes: &[u8]) {
        self.entry(path, REGULAR | u32::from(mode), bytes);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, target.as_bytes());
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"");
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        // Inode, mode, user, group, links, time, size, four numbers of devices, the name's length with its zero, no checksum.
        let numbers = [self.files, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, path.len() + 1, 0];
        self.bytes.extend(b"070701");
        numbers.iter().for_each(|number| self.bytes.extend(format!("{number:08x}").bytes()));
        for part in [&[path.as_bytes(), b"\0"].concat()[..], content] {
            self.bytes.extend(part);
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }
    }
}
