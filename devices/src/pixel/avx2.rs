//! The conversions for sixteen pixels at once, on x86-64 processors that have AVX2. They give the same bytes as
//! [`Coefficients::rgb`].
//!
//! A colour is `luma * y + share`, divided by 65536, where `share` is that of the chroma samples. A register holds but eight
//! such sums of 32 bits, so each is kept as two halves of 16 bits: the sum of the upper halves, and one more where the sum of
//! the lower halves has a carry.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use vm_memory::VolatileSlice;
use vm_memory::volatile_memory::PtrGuardMut;
use zerocopy::{FromBytes, transmute};

use super::coefficients::Coefficients;
use super::{BLOCK_BYTES, Line, XRGB8888_BYTES};

/// Pixels that are worked out at once.
const PIXELS: usize = BLOCK_BYTES / XRGB8888_BYTES;

/// A coefficient as a multiple of 65536 and a rest, which is a signed number of 16 bits.
struct Split {
    whole: i16,
    rest: i16,
}

impl Split {
    fn of(coefficient: i32) -> Self {
        let whole = coefficient.wrapping_add(1 << 15) >> 16;
        Split { whole: whole as i16, rest: coefficient.wrapping_sub(whole << 16) as i16 }
    }
}

/// Coefficients, in every lane of 16 bits.
struct Wide {
    luma_zero: __m256i,
    luma: [__m256i; 2],
    /// Those of Cb in blue and of Cr in red, in turn.
    blue_red: [__m256i; 2],
    /// Those of Cb in green, which have no whole part, and the rests of Cr's.
    green: __m256i,
    green_cr_whole: __m256i,
}

/// What the chroma samples of sixteen pixels add to one colour.
#[derive(Clone, Copy)]
struct Share {
    upper: __m256i,
    /// The greatest lower half that may be added without a carry, as [`ordered`] has it.
    room: __m256i,
}

/// Numbers without a sign, so changed that the signed comparison, which is the only one, has their order.
#[target_feature(enable = "avx2")]
fn ordered(values: __m256i) -> __m256i {
    _mm256_xor_si256(values, _mm256_set1_epi16(i16::MIN))
}

/// The lower or the upper one of every two lanes, twice.
#[target_feature(enable = "avx2")]
fn doubled(lanes: __m256i, upper: bool) -> __m256i {
    let lower: __m256i = transmute!([[0u8, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13]; 2]);
    let other: __m256i = transmute!([[2u8, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15]; 2]);
    _mm256_shuffle_epi8(lanes, if upper { other } else { lower })
}

impl Share {
    /// `lower` is the lower half of the share's rest.
    #[target_feature(enable = "avx2")]
    fn new(upper: __m256i, lower: __m256i) -> Self {
        // The complement of a number without a sign is what there is room for.
        Share { upper, room: ordered(_mm256_xor_si256(lower, _mm256_set1_epi16(-1))) }
    }

    /// The share and a pixel's luma, whose lower half is [`ordered`].
    #[target_feature(enable = "avx2")]
    fn added(self, upper: __m256i, lower: __m256i) -> __m256i {
        // A comparison gives minus one where it holds.
        let carry = _mm256_cmpgt_epi16(lower, self.room);
        _mm256_sub_epi16(_mm256_add_epi16(upper, self.upper), carry)
    }
}

impl Wide {
    #[target_feature(enable = "avx2")]
    fn of(coefficients: &Coefficients) -> Self {
        let all = |value: i16| -> __m256i { transmute!([value; PIXELS]) };
        let pairs = |cb: i16, cr: i16| -> __m256i { transmute!([[cb, cr]; PIXELS / 2]) };
        let (luma, blue) = (Split::of(coefficients.luma), Split::of(coefficients.blue_cb));
        let (red, green) = (Split::of(coefficients.red_cr), Split::of(coefficients.green_cr.wrapping_neg()));
        Wide {
            luma_zero: all(coefficients.luma_zero as i16),
            luma: [all(luma.whole), all(luma.rest)],
            blue_red: [pairs(blue.whole, red.whole), pairs(blue.rest, red.rest)],
            green: pairs(coefficients.green_cb.wrapping_neg() as i16, green.rest),
            green_cr_whole: all(green.whole),
        }
    }

    /// The shares in blue, green and red of eight pairs; `chroma` is Cb and Cr in turn.
    #[target_feature(enable = "avx2")]
    fn shares(&self, chroma: __m256i) -> [Share; 3] {
        let chroma = _mm256_sub_epi16(chroma, _mm256_set1_epi16(128));
        let [whole, rest] = self.blue_red;
        let upper = _mm256_add_epi16(_mm256_mullo_epi16(chroma, whole), _mm256_mulhi_epi16(chroma, rest));
        let lower = _mm256_mullo_epi16(chroma, rest);
        let blue = Share::new(doubled(upper, false), doubled(lower, false));
        let red = Share::new(doubled(upper, true), doubled(lower, true));
        let green = _mm256_madd_epi16(chroma, self.green);
        let more = _mm256_mullo_epi16(doubled(chroma, true), self.green_cr_whole);
        let upper = _mm256_add_epi16(doubled(green, true), more);
        [blue, Share::new(upper, doubled(green, false)), red]
    }

    /// Sixteen pixels of XRGB8888.
    #[target_feature(enable = "avx2")]
    fn pixels(&self, luma: __m256i, shares: &[Share; 3]) -> [__m256i; 2] {
        let luma = _mm256_sub_epi16(luma, self.luma_zero);
        let [whole, rest] = self.luma;
        let lower = _mm256_mullo_epi16(luma, rest);
        let upper = _mm256_add_epi16(_mm256_mullo_epi16(luma, whole), _mm256_mulhi_epi16(luma, rest));
        // One half is added to be rounded: to the lower half, which has a carry where its highest bit is set.
        let upper = _mm256_add_epi16(upper, _mm256_srli_epi16::<15>(lower));
        let lower = ordered(_mm256_add_epi16(lower, _mm256_set1_epi16(i16::MIN)));
        let [b, g, r] = shares;
        let (b, g, r) = (b.added(upper, lower), g.added(upper, lower), r.added(upper, lower));
        // Packing clamps to 0..=255, and goes on in each half of the register by itself.
        let blue_red = _mm256_packus_epi16(b, r);
        let green_x = _mm256_packus_epi16(g, _mm256_set1_epi16(super::X_BYTE.into()));
        let blue_green = _mm256_unpacklo_epi8(blue_red, green_x);
        let red_x = _mm256_unpackhi_epi8(blue_red, green_x);
        let first = _mm256_unpacklo_epi16(blue_green, red_x);
        let second = _mm256_unpackhi_epi16(blue_green, red_x);
        [_mm256_permute2x128_si256::<0x20>(first, second), _mm256_permute2x128_si256::<0x31>(first, second)]
    }
}

/// Converts as much of a line as whole blocks of pixels hold; says how many bytes that is in `dst`.
#[target_feature(enable = "avx2")]
pub fn convert(coefficients: &Coefficients, line: Line<'_>, dst: VolatileSlice<'_>) -> usize {
    let wide = Wide::of(coefficients);
    let mut dst = Blocks::of(&dst);
    match line {
        Line::Nv12 { luma, chroma } => {
            for (luma, chroma) in luma.chunks_exact(PIXELS).zip(chroma.chunks_exact(PIXELS)).take(dst.room) {
                dst.put(wide.pixels(widened(luma), &wide.shares(widened(chroma))));
            }
        }
        Line::Yuyv(samples) => {
            for samples in samples.chunks_exact(2 * PIXELS).take(dst.room) {
                let samples = __m256i::read_from_bytes(samples).unwrap_or_else(|_| _mm256_setzero_si256());
                let luma = _mm256_and_si256(samples, _mm256_set1_epi16(0xff));
                dst.put(wide.pixels(luma, &wide.shares(_mm256_srli_epi16::<8>(samples))));
            }
        }
    }
    dst.done
}

/// Memory that is written block by block, however it is aligned. Others, such as a guest's processors, may reach it at the same time:
/// nobody has a reference to it.
struct Blocks<'a> {
    to: PtrGuardMut,
    /// Blocks that it has room for.
    room: usize,
    /// Bytes that were written.
    done: usize,
    memory: PhantomData<&'a ()>,
}

impl<'a> Blocks<'a> {
    fn of(memory: &'a VolatileSlice<'_>) -> Self {
        let room = memory.len() / BLOCK_BYTES;
        Blocks { to: memory.ptr_guard_mut(), room, done: 0, memory: PhantomData }
    }

    #[target_feature(enable = "avx2")]
    fn put(&mut self, [first, second]: [__m256i; 2]) {
        if self.done / BLOCK_BYTES >= self.room {
            return;
        }
        // SAFETY: The block is inside the memory, as was just checked, and that lives as long as `self`. The stores are the processor's
        // own, as volatile as any: whoever else reaches the memory meanwhile finds parts of the old or the new.
        unsafe {
            std::arch::asm!(
                "vmovdqu [{to}], {first}",
                "vmovdqu [{to} + 32], {second}",
                to = in(reg) self.to.as_ptr().add(self.done),
                first = in(ymm_reg) first,
                second = in(ymm_reg) second,
                options(nostack, preserves_flags)
            );
        }
        self.done = self.done.wrapping_add(BLOCK_BYTES);
    }
}

/// Appends red, green and blue of as many pixels as make whole blocks of sixteen.
#[target_feature(enable = "avx2")]
pub fn to_rgb(pixels: &[u8], rgb: &mut Vec<u8>) {
    /// Blocks that are appended together.
    const PART: usize = 32;
    let mut part = [[0u8; 48]; PART];
    for pixels in pixels.chunks(64usize.saturating_mul(PART)) {
        let blocks = pixels.chunks_exact(64);
        let count = blocks.len();
        for (block, out) in blocks.zip(&mut part) {
            *out = rgb_of_16(block);
        }
        rgb.extend_from_slice(part.get(..count).unwrap_or_default().as_flattened());
    }
}

/// Red, green and blue of sixteen pixels.
#[target_feature(enable = "avx2")]
fn rgb_of_16(pixels: &[u8]) -> [u8; 48] {
    let order: __m128i = transmute!([2u8, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 0x80, 0x80, 0x80, 0x80]);
    let colours = |at: usize| {
        let four = pixels.get(at..).and_then(|pixels| pixels.first_chunk::<16>()).unwrap_or(&[0; 16]);
        // Twelve bytes, and four that are zero.
        _mm_shuffle_epi8(transmute!(*four), order)
    };
    let [a, b, c, d] = [colours(0), colours(16), colours(32), colours(48)];
    transmute!([
        _mm_or_si128(a, _mm_slli_si128::<12>(b)),
        _mm_or_si128(_mm_srli_si128::<4>(b), _mm_slli_si128::<8>(c)),
        _mm_or_si128(_mm_srli_si128::<8>(c), _mm_slli_si128::<4>(d)),
    ])
}

/// Sixteen bytes as lanes of 16 bits.
#[target_feature(enable = "avx2")]
fn widened(bytes: &[u8]) -> __m256i {
    _mm256_cvtepu8_epi16(__m128i::read_from_bytes(bytes).unwrap_or_else(|_| _mm_setzero_si128()))
}
