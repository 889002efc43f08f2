//! The register page (Intel VT-d specification 3.3, chapter 10; offsets, bits and what they announce).

use crate::registers::{Register, acting, check, clear_by_ones, read_only, read_write, write_only};

/// Bytes of the register page that registers are in.
pub const PAGE_BYTES: usize = 4096;

pub const VERSION: usize = 0x00;
pub const CAP: usize = 0x08;
pub const ECAP: usize = 0x10;
pub const GLOBAL_COMMAND: usize = 0x18;
pub const GLOBAL_STATUS: usize = 0x1c;
pub const ROOT_TABLE: usize = 0x20;
pub const CONTEXT_COMMAND: usize = 0x28;
pub const FAULT_STATUS: usize = 0x34;
pub const FAULT_CONTROL: usize = 0x38;
pub const QUEUE_HEAD: usize = 0x80;
pub const QUEUE_TAIL: usize = 0x88;
pub const QUEUE_ADDRESS: usize = 0x90;
pub const COMPLETION_STATUS: usize = 0x9c;
pub const COMPLETION_CONTROL: usize = 0xa0;
pub const QUEUE_ERROR: usize = 0xb0;
pub const INTERRUPT_TABLE: usize = 0xb8;
/// IVA; the IOTLB invalidate register follows.
pub const IOTLB: usize = 0x200;
pub const IOTLB_COMMAND: usize = IOTLB + 8;
/// The first fault recording register, 16 bytes each.
pub const FAULT_RECORDS: usize = 0x220;
pub const FAULT_RECORD_BYTES: usize = 16;
/// Number of fault recording registers.
pub const FAULT_RECORD_COUNT: usize = 8;

/// Event registers come in fours: control, data, address, upper address.
pub const EVENT_DATA: usize = 4;
pub const EVENT_ADDRESS: usize = 8;
pub const EVENT_UPPER_ADDRESS: usize = 12;
/// Event control: interrupt mask.
pub const EVENT_MASKED: u32 = 1 << 31;
/// Event control: interrupt pending.
pub const EVENT_PENDING: u32 = 1 << 30;

/// Global command and status: translation.
pub const TRANSLATION: u32 = 1 << 31;
/// Set root table pointer, and its status.
pub const SET_ROOT: u32 = 1 << 30;
/// Queued invalidation.
pub const QUEUED_INVALIDATION: u32 = 1 << 26;

/// Interrupt remapping.
pub const REMAPPING: u32 = 1 << 25;
/// Set interrupt remapping table pointer, and its status.
pub const SET_INTERRUPT_TABLE: u32 = 1 << 24;
/// Interrupt requests in compatibility format pass.
pub const COMPATIBILITY: u32 = 1 << 23;

/// Fault status: a fault was lost.
pub const PRIMARY_OVERFLOW: u32 = 1 << 0;
/// Fault status: some fault record is in use.
pub const PRIMARY_PENDING: u32 = 1 << 1;
/// Fault status: the invalidation queue stopped at a bad descriptor.
pub const QUEUE_STOPPED: u32 = 1 << 4;
/// Fault status: the field that names the oldest fault record.
pub const RECORD_INDEX: u32 = 0xff << 8;

/// Width of guest-physical addresses, as the DMAR table says it too.
pub const HOST_ADDRESS_BITS: u32 = 48;
/// Width of I/O virtual addresses that can be mapped.
pub const GUEST_ADDRESS_BITS: u32 = 48;
/// The largest address mask of a page-selective invalidation: 2^18 pages, 1 GiB.
pub const MAX_ADDRESS_MASK: u32 = 18;

/// What the capability register announces.
pub const CAP_VALUE: u64 = 6 // ND: 16-bit domain ids
    | 1 << 10 // SAGAW: four-level tables
    | (GUEST_ADDRESS_BITS as u64 - 1) << 16 // MGAW
    | (FAULT_RECORDS as u64 / 16) << 24 // FRO
    | 3 << 34 // SLLPS: 2 MiB and 1 GiB pages
    | 1 << 39 // PSI: page-selective invalidation
    | (FAULT_RECORD_COUNT as u64 - 1) << 40 // NFR
    | (MAX_ADDRESS_MASK as u64) << 48 // MAMV
    | 3 << 54; // DWD, DRD: an invalidation drains (no access is ever in flight)

/// What the extended capability register announces.
pub const ECAP_VALUE: u64 = 1 // C: walks are coherent
    | 1 << 1 // QI
    | 1 << 6 // PT: pass-through contexts
    | 1 << 7 // SC: snoop control (every access is coherent anyway)
    | (IOTLB as u64 / 16) << 8; // IRO

/// What it announces beside that with interrupt remapping.
pub const ECAP_REMAPPING: u64 = 1 << 3 // IR
    | 15 << 20; // MHMV: an invalidation can mask all bits of the index

/// GCMD: what software may write.
const COMMANDS: u32 =
    TRANSLATION | SET_ROOT | QUEUED_INVALIDATION | REMAPPING | SET_INTERRUPT_TABLE | COMPATIBILITY;

/// The registers (`docs/iommu.md`). The unit acts on what is written to GCMD and does not keep it.
pub const REGISTERS: &[Register] = &[
    read_only("VER", VERSION, 4, 0x10),
    read_only("CAP", CAP, 8, CAP_VALUE),
    read_only("ECAP", ECAP, 8, ECAP_VALUE),
    write_only("GCMD", GLOBAL_COMMAND, 4, COMMANDS as u64),
    read_only("GSTS", GLOBAL_STATUS, 4, 0),
    read_write("RTADDR", ROOT_TABLE, 8, 0, !0xfff),
    // CAIG (59..61) is the unit's answer.
    acting("CCMD", CONTEXT_COMMAND, 8, 0, 0xe000_0003_ffff_ffff),
    clear_by_ones("FSTS", FAULT_STATUS, 4, 0, (PRIMARY_OVERFLOW | QUEUE_STOPPED) as u64),
    read_write("FECTL", FAULT_CONTROL, 4, EVENT_MASKED as u64, EVENT_MASKED as u64),
    read_write("FEDATA", FAULT_CONTROL + EVENT_DATA, 4, 0, 0xffff),
    read_write("FEADDR", FAULT_CONTROL + EVENT_ADDRESS, 4, 0, 0xffff_fffc),
    read_write("FEUADDR", FAULT_CONTROL + EVENT_UPPER_ADDRESS, 4, 0, 0xffff_ffff),
    read_only("IQH", QUEUE_HEAD, 8, 0),
    acting("IQT", QUEUE_TAIL, 8, 0, 0x7_fff0),
    read_write("IQA", QUEUE_ADDRESS, 8, 0, !0xfff | 7),
    clear_by_ones("ICS", COMPLETION_STATUS, 4, 0, 1),
    read_write("IECTL", COMPLETION_CONTROL, 4, EVENT_MASKED as u64, EVENT_MASKED as u64),
    read_write("IEDATA", COMPLETION_CONTROL + EVENT_DATA, 4, 0, 0xffff),
    read_write("IEADDR", COMPLETION_CONTROL + EVENT_ADDRESS, 4, 0, 0xffff_fffc),
    read_write("IEUADDR", COMPLETION_CONTROL + EVENT_UPPER_ADDRESS, 4, 0, 0xffff_ffff),
    read_only("IQERCD", QUEUE_ERROR, 8, 0),
    // S (0..4) and the address; EIME (11) belongs to a mode that is not announced.
    read_write("IRTA", INTERRUPT_TABLE, 8, 0, !0xfff | 0xf),
    read_write("IVA", IOTLB, 8, 0, !0xfff | 0x7f),
    // IAIG (57..59) is the unit's answer.
    acting("IOTLB", IOTLB_COMMAND, 8, 0, 0xb003_ffff_0000_0000),
    read_only("FRCD_LOW", FAULT_RECORDS, 8, 0).each(FAULT_RECORD_COUNT, FAULT_RECORD_BYTES),
    // F, the top bit, is cleared by writing one.
    clear_by_ones("FRCD_HIGH", FAULT_RECORDS + 8, 8, 0, 1 << 63).each(FAULT_RECORD_COUNT, FAULT_RECORD_BYTES),
];

const _: () = check(REGISTERS, PAGE_BYTES);

/// The offset of fault record `index`.
pub fn fault_record_offset(index: usize) -> usize {
    FAULT_RECORDS.saturating_add(index.saturating_mul(FAULT_RECORD_BYTES))
}
