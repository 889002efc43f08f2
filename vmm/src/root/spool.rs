//! What regular files hold, one after the other in one file without a name: it is gone with the process, however that ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The bytes of one file: where they begin in the spool, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    start: u64,
    /// Bytes.
    pub length: u64,
}

/// The contents of many files.
#[derive(Debug)]
pub struct Spool {
    file: File,
    end: u64,
}

impl Spool {
    /// An empty one, on the file system of `folder`.
    pub fn new(folder: &Path) -> io::Result<Spool> {
        Ok(Spool { file: tempfile::tempfile_in(folder)?, end: 0 })
    }

    /// Keeps what `from` gives.
    pub fn keep(&mut self, from: &mut impl Read) -> io::Result<Content> {
        let length = io::copy(from, &mut self.file)?;
        let content = Content { start: self.end, length };
        self.end += length;
        Ok(content)
    }

    /// Keeps bytes.
    pub fn keep_bytes(&mut self, bytes: &[u8]) -> io::Result<Content> {
        self.keep(&mut &bytes[..])
    }

    /// Reads a file's bytes from `offset` on.
    pub fn read(&self, content: Content, offset: u64) -> impl Read + '_ {
        let offset = offset.min(content.length);
        Part { file: &self.file, at: content.start + offset, left: content.length - offset }
    }

    /// All bytes of a file that is small.
    pub fn bytes(&self, content: Content) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(content, 0).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file's bytes from `offset` on to `to`, and gives how many there were.
    pub fn copy(&self, content: Content, offset: u64, to: &mut impl Write) -> io::Result<u64> {
        io::copy(&mut self.read(content, offset), to)
    }
}

struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.file.read_at(&mut buffer[..most], self.at)?;
        if got == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}
