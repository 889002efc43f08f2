//! Whole files on their way into a folder: pictures, and the demo's copy of the console.

pub mod png;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fencepost_devices::pixel::xrgb8888_to_rgb;
use fencepost_report::whole;

use crate::allowance::Allowance;
use crate::control::Control;
use crate::error::plain;
use crate::frames::{Frame, write_rgb_png};
use crate::outlet::{Delivery, Finished, Full, Gate, Handle, Items, Load, Outlet};
use crate::sandbox::Role;
use crate::say;

/// Bytes that may wait: one picture of the largest size, or some fifty of 640x480.
const BOUND_BYTES: usize = 64 << 20;

/// What a file is to hold.
pub enum Content {
    /// A picture, as PNG: width and height in pixels, and red, green and blue of each pixel.
    Picture(u32, u32, Vec<u8>),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Content {
    /// The picture of `frame`.
    pub fn picture(frame: &Frame<'_>) -> Self {
        Content::Picture(frame.width, frame.height, xrgb8888_to_rgb(frame.pixels))
    }

    fn bytes(&self) -> usize {
        match self {
            Content::Picture(_, _, bytes) | Content::Bytes(bytes) => bytes.len(),
        }
    }

    /// What its file holds.
    fn encoded(&self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Content::Picture(width, height, rgb) => {
                let mut file = Vec::new();
                write_rgb_png(&mut file, (*width, *height), rgb)?;
                Ok(file.into())
            }
            Content::Bytes(bytes) => Ok(bytes.into()),
        }
    }

    /// Writes the file, if `allowance` has room for it.
    fn write(&self, path: &Path, allowance: &Allowance) -> io::Result<bool> {
        let bytes = self.encoded()?;
        if !allowance.take(bytes.len() as u64) {
            return Ok(false);
        }
        whole::write(path, &bytes)?;
        Ok(true)
    }
}

/// Why something was not written, and how many files.
#[derive(Debug, Default)]
struct Lost {
    error: Option<String>,
    files: u64,
}

/// The thread that writes files.
pub struct Files {
    name: String,
    outlet: Outlet<(PathBuf, Content), Lost>,
}

impl Files {
    /// Starts the thread for files that the user knows as `name`, which are within `allowance`.
    pub fn start(name: &str, control: &Arc<Control>, allowance: &Allowance) -> io::Result<Self> {
        let (gate, allowance) = (Gate::new(control, BOUND_BYTES), allowance.clone());
        Ok(Files {
            name: name.into(),
            outlet: Outlet::start((Role::Files, "files"), gate, move |items| write_items(items, &allowance))?,
        })
    }

    /// The way to the thread.
    pub fn shelf(&self, full: Full) -> Shelf {
        Shelf { handle: self.outlet.handle().clone(), full }
    }

    /// Its bound.
    pub fn gate(&self) -> &Arc<Gate> {
        self.outlet.gate()
    }

    /// Waits until all is written, as [`Outlet::finish`] does.
    pub fn finish(self) -> Delivery {
        let gate = Arc::clone(self.outlet.gate());
        let mut delivery = Delivery { name: self.name, unit: "files", ..Delivery::default() };
        match self.outlet.finish() {
            Finished::GivenUp(files) => (delivery.given_up, delivery.unwritten) = (true, files),
            Finished::Ended(Err(error)) => delivery.error = Some(plain(&error)),
            Finished::Ended(Ok(lost)) => (delivery.error, delivery.unwritten) = (lost.error, lost.files),
        }
        (delivery.dropped, delivery.beyond) = (gate.dropped(), gate.beyond());
        delivery
    }
}

/// Hands files to the thread.
#[derive(Clone)]
pub struct Shelf {
    handle: Handle<(PathBuf, Content)>,
    full: Full,
}

impl Shelf {
    /// Has the file `path` written. After the first that cannot be, none is.
    pub fn put(&self, path: PathBuf, content: Content) {
        let load = Load { bytes: content.bytes().max(1), units: 1 };
        // What is dropped is counted there.
        let _ = self.handle.put((path, content), load, self.full);
    }
}

fn write_items(items: &mut Items<(PathBuf, Content)>, allowance: &Allowance) -> Lost {
    let (mut lost, mut ended) = (Lost::default(), false);
    while let Some((path, content)) = items.next() {
        if ended {
            items.leave_out(1);
            continue;
        }
        let written = if lost.error.is_none() { content.write(&path, allowance) } else { Ok(true) };
        if let Ok(false) = written {
            ended = true;
            items.leave_out(1);
        }
        if let Err(error) = written {
            let error = format!("{}: {}", path.display(), plain(&error));
            say::line(format_args!("fencepost: {error}; no further files are written there"));
            lost.error = Some(error);
        }
        lost.files = lost.files.saturating_add(lost.error.is_some().into());
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_end_with_their_allowance() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let files = Files::start("the files", &Arc::default(), &Allowance::of(Some(4))).expect("a thread");
        let shelf = files.shelf(Full::Wait);
        for (name, text) in [("a", "123"), ("b", "45"), ("c", "6")] {
            shelf.put(folder.path().join(name), Content::Bytes(text.into()));
        }
        let delivery = files.finish();
        // Nothing follows a gap.
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
        assert_eq!((delivery.beyond, delivery.unwritten, delivery.failed()), (2, 0, false));
        assert_eq!(
            delivery.lines(),
            ["fencepost: the files: 2 files came beyond its bound and were left out"]
        );
    }

    #[test]
    fn files_are_written_in_order_and_the_first_that_cannot_be_is_the_last() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let files = Files::start("the files", &Arc::default(), &Allowance::default()).expect("a thread");
        let shelf = files.shelf(Full::Wait);
        for (name, text) in [("a", "1"), ("a", "2"), ("none/b", "3"), ("c", "4")] {
            shelf.put(folder.path().join(name), Content::Bytes(text.into()));
        }
        let delivery = files.finish();
        assert_eq!(std::fs::read(folder.path().join("a")).expect("written"), b"2");
        assert!(!folder.path().join("c").exists());
        assert_eq!((delivery.unwritten, delivery.dropped, delivery.failed()), (2, 0, true));
        assert!(delivery.lines()[0].contains("none/b: No such file"), "{delivery:?}");
    }
}
