//! A plane: its registers, and which of them a commit takes.

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::layer::Layer;
use super::registers::{Blend, Color, MAX_SIDE_PX, PLANES, Point, Reg, Size};
use crate::registers::Half;
use crate::sg::SG_MAX_ENTRIES;

/// Alignment of a list's address.
const TABLE_ALIGN: u64 = 16;
/// The overlay that can be of another size on the screen than in memory.
const SCALING_PLANE: usize = 2;
/// The plane of the pointer.
const CURSOR_PLANE: usize = 3;
/// The sides that a cursor can have.
const CURSOR_SIDE_PX: std::ops::RangeInclusive<u16> = 64..=256;
/// How many times larger or smaller a side is on the screen at most.
const MAX_SCALE: u32 = 8;

/// The registers of all planes.
pub type Planes = [PlaneRegs; PLANES];

/// The registers of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneRegs {
    /// `PLANE_CONTROL` bit 0.
    pub on: bool,
    /// `PLANE_FORMAT`.
    pub format: u32,
    /// `PLANE_TABLE`.
    pub table: u64,
    /// `PLANE_ENTRIES`.
    pub entries: u32,
    /// `PLANE_OFFSET`.
    pub offset_bytes: u32,
    /// `PLANE_PITCH`.
    pub pitch_bytes: u32,
    /// `PLANE_SIZE`.
    pub size: Size,
    /// `PLANE_CROP`.
    pub crop: Point<u16>,
    /// `PLANE_POSITION`.
    pub position: Point<i16>,
    /// `PLANE_SCREEN_SIZE`.
    pub screen_size: Size,
    /// `PLANE_BLEND`.
    pub blend: Blend,
    /// `PLANE_COLOR`.
    pub color: Color,
    /// `PLANE_ORDER`.
    pub order: u8,
    /// `PLANE_FILTER` bit 0.
    pub nearest: bool,
    /// `PLANE_CHROMA_*`.
    pub chroma: ChromaRegs,
}

/// Where the chroma is that has lines of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChromaRegs {
    /// `PLANE_CHROMA_TABLE`.
    pub table: u64,
    /// `PLANE_CHROMA_ENTRIES`; zero if it is in the buffer of the luma.
    pub entries: u32,
    /// `PLANE_CHROMA_OFFSET`.
    pub offset_bytes: u32,
    /// `PLANE_CHROMA_PITCH`.
    pub pitch_bytes: u32,
}

impl Default for PlaneRegs {
    fn default() -> Self {
        PlaneRegs {
            on: false,
            format: 0,
            table: 0,
            entries: 0,
            offset_bytes: 0,
            pitch_bytes: 0,
            size: Size::default(),
            crop: Point::default(),
            position: Point::default(),
            screen_size: Size::default(),
            blend: Blend::RESET,
            color: Color::empty(),
            order: 0,
            nearest: false,
            chroma: ChromaRegs::default(),
        }
    }
}

impl PlaneRegs {
    /// What a register of it holds; none if it is none of a plane's.
    pub(super) fn register(&self, register: Reg) -> Option<u64> {
        let word = match register {
            Reg::PlaneTable => return Some(self.table),
            Reg::PlaneChromaTable => return Some(self.chroma.table),
            Reg::PlaneControl => u32::from(self.on),
            Reg::PlaneFormat => self.format,
            Reg::PlaneEntries => self.entries,
            Reg::PlaneOffset => self.offset_bytes,
            Reg::PlanePitch => self.pitch_bytes,
            Reg::PlaneSize => self.size.bits(),
            Reg::PlaneCrop => self.crop.bits(),
            Reg::PlanePosition => self.position.bits(),
            Reg::PlaneScreenSize => self.screen_size.bits(),
            Reg::PlaneBlend => self.blend.bits(),
            Reg::PlaneColor => self.color.bits(),
            Reg::PlaneOrder => self.order.into(),
            Reg::PlaneFilter => u32::from(self.nearest),
            Reg::PlaneChromaEntries => self.chroma.entries,
            Reg::PlaneChromaOffset => self.chroma.offset_bytes,
            Reg::PlaneChromaPitch => self.chroma.pitch_bytes,
            _ => return None,
        };
        Some(word.into())
    }

    /// Writes half of a register of it.
    pub(super) fn write(&mut self, register: Reg, half: Half, value: u32) {
        match register {
            Reg::PlaneTable => self.table = half.put(self.table, value),
            Reg::PlaneChromaTable => self.chroma.table = half.put(self.chroma.table, value),
            Reg::PlaneControl => self.on = value != 0,
            Reg::PlaneFormat => self.format = value,
            Reg::PlaneEntries => self.entries = value,
            Reg::PlaneOffset => self.offset_bytes = value,
            Reg::PlanePitch => self.pitch_bytes = value,
            Reg::PlaneSize => self.size = Size::from_bits(value),
            Reg::PlaneCrop => self.crop = Point::<u16>::from_bits(value),
            Reg::PlanePosition => self.position = Point::<i16>::from_bits(value),
            Reg::PlaneScreenSize => self.screen_size = Size::from_bits(value),
            Reg::PlaneBlend => self.blend = Blend::from_bits(value),
            Reg::PlaneColor => self.color = Color::from_bits_truncate(value),
            Reg::PlaneOrder => self.order = value as u8,
            Reg::PlaneFilter => self.nearest = value != 0,
            Reg::PlaneChromaEntries => self.chroma.entries = value,
            Reg::PlaneChromaOffset => self.chroma.offset_bytes = value,
            Reg::PlaneChromaPitch => self.chroma.pitch_bytes = value,
            _ => {}
        }
    }

    /// Whether a commit of these as plane `index` is accepted (docs/display.md, "Planes and commits").
    pub fn is_valid(&self, index: usize) -> bool {
        let format = Format::of(self.format).filter(|&format| takes(index, format));
        !self.on
            || (format.is_some()
                && self.sizes_are_valid(index)
                && self.blend.mode <= Blend::COVERAGE
                && is_list(self.table, self.entries)
                && (self.chroma.entries == 0
                    || self.chroma_layer().is_none()
                    || is_list(self.chroma.table, self.chroma.entries))
                && self.layers().all(|layer| layer.is_valid()))
    }

    fn sizes_are_valid(&self, index: usize) -> bool {
        let (size, screen) = (self.size, self.size_on_screen());
        let sides = if index == CURSOR_PLANE { CURSOR_SIDE_PX } else { 1..=MAX_SIDE_PX };
        let scales = |from: u16, to: u16| {
            let (from, to) = (u32::from(from), u32::from(to));
            (1..=u32::from(MAX_SIDE_PX)).contains(&to)
                && to <= from.saturating_mul(MAX_SCALE)
                && from <= to.saturating_mul(MAX_SCALE)
        };
        sides.contains(&size.width_px)
            && sides.contains(&size.height_px)
            && (screen == size
                || (index == SCALING_PLANE
                    && scales(size.width_px, screen.width_px)
                    && scales(size.height_px, screen.height_px)))
    }

    /// The rectangle that it has on the screen.
    pub fn size_on_screen(&self) -> Size {
        if self.screen_size == Size::default() { self.size } else { self.screen_size }
    }

    /// Where its pixels, or their luma, lie in their buffer.
    pub fn pixel_layer(&self) -> Option<Layer> {
        let layout = Format::of(self.format)?.layout();
        Some(Layer::new(layout, self.crop, self.size, self.offset_bytes, self.pitch_bytes))
    }

    /// Where its chroma lies, if that has lines of its own.
    pub fn chroma_layer(&self) -> Option<Layer> {
        let layout = Format::of(self.format)?.chroma_layout()?;
        let ChromaRegs { offset_bytes, pitch_bytes, .. } = self.chroma;
        Some(Layer::new(layout, self.crop, self.size, offset_bytes, pitch_bytes))
    }

    fn layers(&self) -> impl Iterator<Item = Layer> {
        self.pixel_layer().into_iter().chain(self.chroma_layer())
    }

    /// Bytes that are read for a frame.
    pub fn span_bytes(&self) -> u64 {
        self.layers().fold(0, |bytes, layer| bytes.saturating_add(layer.span_bytes()))
    }

    /// Whether it is what the screen shows, pixel by pixel, if nothing lies above it.
    pub fn fills(&self, active: Size) -> bool {
        Format::of(self.format) == Some(Format::Xrgb8888)
            && self.size == active
            && self.size_on_screen() == active
            && self.position == Point::default()
            && self.blend.alpha == u8::MAX
    }
}

fn takes(index: usize, format: Format) -> bool {
    index != CURSOR_PLANE || format == Format::Argb8888
}

/// Whether a list can be there.
pub(super) fn is_list(table: u64, entries: u32) -> bool {
    table % TABLE_ALIGN == 0 && (1..=SG_MAX_ENTRIES).contains(&entries)
}

/// The planes that are on, with their numbers, the lowest first.
pub(super) fn from_below(planes: &Planes) -> Vec<(usize, &PlaneRegs)> {
    let mut stack: Vec<_> = planes.iter().enumerate().filter(|(_, plane)| plane.on).collect();
    stack.sort_by_key(|(_, plane)| plane.order);
    stack
}
