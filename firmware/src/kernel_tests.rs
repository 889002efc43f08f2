//! Kernels made here: a tiny ELF, and a bzImage around it.

use super::*;

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
    file.extend_from_slice(&[0x90; 0x40]);
    file.extend_from_slice(payload);
    file
}

fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

fn reason(bytes: &[u8]) -> String {
    KernelImage::from_bytes("file".to_owned(), bytes).unwrap_err().to_string()
}

#[test]
fn an_elf_is_taken_as_it_is() {
    let kernel = KernelImage::from_bytes("tiny".to_owned(), &elf(0x20_0000, &[0xf4; 5], 11)).unwrap();
    assert_eq!(kernel.entry(), 0x20_0000);
    assert_eq!(kernel.extent(), 0x20_0000..0x20_0010);
    assert!(kernel.setup_header().is_none());
}

#[test]
fn a_bzimage_is_unpacked_and_keeps_its_setup_header() {
    let vmlinux = elf(0x100_0000, &[0xf4; 0x1000], 0);
    let file = bz_image(&gzipped(&vmlinux));
    let kernel = KernelImage::from_bytes("tiny".to_owned(), &file).unwrap();
    assert_eq!(kernel.extent(), 0x100_0000..0x100_1000);
    let header = kernel.setup_header().unwrap();
    assert_eq!({ header.initrd_addr_max }, 0x7fff_ffff);
    assert_eq!({ header.version }, 0x020f);

    let folder = tempfile::tempdir().unwrap();
    let (image, unpacked) = (folder.path().join("bzImage"), folder.path().join("vmlinux"));
    std::fs::write(&image, &file).unwrap();
    std::fs::write(&unpacked, KernelImage::vmlinux_of("tiny", &file).unwrap()).unwrap();
    let opened = KernelImage::open(&image).unwrap();
    let kept = KernelImage::open_unpacked(&image, &unpacked).unwrap();
    for other in [opened, kept] {
        assert_eq!((other.entry(), other.extent()), (kernel.entry(), kernel.extent()));
        assert_eq!(other.setup_header(), kernel.setup_header());
    }
}

#[test]
fn what_is_not_a_kernel_is_named_with_the_reason() {
    let cases: [(Vec<u8>, &str); 9] = [
        (b"#!/bin/sh\n".to_vec(), "neither an ELF vmlinux nor a bzImage"),
        (vec![], "neither an ELF vmlinux nor a bzImage"),
        (elf(0x20_0000, &[0xf4], 0)[..50].to_vec(), "cut off"),
        (elf(0x2000, &[0xf4], 0), "below 1 MiB"),
        (bz_image(b"BZh91"), "bzip2, which is not supported"),
        (bz_image(&gzipped(b"hello")), "not an ELF file"),
        (bz_image(&gzipped(&elf(0x20_0000, &[0xf4; 99], 0)))[..0x480].to_vec(), "cut off"),
        (
            {
                let mut arm = elf(0x20_0000, &[0xf4], 0);
                arm[18] = 183;
                arm
            },
            "not for x86-64",
        ),
        (
            {
                let mut old = bz_image(&[]);
                old[0x236] = 0;
                old
            },
            "not a 64-bit kernel",
        ),
    ];
    for (bytes, expected) in cases {
        let said = reason(&bytes);
        assert!(said.starts_with("file is not a kernel: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn an_object_file_and_a_program_are_told_apart_from_a_kernel() {
    let mut object = elf(0x20_0000, &[0xf4], 0);
    object[16] = 1;
    assert!(reason(&object).contains("not an executable"));
    let mut wild = elf(0x20_0000, &[0xf4], 0);
    wild[24..32].copy_from_slice(&0xffff_ffff_8100_0000u64.to_le_bytes());
    assert!(reason(&wild).contains("in none of its segments"));
}

#[test]
fn a_missing_file_is_named() {
    let said = KernelImage::open(Path::new("/no/such/kernel")).unwrap_err().to_string();
    assert!(said.starts_with("cannot read the kernel /no/such/kernel: "), "{said}");
}
