//! Recognises files that are neither ELF files nor bzImages by their first bytes, for the error message.

/// Where a magic number stands, the number, and what has it.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (0, b"070701", "it is an initramfs (cpio)"),
    (0, b"070702", "it is an initramfs (cpio)"),
    (0, b"\x1f\x8b", "it is data packed with gzip (an initramfs?)"),
    (0, b"\xfd7zXZ\0", "it is data packed with xz (an initramfs?)"),
    (0, b"\x28\xb5\x2f\xfd", "it is data packed with zstd (an initramfs?)"),
    (0, b"\x02\x21\x4c\x18", "it is data packed with lz4 (an initramfs?)"),
    (0, b"\x04\x22\x4d\x18", "it is data packed with lz4 (an initramfs?)"),
    (0, b"BZh", "it is data packed with bzip2"),
    (0, b"FPTRACE", "it is a trace"),
    (0, b"QFI\xfb", "it is a qcow2 disk image"),
    (0, b"KDMV", "it is a VMDK disk image"),
    (0, b"!<arch>\n", "it is an archive (a Debian package or a static library)"),
    (0, b"\xed\xab\xee\xdb", "it is an RPM package"),
    (0, b"PK\x03\x04", "it is a zip archive"),
    (257, b"ustar", "it is a tar archive"),
    (0x38, b"ARM\x64", "it is a kernel for AArch64, not for x86-64"),
    (0x30, b"RISCV", "it is a kernel for RISC-V, not for x86-64"),
    (0x24, b"\x18\x28\x6f\x01", "it is a kernel for Arm, not for x86-64"),
    (0, b"#!", "it is a script"),
    (0, b"MZ", "it is an EFI or Windows program without a Linux kernel's header"),
    (510, b"\x55\xaa", "it is a disk image"),
];

/// Says in words what the file that begins with `head` is, as far as its first 4096 bytes show.
pub(crate) fn what_is(head: &[u8]) -> &'static str {
    if head.is_empty() {
        return "it is empty";
    }
    let fits = |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..at + magic.len()) == Some(*magic);
    KNOWN.iter().find(fits).map_or("it is neither an ELF vmlinux nor a bzImage", |(_, _, what)| what)
}
