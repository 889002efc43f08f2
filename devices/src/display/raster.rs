//! Time on the screen: which frame it is, and when each vertical blank begins. Exact, without drift.

use serde::{Deserialize, Serialize};

use super::registers::{MAX_SIDE_PX, Size};

/// Shortest and longest frame, nanoseconds.
const FRAME_NS: std::ops::RangeInclusive<u128> = 1_000_000..=1_000_000_000;
/// Pixel clocks are in kHz: a clock of 1 takes this many nanoseconds a pixel.
const NS_PER_MS: u128 = 1_000_000;

/// The mode registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// The picture.
    pub active: Size,
    /// The picture with its blanks.
    pub total: Size,
    /// Pixel clock, kHz.
    pub clock_khz: u32,
}

impl Mode {
    /// Whether the device can show it (docs/display.md, "Mode and raster").
    pub fn is_valid(&self) -> bool {
        let side = 1..=MAX_SIDE_PX;
        side.contains(&self.active.width_px)
            && side.contains(&self.active.height_px)
            && self.total.width_px >= self.active.width_px
            && self.total.height_px >= self.active.height_px
            && self
                .frame_scaled()
                .checked_div(u128::from(self.clock_khz))
                .is_some_and(|ns| FRAME_NS.contains(&ns))
    }

    /// The length of a frame in nanoseconds, times the clock in kHz.
    fn frame_scaled(&self) -> u128 {
        u128::from(self.total.area()).saturating_mul(NS_PER_MS)
    }
}

/// A running scan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raster {
    /// A valid mode.
    pub mode: Mode,
    /// When it was enabled.
    start_ns: u64,
    /// The vertical blanks counted before.
    start_count: u64,
}

impl Raster {
    /// Starts `mode` at `now_ns`, or refuses it.
    pub fn start(mode: Mode, now_ns: u64, count: u64) -> Option<Self> {
        mode.is_valid().then_some(Raster { mode, start_ns: now_ns, start_count: count })
    }

    /// When it was enabled.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// The number of vertical blanks that have begun by `now_ns`.
    pub fn count_at(&self, now_ns: u64) -> u64 {
        let frames = u128::from(now_ns.saturating_sub(self.start_ns))
            .saturating_mul(u128::from(self.mode.clock_khz))
            .checked_div(self.mode.frame_scaled())
            .unwrap_or(0);
        self.start_count.saturating_add(u64::try_from(frames).unwrap_or(u64::MAX))
    }

    /// When vertical blank `count` begins, or None if that was before this scan-out started.
    pub fn vblank_ns(&self, count: u64) -> Option<u64> {
        let frames = count.checked_sub(self.start_count).filter(|&frames| frames > 0)?;
        let clock = u128::from(self.mode.clock_khz);
        let scaled = u128::from(frames).saturating_mul(self.mode.frame_scaled());
        let ns = scaled.saturating_add(clock.saturating_sub(1)).checked_div(clock)?;
        Some(self.start_ns.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 480 x 253 at 7.29 MHz: 16,658,436.2 ns a frame, which no whole number of nanoseconds is.
    fn mode() -> Mode {
        Mode {
            active: Size { width_px: 320, height_px: 240 },
            total: Size { width_px: 480, height_px: 253 },
            clock_khz: 7290,
        }
    }

    #[test]
    fn a_frame_is_counted_at_the_nanosecond_it_begins() {
        let raster = Raster::start(mode(), 5, 0).unwrap();
        let at = raster.vblank_ns(1).unwrap();
        assert_eq!(at, 5 + 16_658_437);
        assert_eq!((raster.count_at(at - 1), raster.count_at(at)), (0, 1));
    }

    #[test]
    fn the_raster_does_not_drift_in_an_hour() {
        let raster = Raster::start(mode(), 0, 0).unwrap();
        // 729,000 frames of 121,440 pixels at 7.29 MHz are 12,144 s to the nanosecond.
        assert_eq!(raster.vblank_ns(729_000), Some(12_144_000_000_000));
    }

    #[test]
    fn counting_goes_on_from_an_earlier_scan_out() {
        let raster = Raster::start(mode(), 0, 41).unwrap();
        assert_eq!(raster.vblank_ns(41), None);
        assert_eq!(raster.count_at(16_658_437), 42);
    }

    #[test]
    fn a_total_smaller_than_the_picture_is_refused() {
        let bad = Mode { total: Size { width_px: 319, height_px: 253 }, ..mode() };
        assert!(!bad.is_valid());
    }

    #[test]
    fn a_clock_of_zero_is_refused() {
        assert!(!Mode { clock_khz: 0, ..mode() }.is_valid());
    }

    #[test]
    fn a_frame_shorter_than_a_millisecond_is_refused() {
        assert!(!Mode { clock_khz: 121_441, ..mode() }.is_valid());
    }
}
