//! What was fetched of the planes, kept from frame to frame: a page that nobody wrote meanwhile is not copied again, and a
//! picture that was made of the same bytes by the same registers is not made again.

use super::color::ColorRegs;
use super::compose::Fetched;
use super::layer::{FetchError, Layer};
use super::making::SUM_BYTES;
use super::plane::Planes;
use super::registers::{PLANES, Size};
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
    /// They are the picture itself: nothing is above them, and what is no colour is cleared.
    is_picture: bool,
}

impl Bytes {
    /// Holds what bytes `at..to` of the span of `layer` of `list` have, or nothing; tells whether it is what was held before.
    fn fetch(
        &mut self,
        place: Option<(Layer, &SgList)>,
        (at, to): (u64, u64),
        ports: &mut Ports<'_>,
    ) -> Result<Kept, FetchError> {
        let Some((layer, list)) = place else {
            let kept = if self.layer.is_none() { Kept::Yes } else { Kept::No };
            *self = Bytes::default();
            return Ok(kept);
        };
        if at == 0 {
            self.seen.rewind();
        }
        if self.layer != Some(layer) {
            self.seen.forget();
            self.layer = Some(layer);
            self.resize(layer.packed_bytes());
        }
        layer.fetch(list, (at, to), (&mut self.packed, self.is_picture), &mut self.seen, ports)
    }

    /// From now on they are the picture itself, or not: what was held as the other is read anew.
    fn set_picture(&mut self, is_picture: bool) {
        if self.is_picture != is_picture {
            self.seen = Seen::default();
            self.is_picture = is_picture;
        }
    }

    /// How many bytes there are when byte `at` of the span is next.
    fn before(&self, at: u64) -> usize {
        self.layer.map_or(0, |layer| layer.packed_before(at)).min(self.packed.len())
    }

    /// Makes room for so many bytes. Those that are new come from the host when they are first written.
    fn resize(&mut self, len: usize) {
        if self.packed.len() != len {
            self.packed = vec![0; len];
        }
    }
}

/// What is kept of one plane.
#[derive(Default)]
pub(super) struct KeptPlane {
    pixels: Bytes,
    chroma: Bytes,
}

impl KeptPlane {
    fn layer(&mut self, which: Which) -> &mut Bytes {
        match which {
            Which::Pixels => &mut self.pixels,
            Which::Chroma => &mut self.chroma,
        }
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

/// What a picture was made by.
struct Made {
    planes: Planes,
    color: ColorRegs,
    active: Size,
}

/// What is kept of a head's planes and of its picture. It is no state: without it a frame is the same, but takes longer.
#[derive(Default)]
pub(super) struct KeptFrame {
    planes: [KeptPlane; PLANES],
    made: Option<Made>,
    /// The CRC of the picture as far as that is known: that of its first piece, of its first two, and so on.
    sums: Vec<u32>,
    /// The plane whose pixels, as they are held, are the picture.
    whole: Option<usize>,
    /// Some of it was read before this display was restored.
    is_foreign: bool,
}

/// The layers of a plane, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Pixels, or their luma.
    Pixels,
    /// Chroma that has lines of its own.
    Chroma,
}

impl KeptFrame {
    /// Reads a piece of a layer of plane `index`, bytes `at..to` of its span. If its pixels `are_all` that is shown, they become the
    /// picture where they are, and the CRC of what is there is worked out while the host has it at hand.
    pub fn fetch(
        &mut self,
        (index, which): (usize, Which),
        place: Option<(Layer, &SgList)>,
        (at, to): (u64, u64),
        are_all: bool,
        ports: &mut Ports<'_>,
    ) -> Result<(), FetchError> {
        let Some(kept) = self.planes.get_mut(index) else { return Ok(()) };
        let is_picture = are_all && which == Which::Pixels && !self.is_foreign;
        let bytes = kept.layer(which);
        bytes.set_picture(is_picture);
        if bytes.fetch(place, (at, to), ports)? == Kept::No {
            let from = bytes.before(at);
            self.made = None;
            self.sums.truncate(if is_picture { from / SUM_BYTES } else { 0 });
        }
        if is_picture {
            self.whole = Some(index);
            let end = bytes.before(to);
            self.sum_to(index, end);
        }
        Ok(())
    }

    /// Works out the CRC of the pieces that end at byte `end` of the picture or before.
    fn sum_to(&mut self, index: usize, end: usize) {
        let Some(kept) = self.planes.get(index) else { return };
        let picture = &kept.pixels.packed;
        loop {
            let from = self.sums.len().saturating_mul(SUM_BYTES);
            let to = from.saturating_add(SUM_BYTES).min(picture.len());
            if from >= to || to > end {
                return;
            }
            let piece = picture.get(from..to).unwrap_or_default();
            self.sums.push(crc_of(self.sums.last().copied().unwrap_or(0), piece));
        }
    }

    /// The picture, if it is pixels as they were read.
    pub fn picture(&self) -> Option<&[u8]> {
        self.planes.get(self.whole?).map(|plane| plane.pixels.packed.as_slice())
    }

    /// So many of the bytes that were read of the layers of each plane.
    pub fn save(&self, lengths: impl Iterator<Item = [usize; 2]>) -> Vec<[Vec<u8>; 2]> {
        let first = |bytes: &Bytes, length: usize| bytes.packed.get(..length).unwrap_or_default().to_vec();
        let planes = self.planes.iter().zip(lengths);
        planes
            .map(|(plane, [pixels, chroma])| [first(&plane.pixels, pixels), first(&plane.chroma, chroma)])
            .collect()
    }

    /// What another display had read of the layers of `planes` when it was saved. Where that was in memory is not known.
    pub fn restore(planes: &Planes, bytes: Vec<[Vec<u8>; 2]>) -> Self {
        let mut kept = KeptFrame { is_foreign: true, ..KeptFrame::default() };
        for ((kept, plane), [pixels, chroma]) in kept.planes.iter_mut().zip(planes).zip(bytes) {
            let held = |layer: Option<Layer>, mut packed: Vec<u8>| match layer.filter(|_| !packed.is_empty())
            {
                Some(layer) => {
                    packed.resize(layer.packed_bytes(), 0);
                    Bytes { layer: Some(layer), packed, ..Bytes::default() }
                }
                None => Bytes::default(),
            };
            (kept.pixels, kept.chroma) =
                (held(plane.pixel_layer(), pixels), held(plane.chroma_layer(), chroma));
        }
        kept
    }

    /// What was read of plane `index`.
    pub fn plane(&self, index: usize) -> Option<Fetched<'_>> {
        self.planes.get(index).map(KeptPlane::fetched)
    }

    /// Whether the picture was made by these registers of what is held.
    pub fn was_made_by(&self, planes: &Planes, color: &ColorRegs, active: Size) -> bool {
        let like = |made: &Made| made.planes == *planes && made.color == *color && made.active == active;
        self.made.as_ref().is_some_and(like)
    }

    /// The picture was made by these registers of the planes that were read.
    pub fn made(&mut self, planes: Planes, color: ColorRegs, active: Size) {
        if self.is_foreign {
            *self = KeptFrame::default();
            return;
        }
        self.made = Some(Made { planes, color, active });
        let mut room = KEPT_BYTES_MAX;
        for (kept, plane) in self.planes.iter_mut().zip(&planes) {
            match room.checked_sub(kept.len()) {
                Some(rest) if plane.on => room = rest,
                _ => *kept = KeptPlane::default(),
            }
        }
    }

    /// The picture is about to be another than was made.
    pub fn unmade(&mut self) {
        self.made = None;
        self.whole = None;
        self.sums.clear();
    }

    /// Nobody goes on with what was read.
    pub fn spoil(&mut self) {
        self.unmade();
        if self.is_foreign {
            *self = KeptFrame::default();
        }
    }

    /// The CRC of the picture up to byte `to`; its last piece begins at `from`, and the CRC of those before is `before`. It was
    /// `composed`, unless it is pixels as they were read.
    pub fn sum(&mut self, (from, to): (usize, usize), before: u32, composed: &[u8]) -> u32 {
        let number = from / SUM_BYTES;
        if let Some(&sum) = self.sums.get(number) {
            return sum;
        }
        let picture = self.picture().unwrap_or(composed);
        let sum = crc_of(before, picture.get(from..to).unwrap_or_default());
        if self.made.is_some() && self.sums.len() == number {
            self.sums.push(sum);
        }
        sum
    }
}

/// The CRC of bytes behind others, whose CRC is `before`.
fn crc_of(before: u32, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(before);
    sum.update(bytes);
    sum.finalize()
}
