//! How large pictures are, as the command line has it: `1920x1080`.

use std::fmt;
use std::str::FromStr;

/// Width and height in pixels, even, as pictures with half the chroma samples must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl fmt::Display for PictureSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}x{}", self.width, self.height)
    }
}

impl FromStr for PictureSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write WIDTHxHEIGHT, such as 1280x720, both even".to_string();
        let side = |text: &str| match text.parse::<u16>() {
            Ok(side) if side > 0 && side % 2 == 0 => Ok(side.into()),
            _ => Err(wrong()),
        };
        let (width, height) = text.split_once('x').ok_or_else(wrong)?;
        Ok(PictureSize { width: side(width)?, height: side(height)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_width_and_height() {
        let size: PictureSize = "1920x1080".parse().expect("right");
        assert_eq!((size.width, size.height, size.to_string()), (1920, 1080, "1920x1080".into()));
        for wrong in
            ["", "640", "x", "640x", "0x480", "641x480", "640x481", "-2x2", "640X480", "65536x2", " 2x2"]
        {
            assert!(wrong.parse::<PictureSize>().is_err_and(|why| why.contains("WIDTHxHEIGHT")), "{wrong}");
        }
    }
}
