//! Kernels against values worked out by hand from the manual, for hosts that cannot run the oracle of
//! `tests/native_simd.rs`.

use super::text::{self, Text};
use super::{cipher, float, integer, shuffle};
use crate::fp::env::{Env, flag};

fn env() -> Env {
    Env::from_mxcsr(0x1f80)
}

#[test]
fn saturation_stops_at_both_ends() {
    let a = 0x7f80_00ff_u128;
    let b = 0x01ff_01ff_u128;
    assert_eq!(integer::paddsb(&mut env(), a, b, 0), 0x7f80_01fe);
    assert_eq!(integer::paddusb(&mut env(), a, b, 0), 0x80ff_01ff);
    assert_eq!(integer::psubusb(&mut env(), a, b, 0), 0x7e00_0000);
    assert_eq!(shuffle::packsswb(&mut env(), 0x0080_ff7f_7fff_8000, 0, 0), 0x7f80_7f80);
    assert_eq!(shuffle::packuswb(&mut env(), 0x0100_ffff_007f_0001, 0, 0), 0xff00_7f01);
}

#[test]
fn counts_beyond_the_lane_clear_or_fill_it() {
    let a = 0x8000_7fff_u128;
    assert_eq!(integer::psllw(&mut env(), a, 16, 0), 0);
    assert_eq!(integer::psrlw(&mut env(), a, 1 << 40, 0), 0);
    assert_eq!(integer::psraw(&mut env(), a, 99, 0), 0xffff_0000);
    assert_eq!(integer::pslldq(&mut env(), 0xab, 15, 0), 0xab << 120);
    assert_eq!(integer::psrldq(&mut env(), u128::MAX, 16, 0), 0);
}

#[test]
fn shuffles_pick_by_pairs_of_bits() {
    let lanes = 0x0000_0003_0000_0002_0000_0001_0000_0000_u128;
    assert_eq!(
        shuffle::pshufd(&mut env(), 0, lanes, 0b00_01_10_11),
        0x0000_0000_0000_0001_0000_0002_0000_0003
    );
    assert_eq!(shuffle::shufps(&mut env(), lanes, lanes << 4, 0b11_10_01_00) >> 64, 0x0000_0030_0000_0020);
    assert_eq!(integer::pmovmskb(&mut env(), 0, 0x80 | 0xff << 120, 0), 0x8001);
}

#[test]
fn minimum_gives_the_second_operand_for_nans_and_zeros() {
    const QUIET: u128 = 0x7fc0_0000;
    const ONE: u128 = 0x3f80_0000;
    const MINUS_ZERO: u128 = 0x8000_0000;
    let mut e = env();
    assert_eq!(float::minss(&mut e, QUIET, ONE, 0), ONE);
    assert_eq!(float::minss(&mut e, ONE, QUIET, 0), QUIET);
    assert_eq!(e.flags, flag::INVALID);
    assert_eq!(float::maxss(&mut env(), 0, MINUS_ZERO, 0), MINUS_ZERO);
}

#[test]
fn invalid_operations_give_the_negative_quiet_nan() {
    const INFINITY: u128 = 0x7ff0_0000_0000_0000;
    let mut e = env();
    assert_eq!(float::subsd(&mut e, INFINITY, INFINITY, 0), 0xfff8_0000_0000_0000);
    assert_eq!(e.flags, flag::INVALID);
    let mut e = env();
    assert_eq!(float::cvttsd2si32(&mut e, 0, 0x41e0_0000_0000_0000, 0), 0x8000_0000);
    assert_eq!(e.flags, flag::INVALID);
    let mut e = env();
    assert_eq!(float::divsd(&mut e, 0x3ff0_0000_0000_0000, 0, 0), INFINITY);
    assert_eq!(e.flags, flag::ZERO_DIVIDE);
}

/// FIPS 197, appendices A.1 and B; the product of Intel's paper on carry-less multiplication (323640-002, figure 4).
#[test]
fn ciphers_give_the_values_of_their_papers() {
    let bytes = |hex: u128| hex.swap_bytes();
    let (state, key) = (0x193de3be_a0f4e22b_9ac68d2a_e9f84808, 0xa0fafe17_88542cb1_23a33939_2a6c7605);
    let round = cipher::aesenc(&mut env(), bytes(state), bytes(key), 0);
    assert_eq!(round, bytes(0xa49c7ff2_689f352b_6b5bea43_026a5049));
    let expanded = cipher::aeskeygenassist(&mut env(), 0, bytes(0x2b7e1516_28aed2a6_abf71588_09cf4f3c), 1);
    assert_eq!((expanded >> 96) as u32, u32::from_le_bytes([0x8b, 0x84, 0xeb, 0x01]));
    let (a, b) = (0x7b5b5465_73745665_63746f72_5d53475d, 0x48692853_68617929_5b477565_726f6e5d);
    assert_eq!(cipher::pclmulqdq(&mut env(), a, b, 0), 0x1d4d84c8_5c3440c0_929633d5_d36f0451);
}

/// "bc" is found at place 1 of "abcd", no byte of which lies from 'x' to 'z'.
#[test]
fn texts_are_searched_to_their_end() {
    const ORDERED: u8 = 0b1100;
    const RANGES: u8 = 0b0100;
    let of = |text: &[u8], imm| {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text);
        Text::new(u128::from_le_bytes(bytes), None, imm)
    };
    let (found, _) = text::compare(&of(b"bc", ORDERED), &of(b"abcd", ORDERED), ORDERED);
    assert_eq!(text::index(found, ORDERED), 1);
    let (found, _) = text::compare(&of(b"xz", RANGES), &of(b"abcd", RANGES), RANGES);
    assert_eq!((found, text::index(found, RANGES)), (0, 16));
}

#[test]
fn native_and_software_arithmetic_agree() {
    // With the precision flag already set the native path answers, without it the software does.
    let mut random = fencepost_random::Random::new(0x0123_4567_89ab_cdef);
    for _ in 0..20_000 {
        let x = random.bits();
        let (a, b) = (u128::from(x), u128::from(x.rotate_left(23) ^ 0x3ff0_0000_0000_0000));
        for kernel in
            [float::addsd, float::subsd, float::mulsd, float::divsd, float::addps, float::mulps, float::divps]
        {
            let fast = kernel(&mut Env::from_mxcsr(0x1fa0), a, b, 0);
            let slow = kernel(&mut env(), a, b, 0);
            assert_eq!(fast, slow, "{a:#x} {b:#x}");
        }
    }
}
