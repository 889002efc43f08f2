//! The folder of pictures of `--frames`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Content, Files, Shelf};
use crate::allowance::Allowance;
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::frames::{Frame, FrameSink};
use crate::outlet::Full;

/// Has each picture written as a PNG into a folder.
pub struct PngFolder {
    folder: PathBuf,
    shelf: Shelf,
}

impl PngFolder {
    /// What the names of the pictures begin with.
    pub const PREFIX: &str = "flip-";

    /// A sink for `folder`, which is made if it is not there, and the thread that writes: within `allowance`.
    pub fn create(
        folder: PathBuf,
        control: &Arc<Control>,
        full: Full,
        allowance: &Allowance,
    ) -> Result<(Self, Files), HostError> {
        std::fs::create_dir_all(&folder).map_err(|error| {
            HostError::file("--frames", &folder, &error, "name a folder that can be written")
        })?;
        let name = format!("--frames {}", folder.display());
        let files = Files::start(&name, control, allowance)
            .map_err(|error| HostError::Host(format!("{name}: no thread to write it: {}", plain(&error))))?;
        Ok((PngFolder { folder, shelf: files.shelf(full) }, files))
    }
}

impl FrameSink for PngFolder {
    fn frame(&mut self, frame: &Frame<'_>) {
        let screen = if frame.screen.first { String::new() } else { format!("{}-", frame.screen) };
        let name = format!("{}{screen}{:06}.png", Self::PREFIX, frame.flip);
        self.shelf.put(self.folder.join(name), Content::picture(frame));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use fencepost_trace::Stamp;

    use super::*;
    use crate::frames::ScreenName;

    #[test]
    fn a_written_picture_reads_back_with_its_colours() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut sink, files) =
            PngFolder::create(folder.path().join("new"), &Arc::default(), Full::Wait, &Allowance::default())
                .expect("made");
        let pixels = [0x10, 0x20, 0x30, 0xff, 0x01, 0x02, 0x03, 0x00];
        let first = ScreenName { slot: 3, kind: "display".into(), first: true, ..ScreenName::default() };
        let stamp = Stamp::default();
        let frame = Frame { screen: &first, vblank: 9, flip: 7, stamp, width: 2, height: 1, pixels: &pixels };
        sink.frame(&frame);
        let other = ScreenName { slot: 5, scanout: 1, first: false, ..first.clone() };
        sink.frame(&Frame { screen: &other, flip: 8, ..frame });
        assert_eq!(files.finish().lines(), Vec::<String>::new());
        assert!(folder.path().join("new/flip-display@5.1-000008.png").exists());
        let file = File::open(folder.path().join("new/flip-000007.png")).expect("written");
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
        reader.next_frame(&mut rgb).expect("one picture");
        assert_eq!(rgb, [0x30, 0x20, 0x10, 0x03, 0x02, 0x01]);
    }
}
