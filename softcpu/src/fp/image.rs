//! The memory images of the x87 and SSE state: FXSAVE, FNSAVE, FNSTENV.

use super::number::{Class, Num};
use super::stack::summarise;
use crate::state::FpuState;

/// Bytes FXSAVE writes: the rest of its 512 is left as it is.
pub const FXSAVE_BYTES: usize = 416;
/// The bits of MXCSR that may be set, as FXSAVE reports them.
const MXCSR_MASK: u32 = 0xffff;
const VALUE: u128 = (1 << 80) - 1;

fn top(f: &FpuState) -> usize {
    (f.fsw >> 11 & 7) as usize
}

/// The image FXSAVE writes (Intel SDM vol. 1, 10.5.1): `wide` is the 64-bit form.
pub fn fxsave(f: &FpuState, wide: bool) -> [u8; FXSAVE_BYTES] {
    let mut image = [0; FXSAVE_BYTES];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &f.fcw.to_le_bytes());
    put(2, &f.fsw.to_le_bytes());
    put(4, &[f.ftw]);
    put(6, &f.fop.to_le_bytes());
    if wide {
        put(8, &f.fip.to_le_bytes());
        put(16, &f.fdp.to_le_bytes());
    } else {
        put(8, &(f.fip as u32).to_le_bytes());
        put(16, &(f.fdp as u32).to_le_bytes());
    }
    put(24, &f.mxcsr.to_le_bytes());
    put(28, &MXCSR_MASK.to_le_bytes());
    for i in 0..8 {
        put(32 + 16 * i, &(f.r[(top(f) + i) & 7] & VALUE).to_le_bytes());
    }
    for (i, xmm) in f.xmm.iter().enumerate() {
        put(160 + 16 * i, &xmm.to_le_bytes());
    }
    image
}

fn u16_at(image: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([image[at], image[at + 1]])
}

fn u32_at(image: &[u8], at: usize) -> u32 {
    u32::from(u16_at(image, at)) | u32::from(u16_at(image, at + 2)) << 16
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    u64::from(u32_at(image, at)) | u64::from(u32_at(image, at + 4)) << 32
}

fn u128_at(image: &[u8], at: usize) -> u128 {
    u128::from(u64_at(image, at)) | u128::from(u64_at(image, at + 8)) << 64
}

/// The state of an image FXRSTOR reads; `None` is a general-protection fault (reserved bits of MXCSR).
pub fn fxrstor(image: &[u8; FXSAVE_BYTES], wide: bool) -> Option<FpuState> {
    let mxcsr = u32_at(image, 24);
    if mxcsr & !MXCSR_MASK != 0 {
        return None;
    }
    let mut f = FpuState {
        fcw: u16_at(image, 0) & 0x1f3f | 0x40,
        fsw: u16_at(image, 2),
        ftw: image[4],
        fop: u16_at(image, 6) & 0x7ff,
        fip: if wide { u64_at(image, 8) } else { u32_at(image, 8).into() },
        fdp: if wide { u64_at(image, 16) } else { u32_at(image, 16).into() },
        mxcsr,
        ..FpuState::default()
    };
    for i in 0..8 {
        f.r[(top(&f) + i) & 7] = u128_at(image, 32 + 16 * i) & VALUE;
    }
    for (i, xmm) in f.xmm.iter_mut().enumerate() {
        *xmm = u128_at(image, 160 + 16 * i);
    }
    summarise(&mut f);
    Some(f)
}

/// The full tag word: two bits for each register (Intel SDM vol. 1, figure 8-7).
fn full_tags(f: &FpuState) -> u16 {
    let tag = |i: usize| match Num::from_f80(f.r[i]) {
        _ if f.ftw >> i & 1 == 0 => 3,
        n if n.class == Class::Zero => 1,
        n if n.class == Class::Finite && !n.denormal => 0,
        _ => 2,
    };
    (0..8).map(|i| tag(i) << (2 * i)).sum()
}

/// FNSTENV's image: 28 bytes in the 32-bit protected-mode format, or 14 in the 16-bit one.
pub fn environment(f: &FpuState, wide: bool) -> ([u8; 28], usize) {
    let mut image = [0; 28];
    let words: [u32; 7] = [
        u32::from(f.fcw) | 0xffff_0000,
        u32::from(f.fsw) | 0xffff_0000,
        u32::from(full_tags(f)) | 0xffff_0000,
        f.fip as u32,
        u32::from(f.fop) << 16,
        f.fdp as u32,
        0xffff_0000,
    ];
    for (i, word) in words.iter().enumerate() {
        if wide {
            image[4 * i..4 * i + 4].copy_from_slice(&word.to_le_bytes());
        } else {
            image[2 * i..2 * i + 2].copy_from_slice(&(*word as u16).to_le_bytes());
        }
    }
    (image, if wide { 28 } else { 14 })
}

/// Takes FLDENV's image.
pub fn load_environment(f: &mut FpuState, image: &[u8], wide: bool) {
    let step = if wide { 4 } else { 2 };
    f.fcw = u16_at(image, 0) & 0x1f3f | 0x40;
    f.fsw = u16_at(image, step);
    let tags = u16_at(image, 2 * step);
    f.ftw = (0..8).filter(|i| tags >> (2 * i) & 3 != 3).map(|i| 1 << i).sum();
    if wide {
        f.fip = u32_at(image, 12).into();
        f.fop = u16_at(image, 18) & 0x7ff;
        f.fdp = u32_at(image, 20).into();
    } else {
        f.fip = u16_at(image, 6).into();
        f.fdp = u16_at(image, 10).into();
    }
    summarise(f);
}

/// The eight registers as FNSAVE stores them, ST(0) first.
pub fn registers(f: &FpuState) -> [u8; 80] {
    let mut image = [0; 80];
    for i in 0..8 {
        image[10 * i..10 * i + 10].copy_from_slice(&f.r[(top(f) + i) & 7].to_le_bytes()[..10]);
    }
    image
}

/// Takes FRSTOR's registers.
pub fn load_registers(f: &mut FpuState, image: &[u8]) {
    for i in 0..8 {
        let mut value = [0; 16];
        value[..10].copy_from_slice(&image[10 * i..10 * i + 10]);
        f.r[(top(f) + i) & 7] = u128::from_le_bytes(value);
    }
}
