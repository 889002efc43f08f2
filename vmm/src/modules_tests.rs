//! Archives made here, packed by the host's own tools.

use std::io::Write;
use std::process::{Command, Stdio};

use fencepost_skip::Tested;

use super::*;

/// All releases that modules are for.
fn releases(initrd: &[u8]) -> Vec<String> {
    let mut search = Search::new(|| Some("none of them".to_owned()));
    assert!(search.file(initrd).is_ok());
    search.found.into_iter().collect()
}

/// Packs with a tool of the host's; `None` when it is not installed.
fn packed_by(tool: &str, arguments: &[&str], data: &[u8]) -> Option<Vec<u8>> {
    let mut input = tempfile::tempfile().expect("temporary file");
    input.write_all(data).expect("written");
    std::io::Seek::rewind(&mut input).expect("a file");
    let run = Command::new(tool).args(arguments).stdin(input).stderr(Stdio::null()).output().ok()?;
    run.status.success().then_some(run.stdout)
}

/// As Debian makes them: processor microcode in an open archive, behind it the packed one with the modules.
fn packed_is_searched(tool: &str, arguments: &[&str]) -> Tested {
    let early = [file("kernel/x86/microcode", b"code"), file("TRAILER!!!", b""), vec![0; 300]].concat();
    let filler: Vec<u8> =
        (0..20_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 9).to_le_bytes()).collect();
    let main =
        [file("data", &filler), file("lib/modules/6.2/b.ko", b"abc"), file("TRAILER!!!", b"")].concat();
    let Some(packed) = packed_by(tool, arguments, &main) else {
        return Tested::skipped(format_args!("{tool} is not installed"));
    };
    let initrd = [&early[..], &packed].concat();
    assert_eq!(releases(&initrd), ["6.2"]);
    let said = mismatch([&file("init", b"")[..], &initrd], || Some("6.3".into())).expect("two releases");
    assert!(said.contains("6.2") && said.contains("6.3"), "{said}");
    assert_eq!(mismatch([&initrd[..]], || Some("6.2".into())), None);
    // Damage ends the search of this file, and no more.
    for at in (0..packed.len()).step_by(packed.len() / 12) {
        let mut bad = packed.clone();
        bad[at] ^= 0x55;
        let _ = releases(&bad);
        let _ = releases(&packed[..at]);
        let said = mismatch([&packed[..at], &file("lib/modules/6.4/c.ko", b"")], || Some("6.3".into()));
        assert!(said.is_some_and(|said| said.contains("6.4")), "cut at {at}");
    }
    Tested::Ran
}

#[test]
fn modules_packed_with_gzip_are_found() -> Tested {
    packed_is_searched("gzip", &["-c"])
}

#[test]
fn modules_packed_with_bzip2_are_found() -> Tested {
    packed_is_searched("bzip2", &["-c"])
}

#[test]
fn modules_packed_with_xz_are_found() -> Tested {
    packed_is_searched("xz", &["-c", "--check=crc32"])
}

#[test]
fn modules_packed_with_lzma_are_found() -> Tested {
    packed_is_searched("xz", &["-c", "--format=lzma"])
}

#[test]
fn modules_packed_with_lzo_are_found() -> Tested {
    packed_is_searched("lzop", &["-c"])
}

#[test]
fn modules_packed_with_lz4_are_found() -> Tested {
    packed_is_searched("lz4", &["-c", "-l"])
}

#[test]
fn modules_packed_with_zstd_are_found() -> Tested {
    packed_is_searched("zstd", &["-c", "-19"])
}

#[test]
fn what_follows_a_packed_archive_is_searched_and_a_bomb_ends() -> Tested {
    let archive = file("lib/modules/6.2/b.ko", b"abc");
    let Some(packed) = packed_by("gzip", &["-c"], &archive) else {
        return Tested::skipped("gzip is not installed");
    };
    let behind = [&packed[..], &[0; 3], &file("lib/modules/6.5/b.ko", b""), &packed].concat();
    assert_eq!(releases(&behind), ["6.2", "6.5"]);
    // A file of 4 GiB of zeros, packed by hand into blocks of a repeated byte (RFC 8878, 3.1.1.2).
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    let block = ((128u32 << 10) << 3 | 1 << 1).to_le_bytes();
    (0..32768).for_each(|_| bomb.extend_from_slice(&[block[0], block[1], block[2], 0]));
    let mut search = Search::new(|| None);
    assert!(search.file(&bomb).is_ok());
    assert_eq!(search.unpacked, UNPACKED_MAX);
    Tested::Ran
}

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
    let all = [early, main.concat(), file("lib/modules", b"")].concat();
    assert_eq!(releases(&all), ["6.1.0-9-amd64", "6.2"]);
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
    assert_eq!(mismatch([&initrd[..]], || Some("6.2".into())), None);
    assert_eq!(mismatch([&initrd[..]], || None), None);
    assert_eq!(mismatch([&file("init", b"")[..]], || panic!("needs no release")), None);
    let said = mismatch([&initrd[..]], || Some("6.3".into())).expect("two releases");
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
