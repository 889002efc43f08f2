//! What every scanned-out frame must look like, computed from the source by code of its own.
//!
//! Nothing in this folder is shared with the camera or the GPU models: files are parsed again, patterns drawn again,
//! and colours computed in floating point.

use std::path::Path;

use super::colour::Planar;
use super::sources::{Video, pan, pattern, read_png};
use crate::cli::CaptureFormat;
use crate::error::plain;
use crate::picture_size::PictureSize;

enum Source {
    Video(Video),
    Still(Planar),
    Pattern,
}

/// Knows every frame.
pub struct Expectation {
    source: Source,
    format: CaptureFormat,
    width: usize,
    height: usize,
}

impl Expectation {
    /// For frames of this size that the guest captures as `format`.
    pub fn new(path: Option<&Path>, format: CaptureFormat, size: PictureSize) -> Result<Self, String> {
        let source = match path {
            None => Source::Pattern,
            Some(path) if is_png(path)? => Source::Still(read_png(path)?),
            Some(path) => Source::Video(Video::open(path)?),
        };
        Ok(Expectation { source, format, width: size.width as usize, height: size.height as usize })
    }

    /// The camera's frame `sequence`, as it is captured. Fails when the source's file can no longer be read.
    pub fn picture(&self, sequence: u32) -> Result<Planar, String> {
        let picture = match &self.source {
            Source::Video(video) => video.frame(sequence)?,
            Source::Still(whole) => {
                let x = pan(sequence, whole.width - self.width);
                let y = pan(sequence, whole.height - self.height);
                whole.window(x, y, self.width, self.height)
            }
            Source::Pattern => pattern(sequence, self.width, self.height),
        };
        let fewer_lines = self.format == CaptureFormat::Nv12 && picture.sub_y == 1;
        Ok(if fewer_lines { picture.halve_chroma(false) } else { picture })
    }
}

fn is_png(path: &Path) -> Result<bool, String> {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut magic));
    read.map_err(|e| format!("{}: {}", path.display(), plain(&e)))?;
    Ok(&magic == b"\x89PNG")
}

#[cfg(test)]
mod tests {
    use fencepost_devices::camera::{Band, FrameSource, Size, TestPattern};

    use super::super::colour::Range;
    use super::*;

    // Two independent drawings of the pattern agree; the device's own is the other one.
    #[test]
    fn the_pattern_is_drawn_alike_twice() {
        for (width, height) in [(16, 16), (320, 240), (1280, 720)] {
            let size = Size { width_px: width, height_px: height };
            for sequence in [0, 7, 1234] {
                let device =
                    TestPattern::new(size).band(sequence, size, Band::whole(size)).expect("a picture");
                let ours = pattern(sequence, width as usize, height as usize);
                assert!(ours.planes == [device.luma, device.cb, device.cr], "{width}x{height} {sequence}");
            }
        }
    }

    #[test]
    fn nv12_of_422_takes_the_mean_of_two_lines() {
        let source = Planar {
            width: 2,
            height: 2,
            sub_x: 2,
            sub_y: 1,
            range: Range::Full,
            planes: [vec![100; 4], vec![128, 131], vec![128; 2]],
        };
        assert_eq!(source.halve_chroma(false).planes[1], [130]);
    }
}
