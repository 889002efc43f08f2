//! What a monitor says of itself: the base block of [`super::edid`] with the standard modes, and a CTA-861 extension.

use super::config::Config;
use super::edid::{self, BLOCK_BYTES, Timing, detailed_timing, millimetres, put, seal};

/// Bytes of both blocks.
pub const EDID_BYTES: usize = 2 * BLOCK_BYTES;

/// EDID 1.4 section 3.8: 640 x 480, 800 x 600 and 1024 x 768, all at 60 Hz.
const ESTABLISHED: [u8; 2] = [1 << 5 | 1, 1 << 3];
/// Section 3.9: width, and the code of the shape, of what else is shown at 60 Hz.
const STANDARD: [(u16, u8); 8] = [
    (1280, WIDE_16_10),
    (1280, SHAPE_5_4),
    (1440, WIDE_16_10),
    (1600, WIDE_16_9),
    (1600, SHAPE_4_3),
    (1680, WIDE_16_10),
    (1920, WIDE_16_10),
    (2048, WIDE_16_9),
];
const WIDE_16_10: u8 = 0;
const SHAPE_4_3: u8 = 1;
const SHAPE_5_4: u8 = 2;
const WIDE_16_9: u8 = 3;
/// CTA-861 video identification codes: 640 x 480, 720 x 480, 1280 x 720, 1920 x 1080 at 60 Hz; 720 x 576, 1280 x 720,
/// 1920 x 1080 at 50; 1920 x 1080 at 24; 3840 x 2160 at 30, 50 and 60.
const CODES: [u8; 11] = [1, 3, 4, 16, 18, 19, 31, 32, 95, 96, 97];
/// 2560 x 1440 at 60 Hz by CVT 1.2 with reduced blanking: neither standard has a code for it.
const QHD: Timing = Timing {
    clock_10khz: 24_150,
    width_px: 2560,
    height_px: 1440,
    blank_px: 160,
    blank_lines: 41,
    sync_lines: 5,
};

/// Both blocks, for the preferred mode of a checked `config`.
pub fn edid(config: &Config) -> [u8; EDID_BYTES] {
    let mut base = edid::build(config);
    put(&mut base, 35, &ESTABLISHED);
    for (at, (width, shape)) in (38usize..).step_by(2).zip(STANDARD) {
        put(&mut base, at, &[(width / 8).saturating_sub(31) as u8, shape << 6]);
    }
    if let Some(range) = range_limits(config) {
        put(&mut base, 90, &range);
        // Section 3.6.4: any rate in the range, and not only those of the listed timings.
        put(&mut base, 24, &[edid::FEATURES | 1]);
    }
    // One block follows.
    put(&mut base, 126, &[1]);
    seal(&mut base);
    let mut both = [0; EDID_BYTES];
    put(&mut both, 0, &base);
    put(&mut both, BLOCK_BYTES, &extension(config));
    both
}

/// The highest line rate and pixel clock of the standard modes: 3840 x 2160 at 60 Hz.
const HIGHEST_LINE_KHZ: u64 = 135;
const HIGHEST_CLOCK_KHZ: u64 = 594_000;

/// The refresh rates between which a frame may end at any time: from two thirds of the preferred mode's up to that.
fn range_hz(config: &Config) -> (u16, u16) {
    (config.refresh_hz.saturating_mul(2).div_ceil(3), config.refresh_hz)
}

/// EDID 1.4 section 3.10.3.3.1: rates and limits alone. None for a monitor that is faster than that can say, or whose range is one rate.
fn range_limits(config: &Config) -> Option<[u8; 18]> {
    let (lowest_hz, highest_hz) = range_hz(config);
    if lowest_hz >= highest_hz {
        return None;
    }
    // Bits 0 and 1 add 255 to lowest and highest.
    let with_offset = |hz: u16| hz.checked_sub(255).filter(|&above| above > 0).unwrap_or(hz);
    let offsets = u8::from(lowest_hz > 255) | u8::from(highest_hz > 255) << 1;
    let (lowest, highest) =
        (u8::try_from(with_offset(lowest_hz)).ok()?, u8::try_from(with_offset(highest_hz)).ok()?);
    let lines_khz =
        u64::from(config.total_height_lines()).saturating_mul(config.refresh_hz.into()).div_ceil(1000);
    let highest_line_khz = lines_khz.clamp(HIGHEST_LINE_KHZ, 255) as u8;
    let clock_10mhz = config.clock_khz().max(HIGHEST_CLOCK_KHZ).div_ceil(10_000).min(255) as u8;
    let mut descriptor = [b' '; 18];
    put(
        &mut descriptor,
        0,
        &[0, 0, 0, 0xfd, offsets, lowest, highest, 1, highest_line_khz, clock_10mhz, 1, b'\n'],
    );
    Some(descriptor)
}

/// CTA-861-G section 7.3 and 7.5.1: a block of version 3 with a list of codes, and a timing.
fn extension(config: &Config) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let timings = CODES.len().saturating_add(5);
    put(&mut block, 0, &[2, 3, timings as u8, 0, 2 << 5 | CODES.len() as u8]);
    put(&mut block, 5, &CODES);
    let (width_mm, height_mm) = (millimetres(config.width_px), millimetres(config.height_px));
    put(&mut block, timings, &detailed_timing(&QHD, width_mm, height_mm));
    seal(&mut block);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [u8; EDID_BYTES] {
        edid(&crate::display::config::config("width=320,height=240"))
    }

    #[test]
    fn each_block_sums_to_zero() {
        for block in both().chunks(BLOCK_BYTES) {
            assert_eq!(block.iter().map(|&byte| u32::from(byte)).sum::<u32>() % 256, 0);
        }
    }

    #[test]
    fn the_base_block_has_the_standard_timings_and_names_one_extension() {
        let both = both();
        assert_eq!(both[126], 1);
        assert_eq!(both[35..38], [0x21, 0x08, 0]);
        // 1280 / 8 - 31 = 129; 16:10 and 5:4.
        assert_eq!(both[38..42], [129, 0x00, 129, 0x80]);
        // 2048 / 8 - 31 = 225; 16:9.
        assert_eq!(both[52..54], [225, 0xc0]);
        let base = edid::build(&crate::display::config::config("width=320,height=240"));
        assert_eq!((&both[..24], &both[25..35]), (&base[..24], &base[25..35]));
    }

    #[test]
    fn the_range_is_from_two_thirds_of_the_preferred_rate_up_to_that() {
        let range = |text: &str| edid(&crate::display::config::config(text))[90..108].to_vec();
        assert_eq!(range("")[..12], [0, 0, 0, 0xfd, 0, 40, 60, 1, 135, 60, 1, 10]);
        // 255 are added to the highest rate: 300.
        assert_eq!(range("width=320,height=240,hz=300")[4..7], [2, 200, 45]);
        assert_eq!(range("width=320,height=240,hz=480")[4..7], [3, 65, 225]);
        for none in ["width=64,height=64,hz=1000", "hz=2"] {
            assert_eq!(range(none)[3], 0x10, "a dummy");
            assert_eq!(edid(&crate::display::config::config(none))[24], 6);
        }
        assert_eq!(edid(&crate::display::config::config(""))[24], 7, "any rate in the range");
    }

    #[test]
    fn the_extension_has_codes_and_a_timing() {
        let both = both();
        let block = &both[BLOCK_BYTES..];
        assert_eq!(block[..5], [2, 3, 16, 0, 0x4b]);
        assert_eq!(block[15], 97, "3840 x 2160 at 60 Hz");
        // 241.50 MHz, 2560 + 160.
        assert_eq!(block[16..21], [0x56, 0x5e, 0x00, 0xa0, 0xa0]);
    }
}
