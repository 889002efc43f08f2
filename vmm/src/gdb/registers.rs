//! A CPU's registers as the protocol has them: those of `gdbstub_arch`, and behind them what a kernel's debugger wants to see.

use fencepost_softcpu::state::{CpuState, FpuState, Segment, seg};
use gdbstub::arch::{Arch, Registers};
use gdbstub_arch::x86::X86_64_SSE;
use gdbstub_arch::x86::reg::{F80, X86_64CoreRegs, X86SegmentRegs, X87FpuInternalRegs};

/// An x86-64 CPU with its bases and control registers.
pub enum Amd64 {}

/// Bytes of the registers that `gdbstub_arch` knows.
const CORE_BYTES: usize = 0x218;

/// What the protocol calls RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, by its number in [`CpuState::gpr`].
const ORDER: [usize; 16] = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];

/// The CR8 register's place in the local APIC's page: TPR at offset 0x80, of which it is the upper four bits.
const TPR: usize = 8;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllRegisters {
    core: X86_64CoreRegs,
    /// The bases of FS and GS, and what SWAPGS exchanges with that.
    bases: [u64; 3],
    /// CR0, CR2, CR3, CR4, CR8, EFER.
    control: [u64; 6],
}

impl Arch for Amd64 {
    type Usize = u64;
    type Registers = AllRegisters;
    type BreakpointKind = <X86_64_SSE as Arch>::BreakpointKind;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(include_str!("target.xml"))
    }
}

impl Registers for AllRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.core.rip
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.core.gdb_serialize(&mut write_byte);
        let more = self.bases.iter().chain(&self.control);
        more.flat_map(|value| value.to_le_bytes()).for_each(|byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let (core, more) = bytes.split_at_checked(CORE_BYTES).ok_or(())?;
        if more.len() != 8 * 9 {
            return Err(());
        }
        self.core.gdb_deserialize(core)?;
        let places = self.bases.iter_mut().chain(&mut self.control);
        for (place, bytes) in places.zip(more.chunks_exact(8)) {
            *place = u64::from_le_bytes(bytes.try_into().map_err(|_| ())?);
        }
        Ok(())
    }
}

fn top(fpu: &FpuState) -> usize {
    usize::from(fpu.fsw >> 11 & 7)
}

/// The full tag word: two bits for each physical register (Intel SDM vol. 1, 8.1.7).
fn full_tag(fpu: &FpuState) -> u32 {
    const ZERO: u32 = 1;
    const SPECIAL: u32 = 2;
    const EMPTY: u32 = 3;
    let tag = |n: usize| {
        let (value, exponent) = (fpu.r[n], fpu.r[n] >> 64 & 0x7fff);
        let whole = value as u64;
        match (exponent, whole) {
            _ if fpu.ftw >> n & 1 == 0 => EMPTY,
            (0, 0) => ZERO,
            (0 | 0x7fff, _) => SPECIAL,
            _ if whole >> 63 == 0 => SPECIAL,
            _ => 0,
        }
    };
    (0..8).map(|n| tag(n) << (2 * n)).sum()
}

/// Why registers cannot be set so: the guest could not be there, or what would follow from it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl AllRegisters {
    /// Those of `state`.
    pub fn of(state: &CpuState) -> Self {
        let fpu = &state.fpu;
        let selector = |n: usize| u32::from(state.seg[n].selector);
        let st = |n: usize| {
            let mut bytes = F80::default();
            bytes.copy_from_slice(&fpu.r[(top(fpu) + n) & 7].to_le_bytes()[..10]);
            bytes
        };
        let core = X86_64CoreRegs {
            regs: ORDER.map(|n| state.gpr[n]),
            eflags: state.rflags as u32,
            rip: state.rip,
            segments: X86SegmentRegs {
                cs: selector(seg::CS),
                ss: selector(seg::SS),
                ds: selector(seg::DS),
                es: selector(seg::ES),
                fs: selector(seg::FS),
                gs: selector(seg::GS),
            },
            st: std::array::from_fn(st),
            fpu: X87FpuInternalRegs {
                fctrl: fpu.fcw.into(),
                fstat: fpu.fsw.into(),
                ftag: full_tag(fpu),
                fiseg: (fpu.fip >> 32) as u32,
                fioff: fpu.fip as u32,
                foseg: (fpu.fdp >> 32) as u32,
                fooff: fpu.fdp as u32,
                fop: fpu.fop.into(),
            },
            xmm: fpu.xmm,
            mxcsr: fpu.mxcsr,
        };
        let base = |n: usize| state.seg[n].base;
        let cr8 = state.apic.regs.get(TPR).map_or(0, |tpr| u64::from(*tpr) >> 4 & 15);
        AllRegisters {
            core,
            bases: [base(seg::FS), base(seg::GS), state.msr.kernel_gs_base],
            control: [state.cr0, state.cr2, state.cr3, state.cr4, cr8, state.efer],
        }
    }

    /// Sets them in `state`.
    ///
    /// # Errors
    ///
    /// With nothing changed: another selector, another control register, a base or RIP that is not canonical.
    pub fn set(&self, state: &mut CpuState) -> Result<(), Refused> {
        /// What of RFLAGS may be set: all flags but VM (Intel SDM vol. 1, 3.4.3).
        const FLAGS: u64 = 0x3d_7fd5;
        let before = AllRegisters::of(state);
        let canonical = |address: &u64| (address << 16) as i64 >> 16 == *address as i64;
        let fixed = self.core.segments == before.core.segments && self.control == before.control;
        if !fixed || !self.bases.iter().chain([&self.core.rip]).all(canonical) {
            return Err(Refused);
        }
        let core = &self.core;
        for (value, n) in core.regs.into_iter().zip(ORDER) {
            state.gpr[n] = value;
        }
        state.rip = core.rip;
        state.rflags = u64::from(core.eflags) & FLAGS | state.rflags & !FLAGS;
        let segments: &mut [Segment; 6] = &mut state.seg;
        (segments[seg::FS].base, segments[seg::GS].base) = (self.bases[0], self.bases[1]);
        state.msr.kernel_gs_base = self.bases[2];
        self.set_fpu(&mut state.fpu);
        Ok(())
    }

    fn set_fpu(&self, fpu: &mut FpuState) {
        /// What of MXCSR there is without the processor's leave for more (vol. 1, 10.2.3).
        const MXCSR: u32 = 0xffff;
        let (core, words) = (&self.core, &self.core.fpu);
        (fpu.fcw, fpu.fsw, fpu.fop) = (words.fctrl as u16, words.fstat as u16, words.fop as u16 & 0x7ff);
        fpu.fip = u64::from(words.fiseg) << 32 | u64::from(words.fioff);
        fpu.fdp = u64::from(words.foseg) << 32 | u64::from(words.fooff);
        fpu.ftw = (0..8).filter(|n| words.ftag >> (2 * n) & 3 != 3).map(|n| 1 << n).sum();
        let top = top(fpu);
        for (n, value) in core.st.iter().enumerate() {
            let mut bytes = [0; 16];
            bytes[..10].copy_from_slice(value);
            fpu.r[(top + n) & 7] = u128::from_le_bytes(bytes);
        }
        fpu.xmm = core.xmm;
        fpu.mxcsr = core.mxcsr & MXCSR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_state() -> CpuState {
        let mut state =
            CpuState { rip: 0xffff_ffff_8100_0000, rflags: 0x246, cr0: 0x8005_0033, ..CpuState::default() };
        for (n, value) in (1..).zip(&mut state.gpr) {
            *value = n * 0x0101_0101;
        }
        state.fpu.r = std::array::from_fn(|n| (0x3fff + n as u128) << 64 | 1 << 63 | n as u128);
        (state.fpu.fsw, state.fpu.ftw) = (5 << 11, 0b1110_0000);
        state.fpu.xmm = std::array::from_fn(|n| u128::MAX / (n as u128 + 1));
        (state.msr.kernel_gs_base, state.efer) = (0x7000, 0xd01);
        state.seg[seg::CS].selector = 0x10;
        state
    }

    #[test]
    fn what_is_read_and_set_again_changes_nothing() {
        let state = some_state();
        let registers = AllRegisters::of(&state);
        let mut bytes = Vec::new();
        registers.gdb_serialize(|byte| bytes.push(byte.unwrap()));
        let mut again = AllRegisters::default();
        assert_eq!(again.gdb_deserialize(&bytes), Ok(()));
        assert_eq!(again, registers);
        assert!(again.gdb_deserialize(&bytes[1..]).is_err());
        let mut after = state.clone();
        assert_eq!(again.set(&mut after), Ok(()));
        assert_eq!(after, state);
        // The protocol's order: RBX is the second, RSP the eighth; the stack's top is physical register 5.
        let word = |n: usize| u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().unwrap());
        assert_eq!((word(1), word(7), word(16)), (state.gpr[3], state.gpr[4], state.rip));
        assert_eq!(registers.core.st[0][..2], [5, 0]);
        assert_eq!(registers.core.fpu.ftag, 0x03ff);
    }

    #[test]
    fn what_cannot_be_is_refused_whole() {
        let state = some_state();
        let refused = |change: &dyn Fn(&mut AllRegisters)| {
            let (mut registers, mut after) = (AllRegisters::of(&state), state.clone());
            registers.core.regs[0] = 1;
            change(&mut registers);
            let refused = registers.set(&mut after).is_err();
            assert_eq!(refused, after == state);
            refused
        };
        assert!(!refused(&|registers| registers.core.eflags |= 1));
        assert!(refused(&|registers| registers.core.segments.cs = 0x33));
        assert!(refused(&|registers| registers.control[2] = 0x1000));
        assert!(refused(&|registers| registers.core.rip = 1 << 47));
        assert!(refused(&|registers| registers.bases[1] = 1 << 60));
    }
}
