//! The colours of the whole picture: a matrix and a table, which come behind the planes.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// `COLOR_CONTROL`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct ColorControl: u32 {
        /// `COLOR_MATRIX` is used.
        const MATRIX = 1 << 0;
        /// `GAMMA` is used, behind it.
        const GAMMA = 1 << 1;
    }
}

/// How many coefficients a matrix has.
pub(super) const COEFFICIENTS: usize = 9;
/// How many entries the table has: one for each value of a colour.
pub(super) const ENTRIES: usize = 256;
/// The table is kept in rows of this length.
const ROW: usize = 16;
/// Half a step of a coefficient.
const ONE_HALF: i64 = 1 << 15;

/// The registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColorRegs {
    /// `COLOR_CONTROL`.
    pub control: ColorControl,
    /// `COLOR_MATRIX`: a row for red, green and blue each, in 65536ths.
    pub matrix: [i32; COEFFICIENTS],
    /// `GAMMA`: 8 bits of red, green and blue each, from the highest.
    gamma: [[u32; ROW]; ENTRIES / ROW],
}

impl ColorRegs {
    /// Entry `index` of the table.
    pub fn gamma(&self, index: usize) -> u32 {
        self.gamma.as_flattened().get(index).copied().unwrap_or(0)
    }

    /// Writes entry `index` of the table.
    pub fn set_gamma(&mut self, index: usize, value: u32) {
        if let Some(entry) = self.gamma.as_flattened_mut().get_mut(index) {
            *entry = value;
        }
    }

    /// Whether a picture can be another after [`apply`](Self::apply).
    pub fn changes_any(&self) -> bool {
        self.control.intersects(ColorControl::MATRIX | ColorControl::GAMMA)
    }

    /// Changes a picture of bytes B, G, R and one that is left alone.
    pub fn apply(&self, picture: &mut [u8]) {
        if self.control.contains(ColorControl::MATRIX) {
            for pixel in picture.chunks_exact_mut(4) {
                self.multiply(pixel);
            }
        }
        if self.control.contains(ColorControl::GAMMA) {
            let [blue, green, red] = [0, 8, 16].map(|shift| self.table(shift));
            for pixel in picture.chunks_exact_mut(4) {
                for (value, table) in pixel.iter_mut().zip([&blue, &green, &red]) {
                    *value = table.get(usize::from(*value)).copied().unwrap_or(0);
                }
            }
        }
    }

    fn table(&self, shift: u32) -> [u8; ENTRIES] {
        std::array::from_fn(|index| (self.gamma(index) >> shift) as u8)
    }

    fn multiply(&self, pixel: &mut [u8]) {
        let &mut [blue, green, red, _] = pixel else { return };
        let rgb = [red, green, blue].map(i64::from);
        let rows = self.matrix.chunks_exact(3);
        for (value, row) in pixel.iter_mut().take(3).rev().zip(rows) {
            let products =
                row.iter().zip(rgb).map(|(factor, colour)| i64::from(*factor).wrapping_mul(colour));
            let sum = products.fold(ONE_HALF, i64::wrapping_add);
            *value = (sum >> 16).clamp(0, 255) as u8;
        }
    }
}
