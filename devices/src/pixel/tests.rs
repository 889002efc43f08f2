use super::*;

/// The equations in real numbers, from Kr and Kb alone.
fn exact((kr, kb): (f64, f64), range: Range, y: u8, cb: u8, cr: u8) -> [f64; 3] {
    let kg = 1.0 - kr - kb;
    let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let (y, cb, cr) = match range {
        Range::Limited => ((y - 16.0) * 255.0 / 219.0, cb * 255.0 / 224.0, cr * 255.0 / 224.0),
        Range::Full => (y, cb, cr),
    };
    let red = y + 2.0 * (1.0 - kr) * cr;
    let blue = y + 2.0 * (1.0 - kb) * cb;
    let green = (y - kr * red - kb * blue) / kg;
    [red, green, blue].map(|colour| colour.clamp(0.0, 255.0))
}

fn every_sample_is_near(encoding: Encoding, luma: (f64, f64)) {
    // The rounding of the coefficients may move a sum by 256 * 3 * 0.5 / 65536 = 0.006 at most.
    let most = 0.5 + 0.006;
    for range in [Range::Limited, Range::Full] {
        let coefficients = Coefficients::of(encoding, range);
        for y in 0..=255 {
            for cb in 0..=255 {
                for cr in 0..=255 {
                    let (got, want) = (coefficients.rgb(y, cb, cr), exact(luma, range, y, cb, cr));
                    let near = got.iter().zip(want).all(|(&got, want)| (f64::from(got) - want).abs() <= most);
                    assert!(near, "{range:?} {y} {cb} {cr}: {got:?} is not {want:?}");
                }
            }
        }
    }
}

#[test]
fn every_sample_is_the_nearest_integer_to_the_exact_equations() {
    every_sample_is_near(Encoding::Bt601, (0.299, 0.114));
    every_sample_is_near(Encoding::Bt709, (0.2126, 0.0722));
}

#[test]
fn known_colours() {
    let rows: [(&str, Range, [u8; 3], [u8; 3]); 12] = [
        ("limited black is 16, not 0", Range::Limited, [16, 128, 128], [0, 0, 0]),
        ("limited white is 235", Range::Limited, [235, 128, 128], [255, 255, 255]),
        ("below limited black clamps", Range::Limited, [0, 128, 128], [0, 0, 0]),
        ("above limited white clamps", Range::Limited, [255, 128, 128], [255, 255, 255]),
        ("full black", Range::Full, [0, 128, 128], [0, 0, 0]),
        ("full white", Range::Full, [255, 128, 128], [255, 255, 255]),
        ("full grey is unchanged", Range::Full, [77, 128, 128], [77, 77, 77]),
        ("red, SMPTE 100% bar", Range::Limited, [81, 90, 240], [254, 0, 0]),
        ("green, SMPTE 100% bar", Range::Limited, [145, 54, 34], [0, 255, 1]),
        ("blue, SMPTE 100% bar", Range::Limited, [41, 240, 110], [0, 0, 255]),
        ("full red as JPEG stores it", Range::Full, [76, 85, 255], [254, 0, 0]),
        ("full blue as JPEG stores it", Range::Full, [29, 255, 107], [0, 0, 254]),
    ];
    for (why, range, [y, cb, cr], want) in rows {
        assert_eq!(ycbcr_to_rgb(range, y, cb, cr), want, "{why}");
    }
}

fn bt601(range: Range) -> Coefficients {
    Coefficients::of(Encoding::Bt601, range)
}

/// The pixels of samples, one by one.
fn one_by_one(coefficients: &Coefficients, luma: &[u8], chroma: &[u8]) -> Vec<u8> {
    let chroma = chroma.chunks_exact(2).flat_map(|pair| [pair, pair]);
    let pixels = luma.iter().zip(chroma).map(|(&y, chroma)| coefficients.rgb(y, chroma[0], chroma[1]));
    pixels.flat_map(|[r, g, b]| [b, g, r, X_BYTE]).collect()
}

/// Luma and chroma in turn.
fn interleaved(luma: &[u8], chroma: &[u8]) -> Vec<u8> {
    luma.iter().zip(chroma).flat_map(|(&luma, &chroma)| [luma, chroma]).collect()
}

#[test]
fn lines_are_to_the_bit_what_their_samples_are() {
    let luma: Vec<u8> = (0..=255).collect();
    for encoding in [Encoding::Bt601, Encoding::Bt709] {
        for range in [Range::Limited, Range::Full] {
            let coefficients = Coefficients::of(encoding, range);
            for cb in 0..=255 {
                for cr in 0..=255 {
                    let chroma = [cb, cr].repeat(luma.len() / 2);
                    let mut dst = vec![0; luma.len() * XRGB8888_BYTES];
                    Line::Nv12 { luma: &luma, chroma: &chroma }.to_xrgb8888(&coefficients, &mut dst);
                    assert!(
                        dst == one_by_one(&coefficients, &luma, &chroma),
                        "{encoding:?} {range:?} {cb} {cr}"
                    );
                }
            }
        }
    }
}

#[test]
fn lines_of_any_length_are_converted_to_their_end() {
    let coefficients = bt601(Range::Full);
    let samples = |seed: usize| (0..80).map(move |i| (i * 37 + seed * 101) as u8).collect::<Vec<u8>>();
    for pixels in (0..=80).step_by(2) {
        let (luma, chroma) = (samples(1), samples(2));
        let (luma, chroma) = (&luma[..pixels], &chroma[..pixels]);
        let mut want = one_by_one(&coefficients, luma, chroma);
        want.extend([7; 3]);
        let yuyv = interleaved(luma, chroma);
        for line in [Line::Nv12 { luma, chroma }, Line::Yuyv(&yuyv)] {
            let mut dst = vec![7; want.len()];
            line.to_xrgb8888(&coefficients, &mut dst);
            assert_eq!(dst, want, "{pixels} pixels of {line:?}");
            let behind = pixels / 4 * 2;
            line.behind(behind).to_xrgb8888(&coefficients, &mut dst);
            assert_eq!(dst[..(pixels - behind) * 4], want[behind * 4..pixels * 4], "the second half of it");
        }
    }
}

#[test]
fn pictures_of_any_size_have_the_colours_of_their_pixels() {
    for count in [0, 1, 3, 4, 5, 511, 512, 514, 1500] {
        let pixels: Vec<u8> = (0..4 * count).map(|n| (n * 7 + n / 250) as u8).collect();
        let want: Vec<u8> = pixels.chunks(4).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
        assert_eq!(xrgb8888_to_rgb(&pixels), want, "{count} pixels");
    }
}

#[test]
fn yuyv_pairs_share_chroma_and_keep_their_own_luma() {
    let mut dst = [0; 8];
    Line::Yuyv(&[10, 128, 200, 128]).to_xrgb8888(&bt601(Range::Full), &mut dst);
    assert_eq!(dst, [10, 10, 10, 0xff, 200, 200, 200, 0xff]);
}

#[test]
fn yuyv_bytes_are_y_cb_y_cr_and_xrgb_bytes_are_b_g_r_x() {
    let mut dst = [0; 8];
    Line::Yuyv(&[41, 240, 41, 110]).to_xrgb8888(&bt601(Range::Limited), &mut dst);
    assert_eq!(dst, [255, 0, 0, 0xff, 255, 0, 0, 0xff]);
}

#[test]
fn nv12_chroma_is_cb_then_cr() {
    let mut dst = [0; 8];
    Line::Nv12 { luma: &[41, 41], chroma: &[240, 110] }.to_xrgb8888(&bt601(Range::Limited), &mut dst);
    assert_eq!(dst, [255, 0, 0, 0xff, 255, 0, 0, 0xff]);
}

#[test]
fn a_short_destination_ends_the_line() {
    let mut dst = [7; 9];
    Line::Yuyv(&[1, 128, 2, 128, 3, 128, 4, 128]).to_xrgb8888(&bt601(Range::Full), &mut dst);
    assert_eq!(dst, [1, 1, 1, 0xff, 2, 2, 2, 0xff, 7]);
}
