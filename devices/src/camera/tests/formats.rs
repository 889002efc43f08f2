//! Every format and window, against a naive model: one byte at a time.

use super::*;

/// Luma, Cb and Cr of pixel (x, y) of frame 0 of Ramp.
fn sample(x: usize, y: usize) -> [u8; 3] {
    [(x + y) as u8, (2 * y) as u8, (x / 2) as u8]
}

/// Red, green and blue, by BT.601 in real numbers, full range.
fn colour(x: usize, y: usize) -> [u8; 3] {
    let [luma, cb, cr] = sample(x, y).map(f64::from);
    let (red, blue) = (luma + 1.402 * (cr - 128.0), luma + 1.772 * (cb - 128.0));
    let green = (luma - 0.299 * red - 0.114 * blue) / 0.587;
    [red, green, blue].map(|colour| colour.round().clamp(0.0, 255.0) as u8)
}

fn mosaic(x: usize, y: usize) -> u8 {
    colour(x, y)[[[0, 1], [1, 2]][y % 2][x % 2]]
}

/// Byte `at` of line `y` by the format.
fn expected(format: &[u8; 4], at: usize, y: usize) -> u8 {
    match format {
        b"UYVY" => match at % 4 {
            0 => sample(at / 2, y)[1],
            2 => sample(at / 2, y)[2],
            _ => sample(at / 2, y)[0],
        },
        b"XR24" => [colour(at / 4, y)[2], colour(at / 4, y)[1], colour(at / 4, y)[0], 255][at % 4],
        b"GREY" => sample(at, y)[0],
        b"RGGB" => mosaic(at, y),
        b"RG10" => {
            let eight = u32::from(mosaic(at / 2, y));
            let wide = 4 * eight + eight / 64;
            wide.to_le_bytes()[at % 2]
        }
        _ => unreachable!(),
    }
}

#[test]
fn every_format_is_what_the_page_says() {
    for (format, pixel_bytes) in [(b"UYVY", 2), (b"XR24", 4), (b"GREY", 1), (b"RGGB", 1), (b"RG10", 2)] {
        let stride = 32 * pixel_bytes + 8;
        let mut bench = Bench::new();
        bench.configure(u32::from_le_bytes(*format), stride as u32);
        bench.post(0, 0xc00);
        bench.stream_on();
        bench.run_to_frame(0);
        assert_eq!(bench.word(RECORDS + 12), 0);
        assert_eq!(bench.word(RECORDS + 20), 16 * stride as u32);
        for (i, byte) in bench.buffer(0, stride * 16).into_iter().enumerate() {
            let (at, y) = (i % stride, i / stride);
            let want = if at < 32 * pixel_bytes { expected(format, at, y) } else { 0 };
            assert_eq!(byte, want, "byte {at} of line {y} of {}", String::from_utf8_lossy(format));
        }
    }
}

/// Bytes of a frame of `width` by `height` through the window of SOURCE_WIDTH and what follows; none if it is refused.
fn framed(fourcc: u32, [width, height]: [u32; 2], window: [u32; 8]) -> Option<Vec<u8>> {
    let mut bench = Bench::new();
    let stride = if fourcc == NV12 { width } else { width * 2 };
    bench.configure(fourcc, stride);
    bench.write(0x84, width);
    bench.write(0x88, height);
    for (offset, value) in (0x180..).step_by(4).zip(window) {
        bench.write(offset, value);
    }
    bench.post(0, 0xc00);
    bench.stream_on();
    bench.run_to_frame(0);
    let bytes = bench.word(RECORDS + 20) as usize;
    (bench.read(0xc4) == 1).then(|| bench.buffer(0, bytes))
}

#[test]
fn a_part_of_the_picture_goes_to_its_place_and_black_around_it() {
    // 20 x 10 pixels from (6, 4) go to (12, 8) of a buffer of 40 x 20.
    let bytes = framed(YUYV, [40, 20], [32, 16, 6, 4, 20, 10, 12, 8]).unwrap();
    assert_eq!(bytes.len(), 40 * 20 * 2);
    for (i, pair) in bytes.chunks(4).enumerate() {
        let (x, y) = (i % 20 * 2, i / 20);
        let inside = (12..32).contains(&x) && (8..18).contains(&y);
        let from = |x: usize| sample(x - 12 + 6, y - 8 + 4);
        let want = match inside {
            true => [from(x)[0], from(x)[1], from(x + 1)[0], from(x)[2]],
            false => [0, 128, 0, 128],
        };
        assert_eq!(pair, want, "pixels {x} and {} of line {y}", x + 1);
    }
    let nv12 = framed(NV12, [40, 20], [32, 16, 6, 4, 20, 10, 12, 8]).unwrap();
    // Chroma line 4 of the buffer is lines 4 and 5 of the source: 8 and 10.
    assert_eq!(nv12[40 * (20 + 4) + 10..][..4], [128, 128, 9, 3]);
}

#[test]
fn windows_that_do_not_fit_keep_the_stream_off() {
    let good = [32, 16, 6, 4, 20, 10, 12, 6];
    assert!(framed(YUYV, [32, 16], good).is_some());
    let flaws =
        [(0, 34), (1, 14), (2, 14), (2, 5), (3, 8), (4, 28), (4, 19), (5, 14), (6, 14), (7, 8), (7, 5)];
    for (at, value) in flaws.into_iter().chain((2..8).map(|at| (at, u32::MAX - 1))) {
        let mut window = good;
        window[at] = value;
        assert_eq!(framed(YUYV, [32, 16], window), None, "{window:?}");
    }
}
