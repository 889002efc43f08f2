//! The pictures that a scenario's screens show: counted, and the last one compared with what is expected.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fencepost_report::Judged;

use crate::error::HostError;
use crate::frames::{Frame, FrameSink, write_png};
use crate::scenario::Frames;
use crate::source;

/// Pictures of each screen that are kept for the evidence: the last ones.
const KEPT: usize = 3;

/// A picture that was shown.
#[derive(Debug)]
struct Picture {
    vblank: u64,
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How many the first screen showed.
    count: u64,
    /// The last ones of each screen, by its name.
    screens: BTreeMap<String, VecDeque<Picture>>,
    first: Option<String>,
}

impl Seen {
    fn last(&self) -> Option<&Picture> {
        self.screens.get(self.first.as_ref()?)?.back()
    }
}

/// Sees the pictures of the machine's screens; those of the first one count. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Seeing(Arc<Mutex<Seen>>);

impl FrameSink for Seeing {
    fn frame(&mut self, frame: &Frame<'_>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = frame.screen.to_string();
        if frame.screen.first {
            seen.count += 1;
            seen.first.get_or_insert_with(|| name.clone());
        }
        let pictures = seen.screens.entry(name).or_default();
        let oldest = if pictures.len() < KEPT { None } else { pictures.pop_front() };
        let mut pixels = oldest.map(|picture| picture.pixels).unwrap_or_default();
        pixels.clear();
        pixels.extend_from_slice(frame.pixels);
        let Frame { vblank, width, height, .. } = *frame;
        pictures.push_back(Picture { vblank, width, height, pixels });
    }
}

impl Seeing {
    /// Writes the last pictures of each screen into a folder of `folder`, by screen and vertical blank.
    ///
    /// # Errors
    ///
    /// The host's file system.
    pub fn keep(&self, folder: &Path) -> Result<(), HostError> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let frames = folder.join("frames");
        for (screen, picture) in
            seen.screens.iter().flat_map(|(screen, all)| all.iter().map(move |it| (screen, it)))
        {
            let path = frames.join(format!("{screen}-{}.png", picture.vblank));
            let write = || {
                std::fs::create_dir_all(&frames)?;
                write_png(File::create(&path)?, (picture.width, picture.height), &picture.pixels)
            };
            write().map_err(|error| HostError::file("evidence", &path, &error, "make room there"))?;
        }
        Ok(())
    }

    /// Compares what was seen with what is expected.
    pub fn judge(&self, wanted: &Frames) -> Judged {
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
        let Some(Picture { width, height, pixels, .. }) = seen.last() else {
            judged.failed("the last picture", "a picture", "none was shown", Vec::new());
            return judged;
        };
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
        assert!(near.judge(&wanted(3)).failures.is_empty());
        let failures = near.judge(&wanted(2)).failures;
        assert!(failures[0].came.contains("1 pixels differ, the first at 1,0, by up to 3"), "{failures:?}");
        let none = Seeing::default().judge(&wanted(0)).failures;
        assert_eq!(none.len(), 2, "{none:?}");
        // zlib's crc32 of the bytes 30 20 10 60 53 40.
        let crc = crc32fast::hash(&[30, 20, 10, 60, 53, 40]);
        let of = Frames { crc: Some(format!("{crc:08X}")), ..Frames::default() };
        assert!(near.judge(&of).failures.is_empty());
    }

    #[test]
    fn the_last_pictures_of_each_screen_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut seeing = Seeing::default();
        for (slot, vblank) in [(3, 1), (3, 2), (6, 2), (3, 3), (3, 9)] {
            let screen = ScreenName { slot, kind: "screen".into(), first: slot == 3, scanout: 0 };
            let frame = Frame {
                screen: &screen,
                vblank,
                flip: 1,
                stamp: Stamp::default(),
                width: 1,
                height: 1,
                pixels: &[vblank as u8; 4],
            };
            seeing.frame(&frame);
        }
        seeing.keep(folder.path()).unwrap();
        let names = std::fs::read_dir(folder.path().join("frames")).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["screen@3-2.png", "screen@3-3.png", "screen@3-9.png", "screen@6-2.png"]);
        let shown = folder.path().join("frames/screen@3-9.png");
        let wanted = Frames { png: Some(shown), count: Some(4), ..Frames::default() };
        assert!(seeing.judge(&wanted).failures.is_empty());
    }
}
