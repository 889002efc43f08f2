//! What differs between two pictures of one screen.

use super::hub::Picture;

/// A part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first pixel of its rows.
    pub x: u32,
    /// Its first row.
    pub y: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Area {
    /// All of `picture`.
    pub fn whole(picture: &Picture) -> Self {
        Area { x: 0, y: 0, width: picture.width, height: picture.height }
    }

    /// The smallest area outside which `after` is `before`; all of it where they differ in size, none where in nothing.
    pub fn changed(before: &Picture, after: &Picture) -> Option<Self> {
        if (before.width, before.height) != (after.width, after.height) {
            return Some(Area::whole(after));
        }
        let row_bytes = (after.width as usize * 4).max(1);
        let rows = || before.xrgb.chunks_exact(row_bytes).zip(after.xrgb.chunks_exact(row_bytes));
        let first = rows().position(|(a, b)| a != b)?;
        let last = rows().rposition(|(a, b)| a != b)?;
        let pixels = |row: usize| {
            let bytes = row * row_bytes..(row + 1) * row_bytes;
            before.xrgb[bytes.clone()].chunks_exact(4).zip(after.xrgb[bytes].chunks_exact(4))
        };
        let (mut left, mut right) = (after.width as usize, 0);
        for row in first..=last {
            if let Some(at) = pixels(row).position(|(a, b)| a != b) {
                left = left.min(at);
                right = right.max(pixels(row).rposition(|(a, b)| a != b).unwrap_or(at));
            }
        }
        let [x, y, width, height] = [left, first, right - left + 1, last - first + 1].map(|it| it as u32);
        Some(Area { x, y, width, height })
    }

    /// Its pixels in `picture`, rows without gaps.
    pub fn pixels(&self, picture: &Picture) -> Vec<u8> {
        self.rows(picture).flatten().copied().collect()
    }

    /// Its rows in `picture`.
    pub fn rows<'p>(&self, picture: &'p Picture) -> impl Iterator<Item = &'p [u8]> + use<'p> {
        let row_bytes = (picture.width as usize * 4).max(1);
        let (from, to) = (self.x as usize * 4, (self.x + self.width) as usize * 4);
        let rows = picture.xrgb.chunks_exact(row_bytes).skip(self.y as usize).take(self.height as usize);
        rows.map(move |row| &row[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, xrgb: Vec<u8>) -> Picture {
        Picture { flip: 1, crc: 0, width, height: xrgb.len() as u32 / 4 / width, xrgb }
    }

    #[test]
    fn the_smallest_area_around_all_that_differs() {
        let before = picture(5, vec![0; 5 * 4 * 4]);
        let mut after = picture(5, vec![0; 5 * 4 * 4]);
        assert_eq!(Area::changed(&before, &after), None);
        // Blue of (3, 1) and red of (1, 2).
        after.xrgb[(5 + 3) * 4] = 7;
        after.xrgb[(10 + 1) * 4 + 2] = 9;
        let area = Area::changed(&before, &after).expect("they differ");
        assert_eq!(area, Area { x: 1, y: 1, width: 3, height: 2 });
        let mut expected = vec![0; 3 * 2 * 4];
        expected[2 * 4] = 7;
        expected[3 * 4 + 2] = 9;
        assert_eq!(area.pixels(&after), expected);
    }

    #[test]
    fn another_size_is_another_picture() {
        let (before, after) = (picture(2, vec![0; 16]), picture(4, vec![0; 16]));
        assert_eq!(Area::changed(&before, &after), Some(Area { x: 0, y: 0, width: 4, height: 1 }));
        assert_eq!(Area::changed(&picture(1, vec![]), &picture(1, vec![])), None);
    }
}
