//! Pictures that the display has scanned out, on their way to the host.

use std::path::PathBuf;
use std::sync::Arc;

use fencepost_trace::Stamp;

use crate::control::Control;
use crate::error::{HostError, plain};
use crate::outlet::Full;
use crate::outlet::files::{Content, Files, Shelf};

/// One scanned-out picture that a flip brought.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number of the vblank at which it was latched.
    pub vblank: u64,
    /// The flip's number, counted by the display.
    pub flip: u64,
    /// When it was scanned out.
    pub stamp: Stamp,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// XRGB8888, little-endian words (bytes B, G, R, X), rows without padding.
    pub pixels: &'a [u8],
}

/// Takes pictures as they are scanned out. It runs on the machine's thread, which must not wait for the host: what writes does so
/// through an outlet.
pub trait FrameSink: Send {
    /// A picture.
    fn frame(&mut self, frame: &Frame<'_>);
}

/// Has each picture written as a PNG into a folder.
pub struct PngFolder {
    folder: PathBuf,
    shelf: Shelf,
}

impl PngFolder {
    /// What the names of the pictures begin with.
    pub const PREFIX: &str = "flip-";

    /// A sink for `folder`, which is made if it is not there, and the thread that writes.
    pub fn create(folder: PathBuf, control: &Arc<Control>, full: Full) -> Result<(Self, Files), HostError> {
        std::fs::create_dir_all(&folder).map_err(|error| {
            HostError::file("--frames", &folder, &error, "name a folder that can be written")
        })?;
        let name = format!("--frames {}", folder.display());
        let files = Files::start(&name, control)
            .map_err(|error| HostError::Host(format!("{name}: no thread to write it: {}", plain(&error))))?;
        Ok((PngFolder { folder, shelf: files.shelf(full) }, files))
    }
}

/// Writes one picture as an RGB PNG, to the last byte: a full disk is an error here, not when `to` is dropped.
pub fn write_png(mut to: impl std::io::Write, frame: &Frame<'_>) -> std::io::Result<()> {
    encode(&mut to, frame).map_err(|error| match error {
        png::EncodingError::IoError(error) => error,
        other => std::io::Error::other(other),
    })?;
    to.flush()
}

fn encode(to: impl std::io::Write, frame: &Frame<'_>) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(to, frame.width, frame.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let rgb: Vec<u8> = frame.pixels.chunks_exact(4).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()
}

impl FrameSink for PngFolder {
    fn frame(&mut self, frame: &Frame<'_>) {
        self.shelf
            .put(self.folder.join(format!("{}{:06}.png", Self::PREFIX, frame.flip)), Content::picture(frame));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::BufWriter;

    use fencepost_skip::Tested;

    use super::*;

    #[test]
    fn a_full_disk_is_an_error_even_for_the_last_bytes() -> Tested {
        let Ok(full) = File::options().write(true).open("/dev/full") else {
            return Tested::skipped("/dev/full does not open");
        };
        let frame =
            Frame { vblank: 1, flip: 1, stamp: Stamp::default(), width: 1, height: 1, pixels: &[0; 4] };
        let error = write_png(BufWriter::new(full), &frame).expect_err("no room");
        assert_eq!(plain(&error), "No space left on device");
        Tested::Ran
    }

    #[test]
    fn a_written_picture_reads_back_with_its_colours() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut sink, files) =
            PngFolder::create(folder.path().join("new"), &Arc::default(), Full::Wait).expect("made");
        let pixels = [0x10, 0x20, 0x30, 0xff, 0x01, 0x02, 0x03, 0x00];
        sink.frame(&Frame {
            vblank: 9,
            flip: 7,
            stamp: Stamp::default(),
            width: 2,
            height: 1,
            pixels: &pixels,
        });
        assert_eq!(files.finish().lines(), Vec::<String>::new());
        let file = File::open(folder.path().join("new/flip-000007.png")).expect("written");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
        reader.next_frame(&mut rgb).expect("one picture");
        assert_eq!(rgb, [0x30, 0x20, 0x10, 0x03, 0x02, 0x01]);
    }
}
