//! Recognises files that are neither ELF files nor bzImages by their first bytes, for the error message.

/// Where an ISO image has its mark: behind 16 sectors that a disk image may use, too.
const ISO_MAGIC: usize = 0x8001;
/// Bytes that a file is told by, at most.
pub(crate) const MOST_BYTES: u64 = ISO_MAGIC as u64 + 5;

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
    (0, b"\x89LZO\0", "it is data packed with LZO (an initramfs?)"),
    (0, b"LZIP", "it is data packed with lzip"),
    (0, b"vhdxfile", "it is a VHDX disk image"),
    (0, b"conectix", "it is a VHD disk image"),
    (0x40, b"\x7f\x10\xda\xbe", "it is a VDI disk image"),
    (0, b"LUKS\xba\xbe", "it is an encrypted disk image (LUKS)"),
    (ISO_MAGIC, b"CD001", "it is an ISO image (of a CD or DVD)"),
    (0, b"hsqs", "it is a squashfs file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "it is an EROFS file system"),
    (0x438, b"\x53\xef", "it is an ext2, ext3 or ext4 file system"),
    (0, b"\xd0\x0d\xfe\xed", "it is a device tree or a FIT image, for another machine than x86-64"),
    (0, b"\x27\x05\x19\x56", "it is an image for U-Boot"),
    (0, b"\xcf\xfa\xed\xfe", "it is a program for macOS"),
    (4, b"zimg", "it is a packed EFI kernel of another machine than x86-64"),
    (257, b"ustar", "it is a tar archive"),
    (0x38, b"ARM\x64", "it is a kernel for AArch64, not for x86-64"),
    (0x30, b"RISCV", "it is a kernel for RISC-V, not for x86-64"),
    (0x24, b"\x18\x28\x6f\x01", "it is a kernel for Arm, not for x86-64"),
    (0, b"#!", "it is a script"),
    (0, b"MZ", "it is an EFI or Windows program without a Linux kernel's header"),
    (510, b"\x55\xaa", "it is a disk image"),
];

/// Says in words what the file that begins with `head` is, as far as its first bytes show.
pub(crate) fn what_is(head: &[u8]) -> &'static str {
    if head.is_empty() {
        return "it is empty";
    }
    let fits = |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..at + magic.len()) == Some(*magic);
    KNOWN.iter().find(fits).map_or("it is neither an ELF vmlinux nor a bzImage", |(_, _, what)| what)
}
