//! Whether the kernel modules in an initramfs are for the kernel that is started: a guest says "Exec format error" else.
//!
//! An initramfs is a row of archives of cpio's "newc" format, each of them packed or not (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst). The search ends at the first module for the kernel, at damage, and
//! after so many unpacked bytes.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use crate::guest_reader::{GuestReader, Skip};
use fencepost_firmware::unpack::{Method, decoder};
use memchr::memmem;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Modules that are looked into for the release that they are for; all of one initramfs are of one build.
const MOST_MODULES: usize = 64;
/// The most of a module that is looked at, in bytes: the largest ones have some MiB.
const MODULE_MAX: u64 = 16 << 20;
/// What is unpacked for the search, in bytes: some seconds, for an initramfs without a module for the kernel.
const UNPACKED_MAX: u64 = 512 << 20;
/// A header of "newc": the magic and 13 numbers of 8 hexadecimal digits.
const HEADER_BYTES: usize = 110;
/// Longest name of a file in bytes, the NUL included (`PATH_MAX`).
const NAME_MAX: u64 = 4096;
/// Longest release, in bytes (`__NEW_UTS_LEN`).
const RELEASE_MAX: usize = 64;
/// What a kernel's banner begins with.
const BANNER: &[u8] = b"Linux version ";
/// Bytes of guest memory that are searched at once.
const PART_BYTES: usize = 1 << 20;

/// The line for the user if no module in the initramfs is for the kernel, whose release is asked for only if there are modules.
/// `initrds` are the files it was put together from.
pub fn mismatch<'a>(
    initrds: impl IntoIterator<Item = &'a [u8]>,
    release: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let mut search = Search::new(release);
    let searched = initrds.into_iter().try_for_each(|initrd| search.file(initrd));
    line(search, searched)
}

/// The same of an initramfs whose files are in guest memory, each with its address and length in bytes.
pub fn mismatch_in(
    memory: &GuestMemoryMmap,
    files: &[(u64, u64)],
    release: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let mut search = Search::new(release);
    let searched = files.iter().try_for_each(|&(address, bytes)| {
        let mut open = GuestReader::new(memory, address, bytes);
        search.archives(&mut open)?;
        // From the first packed archive on it is copied: its unpacking takes longer.
        let packed = open.rest().unwrap_or_default();
        search.file(&packed)
    });
    line(search, searched)
}

/// What the user is told after a search.
fn line<F>(search: Search<F>, searched: Result<(), Over>) -> Option<String> {
    let Search { found, kernel: Some(Some(release)), .. } = search else { return None };
    searched.ok()?;
    let all: Vec<String> = found.iter().map(|one| one.escape_debug().to_string()).collect();
    Some(format!(
        "the modules in --initrd are for kernel {}, but --kernel is {}, which cannot load them; name the initramfs \
         that was made for it",
        all.join(" and "),
        release.escape_debug()
    ))
}

/// The release of the kernel in a `vmlinux`, as its banner has it.
pub fn release_of(vmlinux: &[u8]) -> Option<String> {
    memmem::find_iter(vmlinux, BANNER).find_map(|at| word_behind(&vmlinux[at..], BANNER))
}

/// The release of the kernel that was placed in `memory`, as its banner has it, for one without it in a header.
pub fn release_in(memory: &GuestMemoryMmap, kernel: std::ops::Range<u64>) -> Option<String> {
    let mut part = vec![0; PART_BYTES];
    // Each part holds some of the next, so that a text which begins in it ends in it.
    let own = PART_BYTES - BANNER.len() - RELEASE_MAX;
    kernel.clone().step_by(own).find_map(|start| {
        let length = part.len().min((kernel.end - start) as usize);
        memory.read_slice(&mut part[..length], GuestAddress(start)).ok()?;
        let mut banners = memmem::find_iter(&part[..length], BANNER).take_while(|at| *at < own);
        banners.find_map(|at| word_behind(&part[at..length], BANNER))
    })
}

/// There is nothing more to look for.
struct Over;

/// Collects the kernel releases that modules are for: by their folder, `lib/modules/RELEASE`, and by what is in them.
struct Search<F> {
    found: BTreeSet<String>,
    modules: usize,
    unpacked: u64,
    /// The kernel's release, once it was asked for.
    kernel: Option<Option<String>>,
    ask: Option<F>,
}

impl<F: FnOnce() -> Option<String>> Search<F> {
    fn new(ask: F) -> Self {
        Search { found: BTreeSet::new(), modules: 0, unpacked: 0, kernel: None, ask: Some(ask) }
    }

    /// Searches archives that follow each other, with zeros between them. Where damage ends one, the next file is searched.
    fn file(&mut self, mut initrd: &[u8]) -> Result<(), Over> {
        loop {
            self.archives(&mut initrd)?;
            let Ok(method) = Method::of(initrd) else { return Ok(()) };
            let Ok(inside) = decoder(method, &mut initrd) else { return Ok(()) };
            let left = UNPACKED_MAX - self.unpacked;
            let mut inside = BufReader::new(inside.take(left));
            self.archives(&mut inside)?;
            // What follows the packed archive lies behind its end.
            let drained = io::copy(&mut inside, &mut io::sink());
            self.unpacked += left - inside.get_ref().limit();
            if drained.is_err() || self.unpacked == UNPACKED_MAX {
                return Ok(());
            }
        }
    }

    /// Reads files up to what is none; that is left.
    fn archives(&mut self, from: &mut dyn Skip) -> Result<(), Over> {
        while let Some((name, size)) = next_file(from) {
            let mut left = u64::from(size).next_multiple_of(4);
            if let Some((_, path)) = name.split_once("lib/modules/") {
                self.is_for(path.split('/').next().unwrap_or_default())?;
            } else if name.ends_with(".ko") && self.modules < MOST_MODULES {
                self.modules += 1;
                let mut module = Vec::new();
                let read = from.take(u64::from(size).min(MODULE_MAX)).read_to_end(&mut module);
                left -= read.unwrap_or(0) as u64;
                self.is_for(&word_behind(&module, b"vermagic=").unwrap_or_default())?;
            }
            if !from.skip(left) {
                break;
            }
        }
        Ok(())
    }

    /// There is a module for this release.
    fn is_for(&mut self, release: &str) -> Result<(), Over> {
        if release.is_empty() || !self.found.insert(release.to_owned()) {
            return Ok(());
        }
        if let Some(ask) = self.ask.take() {
            self.kernel = Some(ask());
        }
        match &self.kernel {
            Some(Some(kernel)) if kernel != release => Ok(()),
            _ => Err(Over),
        }
    }
}

/// The next file's name, and the bytes of its content, which follow. `None` if there is none, or damage.
fn next_file(from: &mut dyn Skip) -> Option<(String, u32)> {
    loop {
        let buffer = from.fill_buf().ok()?;
        let (bytes, zeros) = (buffer.len(), buffer.iter().take_while(|byte| **byte == 0).count());
        // What is no archive must be left as it is.
        let other = buffer.get(zeros).is_some_and(|byte| *byte != b'0');
        from.consume(zeros);
        if bytes == 0 || other {
            return None;
        }
        if zeros < bytes {
            break;
        }
    }
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header).ok()?;
    if ![&b"070701"[..], b"070702"].contains(&&header[..6]) {
        return None;
    }
    let number = |index: usize| {
        let digits = std::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (size, name_size) = (number(6)?, u64::from(number(11)?));
    // Header and name together end at a multiple of 4.
    let padded = (HEADER_BYTES as u64 + name_size).next_multiple_of(4) - HEADER_BYTES as u64;
    if name_size > NAME_MAX {
        return None;
    }
    let mut name = Vec::new();
    from.take(padded).read_to_end(&mut name).ok()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some((String::from_utf8_lossy(name).into_owned(), size))
}

/// The text behind `mark`, up to a blank or the end of the string.
fn word_behind(bytes: &[u8], mark: &[u8]) -> Option<String> {
    let start = memmem::find(bytes, mark)? + mark.len();
    let text = &bytes[start..bytes.len().min(start + RELEASE_MAX)];
    let word = text.split(|byte| *byte == 0 || byte.is_ascii_whitespace()).next()?;
    let word = std::str::from_utf8(word).ok()?;
    (!word.is_empty() && !word.contains('%')).then(|| word.to_owned())
}

#[cfg(test)]
#[path = "modules_tests.rs"]
mod tests;
