//! The monitor's EDID base block (VESA E-EDID standard, release A revision 2, EDID 1.4).

use super::config::{Config, HORIZONTAL_BLANK_PX, VERTICAL_BLANK_LINES};

/// Bytes in a block.
pub const BLOCK_BYTES: usize = 128;

/// Section 3.6.4: sRGB is the standard, the preferred timing is native.
pub(super) const FEATURES: u8 = 0x06;

/// A detailed timing (section 3.10.2), with the porches and syncs of VESA CVT 1.2's reduced blanking.
pub(super) struct Timing {
    pub clock_10khz: u16,
    pub width_px: u16,
    pub height_px: u16,
    pub blank_px: u16,
    pub blank_lines: u16,
    /// Vertical sync, which tells the picture's shape.
    pub sync_lines: u8,
}

/// Front porch and sync width, and the lines before vertical sync.
const H_FRONT_PX: u8 = 48;
const H_SYNC_PX: u8 = 32;
const V_FRONT_LINES: u8 = 3;
/// Vertical sync of the preferred mode, whatever its shape.
const V_SYNC_LINES: u8 = 4;

/// Builds the block for the preferred mode of a checked `config`.
pub fn build(config: &Config) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    // Section 3.3: header; 3.4: vendor "FNP" in three 5-bit letters, product 3, year 2026 - 1990; 3.5: version 1.4.
    put(&mut block, 0, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    put(&mut block, 8, &letters(*b"FNP").to_be_bytes());
    put(&mut block, 10, &[3, 0, 1, 0, 0, 0, 0, 36]);
    put(&mut block, 18, &[1, 4]);
    // Section 3.6: digital, 8 bits a colour, DisplayPort; size in cm; gamma 2.2; sRGB, preferred timing is native.
    let (width_mm, height_mm) = (millimetres(config.width_px), millimetres(config.height_px));
    let centimetres = |mm: u16| (mm.saturating_add(5) / 10).clamp(1, 255) as u8;
    put(&mut block, 20, &[0xa5, centimetres(width_mm), centimetres(height_mm), 120, FEATURES]);
    // Section 3.7: the sRGB primaries and white point, as 10-bit fractions.
    put(&mut block, 25, &[0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
    // Section 3.9: no standard timing is marked by 01 01.
    put(&mut block, 38, &[1; 16]);
    let preferred = Timing {
        clock_10khz: u16::try_from(config.clock_khz() / 10).unwrap_or(u16::MAX),
        width_px: config.width_px,
        height_px: config.height_px,
        blank_px: HORIZONTAL_BLANK_PX,
        blank_lines: VERTICAL_BLANK_LINES,
        sync_lines: V_SYNC_LINES,
    };
    put(&mut block, 54, &detailed_timing(&preferred, width_mm, height_mm));
    put(&mut block, 72, &text_descriptor(0xfc, b"Fencepost"));
    // Section 3.10.3: tag 10h is a dummy descriptor.
    put(&mut block, 93, &[0x10]);
    put(&mut block, 111, &[0x10]);
    seal(&mut block);
    block
}

/// Section 3.11: the last byte makes the sum of all zero.
pub(super) fn seal(block: &mut [u8; BLOCK_BYTES]) {
    let sum = block.iter().take(BLOCK_BYTES.saturating_sub(1)).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    put(block, 127, &[sum.wrapping_neg()]);
}

/// Section 3.10.2: the timing, and the picture's size.
pub(super) fn detailed_timing(timing: &Timing, width_mm: u16, height_mm: u16) -> [u8; 18] {
    let [clock_low, clock_high] = timing.clock_10khz.to_le_bytes();
    let low = |value: u16| value as u8;
    let high_pair = |upper: u16, lower: u16| ((upper >> 8) as u8) << 4 | ((lower >> 8) as u8 & 0xf);
    [
        clock_low,
        clock_high,
        low(timing.width_px),
        low(timing.blank_px),
        high_pair(timing.width_px, timing.blank_px),
        low(timing.height_px),
        low(timing.blank_lines),
        high_pair(timing.height_px, timing.blank_lines),
        H_FRONT_PX,
        H_SYNC_PX,
        V_FRONT_LINES << 4 | timing.sync_lines,
        0,
        low(width_mm),
        low(height_mm),
        high_pair(width_mm, height_mm),
        0,
        0,
        // Digital separate sync, vertical negative, horizontal positive: what CVT reduced blanking uses.
        0x1a,
    ]
}

/// Section 3.10.3: a descriptor with up to 13 bytes of text, ended by a line feed and padded with spaces.
fn text_descriptor(tag: u8, text: &[u8]) -> [u8; 18] {
    let mut descriptor = [0x20; 18];
    put(&mut descriptor, 0, &[0, 0, 0, tag, 0]);
    put(&mut descriptor, 5, text);
    put(&mut descriptor, 5usize.saturating_add(text.len()), b"\n");
    descriptor
}

fn letters(name: [u8; 3]) -> u16 {
    name.iter().fold(0, |bits, letter| bits << 5 | u16::from(letter & 0x1f))
}

/// The size of `pixels` at 96 dots an inch, within the 12 bits of the field.
pub(super) fn millimetres(pixels: u16) -> u16 {
    (u32::from(pixels).saturating_mul(254) / 960).clamp(1, 4095) as u16
}

pub(super) fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    for (slot, byte) in block.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vga() -> [u8; BLOCK_BYTES] {
        build(&crate::display::config::config("width=320,height=240"))
    }

    #[test]
    fn the_bytes_sum_to_zero() {
        assert_eq!(vga().iter().map(|&b| u32::from(b)).sum::<u32>() % 256, 0);
    }

    #[test]
    fn the_detailed_timing_carries_the_preferred_mode() {
        let block = vga();
        let timing = &block[54..72];
        // 480 * 253 * 60 Hz = 7.2864 MHz, in 10 kHz: 729.
        assert_eq!(u16::from_le_bytes([timing[0], timing[1]]), 729);
        assert_eq!(u16::from(timing[2]) | u16::from(timing[4] >> 4) << 8, 320);
        assert_eq!(u16::from(timing[3]) | u16::from(timing[4] & 15) << 8, 160);
        assert_eq!(u16::from(timing[5]) | u16::from(timing[7] >> 4) << 8, 240);
        assert_eq!(u16::from(timing[6]) | u16::from(timing[7] & 15) << 8, 13);
    }

    #[test]
    fn the_monitor_has_a_name() {
        assert_eq!(&vga()[72..87], b"\0\0\0\xfc\0Fencepost\n");
    }

    #[test]
    fn the_manufacturer_is_three_letters() {
        // F = 6, N = 14, P = 16 in 5 bits each.
        assert_eq!(&vga()[8..10], &[0b0001_1001, 0b1101_0000]);
    }
}
