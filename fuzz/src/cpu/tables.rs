//! The tables of each mode, and the state that goes with them. Every exception goes on behind the first byte of what raised it.

use fencepost_softcpu::state::{CpuState, Segment, Table, reg, seg};

/// Memory, from address 0.
pub const RAM_BYTES: usize = 0x4_0000;
/// Where an input's code begins.
pub const CODE: usize = 0x1_0000;
/// Where registers point to.
pub const DATA: usize = 0x2_0000;
const STACK: u64 = 0x3_0000;
const KERNEL_STACK: u64 = 0x3_8000;
const PML4: usize = 0x1000;
const DIRECTORY_POINTERS: usize = 0x2000;
const DIRECTORY: usize = 0x3000;
const TABLE: usize = 0x4000;
const GDT: usize = 0x6000;
const TSS: usize = 0x6800;
const IDT: usize = 0x7000;
/// Handlers: of 64-bit, 32-bit and real mode, each with and without an error code.
const HANDLERS: usize = 0x8000;

/// Present, writable, user's.
const OPEN: u64 = 7;
const LARGE: u64 = 0x80;

/// How the CPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 64-bit code at CPL 0.
    Long,
    /// At CPL 3.
    LongUser,
    /// 32-bit code under long mode, at CPL 3.
    Compatible,
    /// 32-bit protected mode without paging.
    Protected,
    /// With paging, at CPL 0.
    Paged,
    /// With paging, at CPL 3.
    PagedUser,
    /// 16-bit code in protected mode.
    Protected16,
    /// Real mode.
    Real,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 8] = [
        Mode::Long,
        Mode::LongUser,
        Mode::Compatible,
        Mode::Protected,
        Mode::Paged,
        Mode::PagedUser,
        Mode::Protected16,
        Mode::Real,
    ];

    /// The mode that a byte names.
    pub fn of(byte: u8) -> Mode {
        Mode::ALL[usize::from(byte) % Mode::ALL.len()]
    }

    fn is_long(self) -> bool {
        matches!(self, Mode::Long | Mode::LongUser | Mode::Compatible)
    }

    fn is_user(self) -> bool {
        matches!(self, Mode::LongUser | Mode::Compatible | Mode::PagedUser)
    }
}

fn put(memory: &mut [u8], at: usize, bytes: &[u8]) {
    memory[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put64(memory: &mut [u8], at: usize, value: u64) {
    put(memory, at, &value.to_le_bytes());
}

/// Memory with the mode's tables.
pub fn memory(mode: Mode) -> Vec<u8> {
    let mut memory = vec![0; RAM_BYTES];
    if mode == Mode::Real {
        for vector in 0..256 {
            put(&mut memory, 4 * vector, &(HANDLERS as u32 + 0x80).to_le_bytes());
        }
    } else if mode.is_long() {
        put64(&mut memory, PML4, DIRECTORY_POINTERS as u64 | OPEN);
        put64(&mut memory, DIRECTORY_POINTERS, DIRECTORY as u64 | OPEN);
        put64(&mut memory, DIRECTORY, TABLE as u64 | OPEN);
        for large in 1..512 {
            put64(&mut memory, DIRECTORY + 8 * large, (large as u64) << 21 | OPEN | LARGE);
        }
        (0..512).for_each(|page| put64(&mut memory, TABLE + 8 * page, (page as u64) << 12 | OPEN));
    } else {
        // 4 MiB pages but for the first, as two-level paging has them.
        put(&mut memory, DIRECTORY, &(TABLE as u32 | OPEN as u32).to_le_bytes());
        for large in 1..1024u32 {
            put(
                &mut memory,
                DIRECTORY + 4 * large as usize,
                &(large << 22 | (OPEN | LARGE) as u32).to_le_bytes(),
            );
        }
        for page in 0..1024u32 {
            put(&mut memory, TABLE + 4 * page as usize, &(page << 12 | OPEN as u32).to_le_bytes());
        }
    }
    if mode != Mode::Real {
        descriptors(&mut memory, mode);
    }
    handlers(&mut memory);
    memory
}

/// Selectors.
const CODE64: u16 = 0x08;
const DATA32: u16 = 0x10;
const USER_CODE64: u16 = 0x1b;
const USER_DATA: u16 = 0x23;
const TASK: u16 = 0x28;
const CODE32: u16 = 0x38;
const USER_CODE32: u16 = 0x43;
const CODE16: u16 = 0x48;
const DATA16: u16 = 0x50;

fn descriptors(memory: &mut [u8], mode: Mode) {
    let task = 0x0000_8b00_0000_0067 | (TSS as u64) << 16;
    let gdt = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00af_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        task,
        0,
        0x00cf_9b00_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x0000_9b00_0000_ffff,
        0x0000_9300_0000_ffff,
    ];
    (0..).zip(gdt).for_each(|(at, entry)| put64(memory, GDT + 8 * at, entry));
    if mode.is_long() {
        put64(memory, TSS + 4, KERNEL_STACK);
        put64(memory, TSS + 36, KERNEL_STACK - 0x1000);
    } else {
        put(memory, TSS + 4, &(KERNEL_STACK as u32).to_le_bytes());
        put(memory, TSS + 8, &DATA32.to_le_bytes());
    }
    // No I/O permission bitmap: it would begin beyond the limit.
    put(memory, TSS + 102, &[0x68, 0]);
    for vector in 0..256usize {
        let has_error = matches!(vector, 8 | 10..=14 | 17);
        let target =
            HANDLERS as u64 + if mode.is_long() { 0 } else { 0x40 } + if has_error { 0x20 } else { 0 };
        let (selector, bytes) = if mode.is_long() { (CODE64, 16) } else { (CODE32, 8) };
        // A gate of DPL 3, for interrupts.
        let gate = target & 0xffff | u64::from(selector) << 16 | 0xee00 << 32 | (target >> 16) << 48;
        put64(memory, IDT + bytes * vector, gate);
    }
}

/// Each adds one to the saved instruction pointer and returns.
fn handlers(memory: &mut [u8]) {
    let handlers: [&[u8]; 5] = [
        // add qword [rsp], 1; iretq
        &[0x48, 0x83, 0x04, 0x24, 1, 0x48, 0xcf],
        // add rsp, 8 before that
        &[0x48, 0x83, 0xc4, 8, 0x48, 0x83, 0x04, 0x24, 1, 0x48, 0xcf],
        // add dword [esp], 1; iretd
        &[0x83, 0x04, 0x24, 1, 0xcf],
        // add esp, 4 before that
        &[0x83, 0xc4, 4, 0x83, 0x04, 0x24, 1, 0xcf],
        // push bp; mov bp, sp; add word [bp + 2], 1; pop bp; iret
        &[0x55, 0x89, 0xe5, 0x83, 0x46, 2, 1, 0x5d, 0xcf],
    ];
    (0..).zip(handlers).for_each(|(at, code)| put(memory, HANDLERS + 0x20 * at, code));
}

/// The mode's usual state, at the start of an input's code.
pub fn state(mode: Mode) -> CpuState {
    let flat = |selector, attributes| Segment { selector, base: 0, limit: !0, attributes };
    let short = |selector, attributes| Segment { selector, base: 0, limit: 0xffff, attributes };
    let (code, data) = match mode {
        Mode::Long => (flat(CODE64, 0xa09b), flat(DATA32, 0xc093)),
        Mode::LongUser => (flat(USER_CODE64, 0xa0fb), flat(USER_DATA, 0xc0f3)),
        Mode::Compatible | Mode::PagedUser => (flat(USER_CODE32, 0xc0fb), flat(USER_DATA, 0xc0f3)),
        Mode::Protected | Mode::Paged => (flat(CODE32, 0xc09b), flat(DATA32, 0xc093)),
        Mode::Protected16 => (short(CODE16, 0x009b), short(DATA16, 0x0093)),
        Mode::Real => (short(0, 0x009b), short(0, 0x0093)),
    };
    let mut state = CpuState { rflags: if mode.is_user() { 0x202 } else { 2 }, ..CpuState::default() };
    state.seg = [data; 6];
    state.seg[seg::CS] = code;
    state.rip = CODE as u64;
    state.gpr[reg::RSP] = STACK;
    state.idtr = Table { base: IDT as u64, limit: 0xfff };
    state.gdtr = Table { base: GDT as u64, limit: 11 * 8 - 1 };
    state.tr = Segment { selector: TASK, base: TSS as u64, limit: 0x67, attributes: 0x8b };
    (state.cr0, state.cr3, state.cr4) = match mode {
        Mode::Real => (0x10, 0, 0x600),
        Mode::Protected | Mode::Protected16 => (0x33, 0, 0x600),
        Mode::Paged | Mode::PagedUser => (0x8000_0033, DIRECTORY as u64, 0x610),
        _ => (0x8000_0033, PML4 as u64, 0x6a0),
    };
    if mode.is_long() {
        state.efer = 0xd01;
    }
    if matches!(mode, Mode::Real | Mode::Protected16) {
        // Offsets have 16 bits: segments begin where code, data and stack are.
        let place = |segment: &mut Segment, base: usize| {
            segment.base = base as u64;
            if mode == Mode::Real {
                segment.selector = (base >> 4) as u16;
            }
        };
        place(&mut state.seg[seg::CS], CODE);
        [seg::DS, seg::ES, seg::FS, seg::GS].into_iter().for_each(|at| place(&mut state.seg[at], DATA));
        place(&mut state.seg[seg::SS], STACK as usize - 0x1_0000);
        (state.rip, state.gpr[reg::RSP]) = (0, 0xfff0);
    }
    if mode == Mode::Real {
        state.idtr = Table { base: 0, limit: 0x3ff };
    }
    state
}
