//! What the host's user says of a display.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::Display;
use super::registers::{self, HEADS, MAX_SIDE_PX};
use super::sink::PictureSink;
use crate::cost::CostModel;
use crate::parameters::{Parameter, Takes};
use crate::registers::Register;
use crate::registry::{Host, Model};

/// The largest side that an EDID detailed timing can carry (12 bits; VESA E-EDID 1.4, section 3.10.2).
const EDID_MAX_SIDE_PX: u16 = 4095;
/// The largest pixel clock it can carry: 16 bits of 10 kHz.
const EDID_MAX_CLOCK_KHZ: u64 = 655_350;
/// The smallest side the Linux EDID parser takes for a mode.
const MIN_SIDE_PX: u16 = 64;
/// The sides that a mode can have.
const SIDE: Takes = Takes::Whole { min: MIN_SIDE_PX as u64, max: EDID_MAX_SIDE_PX as u64 };
/// The refresh rates that it can have.
const HZ: Takes = Takes::Whole { min: 1, max: 1000 };
/// The words of [`Monitor`].
const PLUGGED: Takes = Takes::Word(&["connected", "absent"]);
/// Horizontal blank of the preferred mode, pixels (that of VESA CVT 1.2 reduced blanking).
pub(super) const HORIZONTAL_BLANK_PX: u16 = 160;
/// Vertical blank of the preferred mode, lines (CVT reduced blanking's porches and sync, without its time minimum).
pub(super) const VERTICAL_BLANK_LINES: u16 = 13;

/// When frames are fetched from guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanOut {
    /// Every frame while the display is on.
    #[default]
    Always,
    /// Only frames that latched a commit, as a panel with self-refresh does.
    OnFlip,
}

/// What is at the connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Monitor {
    /// A monitor.
    #[default]
    Connected,
    /// Nothing.
    Absent,
}

/// The monitor and the fetch engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Preferred width, pixels.
    #[serde(rename = "width")]
    pub width_px: u16,
    /// Preferred height, lines.
    #[serde(rename = "height")]
    pub height_px: u16,
    /// Preferred refresh rate, hertz.
    #[serde(rename = "hz")]
    pub refresh_hz: u16,
    /// What is at the connector.
    pub monitor: Monitor,
    /// The same of the second head's connector: width, pixels.
    #[serde(rename = "width2")]
    pub second_width_px: u16,
    /// Height, lines.
    #[serde(rename = "height2")]
    pub second_height_px: u16,
    /// Refresh rate, hertz.
    #[serde(rename = "hz2")]
    pub second_refresh_hz: u16,
    /// What is at it.
    #[serde(rename = "monitor2")]
    pub second_monitor: Monitor,
    /// When frames are fetched.
    #[serde(rename = "scanout")]
    pub scan_out: ScanOut,
    /// Cycles of each fetch, whatever its size.
    #[serde(rename = "latency")]
    pub fixed_cycles: u64,
    /// Bytes fetched in one cycle.
    #[serde(rename = "bytes-per-cycle")]
    pub bytes_per_cycle: NonZeroU32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            width_px: 1024,
            height_px: 768,
            refresh_hz: 60,
            monitor: Monitor::Connected,
            second_width_px: 1024,
            second_height_px: 768,
            second_refresh_hz: 60,
            second_monitor: Monitor::Absent,
            scan_out: ScanOut::Always,
            fixed_cycles: 1000,
            bytes_per_cycle: NonZeroU32::MIN.saturating_add(3),
        }
    }
}

/// What the host provides of a display.
pub struct DisplayParts {
    /// The monitor and the fetch engine; [`Config::check`] accepts it.
    pub config: Config,
    /// Where the pictures of each head go.
    pub sinks: [Box<dyn PictureSink>; HEADS],
}

/// Why a display description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A mode that the monitor's EDID cannot carry.
    #[error(
        "Display mode {0} cannot be described: sides are 64 to 4095 pixels, refresh 1 to 1000 Hz, pixel clock 655 MHz at most"
    )]
    Mode(String),
}

impl Config {
    /// What head `number` is told: its own monitor is the first there.
    pub(super) fn of_head(&self, number: u8) -> Self {
        match number {
            0 => self.clone(),
            _ => Config {
                width_px: self.second_width_px,
                height_px: self.second_height_px,
                refresh_hz: self.second_refresh_hz,
                monitor: self.second_monitor,
                ..self.clone()
            },
        }
    }

    /// Checks that the preferred mode of each monitor fits an EDID block.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_first()?;
        self.of_head(1).check_first()
    }

    fn check_first(&self) -> Result<(), ConfigError> {
        let sides = MIN_SIDE_PX..=EDID_MAX_SIDE_PX.min(MAX_SIDE_PX);
        let fits = sides.contains(&self.width_px)
            && sides.contains(&self.height_px)
            && (1..=1000).contains(&self.refresh_hz)
            && self.clock_khz() <= EDID_MAX_CLOCK_KHZ;
        if !fits {
            return Err(ConfigError::Mode(format!(
                "{}x{}@{}",
                self.width_px, self.height_px, self.refresh_hz
            )));
        }
        Ok(())
    }

    /// The cost model of a fetch.
    pub fn cost(&self) -> CostModel {
        CostModel { fixed_cycles: self.fixed_cycles, bytes_per_cycle: self.bytes_per_cycle }
    }

    /// Pixels in a line with its blank.
    pub fn total_width_px(&self) -> u16 {
        self.width_px.saturating_add(HORIZONTAL_BLANK_PX)
    }

    /// Lines in a frame with its blank.
    pub fn total_height_lines(&self) -> u16 {
        self.height_px.saturating_add(VERTICAL_BLANK_LINES)
    }

    /// Pixel clock of the preferred mode, kHz: a multiple of 10, rounded to nearest.
    pub fn clock_khz(&self) -> u64 {
        let hz = u64::from(self.total_width_px())
            .saturating_mul(u64::from(self.total_height_lines()))
            .saturating_mul(u64::from(self.refresh_hz));
        (hz.saturating_add(5_000) / 10_000).saturating_mul(10).max(10)
    }
}

impl Model for Display {
    const ABOUT: &'static str = "display controller with two heads, each a connector and four planes";
    const SLOT: Option<u8> = Some(3);
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { key: "width", takes: SIDE, about: "width of the preferred mode, pixels" },
        Parameter { key: "height", takes: SIDE, about: "height of the preferred mode, lines" },
        Parameter { key: "hz", takes: HZ, about: "refreshes a second" },
        Parameter { key: "monitor", takes: PLUGGED, about: "whether a monitor is at the connector" },
        Parameter {
            key: "width2",
            takes: SIDE,
            about: "width of the second monitor's preferred mode, pixels",
        },
        Parameter {
            key: "height2",
            takes: SIDE,
            about: "height of the second monitor's preferred mode, lines",
        },
        Parameter { key: "hz2", takes: HZ, about: "the second monitor's refreshes a second" },
        Parameter { key: "monitor2", takes: PLUGGED, about: "whether a monitor is at the second connector" },
        Parameter {
            key: "scanout",
            takes: Takes::Word(&["always", "on-flip"]),
            about: "when a frame is fetched: at each refresh, or after a commit",
        },
        Parameter { key: "latency", takes: Takes::LATENCY, about: "cycles of each fetch, whatever its size" },
        Parameter { key: "bytes-per-cycle", takes: Takes::RATE, about: "bytes fetched in a cycle" },
    ];
    type Config = Config;

    fn parts(config: Config, host: &mut dyn Host) -> Result<DisplayParts, String> {
        // A mode that no monitor has is refused before the host opens anything.
        config.check().map_err(|error| error.to_string())?;
        Ok(DisplayParts { config, sinks: [(); HEADS].map(|()| host.screen()) })
    }

    fn power_on(parts: DisplayParts) -> Result<Self, String> {
        Display::new(parts).map_err(|error| error.to_string())
    }

    fn register_table() -> Vec<Register> {
        registers::rows()
    }

    fn cost(config: &Config) -> Option<CostModel> {
        Some(config.cost())
    }
}

/// The configuration that `key=value,...` describes.
#[cfg(test)]
pub(super) fn config(text: &str) -> Config {
    use crate::parameters::{parse, typed};
    typed(&parse(text, Display::PARAMETERS).unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_override_the_defaults() {
        let expected = Config {
            width_px: 320,
            height_px: 240,
            refresh_hz: 50,
            monitor: Monitor::Absent,
            second_width_px: 640,
            second_height_px: 480,
            second_refresh_hz: 75,
            second_monitor: Monitor::Connected,
            scan_out: ScanOut::OnFlip,
            fixed_cycles: 7,
            bytes_per_cycle: 16.try_into().unwrap(),
        };
        let text = "width=320,height=240,hz=50,monitor=absent,width2=640,height2=480,hz2=75,monitor2=connected,\
                    scanout=on-flip,latency=7,bytes-per-cycle=16";
        assert_eq!(config(text), expected);
        assert_eq!(config(""), Config::default());
    }

    #[test]
    fn a_mode_beyond_the_pixel_clock_is_refused() {
        assert!(matches!(config("width=4000,height=4000").check(), Err(ConfigError::Mode(_))));
        assert!(matches!(config("width2=4000,height2=4000").check(), Err(ConfigError::Mode(_))));
    }

    #[test]
    fn a_zero_rate_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"bytes-per-cycle": 1}"#).is_ok());
        assert!(serde_json::from_str::<Config>(r#"{"bytes-per-cycle": 0}"#).is_err());
    }
}
