//! The screens side by side, for viewers that have one picture.

use std::sync::Arc;

use super::hub::Picture;

/// The pictures as one: from left to right, their upper edges in line, black below those that are lower. Those behind the first that
/// make it larger than `side_max` are left out; none if the first has no pixels, or is too large.
pub fn joined(pictures: &[Arc<Picture>], side_max: u32) -> Option<Arc<Picture>> {
    let fits = |side: u32| (1..=side_max).contains(&side);
    let mut width = 0u32;
    let fitting = |picture: &&Arc<Picture>| {
        let wider = width.saturating_add(picture.width);
        let takes = fits(picture.width) && fits(picture.height) && wider <= side_max;
        width = if takes { wider } else { width };
        takes
    };
    let shown: Vec<&Arc<Picture>> = pictures.iter().take_while(fitting).collect();
    match shown[..] {
        [] => None,
        [one] => Some(Arc::clone(one)),
        _ => Some(Arc::new(side_by_side(&shown))),
    }
}

fn side_by_side(pictures: &[&Arc<Picture>]) -> Picture {
    let width = pictures.iter().map(|picture| picture.width).sum();
    let height = pictures.iter().map(|picture| picture.height).max().unwrap_or(0);
    let mut xrgb = Vec::with_capacity(width as usize * height as usize * 4);
    for line in 0..height as usize {
        for picture in pictures {
            let bytes = picture.width as usize * 4;
            let row = picture.xrgb.get(line * bytes..(line + 1) * bytes);
            xrgb.extend_from_slice(row.unwrap_or_default());
            xrgb.resize(xrgb.len() + bytes - row.map_or(0, <[u8]>::len), 0);
        }
    }
    Picture { width, height, xrgb, ..Picture::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, byte: u8) -> Arc<Picture> {
        let xrgb = vec![byte; (width * height * 4) as usize];
        Arc::new(Picture { width, height, xrgb, ..Picture::default() })
    }

    #[test]
    fn screens_stand_side_by_side() {
        let one = picture(2, 1, 1);
        assert!(joined(&[], 10).is_none());
        assert!(Arc::ptr_eq(&joined(&[Arc::clone(&one)], 10).expect("one"), &one), "nothing is copied");
        let both = joined(&[one, picture(1, 2, 2)], 10).expect("both");
        assert_eq!((both.width, both.height), (3, 2));
        let pixels: Vec<u8> = both.xrgb.iter().step_by(4).copied().collect();
        assert_eq!(pixels, [1, 1, 2, 0, 0, 2]);
    }

    #[test]
    fn what_is_too_large_is_left_out() {
        let small = picture(4, 1, 1);
        for other in [picture(7, 1, 2), picture(1, 11, 2)] {
            let seen = joined(&[Arc::clone(&small), Arc::clone(&other), picture(1, 1, 3)], 10);
            assert!(Arc::ptr_eq(&seen.expect("the first"), &small));
            assert!(other.width == 7 || joined(&[other], 10).is_none());
        }
    }
}
