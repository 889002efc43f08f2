//! The test pattern and conversions.

use super::super::controls::Controls;
use super::*;

#[test]
fn the_test_pattern_moves_and_counts() {
    let size = Size { width_px: 160, height_px: 120 };
    let mut pattern = TestPattern::new(size);
    let first = pattern.band(0, size, Band::whole(size)).unwrap();
    let later = pattern.band(5, size, Band::whole(size)).unwrap();
    // Five frames move the bars by 20 pixels, exactly one bar of 160 / 8; the top lines have no digits.
    assert_eq!(first.luma[20..160], later.luma[..140]);
    let digits = |picture: &Picture| picture.luma.iter().filter(|&&luma| luma == 235).count();
    // Cells are 3x3 pixels: 000000 has 6 x 12 lit cells, 000005 one less.
    assert_eq!((digits(&first), digits(&later)), (72 * 9, 71 * 9));
}

#[test]
fn yuyv_of_420_repeats_chroma_lines() {
    let size = Size { width_px: 4, height_px: 4 };
    let mut picture = Picture::new(size, Sampling::Yuv420).unwrap();
    picture.cb.copy_from_slice(&[1, 2, 3, 4]);
    picture.cr.copy_from_slice(&[5, 6, 7, 8]);
    let layout = FrameLayout { format: PixelFormat::Yuyv, size, stride_bytes: 8 };
    let bytes = convert(picture.clone(), Range::Limited, &layout).unwrap();
    let chroma: Vec<u8> = bytes.iter().skip(1).step_by(2).copied().collect();
    assert_eq!(chroma, [1, 5, 2, 6, 1, 5, 2, 6, 3, 7, 4, 8, 3, 7, 4, 8]);
    assert_eq!(convert(picture, Range::Limited, &FrameLayout { stride_bytes: 4, ..layout }), None);
}

#[test]
fn odd_pictures_are_refused() {
    for (width_px, height_px) in [(3, 2), (2, 3), (0, 2), (4098, 2)] {
        assert_eq!(Picture::new(Size { width_px, height_px }, Sampling::Yuv422), None);
    }
}

#[test]
fn bands_are_the_lines_of_the_whole() {
    let size = Size { width_px: 160, height_px: 120 };
    let chart = |pattern| Controls { pattern, brightness: 7, ..Controls::default() };
    let turned = Controls { flip: 3, ..Controls::default() };
    for controls in [Controls::default(), turned, chart(1), chart(2), chart(3), chart(4)] {
        let mut pattern = TestPattern::new(size);
        let whole = controls.take(&mut pattern, 45, size, Band::whole(size)).unwrap();
        let mut bands = [Vec::new(), Vec::new(), Vec::new()];
        for (top_px, height_px) in [(0, 2), (2, 50), (52, 6), (58, 62)] {
            let band = controls.take(&mut pattern, 45, size, Band { top_px, height_px }).unwrap();
            assert_eq!(band.size(), Size { height_px, ..size });
            bands.iter_mut().zip([band.luma, band.cb, band.cr]).for_each(|(to, from)| to.extend(from));
        }
        assert!(bands == [whole.luma, whole.cb, whole.cr], "{controls:?}");
    }
    let mut pattern = TestPattern::new(size);
    for (top_px, height_px) in [(119, 2), (1, 2), (0, 122), (0, 1), (0, 0)] {
        assert!(pattern.band(0, size, Band { top_px, height_px }).is_err());
    }
}
