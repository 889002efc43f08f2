//! What a latched commit shows: its planes, their lists, and the picture that is made of them.

use serde::{Deserialize, Serialize};

use super::color::ColorRegs;
use super::compose::{self, Strip};
use super::format::Format;
use super::kept::{KeptFrame, Which};
use super::layer::{FetchError, Layer};
use super::plane::{PlaneRegs, Planes, from_below};
use super::raster::Mode;
use super::registers::{ErrorBits, PLANES, Size};
use super::state::Offered;
use super::vrr::VrrRegs;
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
    /// `VRR_*`.
    pub vrr: VrrRegs,
}

impl Staged {
    /// Whether a commit of these is accepted in `mode`.
    pub fn is_valid(&self, mode: &Mode) -> bool {
        self.planes.iter().enumerate().all(|(index, plane)| plane.is_valid(index))
            && self.writeback.is_valid(mode.active)
            && self.vrr.is_valid(mode)
    }

    /// Whether only the primary plane's buffer is another than in `shown`, and nothing is written.
    pub fn is_flip_of(&self, shown: &Shown) -> bool {
        let writeback = WritebackRegs { on: false, ..self.writeback };
        let mut like = Staged { planes: shown.planes, color: shown.color, writeback, vrr: shown.vrr };
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
    /// Whether its frames wait for a commit.
    pub vrr: VrrRegs,
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
    pub fn new(Staged { planes, color, vrr, .. }: Staged) -> Self {
        Shown { planes, color, vrr, lists: Default::default(), offered: Offered::Nothing }
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

    /// The list that has a layer of plane `index`.
    pub(super) fn list_of(&self, index: usize, which: Which) -> Option<&SgList> {
        let (plane, lists) = (self.planes.get(index)?, self.lists.get(index)?);
        match which {
            Which::Chroma if plane.chroma.entries != 0 => lists.chroma.as_ref(),
            _ => lists.pixels.as_ref(),
        }
    }

    /// Whether the picture is the pixels of a plane as they are.
    pub(super) fn is_one_plane(&self, active: Size) -> bool {
        let mut on = self.planes.iter().filter(|plane| plane.on);
        let (first, second) = (on.next(), on.next());
        second.is_none() && first.is_some_and(|plane| plane.fills(active)) && !self.color.changes_any()
    }

    /// Makes lines of the picture of the planes, which were read.
    pub(super) fn compose(&self, strip: &mut Strip<'_>, kept: &KeptFrame) {
        let stack = from_below(&self.planes);
        let whole =
            |(index, plane): (usize, &PlaneRegs)| kept.plane(index).filter(|_| plane.fills(strip.active));
        let mut above = stack.as_slice();
        match stack.split_first().and_then(|(&lowest, rest)| whole(lowest).zip(Some(rest))) {
            Some((fetched, rest)) => {
                above = rest;
                compose::put_whole(&fetched, strip);
            }
            None => strip.lines.fill(0),
        }
        for &(index, plane) in above {
            if let (Some(format), Some(fetched)) = (Format::of(plane.format), kept.plane(index)) {
                compose::put(plane, format, &fetched, strip);
            }
        }
        self.color.apply(strip.lines);
    }
}
