//! Unified images made here, section by section, and by the host's objcopy from systemd's stub.

use fencepost_skip::Tested;

use super::*;
use crate::kernel::KernelError;
use crate::kernel::tests::{bz_image, elf, gzipped, image, kernel, read};

const MEMORY: u64 = 64 << 20;

/// A PE32+ file of this machine and subsystem with these sections (Microsoft, "PE Format").
fn pe(machine: u16, subsystem: u16, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = b"MZ".to_vec();
    file.resize(0x3c, 0);
    file.extend(0x40u32.to_le_bytes());
    file.extend(b"PE\0\0");
    file.extend(machine.to_le_bytes());
    file.extend((sections.len() as u16).to_le_bytes());
    file.extend([0; 12]);
    file.extend([240, 0, 0x22, 0]);
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&0x20bu16.to_le_bytes());
    optional[68..70].copy_from_slice(&subsystem.to_le_bytes());
    optional[108] = 16;
    file.extend(optional);
    let mut offset = 0x800u32;
    for (index, (name, data)) in sections.iter().enumerate() {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(8, 0);
        file.extend(padded);
        for word in [data.len() as u32, (index as u32 + 1) << 24, data.len() as u32, offset] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0; 16]);
        offset += data.len() as u32;
    }
    file.resize(0x800, 0);
    sections.iter().for_each(|(_, data)| file.extend(*data));
    file
}

const X86_64: u16 = 0x8664;
const EFI: u16 = 10;

fn unified(file: &[u8]) -> Unified {
    match read(file, MEMORY).unwrap() {
        KernelFile::Unified(unified) => unified,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sections_of_a_unified_image_are_kernel_initramfs_and_command_line() {
    let vmlinux = elf(0x100_0000, b"the kernel", 0);
    let linux = bz_image(&gzipped(&vmlinux));
    let all: [(&str, &[u8]); 4] =
        [(".initrd", b"070701"), (".cmdline", b"quiet\tx=1 \n\0"), (".linux", &linux), (".ucode", b"12345")];
    let found = unified(&pe(X86_64, EFI, &all));
    assert_eq!(found.initrd, [&b"12345\0\0\0"[..], b"070701"].concat());
    assert_eq!(found.command_line.as_deref(), Some("quiet x=1"));
    assert_eq!(image(*found.kernel).unwrap().entry(), 0x100_0000);
    let alone = unified(&pe(X86_64, EFI, &[(".linux", &linux)]));
    assert_eq!((alone.initrd.len(), alone.command_line), (0, None));
    // Packed as a whole it is one, too.
    assert_eq!(unified(&gzipped(&pe(X86_64, EFI, &all))).initrd, found.initrd);
    assert_eq!(kernel(&pe(X86_64, EFI, &[(".linux", &vmlinux)])).entry(), 0x100_0000);
}

#[test]
fn programs_that_are_no_unified_images_are_named() {
    let inner = pe(X86_64, EFI, &[(".linux", b"x")]);
    for (file, expected) in [
        (pe(X86_64, EFI, &[(".text", b"x")]), "EFI program without a kernel in a section .linux"),
        (pe(X86_64, 3, &[(".text", b"x")]), "it is a Windows program"),
        (pe(0xaa64, EFI, &[(".linux", b"x")]), "EFI program for AArch64"),
        (pe(0x14c, EFI, &[]), "for i386"),
        (pe(0x5064, EFI, &[]), "machine 0x5064"),
        (pe(X86_64, EFI, &[(".linux", &inner)]), "it is an EFI or Windows program"),
        (pe(X86_64, EFI, &[(".linux", b"hello")]), "neither an ELF vmlinux nor a bzImage"),
        (pe(X86_64, EFI, &[(".linux", &[0; 100])])[..0x820].to_vec(), "cut off"),
    ] {
        let refused = read(&file, MEMORY).map(|_| ()).unwrap_err();
        let KernelError::NotAKernel { reason, .. } = &refused else { panic!("{refused}") };
        assert!(reason.contains(expected) && !reason.contains('\n'), "{reason}, not {expected}");
    }
}

#[test]
fn damage_of_a_unified_image_is_no_panic() {
    let linux = bz_image(&gzipped(&elf(0x100_0000, b"the kernel", 0)));
    let good = pe(X86_64, EFI, &[(".initrd", b"070701"), (".linux", &linux), (".cmdline", b"a")]);
    for at in (0..good.len()).filter(|at| *at < 0x200 || at % 61 == 0) {
        let _ = read(&good[..at], MEMORY);
        for value in [0, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Err(refused) = read(&bad, MEMORY) {
                assert!(!refused.to_string().contains('\n'), "{refused}");
            }
        }
    }
}

#[test]
fn a_unified_image_larger_than_the_guest_is_refused() {
    let mut file = pe(X86_64, EFI, &[(".linux", b"x")]);
    file.resize(81 << 20, 0);
    let refused = read(&file, 16 << 20).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("more than 83886080 bytes"), "{refused}");
}

#[test]
fn systemds_stub_with_a_kernel_is_one() -> Tested {
    let stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    if !std::path::Path::new(stub).exists() {
        return Tested::skipped(format_args!("there is no {stub}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("linux"), bz_image(&gzipped(&elf(0x100_0000, b"the kernel", 0)))).unwrap();
    std::fs::write(path("initrd"), b"070701").unwrap();
    let linux = format!(".linux={}", path("linux"));
    let initrd = format!(".initrd={}", path("initrd"));
    let made = std::process::Command::new("objcopy")
        .args(["--add-section", &linux, "--change-section-vma", ".linux=0x2000000"])
        .args(["--add-section", &initrd, "--change-section-vma", ".initrd=0x4000000"])
        .args([stub, &path("uki")])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return Tested::skipped("objcopy is not installed, or knows no PE files");
    }
    let found = unified(&std::fs::read(path("uki")).unwrap());
    assert_eq!(found.initrd, b"070701");
    assert_eq!(image(*found.kernel).unwrap().entry(), 0x100_0000);
    Tested::Ran
}
