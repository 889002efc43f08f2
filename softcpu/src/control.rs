//! The bits of the control registers that this CPU knows: one definition for all who look at them.

use bitflags::bitflags;

use crate::state::CpuState;

bitflags! {
    /// CR0 (Intel SDM vol. 3, 2.5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr0: u64 {
        /// Protected mode.
        const PE = 1;
        /// WAIT looks at TS.
        const MP = 1 << 1;
        /// No x87: its instructions raise #NM, those of MMX and SSE #UD.
        const EM = 1 << 2;
        /// Task switched: x87, MMX and SSE instructions raise #NM.
        const TS = 1 << 3;
        /// Extension type, always set.
        const ET = 1 << 4;
        /// x87 errors raise #MF.
        const NE = 1 << 5;
        /// The kernel too obeys the write protection of pages.
        const WP = 1 << 16;
        /// Alignment mask.
        const AM = 1 << 18;
        /// Not write-through.
        const NW = 1 << 29;
        /// Cache disabled.
        const CD = 1 << 30;
        /// Paging.
        const PG = 1 << 31;
    }

    /// CR4 (Intel SDM vol. 3, 2.5). All other bits are reserved. A CPU may have fewer ([`Model::cr4`]).
    ///
    /// [`Model::cr4`]: crate::model::Model::cr4
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr4: u64 {
        /// RDTSC is the kernel's alone.
        const TSD = 1 << 2;
        /// DR4 and DR5 raise #UD.
        const DE = 1 << 3;
        /// Large pages of 32-bit paging.
        const PSE = 1 << 4;
        /// Page tables of 64-bit entries.
        const PAE = 1 << 5;
        /// Machine checks.
        const MCE = 1 << 6;
        /// Global pages.
        const PGE = 1 << 7;
        /// The system saves SSE registers: SSE instructions work.
        const OSFXSR = 1 << 9;
        /// The system handles #XM.
        const OSXMMEXCPT = 1 << 10;
        /// SGDT, SIDT, SLDT, SMSW and STR are the kernel's alone.
        const UMIP = 1 << 11;
        /// RDFSBASE and its like work.
        const FSGSBASE = 1 << 16;
        /// CR3 has a process-context identifier.
        const PCIDE = 1 << 17;
        /// The kernel may not execute the user's pages.
        const SMEP = 1 << 20;
        /// The kernel may not access the user's pages while RFLAGS.AC is clear.
        const SMAP = 1 << 21;
    }

    /// IA32_EFER (Intel SDM vol. 3, 2.2.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Efer: u64 {
        /// SYSCALL and SYSRET work.
        const SCE = 1;
        /// Paging turns long mode on.
        const LME = 1 << 8;
        /// Long mode is active.
        const LMA = 1 << 10;
        /// Pages may refuse execution.
        const NXE = 1 << 11;
    }
}

impl CpuState {
    /// Whether CR0 has any of these bits.
    #[inline(always)]
    pub fn has_cr0(&self, any: Cr0) -> bool {
        self.cr0 & any.bits() != 0
    }

    /// Whether CR4 has any of these bits.
    #[inline(always)]
    pub fn has_cr4(&self, any: Cr4) -> bool {
        self.cr4 & any.bits() != 0
    }

    /// Whether EFER has any of these bits.
    #[inline(always)]
    pub fn has_efer(&self, any: Efer) -> bool {
        self.efer & any.bits() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the manual's figures number the bits.
    #[test]
    fn every_bit_is_where_the_manual_has_it() {
        let numbers = |bits: u64| (0..64).filter(|n| bits >> n & 1 != 0).collect::<Vec<u32>>();
        assert_eq!(numbers(Cr0::all().bits()), [0, 1, 2, 3, 4, 5, 16, 18, 29, 30, 31]);
        assert_eq!(numbers(Cr4::all().bits()), [2, 3, 4, 5, 6, 7, 9, 10, 11, 16, 17, 20, 21]);
        assert_eq!(numbers(Efer::all().bits()), [0, 8, 10, 11]);
        assert_eq!((Cr0::WP.bits(), Cr0::PG.bits(), Cr0::TS.bits()), (0x1_0000, 0x8000_0000, 8));
        assert_eq!((Cr4::PAE.bits(), Cr4::PGE.bits(), Cr4::OSFXSR.bits()), (0x20, 0x80, 0x200));
        assert_eq!((Efer::LME.bits(), Efer::LMA.bits(), Efer::NXE.bits()), (0x100, 0x400, 0x800));
    }
}
