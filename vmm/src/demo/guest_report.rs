//! What the guest's flow program says on the serial console, read back as data.
//!
//! The lines are KTAP diagnostics (`guest-tests/programs/flow.c` prints them):
//!
//! ```text
//! # frame 7 sequence 9 vblank 31 crc 0x1234abcd
//! # handoff 7 dqbuf=1 submit=2 fenced=3 commit=4 flip=5
//! ```
//!
//! Numbers after `=` are TSC stamps of the guest.

use std::collections::BTreeMap;

/// One frame's journey, as the guest saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journey {
    /// The V4L2 sequence number of the captured frame.
    pub sequence: u32,
    /// The display's frame counter at the vblank which latched it; 0 before the guest has said so.
    pub vblank: u64,
    /// The hand-offs' stamps, if the guest printed them.
    pub stamps: Option<Stamps>,
}

/// Guest TSC stamps of one frame's hand-offs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// VIDIOC_DQBUF returned.
    pub dqbuf: u64,
    /// The GPU job was submitted.
    pub submit: u64,
    /// The GPU's fence had signalled.
    pub fenced: u64,
    /// The atomic commit returned.
    pub commit: u64,
    /// The flip event arrived.
    pub flip: u64,
}

/// Collects serial output and understands the flow's lines.
#[derive(Debug, Default)]
pub struct GuestReport {
    partial: Vec<u8>,
    journeys: BTreeMap<u32, Journey>,
}

/// DRM's count of vertical blanks is ahead of the display's own by one for each time the screen was switched on
/// (`drm_crtc_vblank_on` counts one), and the flow switches it on once.
const DRM_AHEAD: u64 = 1;
/// A longer line is not one of the flow's; it is dropped so that a guest cannot make the host's buffer grow.
const MAX_LINE_BYTES: usize = 4096;
/// More frames than any run asks for (`--frames` has at most 100,000); further ones are ignored.
const MAX_FRAMES: usize = 1 << 17;

impl GuestReport {
    /// Takes console bytes as they come; gives the numbers of the frames that they told the vblank of.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u32> {
        let mut told = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.partial);
                told.extend(self.line(String::from_utf8_lossy(&line).trim()));
            } else if self.partial.len() < MAX_LINE_BYTES {
                self.partial.push(byte);
            }
        }
        told
    }

    /// The frames by their number in the flow.
    pub fn journeys(&self) -> &BTreeMap<u32, Journey> {
        &self.journeys
    }

    fn line(&mut self, line: &str) -> Option<u32> {
        // The kernel may print in the middle of a console, so the marker is looked for anywhere in the line.
        if let Some((_, rest)) = line.split_once("# frame ") {
            return self.frame(rest);
        }
        let (_, rest) = line.split_once("# handoff ")?;
        self.handoff(rest);
        None
    }

    fn entry(&mut self, number: u32) -> Option<&mut Journey> {
        let room = self.journeys.len() < MAX_FRAMES || self.journeys.contains_key(&number);
        room.then(|| self.journeys.entry(number).or_default())
    }

    fn frame(&mut self, rest: &str) -> Option<u32> {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let number = words.first()?.parse().ok()?;
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)
        };
        let sequence = after("sequence")?.parse().ok()?;
        let vblank = after("vblank")?.parse::<u64>().ok()?.checked_sub(DRM_AHEAD)?;
        let journey = self.entry(number)?;
        journey.sequence = sequence;
        journey.vblank = vblank;
        Some(number)
    }

    fn handoff(&mut self, rest: &str) -> Option<()> {
        let mut words = rest.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut stamps = Stamps::default();
        for word in words {
            let (name, value) = word.split_once('=')?;
            let value = value.parse().ok()?;
            match name {
                "dqbuf" => stamps.dqbuf = value,
                "submit" => stamps.submit = value,
                "fenced" => stamps.fenced = value,
                "commit" => stamps.commit = value,
                "flip" => stamps.flip = value,
                _ => {}
            }
        }
        self.entry(number)?.stamps = Some(stamps);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_split_over_two_writes_is_read_whole() {
        let mut report = GuestReport::default();
        report.feed(b"noise\n# frame 7 sequ");
        assert!(report.journeys().is_empty());
        report.feed(b"ence 9 vblank 31 crc 0x1\r\n");
        assert_eq!(report.journeys()[&7], Journey { sequence: 9, vblank: 30, stamps: None });
    }

    #[test]
    fn a_handoff_line_gives_its_stamps() {
        let mut report = GuestReport::default();
        report.feed(b"# handoff 0 dqbuf=1 submit=2 fenced=3 commit=4 flip=5\n");
        let stamps = Stamps { dqbuf: 1, submit: 2, fenced: 3, commit: 4, flip: 5 };
        assert_eq!(report.journeys()[&0].stamps, Some(stamps));
    }

    #[test]
    fn a_damaged_line_is_ignored() {
        let mut report = GuestReport::default();
        report.feed(b"# frame x sequence\n# handoff 3 dqbuf=nine\n# frame\n");
        assert!(report.journeys().is_empty());
    }
}
