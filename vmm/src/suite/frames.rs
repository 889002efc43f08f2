//! The pictures that a scenario's screens show: counted, and the last one compared with what is expected.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fencepost_report::Judged;

use crate::frames::{Frame, FrameSink, write_png};
use crate::scenario::Frames;
use crate::source;

#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// Width, height and pixels of the last one.
    last: Option<(u32, u32, Vec<u8>)>,
}

/// Sees the pictures of the machine's first screen. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Seeing(Arc<Mutex<Seen>>);

impl FrameSink for Seeing {
    fn frame(&mut self, frame: &Frame<'_>) {
        if !frame.screen.first {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count += 1;
        let mut pixels = seen.last.take().map(|(.., pixels)| pixels).unwrap_or_default();
        pixels.clear();
        pixels.extend_from_slice(frame.pixels);
        seen.last = Some((frame.width, frame.height, pixels));
    }
}

impl Seeing {
    /// Compares what was seen with what is expected; writes the last picture into `folder`.
    pub fn judge(&self, wanted: &Frames, folder: &Path) -> Judged {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut judged = Judged::default();
        let came = format!("{} were shown", seen.count);
        if let Some(count) = wanted.count {
            check(
                &mut judged,
                "the number of pictures",
                count == seen.count,
                &format!("{count} pictures"),
                &came,
            );
        }
        if let Some(least) = wanted.at_least {
            let expected = format!("at least {least} pictures");
            check(&mut judged, "the least number of pictures", seen.count >= least, &expected, &came);
        }
        if wanted.crc.is_none() && wanted.png.is_none() {
            return judged;
        }
        let Some((width, height, pixels)) = &seen.last else {
            judged.failed("the last picture", "a picture", "none was shown", Vec::new());
            return judged;
        };
        // The user looks at it where it is not as expected.
        let shown = folder.join("last-frame.png");
        let _ = File::create(&shown).is_ok_and(|file| write_png(file, (*width, *height), pixels).is_ok());
        if let Some(crc) = &wanted.crc {
            let found = format!("{:08x}", crc_of(pixels));
            let expected = format!("CRC {}", crc.to_lowercase());
            let same = crc.trim_start_matches("0x").eq_ignore_ascii_case(&found);
            check(&mut judged, "the last picture's CRC", same, &expected, &format!("it is {found}"));
        }
        if let Some(path) = &wanted.png {
            let compared = compare(path, (*width, *height, pixels), wanted.tolerance);
            let expected =
                format!("the picture of {}, each colour within {}", path.display(), wanted.tolerance);
            let (same, came) = match compared {
                Ok(()) => (true, String::new()),
                Err(why) => (false, why),
            };
            check(&mut judged, "the last picture", same, &expected, &came);
        }
        judged
    }
}

fn check(judged: &mut Judged, name: &str, good: bool, expected: &str, came: &str) {
    match good {
        true => judged.passed(name, ""),
        false => judged.failed(name, expected, came, Vec::new()),
    }
}

/// The CRC-32 of the colours, without the unused byte of each pixel.
fn crc_of(pixels: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for row in pixels.chunks(4096) {
        let colours: Vec<u8> = row.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        hasher.update(&colours);
    }
    hasher.finalize()
}

/// Compares a picture with a PNG's; says where they differ.
fn compare(path: &Path, (width, height, pixels): (u32, u32, &[u8]), tolerance: u8) -> Result<(), String> {
    let (of_file, other) = source::png_pixels(path).map_err(|error| error.to_string())?;
    if of_file != (width, height) {
        return Err(format!("it has {width}x{height} pixels, the file {}x{}", of_file.0, of_file.1));
    }
    let (mut differ, mut first, mut most) = (0u64, None, 0u8);
    for (at, (pixel, other)) in pixels.chunks_exact(4).zip(other).enumerate() {
        let apart = (0..3).map(|colour| pixel[2 - colour].abs_diff(other[colour])).max().unwrap_or(0);
        most = most.max(apart);
        if apart > tolerance {
            differ += 1;
            first.get_or_insert(at as u32);
        }
    }
    match first {
        None => Ok(()),
        Some(at) => {
            let (x, y) = (at % width.max(1), at / width.max(1));
            Err(format!("{differ} pixels differ, the first at {x},{y}, by up to {most}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use fencepost_trace::Stamp;

    use super::*;
    use crate::frames::ScreenName;

    fn seen(pixels: &[u8]) -> Seeing {
        let screen = ScreenName { first: true, ..ScreenName::default() };
        let mut seeing = Seeing::default();
        let frame = Frame {
            screen: &screen,
            vblank: 1,
            flip: 1,
            stamp: Stamp::default(),
            width: 2,
            height: 1,
            pixels,
        };
        seeing.frame(&frame);
        seeing
    }

    #[test]
    fn pictures_are_counted_and_compared_with_a_tolerance() {
        let folder = tempfile::tempdir().unwrap();
        let png = folder.path().join("wanted.png");
        write_png(File::create(&png).unwrap(), (2, 1), &[10, 20, 30, 0, 40, 50, 60, 0]).unwrap();
        let near = seen(&[10, 20, 30, 9, 40, 53, 60, 9]);
        let wanted =
            |tolerance| Frames { png: Some(png.clone()), tolerance, count: Some(1), ..Frames::default() };
        assert!(near.judge(&wanted(3), folder.path()).failures.is_empty());
        let failures = near.judge(&wanted(2), folder.path()).failures;
        assert!(failures[0].came.contains("1 pixels differ, the first at 1,0, by up to 3"), "{failures:?}");
        let none = Seeing::default().judge(&wanted(0), folder.path()).failures;
        assert_eq!(none.len(), 2, "{none:?}");
        // zlib's crc32 of the bytes 30 20 10 60 53 40.
        let crc = crc32fast::hash(&[30, 20, 10, 60, 53, 40]);
        let of = Frames { crc: Some(format!("{crc:08X}")), ..Frames::default() };
        assert!(near.judge(&of, folder.path()).failures.is_empty());
    }
}
