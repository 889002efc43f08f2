//! Compares what the display showed with what it must have shown, while the guest runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use fencepost_devices::pixel::xrgb8888_to_rgb;

use super::expect::Expectation;
use super::guest_report::GuestReport;
use crate::frames::{Frame, FrameSink};
use crate::shelf::{Content, Shelf};

/// Pictures that wait for the guest's word on what they are, in bytes: more than that, and the oldest is given up. Two of the largest
/// that the display shows fit; of the demo's usual ones a hundred.
const WAITING_BYTES: usize = 128 << 20;
/// Frames that differ, of which what differs is kept.
const MISMATCHES_KEPT: usize = 16;

/// What the names of the pictures begin with.
pub const PREFIX: &str = "frame-";

/// A picture that the display showed.
struct Shown {
    width: u32,
    height: u32,
    /// Red, green and blue of each pixel.
    rgb: Vec<u8>,
}

/// What was found so far.
pub struct Findings {
    expectation: Expectation,
    folder: PathBuf,
    shelf: Shelf,
    /// Pictures by the vblank that latched them, until the guest tells which frame they are.
    waiting: BTreeMap<u64, Shown>,
    /// Bytes of their pixels.
    waiting_bytes: usize,
    /// Pictures that were given up.
    pub given_up: u64,
    /// Frames by their vblank, until the display has shown them.
    told: BTreeMap<u64, u32>,
    /// What the guest said.
    pub guest: GuestReport,
    /// All that came over the serial console.
    pub console: Vec<u8>,
    /// Frames that were compared.
    pub compared: u32,
    /// Those that differ.
    pub differing: u32,
    /// The first of them, each with its first wrong pixel.
    pub mismatches: Vec<String>,
    judged: BTreeSet<u32>,
}

/// Console bytes kept for the report; a guest that says more has the rest cut.
const CONSOLE_MAX: usize = 16 << 20;

impl Findings {
    /// Nothing found yet.
    pub fn new(expectation: Expectation, folder: PathBuf, shelf: Shelf) -> Self {
        Findings {
            expectation,
            folder,
            shelf,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            given_up: 0,
            told: BTreeMap::new(),
            guest: GuestReport::default(),
            console: Vec::new(),
            compared: 0,
            differing: 0,
            mismatches: Vec::new(),
            judged: BTreeSet::new(),
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        let room = CONSOLE_MAX.saturating_sub(self.console.len());
        self.console.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for number in self.guest.feed(bytes) {
            let journeys = self.guest.journeys();
            let vblank = journeys[&number].vblank;
            // One vblank for each frame at most, whatever a guest says twice.
            if !self.judged.contains(&number) && self.told.len() < journeys.len() {
                self.told.entry(vblank).or_insert(number);
                self.judge_known(vblank);
            }
        }
    }

    /// Judges the frame of a vblank once the guest has told of it and the display has finished scanning it out.
    fn judge_known(&mut self, vblank: u64) {
        if !self.told.contains_key(&vblank) {
            return;
        }
        if let Some(shown) = self.take_waiting(vblank)
            && let Some(number) = self.told.remove(&vblank)
        {
            self.judged.insert(number);
            self.judge(number, self.guest.journeys()[&number].sequence, shown);
        }
    }

    /// Keeps a picture until the guest tells what it is; the oldest make room for it.
    fn wait(&mut self, vblank: u64, shown: Shown) {
        self.take_waiting(vblank);
        let bytes = shown.rgb.len();
        while self.waiting_bytes.saturating_add(bytes) > WAITING_BYTES
            && let Some(oldest) = self.waiting.keys().next().copied()
        {
            self.take_waiting(oldest);
            self.given_up += 1;
        }
        self.waiting_bytes += bytes;
        self.waiting.insert(vblank, shown);
    }

    fn take_waiting(&mut self, vblank: u64) -> Option<Shown> {
        let shown = self.waiting.remove(&vblank)?;
        self.waiting_bytes -= shown.rgb.len();
        Some(shown)
    }

    /// Frames that the guest told of and that were not on the screen at their vblank.
    pub fn missing(&self) -> Vec<u32> {
        self.guest.journeys().keys().filter(|number| !self.judged.contains(number)).copied().collect()
    }

    fn judge(&mut self, number: u32, sequence: u32, shown: Shown) {
        self.compared += 1;
        let wrong = match self.expectation.picture(sequence) {
            Ok(expected) if expected.is_shown_by(&shown.rgb) => None,
            Ok(expected) => first_difference(&shown, &expected.to_rgb()),
            Err(error) => Some(format!("cannot be checked: {error}")),
        };
        if let Some(what) = wrong {
            self.differing += 1;
            if self.mismatches.len() < MISMATCHES_KEPT {
                self.mismatches.push(format!("frame {number} (camera sequence {sequence}): {what}"));
            }
        }
        let picture = Content::Picture(shown.width, shown.height, shown.rgb);
        self.shelf.put(self.folder.join(format!("{PREFIX}{number:04}.png")), picture);
    }
}

/// The first pixel that differs, in words.
fn first_difference(shown: &Shown, expected: &[u8]) -> Option<String> {
    if shown.rgb.len() != expected.len() {
        return Some(format!("{}x{} pixels on the screen", shown.width, shown.height));
    }
    let pairs = || shown.rgb.chunks_exact(3).zip(expected.chunks_exact(3));
    let mut all = pairs().enumerate().filter(|(_, (is, must))| is != must);
    let (at, (is, must)) = all.next()?;
    let (x, y) = (at % shown.width as usize, at / shown.width as usize);
    let [is, must] = [is, must].map(|rgb| format!("#{:02x}{:02x}{:02x}", rgb[0], rgb[1], rgb[2]));
    Some(format!("{} pixels differ, the first at x {x}, y {y}: is {is}, must be {must}", 1 + all.count()))
}

/// The findings, shared between the machine's outputs.
#[derive(Clone)]
pub struct Checker(Arc<Mutex<Findings>>);

impl Checker {
    /// Shares `findings`.
    pub fn new(findings: Findings) -> Self {
        Checker(Arc::new(Mutex::new(findings)))
    }

    /// The findings. The one lock here is a leaf.
    pub fn findings(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl FrameSink for Checker {
    fn frame(&mut self, frame: &Frame<'_>) {
        let mut findings = self.findings();
        let rgb = xrgb8888_to_rgb(frame.pixels);
        let shown = Shown { width: frame.width, height: frame.height, rgb };
        findings.wait(frame.vblank, shown);
        findings.judge_known(frame.vblank);
    }
}

/// The serial console's end: reads the guest's words and moves the progress bar.
pub struct ConsoleTap {
    checker: Checker,
    progress: Box<dyn FnMut(u32) + Send>,
    seen: u32,
}

impl ConsoleTap {
    /// Calls `progress` with the number of frames done whenever it grows.
    pub fn new(checker: Checker, progress: Box<dyn FnMut(u32) + Send>) -> Self {
        ConsoleTap { checker, progress, seen: 0 }
    }
}

impl Write for ConsoleTap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut findings = self.checker.findings();
        findings.console(bytes);
        let done = findings.compared;
        drop(findings);
        if done != self.seen {
            self.seen = done;
            (self.progress)(done);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowance::Allowance;
    use crate::cli::CaptureFormat;
    use crate::frames::ScreenName;
    use crate::outlet::Full;
    use crate::picture_size::PictureSize;
    use crate::shelf::Files;

    const SMALL: PictureSize = PictureSize { width: 32, height: 32 };

    /// As a display shows red, green and blue.
    fn xrgb(rgb: &[u8]) -> Vec<u8> {
        rgb.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0], 0]).collect()
    }

    fn shown(sequence: u32, folder: &std::path::Path, change: impl Fn(&mut Vec<u8>)) -> (Checker, Files) {
        let pattern = || Expectation::new(None, CaptureFormat::Nv12, SMALL).expect("the pattern");
        let files = Files::start("the pictures", &Arc::default(), &Allowance::default()).expect("a thread");
        let findings = Findings::new(pattern(), folder.into(), files.shelf(Full::Wait));
        let mut checker = Checker::new(findings);
        let mut pixels = xrgb(&pattern().picture(sequence).expect("drawn").to_rgb());
        change(&mut pixels);
        let stamp = fencepost_trace::Stamp::default();
        checker.frame(&Frame {
            screen: &ScreenName::default(),
            vblank: 9,
            flip: 1,
            stamp,
            width: 32,
            height: 32,
            pixels: &pixels,
        });
        let mut tap = ConsoleTap::new(checker.clone(), Box::new(|_| {}));
        tap.write_all(b"# frame 0 sequence 5 vblank 10 crc 0x0\n").expect("taken");
        (checker, files)
    }

    #[test]
    fn the_right_picture_is_no_mismatch() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (checker, files) = shown(5, folder.path(), |_| {});
        let findings = checker.findings();
        assert_eq!((findings.compared, findings.mismatches.len()), (1, 0));
        assert!(files.finish().lines().is_empty());
        assert!(folder.path().join("frame-0000.png").exists());
    }

    #[test]
    fn one_wrong_pixel_is_found_and_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (checker, _) = shown(5, folder.path(), |pixels| pixels[4 * (3 * 32 + 2)] ^= 1);
        let findings = checker.findings();
        assert!(findings.mismatches[0].contains("1 pixels differ, the first at x 2, y 3"));
    }

    #[test]
    fn the_fourth_byte_of_a_pixel_is_nothing_to_see() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (checker, _) = shown(5, folder.path(), |pixels| pixels[4 * 7 + 3] ^= 0x80);
        assert_eq!(checker.findings().mismatches.len(), 0);
        let last = |pixels: &mut Vec<u8>| pixels[4 * (32 * 32 - 1) + 2] ^= 0x80;
        let (checker, _) = shown(5, folder.path(), last);
        assert!(checker.findings().mismatches[0].contains("the first at x 31, y 31"));
    }

    #[test]
    fn another_frame_is_a_mismatch() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(shown(6, folder.path(), |_| {}).0.findings().mismatches.len(), 1);
    }

    #[test]
    fn a_picture_that_comes_after_the_word_on_it_is_judged_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut checker, _) = shown(5, folder.path(), |_| {});
        let mut tap = ConsoleTap::new(checker.clone(), Box::new(|_| {}));
        tap.write_all(b"# frame 1 sequence 6 vblank 12 crc 0x0\n").expect("taken");
        tap.write_all(b"# frame 1 sequence 6 vblank 12 crc 0x0\n").expect("taken");
        let pixels = xrgb(&checker.findings().expectation.picture(6).expect("drawn").to_rgb());
        let stamp = fencepost_trace::Stamp::default();
        checker.frame(&Frame {
            screen: &ScreenName::default(),
            vblank: 11,
            flip: 2,
            stamp,
            width: 32,
            height: 32,
            pixels: &pixels,
        });
        let findings = checker.findings();
        assert_eq!((findings.compared, findings.mismatches.len(), findings.missing().len()), (2, 0, 0));
    }

    /// 64 pictures of 4096x4096 took 4.2 GB.
    #[test]
    fn pictures_that_wait_have_a_budget_in_bytes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut checker, _) = shown(5, folder.path(), |_| {});
        let pixels = vec![0; 4096 * 4096];
        let stamp = fencepost_trace::Stamp::default();
        for vblank in 100..164 {
            // As many bytes as a quarter of the largest picture has.
            checker.frame(&Frame {
                screen: &ScreenName::default(),
                vblank,
                flip: vblank,
                stamp,
                width: 4096,
                height: 1024,
                pixels: &pixels,
            });
            let findings = checker.findings();
            let bytes: usize = findings.waiting.values().map(|shown| shown.rgb.len()).sum();
            assert!(bytes == findings.waiting_bytes && bytes <= WAITING_BYTES, "{bytes}");
        }
        let findings = checker.findings();
        assert!(findings.waiting.keys().copied().eq(154..164), "the newest wait");
        assert_eq!(findings.given_up, 54);
    }

    #[test]
    fn a_frame_that_was_never_on_the_screen_is_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (checker, _) = shown(5, folder.path(), |_| {});
        let mut tap = ConsoleTap::new(checker.clone(), Box::new(|_| {}));
        tap.write_all(b"# frame 1 sequence 6 vblank 11 crc 0x0\n").expect("taken");
        assert_eq!(checker.findings().missing(), [1]);
    }
}
