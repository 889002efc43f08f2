//! What was fetched of the planes, kept from frame to frame: a page that nobody wrote meanwhile is not copied again, and a
//! picture that was made of the same bytes by the same registers is not made again.

use super::color::ColorRegs;
use super::compose::Fetched;
use super::layer::{FetchError, Layer};
use super::plane::{PlaneRegs, Planes};
use super::registers::{PLANES, Size};
use super::scan::Lists;
use crate::ports::{Kept, Ports, Seen};
use crate::sg::SgList;

/// The most bytes of planes that are kept from one frame to the next; what is beyond is fetched anew.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Bytes of a layer, lines without gaps, and where they came from.
#[derive(Default)]
struct Bytes {
    layer: Option<Layer>,
    packed: Vec<u8>,
    seen: Seen,
}

impl Bytes {
    /// Holds what `layer` of `list` has, or nothing; tells whether it is what was held before.
    fn fetch(
        &mut self,
        layer: Option<Layer>,
        list: &Option<SgList>,
        ports: &mut Ports<'_>,
    ) -> Result<Kept, FetchError> {
        let (Some(layer), Some(list)) = (layer, list) else {
            let kept = if self.layer.is_none() { Kept::Yes } else { Kept::No };
            *self = Bytes::default();
            return Ok(kept);
        };
        self.seen.rewind();
        if self.layer != Some(layer) {
            self.seen.forget();
            self.layer = Some(layer);
            self.packed.resize(layer.packed_bytes(), 0);
        }
        layer.fetch(list, &mut self.packed, &mut self.seen, ports)
    }
}

/// What is kept of one plane.
#[derive(Default)]
pub(super) struct KeptPlane {
    pixels: Bytes,
    chroma: Bytes,
}

impl KeptPlane {
    /// Reads a plane; tells whether it is what was held before.
    fn fetch(&mut self, plane: &PlaneRegs, lists: &Lists, ports: &mut Ports<'_>) -> Result<Kept, FetchError> {
        let chroma_list = if plane.chroma.entries == 0 { &lists.pixels } else { &lists.chroma };
        let pixels = self.pixels.fetch(plane.pixel_layer(), &lists.pixels, ports)?;
        let chroma = self.chroma.fetch(plane.chroma_layer(), chroma_list, ports)?;
        Ok(if pixels == Kept::Yes { chroma } else { Kept::No })
    }

    /// Its bytes.
    pub fn fetched(&self) -> Fetched<'_> {
        let row = |bytes: &Bytes| bytes.layer.map_or(0, |layer| layer.row_bytes as usize);
        Fetched {
            pixels: &self.pixels.packed,
            pixel_row: row(&self.pixels),
            chroma: &self.chroma.packed,
            chroma_row: row(&self.chroma),
        }
    }

    fn len(&self) -> usize {
        self.pixels.packed.len().saturating_add(self.chroma.packed.len())
    }
}

/// What a picture was made by, and its CRC once that is known.
struct Made {
    planes: Planes,
    color: ColorRegs,
    active: Size,
    crc: Option<u32>,
}

/// What is kept of a head's planes and of its picture. It is no state: without it a frame is the same, but takes longer.
#[derive(Default)]
pub(super) struct KeptFrame {
    planes: [KeptPlane; PLANES],
    made: Option<Made>,
}

impl KeptFrame {
    /// Reads the planes of `stack`; tells whether all are what they were.
    pub fn fetch(
        &mut self,
        stack: &[(usize, &PlaneRegs)],
        lists: &[Lists; PLANES],
        ports: &mut Ports<'_>,
    ) -> Result<Kept, FetchError> {
        let mut all = Kept::Yes;
        for &(index, plane) in stack {
            if let (Some(kept), Some(lists)) = (self.planes.get_mut(index), lists.get(index))
                && kept.fetch(plane, lists, ports)? == Kept::No
            {
                all = Kept::No;
            }
        }
        Ok(all)
    }

    /// What was read of plane `index`.
    pub fn plane(&self, index: usize) -> Option<Fetched<'_>> {
        self.planes.get(index).map(KeptPlane::fetched)
    }

    /// Whether the picture was made by these registers.
    pub fn was_made_by(&self, planes: &Planes, color: &ColorRegs, active: Size) -> bool {
        let like = |made: &Made| made.planes == *planes && made.color == *color && made.active == active;
        self.made.as_ref().is_some_and(like)
    }

    /// The picture was made by these registers of the planes that were read.
    pub fn made(&mut self, planes: Planes, color: ColorRegs, active: Size) {
        self.made = Some(Made { planes, color, active, crc: None });
        let mut room = KEPT_BYTES_MAX;
        for (kept, plane) in self.planes.iter_mut().zip(&planes) {
            match room.checked_sub(kept.len()) {
                Some(rest) if plane.on => room = rest,
                _ => *kept = KeptPlane::default(),
            }
        }
    }

    /// The picture is another than was made.
    pub fn spoil(&mut self) {
        self.made = None;
    }

    /// The CRC of the picture, which `work_out` works out where it is not known.
    pub fn crc(&mut self, work_out: impl FnOnce() -> u32) -> u32 {
        match &mut self.made {
            Some(made) => *made.crc.get_or_insert_with(work_out),
            None => work_out(),
        }
    }
}
