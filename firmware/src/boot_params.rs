//! The zero page: `boot_params` with the memory map, the initramfs, the command line and the random seed
//! (Linux, Documentation/arch/x86/boot.rst and zero-page.rst).

use linux_loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::kernel::KernelImage;
use crate::{Error, Options, layout};

/// `type_of_loader` of a loader with no number of its own.
const LOADER_UNDEFINED: u8 = 0xff;
/// `loadflags`: the kernel is above 1 MiB; keep early messages quiet is bit 5 and stays clear.
const LOADED_HIGH: u8 = 1;
/// The most bytes of command line that x86 kernels take, without the final NUL.
const COMMAND_LINE_MAX: usize = 2047;
/// `setup_data` type SETUP_RNG_SEED.
const SETUP_RNG_SEED: u32 = 9;
/// Type of an e820 entry.
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;
const E820_ACPI: u32 = 3;

/// Where RAM that starts at address 0 ends (0 without any).
pub(crate) fn low_memory_end(memory: &GuestMemoryMmap<()>) -> u64 {
    let mut regions: Vec<_> = memory.iter().map(|r| (r.start_addr().0, r.len())).collect();
    regions.sort_unstable();
    regions.iter().fold(0, |end, (start, length)| if *start == end { end + length } else { end })
}

/// The memory map: RAM as the guest memory has it, less the legacy hole, and what the machine keeps for itself.
fn memory_map(memory: &GuestMemoryMmap<()>) -> Vec<boot_e820_entry> {
    let entry = |range: std::ops::Range<u64>, kind| boot_e820_entry {
        addr: range.start,
        size: range.end - range.start,
        r#type: kind,
    };
    let page = |start| start..start + 0x1000;
    let mut map = vec![
        entry(0..layout::LEGACY_HOLE, E820_RAM),
        entry(layout::LEGACY_HOLE..layout::ACPI_TABLES.start, E820_RESERVED),
        entry(layout::ACPI_TABLES, E820_ACPI),
        entry(layout::ECAM, E820_RESERVED),
        entry(page(layout::IOAPIC), E820_RESERVED),
        entry(page(layout::DMAR_UNIT), E820_RESERVED),
        entry(page(layout::LAPIC), E820_RESERVED),
    ];
    for region in memory.iter() {
        let start = region.start_addr().0;
        map.push(entry(start.max(layout::ONE_MIB)..start + region.len(), E820_RAM));
    }
    map.sort_by_key(|e| e.addr);
    map
}

/// Writes the zero page, the command line and the seed; `initrd` is its address and size.
pub(crate) fn write(
    memory: &GuestMemoryMmap<()>,
    kernel: &KernelImage,
    initrd: Option<(u32, u32)>,
    command_line: &str,
    options: &Options,
) -> Result<(), Error> {
    write_command_line(memory, kernel.setup_header(), command_line)?;
    write_seed(memory, &options.rng_seed)?;

    let mut params =
        boot_params { hdr: kernel.setup_header().copied().unwrap_or_default(), ..boot_params::default() };
    params.hdr.boot_flag = 0xaa55;
    params.hdr.header = u32::from_le_bytes(*b"HdrS");
    if params.hdr.version == 0 {
        params.hdr.version = 0x020f;
    }
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.loadflags |= LOADED_HIGH;
    params.hdr.cmd_line_ptr = layout::COMMAND_LINE.start as u32;
    params.hdr.cmdline_size = command_line.len() as u32;
    params.hdr.setup_data = layout::SETUP_DATA.start;
    (params.hdr.ramdisk_image, params.hdr.ramdisk_size) = initrd.unwrap_or_default();
    params.acpi_rsdp_addr = layout::ACPI_TABLES.start;
    let map = memory_map(memory);
    params.e820_entries = map.len() as u8;
    let mut table = params.e820_table;
    table[..map.len()].copy_from_slice(&map);
    params.e820_table = table;
    Ok(memory.write_obj(params, GuestAddress(layout::ZERO_PAGE))?)
}

fn write_command_line(
    memory: &GuestMemoryMmap<()>,
    header: Option<&setup_header>,
    command_line: &str,
) -> Result<(), Error> {
    let own_max = header.map_or(COMMAND_LINE_MAX, |h| h.cmdline_size as usize);
    let max = own_max.min((layout::COMMAND_LINE.end - layout::COMMAND_LINE.start - 1) as usize);
    if command_line.len() > max {
        return Err(Error::CommandLineTooLong { length: command_line.len(), max });
    }
    if command_line.contains('\0') {
        return Err(Error::CommandLineNul);
    }
    memory.write_slice(command_line.as_bytes(), GuestAddress(layout::COMMAND_LINE.start))?;
    Ok(memory.write_obj(0u8, GuestAddress(layout::COMMAND_LINE.start + command_line.len() as u64))?)
}

/// One `setup_data` node: next, type, length, data.
fn write_seed(memory: &GuestMemoryMmap<()>, seed: &[u8; 32]) -> Result<(), Error> {
    let mut node = Vec::with_capacity(16 + seed.len());
    node.extend_from_slice(&0u64.to_le_bytes());
    node.extend_from_slice(&SETUP_RNG_SEED.to_le_bytes());
    node.extend_from_slice(&(seed.len() as u32).to_le_bytes());
    node.extend_from_slice(seed);
    Ok(memory.write_slice(&node, GuestAddress(layout::SETUP_DATA.start))?)
}
