//! What the command line says of a display (`--display key=value,...`).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::registers::MAX_SIDE_PX;
use super::sink::PictureSink;

/// The largest side that an EDID detailed timing can carry (12 bits; VESA E-EDID 1.4, section 3.10.2).
const EDID_MAX_SIDE_PX: u16 = 4095;
/// The largest pixel clock it can carry: 16 bits of 10 kHz.
const EDID_MAX_CLOCK_KHZ: u64 = 655_350;
/// The smallest side the Linux EDID parser takes for a mode.
const MIN_SIDE_PX: u16 = 64;
/// Horizontal blank of the preferred mode, pixels (that of VESA CVT 1.2 reduced blanking).
pub(super) const HORIZONTAL_BLANK_PX: u16 = 160;
/// Vertical blank of the preferred mode, lines (CVT reduced blanking's porches and sync, without its time minimum).
pub(super) const VERTICAL_BLANK_LINES: u16 = 13;

/// When frames are fetched from guest memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanOut {
    /// Every frame while the display is on.
    #[default]
    Always,
    /// Only frames that latched a commit, as a panel with self-refresh does.
    OnFlip,
}

/// The monitor and the fetch engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Preferred width, pixels.
    pub width_px: u16,
    /// Preferred height, lines.
    pub height_px: u16,
    /// Preferred refresh rate, hertz.
    pub refresh_hz: u16,
    /// When frames are fetched.
    pub scan_out: ScanOut,
    /// Cycles of each fetch, whatever its size.
    pub fixed_cycles: u64,
    /// Bytes fetched in one cycle, at least 1.
    pub bytes_per_cycle: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            width_px: 1024,
            height_px: 768,
            refresh_hz: 60,
            scan_out: ScanOut::Always,
            fixed_cycles: 1000,
            bytes_per_cycle: 4,
        }
    }
}

/// What the host provides of a display.
pub struct DisplayParts {
    /// The monitor and the fetch engine; [`Config::check`] accepts it.
    pub config: Config,
    /// Where its pictures go.
    pub sink: Box<dyn PictureSink>,
}

/// Why a display description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key nobody knows.
    #[error(
        "Unknown display setting \"{0}\": known are width, height, hz, scanout, latency, bytes-per-cycle"
    )]
    Key(String),
    /// A key with a value it cannot take.
    #[error("Display setting {key}={value} is not valid: write {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        expected: &'static str,
    },
    /// A mode that the monitor's EDID cannot carry.
    #[error(
        "Display mode {0} cannot be described: sides are 64 to 4095 pixels, refresh 1 to 1000 Hz, pixel clock 655 MHz at most"
    )]
    Mode(String),
}

impl Config {
    /// Checks that the preferred mode fits an EDID block and the costs make sense.
    pub fn check(&self) -> Result<(), ConfigError> {
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
        if self.bytes_per_cycle == 0 {
            return Err(value("bytes-per-cycle", "0", "a number of at least 1"));
        }
        Ok(())
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

    fn set(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        match key {
            "width" => self.width_px = number("width", text)?,
            "height" => self.height_px = number("height", text)?,
            "hz" => self.refresh_hz = number("hz", text)?,
            "scanout" => {
                self.scan_out = match text {
                    "always" => ScanOut::Always,
                    "on-flip" => ScanOut::OnFlip,
                    _ => return Err(value("scanout", text, "always or on-flip")),
                };
            }
            "latency" => self.fixed_cycles = number("latency", text)?,
            "bytes-per-cycle" => self.bytes_per_cycle = number("bytes-per-cycle", text)?,
            _ => return Err(ConfigError::Key(key.to_string())),
        }
        Ok(())
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    /// Parses `key=value,...` over the defaults; an empty text is the default.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Config::default();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let (key, text) = item.split_once('=').unwrap_or((item, ""));
            config.set(key, text)?;
        }
        config.check()?;
        Ok(config)
    }
}

fn value(key: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Value { key, value: value.to_string(), expected }
}

fn number<T: FromStr>(key: &'static str, text: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| value(key, text, "a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_override_the_defaults() {
        let config: Config =
            "width=320,height=240,hz=50,scanout=on-flip,latency=7,bytes-per-cycle=16".parse().unwrap();
        let expected = Config {
            width_px: 320,
            height_px: 240,
            refresh_hz: 50,
            scan_out: ScanOut::OnFlip,
            fixed_cycles: 7,
            bytes_per_cycle: 16,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_bad_value_is_named_with_its_fix() {
        let error = "width=banana".parse::<Config>().unwrap_err();
        assert_eq!(error.to_string(), "Display setting width=banana is not valid: write a whole number");
    }

    #[test]
    fn an_unknown_key_is_named() {
        assert_eq!("mood=1".parse::<Config>(), Err(ConfigError::Key("mood".into())));
    }

    #[test]
    fn a_mode_beyond_the_pixel_clock_is_refused() {
        assert!(matches!("width=4000,height=4000".parse::<Config>(), Err(ConfigError::Mode(_))));
    }

    #[test]
    fn a_zero_rate_is_refused() {
        assert!(matches!("bytes-per-cycle=0".parse::<Config>(), Err(ConfigError::Value { .. })));
    }
}
