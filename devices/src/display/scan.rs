//! What a latched commit shows: its planes, their lists, and the picture that is made of them.

use serde::{Deserialize, Serialize};

use super::color::ColorRegs;
use super::compose::{self, Fetched};
use super::format::Format;
use super::layer::{FetchError, Layer};
use super::plane::{PlaneRegs, Planes, from_below};
use super::registers::{ErrorBits, PLANES, Size};
use super::state::Offered;
use super::writeback::WritebackRegs;
use crate::ports::{Iova, Ports};
use crate::sg::SgList;

/// The registers that a commit takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// `PLANE_*`.
    pub planes: Planes,
    /// `COLOR_*` and `GAMMA`.
    pub color: ColorRegs,
    /// `WRITEBACK_*`.
    pub writeback: WritebackRegs,
}

impl Staged {
    /// Whether a commit of these is accepted while the mode has an `active` area.
    pub fn is_valid(&self, active: Size) -> bool {
        self.planes.iter().enumerate().all(|(index, plane)| plane.is_valid(index))
            && self.writeback.is_valid(active)
    }

    /// Whether only the primary plane's buffer is another than in `shown`, and nothing is written.
    pub fn is_flip_of(&self, shown: &Shown) -> bool {
        let writeback = WritebackRegs { on: false, ..self.writeback };
        let mut like = Staged { planes: shown.planes, color: shown.color, writeback };
        if let (Some(to), Some(from)) = (like.planes.first_mut(), self.planes.first()) {
            (to.table, to.entries, to.offset_bytes) = (from.table, from.entries, from.offset_bytes);
        }
        like == *self
    }
}

/// A latched commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its registers.
    pub planes: Planes,
    /// Its colours.
    pub color: ColorRegs,
    /// The lists of each plane, once read.
    pub lists: [Lists; PLANES],
    /// What the host has been given of it.
    pub offered: Offered,
}

/// The lists of a plane, once read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// Of its pixels, or their luma.
    pub pixels: Option<SgList>,
    /// Of its chroma, if that has a buffer of its own.
    pub chroma: Option<SgList>,
}

/// What was fetched of a plane, kept so that it need not be allocated for each frame.
#[derive(Default)]
pub(super) struct Scratch {
    pixels: Vec<u8>,
    chroma: Vec<u8>,
}

impl Lists {
    /// Whether they cover the plane, as far as they are read.
    fn cover(&self, plane: &PlaneRegs) -> bool {
        let covered = |layer: Option<Layer>, list: &Option<SgList>| match (layer, list) {
            (Some(layer), Some(list)) => layer.is_covered_by(list),
            _ => true,
        };
        let chroma = if plane.chroma.entries == 0 { &self.pixels } else { &self.chroma };
        covered(plane.pixel_layer(), &self.pixels) && covered(plane.chroma_layer(), chroma)
    }

    fn fetch(&mut self, plane: &PlaneRegs, ports: &mut Ports<'_>) -> Result<(), FetchError> {
        let mut read = |table: u64, entries: u32| {
            SgList::fetch(Iova(table), entries, ports)
                .map_err(|error| FetchError::new(ErrorBits::TABLE, error))
        };
        let mut lists = Lists { pixels: Some(read(plane.table, plane.entries)?), chroma: None };
        if plane.chroma_layer().is_some() && plane.chroma.entries != 0 {
            lists.chroma = Some(read(plane.chroma.table, plane.chroma.entries)?);
        }
        if !lists.cover(plane) {
            return Err(FetchError { bit: ErrorBits::TABLE, iova: None });
        }
        *self = lists;
        Ok(())
    }
}

impl Shown {
    /// A commit that was latched just now.
    pub fn new(Staged { planes, color, .. }: Staged) -> Self {
        Shown { planes, color, lists: Default::default(), offered: Offered::Nothing }
    }

    fn on(&self) -> impl Iterator<Item = (&PlaneRegs, &Lists)> {
        self.planes.iter().zip(&self.lists).filter(|(plane, _)| plane.on)
    }

    /// Whether the lists that were read cover their planes.
    pub fn is_covered(&self) -> bool {
        self.on().all(|(plane, lists)| lists.cover(plane))
    }

    /// Bytes that are read for a frame.
    pub fn span_bytes(&self) -> u64 {
        self.on().fold(0, |bytes, (plane, _)| bytes.saturating_add(plane.span_bytes()))
    }

    /// Whether a plane shows another buffer, or another part of it, than in `before`.
    pub fn differs(&self, before: &Shown) -> bool {
        let place = |plane: &PlaneRegs| (plane.on, plane.table, plane.offset_bytes, plane.crop);
        self.planes.iter().map(place).ne(before.planes.iter().map(place))
    }

    /// Reads the lists that were not read yet.
    pub fn fetch_lists(&mut self, ports: &mut Ports<'_>) -> Result<(), FetchError> {
        let planes = self.planes.iter().zip(&mut self.lists);
        for (plane, lists) in planes.filter(|(plane, lists)| plane.on && lists.pixels.is_none()) {
            lists.fetch(plane, ports)?;
        }
        Ok(())
    }

    /// Reads the planes and makes `picture` of them, which is `active` large.
    pub(super) fn compose(
        &self,
        active: Size,
        picture: &mut [u8],
        scratch: &mut Scratch,
        ports: &mut Ports<'_>,
    ) -> Result<(), FetchError> {
        let stack = from_below(&self.planes);
        let mut above = stack.as_slice();
        match stack.split_first() {
            Some((&(index, lowest), rest)) if lowest.fills(active) => {
                above = rest;
                self.fetch_whole(index, picture, ports)?;
            }
            _ => picture.fill(0),
        }
        for &(index, plane) in above {
            if let (Some(format), Some(lists)) = (Format::of(plane.format), self.lists.get(index)) {
                let fetched = scratch.fetch(plane, lists, ports)?;
                compose::put(plane, format, &fetched, picture, active);
            }
        }
        self.color.apply(picture);
        Ok(())
    }

    /// A plane that is the whole picture needs no copy.
    fn fetch_whole(&self, index: usize, picture: &mut [u8], ports: &mut Ports<'_>) -> Result<(), FetchError> {
        let layer = self.planes.get(index).and_then(PlaneRegs::pixel_layer);
        let list = self.lists.get(index).and_then(|lists| lists.pixels.as_ref());
        if let (Some(layer), Some(list)) = (layer, list) {
            layer.fetch(list, picture, ports)?;
        }
        for pixel in picture.chunks_exact_mut(4) {
            if let Some(padding) = pixel.last_mut() {
                *padding = 0;
            }
        }
        Ok(())
    }
}

impl Scratch {
    fn fetch(
        &mut self,
        plane: &PlaneRegs,
        lists: &Lists,
        ports: &mut Ports<'_>,
    ) -> Result<Fetched<'_>, FetchError> {
        let chroma_list = if plane.chroma.entries == 0 { &lists.pixels } else { &lists.chroma };
        let pixel_row = fetch_layer(plane.pixel_layer(), &lists.pixels, &mut self.pixels, ports)?;
        let chroma_row = fetch_layer(plane.chroma_layer(), chroma_list, &mut self.chroma, ports)?;
        Ok(Fetched { pixels: &self.pixels, pixel_row, chroma: &self.chroma, chroma_row })
    }
}

/// Reads a layer, if there is one, and tells the length of its lines.
fn fetch_layer(
    layer: Option<Layer>,
    list: &Option<SgList>,
    packed: &mut Vec<u8>,
    ports: &mut Ports<'_>,
) -> Result<usize, FetchError> {
    let (Some(layer), Some(list)) = (layer, list) else {
        packed.clear();
        return Ok(0);
    };
    packed.resize(layer.packed_bytes(), 0);
    layer.fetch(list, packed, ports)?;
    Ok(layer.row_bytes as usize)
}
