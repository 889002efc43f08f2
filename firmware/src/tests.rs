//! What `load` leaves in guest memory, read back at the boot protocol's offsets.

use super::*;
use crate::kernel::tests::{bz_image, elf, gzipped, kernel};
use vm_memory::GuestAddress;

fn memory(mib: usize) -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), mib << 20)]).unwrap()
}

fn tiny_kernel() -> KernelImage {
    kernel(&elf(0x100_0000, b"kernel", 0x1000))
}

fn read<T: vm_memory::ByteValued>(memory: &GuestMemoryMmap<()>, address: u64) -> T {
    memory.read_obj(GuestAddress(address)).unwrap()
}

fn bytes(memory: &GuestMemoryMmap<()>, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
    bytes
}

/// Start, end and type of every e820 entry of the zero page.
fn e820(memory: &GuestMemoryMmap<()>, zero_page: u64) -> Vec<(u64, u64, u32)> {
    let count = read::<u8>(memory, zero_page + 0x1e8);
    let entry = |n: u64| {
        let at = zero_page + 0x2d0 + 20 * n;
        let start: u64 = read(memory, at);
        (start, start + read::<u64>(memory, at + 8), read::<u32>(memory, at + 16))
    };
    (0..u64::from(count)).map(entry).collect()
}

#[test]
fn a_kernel_an_initramfs_and_a_command_line_are_where_the_zero_page_says() {
    let memory = memory(64);
    let initrd = vec![7u8; 5000];
    let options = Options { rng_seed: [9; 32], ..Options::default() };
    let entry = load(&memory, &mut tiny_kernel(), Some(Initrd::Bytes(&initrd)), "console=ttyS0", 1, &options)
        .unwrap();

    assert_eq!(entry.rip, 0x100_0000);
    assert_eq!(bytes(&memory, 0x100_0000, 6), b"kernel");
    let zero_page = entry.rsi;
    assert_eq!(read::<u16>(&memory, zero_page + 0x1fe), 0xaa55);
    assert_eq!(bytes(&memory, zero_page + 0x202, 4), b"HdrS");
    assert_eq!(read::<u8>(&memory, zero_page + 0x210), 0xff);
    let (image, size): (u32, u32) = (read(&memory, zero_page + 0x218), read(&memory, zero_page + 0x21c));
    assert_eq!((image, size), ((64 << 20) - 8192, 5000));
    assert_eq!(bytes(&memory, image.into(), 5000), initrd);
    let line: u32 = read(&memory, zero_page + 0x228);
    assert_eq!(bytes(&memory, line.into(), 14), b"console=ttyS0\0");
    let seed: u64 = read(&memory, zero_page + 0x250);
    assert_eq!(read::<u64>(&memory, seed), 0);
    assert_eq!((read::<u32>(&memory, seed + 8), read::<u32>(&memory, seed + 12)), (9, 32));
    assert_eq!(bytes(&memory, seed + 16, 32), [9; 32]);
    let rsdp: u64 = read(&memory, zero_page + 0x70);
    assert_eq!(bytes(&memory, rsdp, 8), b"RSD PTR ");
}

#[test]
fn the_memory_map_is_sorted_without_overlap_and_matches_the_ram() {
    let ranges = [(GuestAddress(0), 0xc000_0000), (GuestAddress(layout::HIGH_RAM), 0x1000_0000)];
    let memory = GuestMemoryMmap::<()>::from_ranges(&ranges).unwrap();
    let entry = load(&memory, &mut tiny_kernel(), None, "", 2, &Options::default()).unwrap();
    let map = e820(&memory, entry.rsi);
    assert!(map.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{map:x?}");
    let ram: Vec<_> = map.iter().filter(|e| e.2 == 1).map(|e| (e.0, e.1)).collect();
    assert_eq!(ram, [(0, 0xa_0000), (0x10_0000, 0xc000_0000), (0x1_0000_0000, 0x1_1000_0000)]);
    assert!(map.contains(&(0xe_0000, 0x10_0000, 3)), "ACPI tables");
    assert!(map.contains(&(0xe000_0000, 0xe010_0000, 2)), "ECAM");
}

#[test]
fn the_page_tables_map_four_gibibytes_onto_themselves() {
    let memory = memory(64);
    let entry = load(&memory, &mut tiny_kernel(), None, "", 1, &Options::default()).unwrap();
    assert_eq!((entry.cr0 & 0x8000_0001, entry.cr4 & 0x20, entry.efer & 0x500), (0x8000_0001, 0x20, 0x500));
    for address in [0, 0x7000, 0x100_0000, 0x3fff_ffff, 0xc000_0000, 0xe000_0123, 0xfee0_0020, 0xffff_ffffu64]
    {
        let mut table = entry.cr3;
        let mut large = 0;
        for shift in [39, 30, 21] {
            let found: u64 = read(&memory, table + 8 * (address >> shift & 0x1ff));
            assert_eq!(found & 3, 3, "{address:#x} at {shift}");
            large = found & 1 << 7;
            table = found & 0x000f_ffff_ffff_f000;
        }
        assert_ne!(large, 0);
        assert_eq!(table, address & !0x1f_ffff);
    }
    let code: u64 = read(&memory, entry.gdt_base + u64::from(entry.cs.selector));
    assert_eq!(code, 0x00af_9b00_0000_ffff);
    assert!(entry.gdt_limit >= entry.tr.selector + 15);
}

#[test]
fn a_bzimage_keeps_its_header_fields_in_the_zero_page() {
    let mut kernel = kernel(&bz_image(&gzipped(&elf(0x100_0000, b"kernel", 0))));
    let memory = memory(64);
    let entry =
        load(&memory, &mut kernel, Some(Initrd::Bytes(&[1; 10])), "quiet", 1, &Options::default()).unwrap();
    assert_eq!(read::<u16>(&memory, entry.rsi + 0x206), 0x020f);
    assert_eq!(read::<u16>(&memory, entry.rsi + 0x236), 0x7f);
    assert_eq!(read::<u32>(&memory, entry.rsi + 0x22c), 0x7fff_ffff);
}

#[test]
fn images_that_do_not_fit_are_refused_before_the_guest_starts() {
    let try_load = |mib, initrd: usize, line: &str, vcpus| {
        let image = vec![0; initrd];
        load(&memory(mib), &mut tiny_kernel(), Some(Initrd::Bytes(&image)), line, vcpus, &Options::default())
            .unwrap_err()
    };
    assert!(matches!(try_load(1, 1, "", 1), Error::TooLittleMemory(0x10_0000)));
    assert!(matches!(try_load(16, 1, "", 1), Error::Kernel(KernelError::TooLittleMemory { .. })));
    assert!(matches!(try_load(17, 2 << 20, "", 1), Error::InitrdTooLarge { .. }));
    assert!(matches!(
        try_load(32, 1, &"x".repeat(2048), 1),
        Error::CommandLineTooLong { length: 2048, max: 2047 }
    ));
    assert!(matches!(try_load(32, 1, "a\0b", 1), Error::CommandLineNul));
    assert!(matches!(try_load(32, 1, "", 0), Error::Vcpus(0)));
    assert!(matches!(try_load(32, 1, "", 255), Error::Vcpus(255)));
}

#[test]
fn the_same_input_gives_the_same_memory() {
    let image = |memory: &GuestMemoryMmap<()>| bytes(memory, 0, 4 << 20);
    let (one, two) = (memory(32), memory(32));
    for target in [&one, &two] {
        load(target, &mut tiny_kernel(), Some(Initrd::Bytes(&[3; 100])), "a b", 1, &Options::default())
            .unwrap();
    }
    assert!(image(&one) == image(&two));
}
