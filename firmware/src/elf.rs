//! ELF files: where a kernel's segments go, and why a file is not a kernel.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use crate::notes::phys32_entry;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Program headers that are looked at; Linux has five.
const MOST_PROGRAM_HEADERS: u16 = 128;
/// The upper half of x86-64's linear addresses: no program lives there.
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;
/// Where linkers put programs that are not position-independent (System V ABI for x86-64, 5.1).
const PROGRAM_BASE: u64 = 0x40_0000;

const CLASS_32: u8 = 1;
const BIG_ENDIAN: u8 = 2;
const RELOCATABLE: u16 = 1;
const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
const CORE: u16 = 4;
const X86_64: u16 = 62;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const NOTE: u32 = 4;
const INTERPRETER: u32 = 3;
const PROGRAM_HEADERS: u32 = 6;
const THREAD_LOCAL: u32 = 7;
const GNU_EH_FRAME: u32 = 0x6474_e550;
const GNU_STACK: u32 = 0x6474_e551;
const GNU_RELRO: u32 = 0x6474_e552;

/// The ELF header (System V ABI, "ELF Header"; little endian, 64-bit).
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
pub(crate) struct ElfHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) class: u8,
    pub(crate) data: u8,
    pub(crate) other_identification: [u8; 10],
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) version: u32,
    pub(crate) entry: u64,
    pub(crate) program_headers: u64,
    pub(crate) section_headers: u64,
    pub(crate) flags: u32,
    pub(crate) size: u16,
    pub(crate) program_header_size: u16,
    pub(crate) program_header_count: u16,
    pub(crate) section_fields: [u16; 3],
}

/// A program header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) virtual_address: u64,
    pub(crate) physical_address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) alignment: u64,
}

impl ProgramHeader {
    fn memory(&self) -> u64 {
        self.memory_size.max(self.file_size)
    }
}

/// What a kernel's headers say, read before it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Guest-physical address of the first instruction.
    pub entry: u64,
    /// Guest-physical addresses from the first segment to the end of the last.
    pub extent: Range<u64>,
    /// What the file holds of each segment: guest-physical address and bytes, in the order of the file's headers.
    pub loaded: Vec<(u64, u64)>,
    /// Where the file holds it, in bytes from the file's start.
    pub in_file: Vec<Range<u64>>,
    /// Bytes of the program headers' end in the file.
    pub headers_end: u64,
    /// Bytes from the file's start that hold all segments.
    pub file_end: u64,
}

/// The entry and the segments of an x86-64 kernel, or the reason why it is not one, in words.
pub(crate) fn parse<R: Read + Seek>(file: &mut R) -> Result<Layout, String> {
    let cut_off = |_| "the ELF file is cut off".to_owned();
    let mut header = ElfHeader::new_zeroed();
    file.rewind().map_err(cut_off)?;
    file.read_exact(header.as_mut_bytes()).map_err(cut_off)?;
    refuse_foreign(&header)?;
    if usize::from(header.program_header_size) != size_of::<ProgramHeader>() {
        return Err("the ELF file has no program headers of the right size".to_owned());
    }
    let count = header.program_header_count;
    if count > MOST_PROGRAM_HEADERS {
        return Err(format!("the ELF file has {count} program headers, more than {MOST_PROGRAM_HEADERS}"));
    }
    file.seek(SeekFrom::Start(header.program_headers)).map_err(cut_off)?;
    let mut segments = vec![ProgramHeader::new_zeroed(); count.into()];
    for segment in &mut segments {
        file.read_exact(segment.as_mut_bytes()).map_err(cut_off)?;
    }
    refuse_32_bit_entry(file, &header, &segments)?;
    refuse_programs(&header, &segments)?;
    layout(&header, &segments)
}

/// A kernel that has a PVH entry, and no other that could be the 64-bit one: Linux has both, and its header names the 64-bit one.
fn refuse_32_bit_entry<R: Read + Seek>(
    file: &mut R,
    header: &ElfHeader,
    segments: &[ProgramHeader],
) -> Result<(), String> {
    let mut notes = segments.iter().filter(|segment| segment.kind == NOTE);
    let Some(entry) = notes.find_map(|notes| phys32_entry(file, notes.offset, notes.file_size)) else {
        return Ok(());
    };
    let inside = |s: &ProgramHeader| {
        header.entry.checked_sub(s.physical_address).is_some_and(|offset| offset < s.memory())
    };
    if entry != header.entry && segments.iter().any(|s| s.kind == LOAD && inside(s)) {
        return Ok(());
    }
    Err(format!(
        "it has a PVH entry at {entry:#x} alone, in 32-bit protected mode without paging, and the machine starts kernels at a \
         64-bit entry"
    ))
}

/// Where the program headers of the ELF file that begins with `head` end.
pub(crate) fn headers_end(head: &[u8]) -> Option<u64> {
    let (header, _) = ElfHeader::read_from_prefix(head).ok()?;
    let bytes = u64::from(header.program_header_count) * size_of::<ProgramHeader>() as u64;
    header.program_headers.checked_add(bytes)
}

fn layout(header: &ElfHeader, segments: &[ProgramHeader]) -> Result<Layout, String> {
    let (mut start, mut end, mut sum, mut file_end) = (u64::MAX, 0, 0u64, 0);
    let (mut loaded, mut places) = (Vec::new(), Vec::new());
    for segment in segments.iter().filter(|s| s.kind == LOAD && s.memory() > 0) {
        let segment_end = segment.physical_address.checked_add(segment.memory());
        start = start.min(segment.physical_address);
        end = end.max(segment_end.ok_or("a segment's end passes the address space")?);
        sum = sum.saturating_add(segment.memory());
        let place_end = segment.offset.checked_add(segment.file_size);
        let place_end = place_end.ok_or("a segment's place passes the end of any file")?;
        file_end = file_end.max(place_end);
        loaded.push((segment.physical_address, segment.file_size));
        places.push(segment.offset..place_end);
    }
    if !(start..end).contains(&header.entry) {
        return Err(format!("its entry {:#x} is in none of its segments (a program?)", header.entry));
    }
    if start < crate::layout::ONE_MIB {
        return Err(format!("it wants to be loaded at {start:#x}, below 1 MiB"));
    }
    if sum > end - start {
        return Err("its segments overlap".to_owned());
    }
    let headers_end = header.program_headers.saturating_add(size_of_val(segments) as u64);
    Ok(Layout { entry: header.entry, extent: start..end, loaded, in_file: places, headers_end, file_end })
}

/// What the first 64 bytes are enough for.
fn refuse_foreign(header: &ElfHeader) -> Result<(), String> {
    let big = header.data == BIG_ENDIAN;
    let value = |field: u16| if big { field.swap_bytes() } else { field };
    let (kind, machine) = (value(header.kind), value(header.machine));
    let what = match kind {
        RELOCATABLE => "an object file or a kernel module",
        EXECUTABLE => "an ELF executable",
        SHARED => "a shared object or a position-independent program",
        CORE => "a core dump",
        _ => "an ELF file of an unknown kind",
    };
    if machine != X86_64 || big {
        let endian = if big { "big-endian " } else { "" };
        return Err(format!("it is {what} for {endian}{}, not for x86-64", machine_name(machine)));
    }
    if header.class == CLASS_32 {
        return Err(format!("it is {what} with 32-bit addresses (x32)"));
    }
    if ![EXECUTABLE, SHARED].contains(&kind) {
        return Err(format!("it is {what}"));
    }
    Ok(())
}

/// The machines that distributions are built for, by their number in the ELF header.
fn machine_name(machine: u16) -> String {
    let name = match machine {
        2 | 18 | 43 => "SPARC",
        3 => "i386",
        4 => "m68k",
        8 => "MIPS",
        15 => "PA-RISC",
        20 => "PowerPC",
        21 => "64-bit PowerPC",
        22 => "s390",
        40 => "Arm",
        50 => "Itanium",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        247 => "BPF",
        258 => "LoongArch",
        other => return format!("machine {other}"),
    };
    name.to_owned()
}

/// Recognises user-space programs by what only their program headers have.
fn refuse_programs(header: &ElfHeader, segments: &[ProgramHeader]) -> Result<(), String> {
    let loads = || segments.iter().filter(|s| s.kind == LOAD);
    if loads().any(|s| s.virtual_address >= UPPER_HALF) {
        return Ok(());
    }
    let has = |kinds: &[u32]| segments.iter().any(|s| kinds.contains(&s.kind));
    if has(&[INTERPRETER]) {
        return Err("it is a program of user space, dynamically linked".to_owned());
    }
    if has(&[DYNAMIC]) {
        return Err("it is a shared object or a position-independent program of user space".to_owned());
    }
    let base = loads().map(|s| s.virtual_address).min();
    let linked_as_program = header.kind == EXECUTABLE && base == Some(PROGRAM_BASE) && has(&[GNU_STACK]);
    if has(&[THREAD_LOCAL, PROGRAM_HEADERS, GNU_RELRO, GNU_EH_FRAME]) || linked_as_program {
        return Err("it is a program of user space, statically linked".to_owned());
    }
    Ok(())
}
