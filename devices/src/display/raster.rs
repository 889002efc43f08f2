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

    /// Whether a frame may be stretched to `lines`.
    pub fn can_last(&self, lines: u16) -> bool {
        lines >= self.total.height_px && self.frame_ns(lines).is_some_and(|ns| ns <= *FRAME_NS.end())
    }

    /// The length of a frame of `lines` in nanoseconds, times the clock in kHz.
    fn scaled(&self, lines: u16) -> u128 {
        let total = Size { height_px: lines, ..self.total };
        u128::from(total.area()).saturating_mul(NS_PER_MS)
    }

    fn frame_scaled(&self) -> u128 {
        self.scaled(self.total.height_px)
    }

    fn frame_ns(&self, lines: u16) -> Option<u128> {
        self.scaled(lines).checked_div(u128::from(self.clock_khz))
    }
}

/// A running scan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raster {
    /// A valid mode.
    pub mode: Mode,
    /// When it was enabled.
    enabled_ns: u64,
    /// From here on frames follow each other without a gap.
    anchor: Anchor,
    /// Lines of these frames with their blank: those of the mode, or more where frames wait for a commit.
    lines: u16,
    /// When the vertical blank before the anchor began, if it was of this scan-out.
    before_ns: Option<u64>,
}

/// A moment at which a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    /// The vertical blanks counted by then.
    count: u64,
    ns: u64,
    /// Whether it is a vertical blank, and not the moment of enabling.
    is_vblank: bool,
}

impl Raster {
    /// Starts `mode` at `now_ns`, or refuses it.
    pub fn start(mode: Mode, now_ns: u64, count: u64) -> Option<Self> {
        let anchor = Anchor { count, ns: now_ns, is_vblank: false };
        let lines = mode.total.height_px;
        mode.is_valid().then_some(Raster { mode, enabled_ns: now_ns, anchor, lines, before_ns: None })
    }

    /// Whether it can be one.
    pub fn is_valid(&self) -> bool {
        self.mode.is_valid() && self.mode.can_last(self.lines)
    }

    /// When it was enabled.
    pub fn enabled_ns(&self) -> u64 {
        self.enabled_ns
    }

    /// The number of vertical blanks that have begun by `now_ns`.
    pub fn count_at(&self, now_ns: u64) -> u64 {
        let Some(since_ns) = now_ns.checked_sub(self.anchor.ns) else {
            return self.anchor.count.saturating_sub(1);
        };
        let frames = u128::from(since_ns)
            .saturating_mul(u128::from(self.mode.clock_khz))
            .checked_div(self.mode.scaled(self.lines))
            .unwrap_or(0);
        self.anchor.count.saturating_add(u64::try_from(frames).unwrap_or(u64::MAX))
    }

    /// When vertical blank `count` begins, or None if that is not known any more, or was before this scan-out started.
    pub fn vblank_ns(&self, count: u64) -> Option<u64> {
        let Some(frames) = count.checked_sub(self.anchor.count) else {
            return self.before_ns.filter(|_| count.saturating_add(1) == self.anchor.count);
        };
        if frames == 0 {
            return self.anchor.is_vblank.then_some(self.anchor.ns);
        }
        Some(self.anchor.ns.saturating_add(self.frames_ns(frames, self.lines)))
    }

    /// When the frame of vertical blank `count` must have been fetched: the soonest that the next one can begin.
    pub fn fetch_limit_ns(&self, count: u64) -> Option<u64> {
        if self.lines == self.mode.total.height_px {
            return self.vblank_ns(count.saturating_add(1));
        }
        Some(self.vblank_ns(count)?.saturating_add(self.frames_ns(1, self.mode.total.height_px)))
    }

    /// From vertical blank `count` on, which has just begun, frames wait up to `lines` for a commit.
    pub fn stretch(&mut self, count: u64, lines: u16) {
        if let Some(ns) = self.vblank_ns(count).filter(|_| lines != self.lines) {
            (self.anchor, self.before_ns) = (Anchor { count, ns, is_vblank: true }, None);
            self.lines = lines;
        }
    }

    /// A commit came at `now_ns`. Where frames wait for one the next begins as soon as this one was as long as the mode's: whether that
    /// is now.
    pub fn hasten(&mut self, now_ns: u64) -> bool {
        if self.lines == self.mode.total.height_px || now_ns < self.anchor.ns {
            return false;
        }
        let count = self.count_at(now_ns);
        let before_ns = self.vblank_ns(count);
        let shortest_ns = self.frames_ns(1, self.mode.total.height_px);
        let ns = before_ns.unwrap_or(self.anchor.ns).saturating_add(shortest_ns).max(now_ns);
        self.anchor = Anchor { count: count.saturating_add(1), ns, is_vblank: true };
        self.before_ns = before_ns;
        ns == now_ns
    }

    /// How long `frames` of `lines` last, rounded up.
    fn frames_ns(&self, frames: u64, lines: u16) -> u64 {
        let clock = u128::from(self.mode.clock_khz);
        let scaled = u128::from(frames).saturating_mul(self.mode.scaled(lines));
        let ns = scaled.saturating_add(clock.saturating_sub(1)).checked_div(clock);
        ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(u64::MAX)
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

    #[test]
    fn a_frame_that_waits_ends_with_the_commit_or_when_it_is_longest() {
        let mut raster = Raster::start(mode(), 0, 0).unwrap();
        // 480 x 380 at 7.29 MHz are 25,020,576.2 ns; the shortest frame is 16,658,437 ns rounded up.
        let first = raster.vblank_ns(1).unwrap();
        raster.stretch(1, 380);
        assert_eq!(raster.vblank_ns(2), Some(first + 25_020_577));
        assert!(!raster.hasten(first + 1_000), "the frame is not shown yet");
        assert_eq!((raster.vblank_ns(1), raster.vblank_ns(2)), (Some(first), Some(first + 16_658_437)));
        assert_eq!((raster.count_at(first + 16_658_436), raster.count_at(first + 16_658_437)), (1, 2));
        assert!(!raster.hasten(first + 2_000), "it is on its way");
        let second = first + 16_658_437;
        assert!(raster.hasten(second + 20_000_000), "the frame waits");
        assert_eq!((raster.vblank_ns(2), raster.vblank_ns(3)), (Some(second), Some(second + 20_000_000)));
        raster.stretch(3, 253);
        assert_eq!(raster.vblank_ns(4), Some(second + 20_000_000 + 16_658_437));
        assert!(!raster.hasten(second + 20_000_001), "frames wait no more");
    }

    #[test]
    fn a_frame_is_not_stretched_beyond_a_second_nor_shortened() {
        let fits: Vec<bool> = [252, 253, 15_187, 15_188].map(|lines| mode().can_last(lines)).into();
        assert_eq!(fits, [false, true, true, false]);
    }
}
