//! x87 and SSE in the XSAVE area.
//!
//! Its first 512 bytes are FXSAVE's image (Intel SDM vol. 1, 10.5.1 and 13.4.1): x87 registers in *stack* order, where
//! [`FpuState`] has them in physical order, and the abridged tag word by physical register in both.

use fencepost_softcpu::fp::image::{FXSAVE_BYTES, fxrstor, fxsave};
use fencepost_softcpu::state::FpuState;
use kvm_bindings::kvm_xsave;

/// Words of the area that KVM_GET_XSAVE fills.
const WORDS: usize = 1024;
/// Where XSTATE_BV lies: which components are not in their initial state.
const XSTATE_BV: usize = 512 / 4;
/// x87 and SSE.
const LEGACY: u32 = 0b11;

/// The area, 4 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct XsaveArea(Box<[u32; WORDS]>);

impl XsaveArea {
    /// The area with x87 and SSE of `fpu`, everything else in its initial state.
    pub fn of(fpu: &FpuState) -> Self {
        let mut area = XsaveArea(Box::new([0; WORDS]));
        area.put(fpu);
        area
    }

    /// Replaces x87 and SSE; wider registers stay.
    pub fn put(&mut self, fpu: &FpuState) {
        for (word, bytes) in self.0.iter_mut().zip(fxsave(fpu, true).chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        self.0[XSTATE_BV] |= LEGACY;
    }

    /// x87 and SSE. KVM writes initial values where a component is in its initial state, so all of it counts.
    pub fn fpu(&self) -> FpuState {
        let mut image = [0; FXSAVE_BYTES];
        for (bytes, word) in image.chunks_exact_mut(4).zip(self.0.iter()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        // Refused only for bits of MXCSR that no processor lets anyone set.
        fxrstor(&image, true).unwrap_or_default()
    }

    pub(super) fn from_kvm(from: &kvm_xsave) -> Self {
        XsaveArea(Box::new(from.region))
    }

    pub(super) fn to_kvm(&self) -> kvm_xsave {
        kvm_xsave { region: *self.0, ..kvm_xsave::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x87_registers_are_in_stack_order() {
        // TOP is 5: ST0 is R5. Only R5 and R6 are in use.
        let mut fpu = FpuState { fsw: 5 << 11, ftw: 0b0110_0000, ..FpuState::default() };
        fpu.r[5] = 0x3fff_8000_0000_0000_0000;
        fpu.r[6] = 0x4000_8000_0000_0000_0000;
        let area = XsaveArea::of(&fpu);
        assert_eq!(area.0[8..11], [0, 0x8000_0000, 0x3fff], "ST0 is at byte 32");
        assert_eq!(area.0[12..15], [0, 0x8000_0000, 0x4000]);
        assert_eq!(area.0[1] & 0xff, 0b0110_0000, "tags stay in physical order");
        assert_eq!(area.fpu(), fpu);
    }

    #[test]
    fn wider_registers_stay() {
        let mut area = XsaveArea::of(&FpuState::default());
        area.0[XSTATE_BV] = 0b100;
        area.0[576 / 4] = 0x1234;
        area.put(&FpuState { mxcsr: 0x1fbf, ..FpuState::default() });
        assert_eq!((area.0[XSTATE_BV], area.0[576 / 4], area.0[6]), (0b111, 0x1234, 0x1fbf));
    }
}
