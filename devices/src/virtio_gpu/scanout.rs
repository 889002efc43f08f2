//! Scan-outs: what is shown of which resource, and the picture that the host was shown last.

use fencepost_trace::Event;
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, lift};
use super::pixels::{Format, PIXEL_BYTES};
use super::resource::{Resource, picture_bytes};
use super::wire::{Rect, Refusal};
use crate::crc::{crc32, crc32_of_zeros};
use crate::display::{PictureSink, Scanned};
use crate::ports::{Dma, Ports};

/// What a scan-out shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The resource.
    pub resource: u32,
    /// Which part of it.
    pub rect: Rect,
    /// Its format.
    pub format: Format,
    /// Bytes from one row to the next.
    pub stride: u32,
    /// Where the row above all others begins.
    pub offset: u64,
    /// Nothing of it was shown yet.
    pub is_new: bool,
}

impl View {
    /// What a flush of `rect` of the resource changes of what is shown: all of it, when nothing was shown yet.
    pub fn changed(&self, rect: &Rect) -> Option<Rect> {
        if self.is_new { Some(self.rect) } else { self.rect.and(rect) }
    }

    /// Where pixel (`x`, `y`) of the resource is.
    fn place(&self, x: u32, y: u32) -> u64 {
        let row = u64::from(self.stride).saturating_mul(y.into());
        self.offset.saturating_add(row).saturating_add(picture_bytes(x, 1))
    }
}

/// A scan-out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanout {
    /// What it shows; none if it is off.
    pub view: Option<View>,
    /// The picture without the cursor: blue, green, red, 0, rows without gaps.
    pub picture: Vec<u8>,
    /// The cursor.
    pub cursor: Cursor,
    /// Pictures that the host was shown.
    pub shown: u64,
    /// Of these, those that brought something new: all but those that show the cursor alone anew.
    pub flips: u64,
    /// CRC-32 of the last one.
    pub crc: u32,
    /// Width and height that the host prefers; zero: the monitor is not there.
    pub preferred: (u32, u32),
}

impl Scanout {
    /// Fetches `part` of the resource, which is in the view.
    pub fn fetch(&mut self, part: &Rect, resource: &Resource, dma: &mut dyn Dma) -> Result<(), Refusal> {
        let Some(view) = &self.view else { return Ok(()) };
        let row = picture_bytes(part.width, 1) as usize;
        for y in part.y..part.y.saturating_add(part.height) {
            let (column, line) = (part.x.saturating_sub(view.rect.x), y.saturating_sub(view.rect.y));
            let pixel = Rect { width: view.rect.width, height: line, ..Rect::default() }.area();
            let to = (pixel as usize).saturating_add(column as usize).saturating_mul(PIXEL_BYTES);
            if let Some(to) = self.picture.get_mut(to..to.saturating_add(row)) {
                resource.read(dma, view.place(part.x, y), to)?;
                view.format.to_xrgb(to);
            }
        }
        Ok(())
    }

    /// Makes room for a picture of so many bytes. They come from the host when they are first written.
    pub fn resize(&mut self, bytes: usize) {
        if self.picture.len() != bytes {
            self.picture = vec![0; bytes];
        }
    }

    /// Turns it off: what was shown becomes black, once.
    pub fn turn_off(&mut self, number: u32, sink: &mut dyn PictureSink, ports: &mut Ports<'_>) {
        let Some(view) = self.view.take() else { return };
        self.picture = vec![0; self.picture.len()];
        self.flips = self.flips.saturating_add(1);
        let crc = crc32_of_zeros(self.picture.len() as u64);
        self.send((number, crc), (view.rect.width, view.rect.height), true, sink, ports);
    }

    /// Shows the host what is new, with the cursor on it, as scan-out `number`.
    pub fn show(&mut self, number: u32, size: Size, sink: &mut dyn PictureSink, ports: &mut Ports<'_>) {
        self.flips = self.flips.saturating_add(1);
        self.show_with_cursor(number, size, true, sink, ports);
    }

    /// Shows it again if it is on and was shown, and looks different: the cursor is another or elsewhere.
    pub fn show_again(&mut self, number: u32, sink: &mut dyn PictureSink, ports: &mut Ports<'_>) {
        if let Some(View { rect, is_new: false, .. }) = self.view {
            self.show_with_cursor(number, (rect.width, rect.height), false, sink, ports);
        }
    }

    fn show_with_cursor(
        &mut self,
        number: u32,
        (width, height): Size,
        fresh: bool,
        sink: &mut dyn PictureSink,
        ports: &mut Ports<'_>,
    ) {
        // A copy of the picture would take longer than all else.
        let covered = self.cursor.draw(&mut self.picture, width, height);
        let crc = crc32(&self.picture);
        if fresh || crc != self.crc {
            self.send((number, crc), (width, height), fresh, sink, ports);
        }
        lift(&mut self.picture, &covered);
    }

    fn send(
        &mut self,
        (number, crc): (u32, u32),
        (width_px, height_px): Size,
        fresh: bool,
        sink: &mut dyn PictureSink,
        ports: &mut Ports<'_>,
    ) {
        (self.shown, self.crc) = (self.shown.saturating_add(1), crc);
        let (engine, frame, flip) = (ports.engine(super::core::ENGINE), self.shown, self.flips);
        ports.trace.record(Event::ScanOut { engine, frame, crc });
        let (now, xrgb) = (ports.clock.now(), &self.picture);
        sink.picture(&Scanned { scanout: number, frame, flip, fresh, crc, now, width_px, height_px, xrgb });
    }
}

/// Width and height in pixels.
type Size = (u32, u32);
