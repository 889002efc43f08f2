//! Kernels made here: a tiny ELF, and a bzImage around it.

use std::io::{Seek, Write};

use fencepost_skip::Tested;
use vm_memory::Bytes;
use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::bz_image::{HEADER_MAGIC, SETUP_HEADER};
use crate::elf::{ElfHeader, ProgramHeader};
use crate::kept;

/// An x86-64 executable with one segment of `code` at `address`, its memory `extra` bytes longer.
pub(crate) fn elf(address: u64, code: &[u8], extra: u64) -> Vec<u8> {
    let header = ElfHeader {
        magic: *b"\x7fELF",
        class: 2,
        data: 1,
        other_identification: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        kind: 2,
        machine: 62,
        version: 1,
        entry: address,
        program_headers: 64,
        section_headers: 0,
        flags: 0,
        size: 64,
        program_header_size: 56,
        program_header_count: 1,
        section_fields: [0; 3],
    };
    let segment = ProgramHeader {
        kind: 1,
        flags: 7,
        offset: 120,
        virtual_address: address,
        physical_address: address,
        file_size: code.len() as u64,
        memory_size: code.len() as u64 + extra,
        alignment: 16,
    };
    let mut file = Vec::new();
    for part in [zero_copied(header), zero_copied(segment), code.to_vec()] {
        file.extend_from_slice(&part);
    }
    file
}

fn zero_copied<T: IntoBytes + FromBytes>(mut value: T) -> Vec<u8> {
    value.as_mut_bytes().to_vec()
}

/// A bzImage of protocol 2.15 with one setup sector and the given payload.
pub(crate) fn bz_image(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    file[SETUP_HEADER] = 1;
    file[HEADER_MAGIC.0..HEADER_MAGIC.0 + 4].copy_from_slice(HEADER_MAGIC.1);
    file[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    file[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    file[0x236..0x238].copy_from_slice(&0x7fu16.to_le_bytes());
    file[0x238..0x23c].copy_from_slice(&2047u32.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&0x40u32.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file[0x260..0x264].copy_from_slice(&(16u32 << 20).to_le_bytes());
    file.extend_from_slice(&[0x90; 0x40]);
    file.extend_from_slice(payload);
    file
}

pub(crate) fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

const MEMORY: u64 = 64 << 20;

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

pub(crate) fn read(bytes: &[u8], memory: u64) -> Result<KernelFile, KernelError> {
    KernelFile::read("file".to_owned(), file_of(bytes), memory)
}

/// The same through a stream, which cannot be read twice.
fn read_piped(bytes: Vec<u8>) -> Result<KernelFile, KernelError> {
    let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let feeder = std::thread::spawn(move || drop(writer.write_all(&bytes)));
    let read = KernelFile::read("file".to_owned(), File::from(std::os::fd::OwnedFd::from(reader)), MEMORY);
    feeder.join().unwrap();
    read
}

pub(crate) fn image(file: KernelFile) -> Result<KernelImage, KernelError> {
    match file {
        KernelFile::Vmlinux(image) => Ok(image),
        KernelFile::Packed(packed) => packed.image(packed.unpack()?),
        KernelFile::Unified(unified) => image(*unified.kernel),
    }
}

pub(crate) fn kernel(bytes: &[u8]) -> KernelImage {
    read(bytes, MEMORY).and_then(image).unwrap()
}

fn reason(bytes: &[u8]) -> String {
    read(bytes, MEMORY).and_then(image).unwrap_err().to_string()
}

fn ram() -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap()
}

fn placed(mut kernel: KernelImage) -> Vec<u8> {
    let memory = ram();
    kernel.place(&memory).unwrap();
    let mut bytes = vec![0; (kernel.extent().end - kernel.extent().start) as usize];
    memory.read_slice(&mut bytes, GuestAddress(kernel.extent().start)).unwrap();
    bytes
}

/// `elf` with the bytes at `at` replaced.
fn changed(elf: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut elf = elf.to_vec();
    elf[at..at + bytes.len()].copy_from_slice(bytes);
    elf
}

#[test]
fn an_elf_is_loaded_unchanged() {
    let kernel = kernel(&elf(0x20_0000, &[0xf4; 5], 11));
    assert_eq!(kernel.entry(), 0x20_0000);
    assert_eq!(kernel.extent(), 0x20_0000..0x20_0010);
    assert!(kernel.setup_header().is_none());
}

#[test]
fn a_bzimage_is_unpacked_and_keeps_its_setup_header() {
    let vmlinux = elf(0x100_0000, &[0xf4; 0x1000], 0);
    let kernel = kernel(&bz_image(&gzipped(&vmlinux)));
    assert_eq!(kernel.extent(), 0x100_0000..0x100_1000);
    let header = kernel.setup_header().unwrap();
    assert_eq!({ header.initrd_addr_max }, 0x7fff_ffff);
    assert_eq!({ header.version }, 0x020f);
}

#[test]
fn a_kernel_from_a_pipe_is_the_kernel_from_the_file() {
    let code: Vec<u8> = (0..200_000u32).map(|n| (n * 7 / 8) as u8).collect();
    let vmlinux = elf(0x100_0000, &code, 99);
    for mut file in [vmlinux.clone(), bz_image(&gzipped(&vmlinux))] {
        let from_file = placed(kernel(&file));
        assert_eq!(&from_file[..code.len()], code);
        // What follows the kernel is not looked at: the writer meets a closed pipe.
        file.extend_from_slice(&vec![7; 1 << 20]);
        assert_eq!(placed(read_piped(file.clone()).and_then(image).unwrap()), from_file);
        file.truncate(3000);
        let cut = read_piped(file).and_then(image).and_then(|mut kernel| kernel.place(&ram())).unwrap_err();
        assert!(matches!(cut, KernelError::NotAKernel { .. }), "{cut}");
    }
}

#[test]
fn no_more_of_a_file_is_read_than_its_kernel_needs() {
    let file = file_of(&bz_image(&gzipped(&elf(0x100_0000, &[0xf4; 99], 0))));
    let end = file.metadata().unwrap().len();
    file.set_len(6 << 30).unwrap();
    let mut again = file.try_clone().unwrap();
    KernelFile::read("sparse".to_owned(), file, MEMORY).and_then(image).unwrap();
    assert!(again.stream_position().unwrap() <= end.max(HEAD_BYTES));
    // A header that tells of a payload of 4 GiB in a sparse file.
    let file = file_of(&changed(&bz_image(b""), 0x24c, &[0xff; 4]));
    file.set_len(6 << 30).unwrap();
    let refused = KernelFile::read("sparse".to_owned(), file, u64::MAX).unwrap_err().to_string();
    assert!(refused.contains("longer than the 16777216 bytes that its header declares"), "{refused}");
}

#[test]
fn a_payload_that_unpacks_to_too_much_is_refused_with_the_limit() {
    let bomb = bz_image(&gzipped(&vec![0; 17 << 20]));
    let said = read(&bomb, MEMORY).and_then(image).unwrap_err().to_string();
    assert!(said.contains("unpacks to more than the 16777216 bytes that its header declares"), "{said}");
    let little = read(&bomb, 8 << 20).and_then(image).unwrap_err();
    assert!(matches!(little, KernelError::TooLittleMemory { memory: 0x80_0000, .. }), "{little}");
    let wild = changed(&bomb, 0x260, &[0xff; 4]);
    assert!(read(&wild, MEMORY).and_then(image).unwrap_err().to_string().contains("not an ELF file"));
}

#[test]
fn a_file_that_is_not_a_kernel_is_refused_with_the_reason() {
    let good = elf(0x20_0000, &[0xf4], 0);
    let i386 = changed(&changed(&good, 4, &[1]), 18, &[3]);
    let big = changed(&good, 5, &[2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 8]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"#!/bin/sh\n".to_vec(), "it is a script"),
        (vec![], "it is empty"),
        (b"hello".to_vec(), "neither an ELF vmlinux nor a bzImage"),
        (b"070701000".to_vec(), "it is an initramfs (cpio)"),
        (gzipped(b"x"), "packed with gzip; of what is in it: it is neither"),
        (changed(&[0; 512], 510, &[0x55, 0xaa]), "it is a disk image"),
        (changed(&[0; 512], 0x38, b"ARM\x64"), "kernel for AArch64"),
        (changed(&vec![0; 40_000], 0x8001, b"CD001"), "it is an ISO image"),
        (changed(&[0; 2048], 0x438, &[0x53, 0xef]), "it is an ext2, ext3 or ext4 file system"),
        (b"MZ\0\0zimg".to_vec(), "it is a packed EFI kernel of another machine"),
        (gzipped(&gzipped(&good)), "packed with gzip; of what is in it: it is data packed with gzip"),
        (gzipped(b"070701000"), "packed with gzip; of what is in it: it is an initramfs (cpio)"),
        (gzipped(&vec![0; 5000])[..20].to_vec(), "gzip data is damaged"),
        (b"QFI\xfb".to_vec(), "it is a qcow2 disk image"),
        (with_pvh_entry(0x20_0000), "PVH entry at 0x200000 alone"),
        (
            changed(&with_pvh_entry(0x20_0000), 24, &0xffff_ffff_8000_0000u64.to_le_bytes()),
            "PVH entry at 0x200000 alone",
        ),
        (good[..50].to_vec(), "cut off"),
        (elf(0x2000, &[0xf4], 0), "below 1 MiB"),
        (changed(&good, 16, &[1]), "it is an object file or a kernel module"),
        (changed(&good, 16, &[4]), "it is a core dump"),
        (changed(&good, 18, &[183]), "it is an ELF executable for AArch64, not for x86-64"),
        (changed(&i386, 16, &[3]), "a position-independent program for i386, not for x86-64"),
        (i386, "it is an ELF executable for i386"),
        (changed(&good, 4, &[1]), "32-bit addresses (x32)"),
        (big, "for big-endian MIPS"),
        (changed(&good, 64, &[3]), "it is a program of user space, dynamically linked"),
        (changed(&good, 64, &[2]), "it is a shared object or a position-independent program of user space"),
        (changed(&good, 64, &[7]), "it is a program of user space, statically linked"),
        (changed(&good, 24, &0xffff_ffff_8100_0000u64.to_le_bytes()), "in none of its segments"),
        (changed(&good, 56, &[0xff, 0xff]), "65535 program headers"),
        (bz_image(b"BZh91"), "its bzip2 data is damaged"),
        (bz_image(&gzipped(b"hello")), "not an ELF file"),
        (bz_image(&gzipped(&good))[..0x480].to_vec(), "cut off"),
        (changed(&bz_image(&[]), 0x236, &[0]), "not a 64-bit kernel"),
    ];
    for (bytes, expected) in cases {
        let said = reason(&bytes);
        assert!(
            said.starts_with("file is not a kernel: ") && said.contains(expected),
            "{said}, not {expected}"
        );
    }
}

/// A kernel whose notes tell of a PVH entry at this address (Xen, xen/include/public/elfnote.h).
fn with_pvh_entry(address: u32) -> Vec<u8> {
    let mut file = changed(&elf(0x20_0000, &[0xf4; 56 + 40], 0), 56, &[2]);
    file[120..176].fill(0);
    file[120] = 4;
    file[128] = 176;
    file[152] = 40;
    // Another owner's note of an odd size comes first.
    let words =
        [4u32, 1, 18, u32::from_le_bytes(*b"GNU\0"), 0, 4, 4, 18, u32::from_le_bytes(*b"Xen\0"), address];
    words.iter().enumerate().for_each(|(at, word)| {
        file[176 + 4 * at..180 + 4 * at].copy_from_slice(&word.to_le_bytes());
    });
    file
}

#[test]
fn a_kernel_with_both_entries_starts_at_the_64_bit_one() {
    assert_eq!(kernel(&with_pvh_entry(0x20_0008)).entry(), 0x20_0000);
}

#[test]
fn a_vmlinux_packed_as_a_whole_is_the_vmlinux() {
    let code: Vec<u8> = (0..200_000u32).map(|n| (n * 7 / 8) as u8).collect();
    let vmlinux = elf(0x100_0000, &code, 99);
    // Debugging data behind the segments are longer than the guest's memory.
    let debug = [&vmlinux[..], &vec![0; MEMORY as usize + (80 << 20)]].concat();
    for file in [gzipped(&vmlinux), gzipped(&debug), gzipped(&bz_image(&gzipped(&vmlinux)))] {
        assert_eq!(placed(kernel(&file)), placed(kernel(&vmlinux)));
        assert_eq!(placed(read_piped(file.clone()).and_then(image).unwrap()), placed(kernel(&vmlinux)));
        for cut in [file.len() - 1, file.len() - 9, file.len() / 2, 3] {
            assert!(read(&file[..cut], MEMORY).and_then(image).is_err(), "cut at {cut}");
        }
    }
    // What is behind the segments counts for the checksum.
    let mut bad = gzipped(&debug);
    let crc = bad.len() - 8;
    bad[crc] ^= 1;
    assert!(reason(&bad).contains("gzip data is damaged"), "{}", reason(&bad));
}

fn is_no_kernel(path: &str, file: File) {
    let said = KernelFile::read(path.to_owned(), file, MEMORY).and_then(image).unwrap_err().to_string();
    assert!(said.contains("of user space") && said.contains(path), "{said}");
}

fn static_program(path: &str) -> Tested {
    let Ok(file) = File::open(path) else {
        return Tested::skipped(format_args!("there is no {path}"));
    };
    is_no_kernel(path, file);
    Tested::Ran
}

#[test]
fn a_static_busybox_is_not_a_kernel() -> Tested {
    static_program("/bin/busybox")
}

#[test]
fn a_static_ldconfig_is_not_a_kernel() -> Tested {
    static_program("/sbin/ldconfig")
}

/// Programs of this host, whatever they are linked with; a kernel in the upper half may have any header.
#[test]
fn programs_of_the_host_are_not_kernels() {
    let this = std::env::current_exe().unwrap();
    for path in [this.to_str().unwrap(), "/bin/sh", "/usr/bin/env"] {
        is_no_kernel(path, File::open(path).unwrap());
    }
    let high = changed(&elf(0x20_0000, &[0xf4], 0), 80, &0xffff_ffff_8020_0000u64.to_le_bytes());
    assert_eq!(kernel(&high).entry(), 0x20_0000);
}

#[test]
fn segments_that_overlap_are_refused() {
    let mut two = elf(0x20_0000, &[0xf4; 56], 100);
    two[56] = 2;
    let (first, rest) = two.split_at_mut(120);
    rest[..56].copy_from_slice(&first[64..]);
    assert!(reason(&two).contains("overlap"), "{}", reason(&two));
}

#[test]
fn no_byte_of_a_kept_kernel_may_change() {
    let vmlinux = elf(0x100_0000, &[0xf4; 300], 0);
    let KernelFile::Packed(packed) = read(&bz_image(&gzipped(&vmlinux)), MEMORY).unwrap() else { panic!() };
    let good = [&vmlinux[..], &kept::seal(&vmlinux).unwrap()].concat();
    let open = |bytes: &[u8]| kept::open(&packed, file_of(bytes));
    assert_eq!(placed(open(&good).unwrap())[..300], [0xf4; 300]);
    let (memory, mut late) = (ram(), 0);
    for at in 0..good.len() {
        let damaged = changed(&good, at, &[good[at] ^ 0x10]);
        if let Some(mut kernel) = open(&damaged) {
            assert!(matches!(kernel.place(&memory), Err(KernelError::KeptDamaged)), "byte {at}");
            late += 1;
        }
    }
    assert!(late > 0, "some damage is seen only when it is loaded");
    for length in [0, 23, 24, good.len() - 24, good.len() - 1] {
        assert!(open(&good[..length]).is_none(), "{length}");
    }
    // Beyond the headers, damage is found where the segments were loaded.
    let vmlinux = elf(0x100_0000, &[0xf4; 9000], 0);
    let sealed = [&vmlinux[..], &kept::seal(&vmlinux).unwrap()].concat();
    let mut kernel = open(&changed(&sealed, 8000, &[0])).unwrap();
    assert!(matches!(kernel.place(&memory), Err(KernelError::KeptDamaged)));
    assert!(kept::seal(b"no vmlinux").is_none());
}

#[test]
fn a_bzimage_that_changes_meanwhile_is_not_taken_for_another() {
    let bytes = bz_image(&gzipped(&elf(0x100_0000, &[0xf4; 300_000], 0)));
    let bytes = [&bytes[..], &[7; 200_000]].concat();
    let payload = (bytes.len() - 0x440) as u32;
    let whole = changed(&bytes, 0x24c, &payload.to_le_bytes());
    let open = |file: &File| match KernelFile::read("file".to_owned(), file.try_clone().unwrap(), MEMORY) {
        Ok(KernelFile::Packed(packed)) => packed,
        other => panic!("{other:?}"),
    };
    let given = |packed: &Packed| {
        let mut all = Vec::new();
        packed.each(|part| all.extend_from_slice(part)).map(|()| all)
    };
    let mut file = file_of(&whole);
    let mut packed = open(&file);
    assert!(given(&packed).unwrap() == whole);
    // The header is the one that was read; what follows is the file's.
    file.rewind().unwrap();
    file.write_all(&vec![9; whole.len()]).unwrap();
    let now = given(&packed).unwrap();
    assert!(now[..0x10000] == whole[..0x10000] && now[now.len() - 9..] == [9; 9]);
    // What was loaded is what is given from then on.
    packed.load().unwrap();
    file.set_len(99).unwrap();
    assert!(given(&packed).unwrap() == now);

    let mut file = file_of(&whole);
    let mut packed = open(&file);
    file.set_len(whole.len() as u64 - 1).unwrap();
    assert!(given(&packed).is_err());
    assert!(packed.load().unwrap_err().to_string().contains("cut off"));
    file.rewind().unwrap();
    assert!(matches!(KernelFile::read("file".to_owned(), file, MEMORY), Err(KernelError::NotAKernel { .. })));
}

#[test]
fn the_release_is_the_first_word_of_the_version() {
    let mut file = bz_image(&gzipped(b""));
    file[0x20e..0x210].copy_from_slice(&0x200u16.to_le_bytes());
    file[0x400..0x40d].copy_from_slice(b"6.1.0-18 (x)\0");
    let KernelFile::Packed(packed) = read(&file, MEMORY).unwrap() else { panic!() };
    assert_eq!(packed.release(), Some("6.1.0-18"));
    let KernelFile::Packed(none) = read(&bz_image(&gzipped(b"")), MEMORY).unwrap() else { panic!() };
    assert_eq!(none.release(), None);
}
