//! The whole state of one CPU as data: what both back ends give and take.

use fencepost_time::{Cycles, Tsc, TscOffset};
use serde::{Deserialize, Serialize};

/// Index of a general register in [`CpuState::gpr`], in the encoding's order.
pub mod reg {
    /// RAX, EAX, AX and AL.
    pub const RAX: usize = 0;
    /// RCX.
    pub const RCX: usize = 1;
    /// RDX.
    pub const RDX: usize = 2;
    /// RBX.
    pub const RBX: usize = 3;
    /// The stack pointer.
    pub const RSP: usize = 4;
    /// The frame pointer.
    pub const RBP: usize = 5;
    /// RSI.
    pub const RSI: usize = 6;
    /// RDI.
    pub const RDI: usize = 7;
    /// R11, where SYSCALL keeps RFLAGS.
    pub const R11: usize = 11;
}

/// Index of a segment register in [`CpuState::seg`], in the encoding's order.
pub mod seg {
    /// ES.
    pub const ES: usize = 0;
    /// The code segment.
    pub const CS: usize = 1;
    /// The stack segment, whose DPL is the current privilege level.
    pub const SS: usize = 2;
    /// The data segment.
    pub const DS: usize = 3;
    /// FS.
    pub const FS: usize = 4;
    /// GS.
    pub const GS: usize = 5;
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Limit in bytes, granularity applied (last valid offset).
    pub limit: u32,
    /// Attributes as bits 8..24 of the descriptor's second word, shifted down by 8: type 0..4, S 4, DPL 5..7, P 7,
    /// limit 8..12 (ignored), AVL 12, L 13, D/B 14, G 15.
    pub attributes: u16,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Linear base address.
    pub base: u64,
    /// Last valid byte offset.
    pub limit: u16,
}

/// x87, MMX and SSE state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FpuState {
    /// Physical x87 registers R0..R7 (not the stack order) as 80-bit values in the low bits; MMn is the low 64 bits
    /// of Rn.
    pub r: [u128; 8],
    /// Control word.
    pub fcw: u16,
    /// Status word, TOP included.
    pub fsw: u16,
    /// Abridged tag word: bit n is 1 when Rn is not empty (as FXSAVE stores it).
    pub ftw: u8,
    /// Last opcode (11 bits).
    pub fop: u16,
    /// Last instruction pointer.
    pub fip: u64,
    /// Last data pointer.
    pub fdp: u64,
    /// XMM0..XMM15.
    pub xmm: [u128; 16],
    /// SSE control and status.
    pub mxcsr: u32,
}

impl Default for FpuState {
    fn default() -> Self {
        FpuState {
            r: [0; 8],
            fcw: 0x037f,
            fsw: 0,
            ftw: 0,
            fop: 0,
            fip: 0,
            fdp: 0,
            xmm: [0; 16],
            mxcsr: 0x1f80,
        }
    }
}

/// Model-specific registers that are plain storage, or that other parts of the state do not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// STAR: segment selectors of SYSCALL and SYSRET.
    pub star: u64,
    /// LSTAR: where SYSCALL of 64-bit code leads.
    pub lstar: u64,
    /// CSTAR: where SYSCALL of 32-bit code leads.
    pub cstar: u64,
    /// FMASK: flags that SYSCALL clears.
    pub fmask: u64,
    /// KERNEL_GS_BASE: what SWAPGS exchanges with the base of GS.
    pub kernel_gs_base: u64,
    /// SYSENTER_CS: segment selectors of SYSENTER and SYSEXIT.
    pub sysenter_cs: u64,
    /// SYSENTER_ESP: the stack pointer that SYSENTER sets.
    pub sysenter_esp: u64,
    /// SYSENTER_EIP: where SYSENTER leads.
    pub sysenter_eip: u64,
    /// PAT: eight memory types; nothing follows from them.
    pub pat: u64,
    /// TSC_AUX: what RDTSCP gives in ECX.
    pub tsc_aux: u64,
    /// MISC_ENABLE.
    pub misc_enable: u64,
    /// APIC_BASE: address and mode of the local APIC.
    pub apic_base: u64,
    /// TSC_DEADLINE: the counter at which the APIC timer fires; 0 when it is not armed.
    pub tsc_deadline: u64,
    /// TSC_ADJUST: the sum of all that the guest added to its counter.
    pub tsc_adjust: u64,
    /// MTRR_DEF_TYPE; nothing follows from it.
    pub mtrr_def_type: u64,
}

/// An event that waits to be delivered at the next instruction boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingException {
    /// Vector, 0..32.
    pub vector: u8,
    /// Error code, for those exceptions that push one.
    pub error_code: Option<u32>,
}

/// Everything a CPU is, apart from RAM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuState {
    /// General registers by [`reg`] index.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags, reserved bit 1 set.
    pub rflags: u64,
    /// Segment registers by [`seg`] index.
    pub seg: [Segment; 6],
    /// Local descriptor table register.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: Table,
    /// Interrupt descriptor table register.
    pub idtr: Table,
    /// Control registers.
    pub cr0: u64,
    /// Page-fault address.
    pub cr2: u64,
    /// Page-table base.
    pub cr3: u64,
    /// Extensions.
    pub cr4: u64,
    /// Extended features (EFER).
    pub efer: u64,
    /// Debug registers DR0..DR3, DR6, DR7 at their own indices.
    pub dr: [u64; 8],
    /// x87, MMX and SSE.
    pub fpu: FpuState,
    /// Model-specific registers.
    pub msr: Msrs,
    /// The machine's counter: the retired instructions plus the time skipped while idle.
    pub cycles: Cycles,
    /// What the guest's time-stamp counter reads more.
    pub tsc_offset: TscOffset,
    /// Instructions retired since reset (idle time not included).
    pub retired: u64,
    /// Stopped at HLT.
    pub halted: bool,
    /// Waits for a startup message after INIT. It is halted, and nothing else wakes it.
    pub waits_for_startup: bool,
    /// Interrupts are held for one instruction (after STI or a load of SS).
    pub interrupt_shadow: bool,
    /// The instruction before this boundary has loaded SS: no debug exception comes before the next one has ended.
    pub debug_held: bool,
    /// The bits of DR6 for which a debug exception waits.
    pub debug_hits: u16,
    /// An NMI is being handled (blocked until IRET).
    pub nmi_blocked: bool,
    /// An NMI waits.
    pub nmi_pending: bool,
    /// An exception injected from outside waits.
    pub pending_exception: Option<PendingException>,
    /// Local APIC registers, 32 bits each at their xAPIC offset / 16 (CR8 is the TPR's upper four bits).
    pub apic: ApicState,
}

/// The local APIC as the 64 registers of its xAPIC page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApicState {
    /// Register at offset `16 * n` of the page (Intel SDM vol. 3, table 11-1).
    pub regs: Vec<u32>,
}

impl Default for ApicState {
    fn default() -> Self {
        ApicState { regs: vec![0; 64] }
    }
}

impl CpuState {
    /// What the guest's time-stamp counter reads.
    pub fn tsc(&self) -> Tsc {
        self.cycles.tsc(self.tsc_offset)
    }

    /// The same for a machine whose counter `offset` lies behind the guest's: what the guest reads stays.
    pub fn behind(mut self, offset: TscOffset) -> Self {
        (self.cycles, self.tsc_offset) = (self.tsc().cycles(offset), offset);
        self
    }
}
