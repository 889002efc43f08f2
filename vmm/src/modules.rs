//! Whether the kernel modules in an initramfs are for the kernel that is started: a guest says "Exec format error" else.
//!
//! Only what lies open in the initramfs is looked at: the archives of cpio's "newc" format (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst), not what is packed.

use std::collections::BTreeSet;

use memchr::memmem;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Modules that are looked into for the release that they are for; all of one initramfs are of one build.
const MOST_MODULES: usize = 64;
/// A header of "newc": the magic and 13 numbers of 8 hexadecimal digits.
const HEADER_BYTES: usize = 110;
/// Longest release, in bytes (`__NEW_UTS_LEN`).
const RELEASE_MAX: usize = 64;
/// What a kernel's banner begins with.
const BANNER: &[u8] = b"Linux version ";
/// Bytes of guest memory that are searched at once.
const PART_BYTES: usize = 1 << 20;

/// The line for the user if no module in `initrd` is for the kernel, whose release is asked for only if there are modules.
pub fn mismatch(initrd: &[u8], release: impl FnOnce() -> Option<String>) -> Option<String> {
    let found = releases(initrd);
    let release = (!found.is_empty()).then(release).flatten()?;
    let all: Vec<String> = found.iter().map(|one| one.escape_debug().to_string()).collect();
    (!found.contains(&release)).then(|| {
        format!(
            "the modules in --initrd are for kernel {}, but --kernel is {}, which cannot load them; name the initramfs \
             that was made for it",
            all.join(" and "),
            release.escape_debug()
        )
    })
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

/// The kernel releases that the modules in `initrd` are for: by their folder, `lib/modules/RELEASE`, and by what is in them.
fn releases(initrd: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut rest, mut modules) = (initrd, 0);
    while let Some((name, data, after)) = entry(rest) {
        rest = after;
        if let Some((_, path)) = name.split_once("lib/modules/") {
            let release = path.split('/').next().unwrap_or_default();
            found.extend((!release.is_empty()).then(|| release.to_owned()));
        } else if name.ends_with(".ko") && modules < MOST_MODULES {
            modules += 1;
            found.extend(word_behind(data, b"vermagic="));
        }
    }
    found
}

/// The next file: its name, its content, and what follows. Archives may follow each other, with zeros between.
fn entry(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    if ![&b"070701"[..], b"070702"].contains(&bytes.get(..6)?) {
        return None;
    }
    let number = |index: usize| {
        let digits = std::str::from_utf8(bytes.get(6 + 8 * index..14 + 8 * index)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let (size, name_size) = (number(6)?, number(11)?);
    let name = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(name_size)?)?;
    let name = std::str::from_utf8(name.split(|byte| *byte == 0).next()?).unwrap_or_default();
    let start = (HEADER_BYTES + name_size).next_multiple_of(4);
    let end = start.checked_add(size)?;
    let after = bytes.get(end.next_multiple_of(4).min(bytes.len())..)?;
    Some((name, bytes.get(start..end)?, after))
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
mod tests {
    use super::*;

    fn file(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"070701".to_vec();
        let numbers = [1, 0o100644, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        numbers.iter().for_each(|number| out.extend(format!("{number:08x}").bytes()));
        for part in [&[name.as_bytes(), b"\0"].concat()[..], data] {
            out.extend(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn releases_are_found_by_folder_and_in_modules() {
        let module = b"\x7fELF..license=GPL\0vermagic=6.1.0-9-amd64 SMP preempt\0";
        let early = [file("kernel/x86/microcode", b"code"), file("TRAILER!!!", b""), vec![0; 300]].concat();
        let main = [file("init", b"#!"), file("modules/a.ko", module), file("usr/lib/modules/6.2/b.ko", b"")];
        let found = releases(&[early, main.concat(), file("lib/modules", b"")].concat());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["6.1.0-9-amd64", "6.2"]);
    }

    #[test]
    fn damage_and_packed_parts_end_the_search() {
        let good = file("lib/modules/6.2/b.ko", b"abc");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = b'x';
            let _ = releases(&bad);
            let _ = releases(&good[..at]);
        }
        assert!(releases(b"\x1f\x8b\x08").is_empty());
        assert!(releases(&[&b"070701"[..], &[b'f'; 104]].concat()).is_empty());
        assert_eq!(releases(&[&good[..], b"\x1f\x8b\x08"].concat()).len(), 1);
        assert_eq!(word_behind(b"Linux version %s (", b"Linux version "), None);
    }

    #[test]
    fn modules_of_another_release_are_reported() {
        let initrd = file("lib/modules/6.2/b.ko", b"");
        assert_eq!(mismatch(&initrd, || Some("6.2".into())), None);
        assert_eq!(mismatch(&initrd, || None), None);
        assert_eq!(mismatch(&file("init", b""), || panic!("needs no release")), None);
        let said = mismatch(&initrd, || Some("6.3".into())).expect("two releases");
        assert!(said.contains("6.2") && said.contains("6.3") && said.contains("--initrd"), "{said}");
    }

    #[test]
    fn a_banner_is_found_wherever_it_lies() {
        let memory = crate::machine::memory::map(32 << 20).expect("mapped");
        let kernel = 16 << 20..20 << 20;
        assert_eq!(release_in(&memory, kernel.clone()), None);
        memory.write_slice(b"Linux version %s (%s)", GuestAddress(16 << 20)).expect("RAM");
        for at in (17 << 20) - 200..(17 << 20) + 20 {
            memory.write_slice(b"Linux version 6.1.0-9 (x)", GuestAddress(at)).expect("RAM");
            assert_eq!(release_in(&memory, kernel.clone()).as_deref(), Some("6.1.0-9"), "{at:#x}");
            memory.write_slice(&[0; 25], GuestAddress(at)).expect("RAM");
        }
    }
}
