//! PNG pictures as YUV 4:2:2, BT.601 full range.

use std::io::{BufRead, Seek};

use fencepost_devices::camera::{Picture, Sampling, Size};
use png::{ColorType, Decoder, Limits, Transformations};

use super::{Problem, check_size};

/// What decoding may take, in bytes: a 4096 x 4096 picture of four 16-bit channels.
const DECODE_LIMIT: usize = 4096 * 4096 * 8 + (1 << 20);

/// Decodes a PNG file for the camera. Transparency is ignored, 16 bits are cut to 8.
pub fn read<R: BufRead + Seek>(file: R) -> Result<Picture, Problem> {
    let ((width_px, height_px), pixels) = pixels(file)?;
    check_size(width_px, height_px)?;
    let size = Size { width_px, height_px };
    let mut picture = Picture::new(size, Sampling::Yuv422).expect("the size was checked");
    fill(&mut picture, &pixels);
    Ok(picture)
}

/// Width, height and pixels of a picture: red, green, blue.
pub type Pixels = ((u32, u32), Vec<[u8; 3]>);

/// The pixels of a PNG file of any size that [`DECODE_LIMIT`] allows.
pub fn pixels<R: BufRead + Seek>(file: R) -> Result<Pixels, Problem> {
    let bad = |error: png::DecodingError| Problem::Png(error.to_string());
    let mut decoder = Decoder::new_with_limits(file, Limits { bytes: DECODE_LIMIT });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(bad)?;
    let size = reader.info().size();
    let too_large = || Problem::Png("it does not fit memory".into());
    let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    let info = reader.next_frame(&mut bytes).map_err(bad)?;
    let pixels: Vec<[u8; 3]> = match info.color_type {
        ColorType::Rgb => bytes.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::Rgba => bytes.chunks_exact(4).map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::Grayscale => bytes.iter().map(|&y| [y; 3]).collect(),
        ColorType::GrayscaleAlpha => bytes.chunks_exact(2).map(|p| [p[0]; 3]).collect(),
        ColorType::Indexed => return Err(Problem::Png("its palette was not expanded".into())),
    };
    Ok((size, pixels))
}

/// Luma of each pixel, chroma of each pair's mean. Widths are even, so pairs never cross lines.
fn fill(picture: &mut Picture, pixels: &[[u8; 3]]) {
    for (luma, &pixel) in picture.luma.iter_mut().zip(pixels) {
        *luma = luma_of(pixel);
    }
    let chromas = picture.cb.iter_mut().zip(&mut picture.cr);
    for ((cb, cr), pair) in chromas.zip(pixels.chunks_exact(2)) {
        let sum = [0, 1, 2].map(|i| i32::from(pair[0][i]) + i32::from(pair[1][i]));
        (*cb, *cr) = chroma_of(sum);
    }
}

/// BT.601-7, 2.5.1, over all 256 codes (JFIF 1.02): Y = 0.299 R + 0.587 G + 0.114 B, weights in 65536ths.
fn luma_of([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 32_768) >> 16) as u8
}

/// Cb = (B - Y) / 1.772 + 128, Cr = (R - Y) / 1.402 + 128, of the sum of two pixels: weights in 131072ths.
fn chroma_of([r, g, b]: [i32; 3]) -> (u8, u8) {
    let code = |weighted: i32| (((weighted + 65_536) >> 17) + 128).clamp(0, 255) as u8;
    let cb = -11_059 * r - 21_709 * g + 32_768 * b;
    let cr = 32_768 * r - 27_439 * g - 5_329 * b;
    (code(cb), code(cr))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn encode(width: u32, height: u32, colour: ColorType, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
        out
    }

    #[test]
    fn codes_match_the_real_valued_formula() {
        for r in (0..256).step_by(5) {
            for g in (0..256).step_by(5) {
                for b in (0..256).step_by(5) {
                    let y = 0.299 * r as f64 + 0.587 * g as f64 + 0.114 * b as f64;
                    let cb = ((b as f64 - y) / 1.772 + 128.0).min(255.0);
                    let cr = ((r as f64 - y) / 1.402 + 128.0).min(255.0);
                    let luma = luma_of([r as u8, g as u8, b as u8]);
                    let chroma = chroma_of([2 * r, 2 * g, 2 * b]);
                    assert!((f64::from(luma) - y).abs() < 0.51, "{r} {g} {b}");
                    assert!((f64::from(chroma.0) - cb).abs() < 0.51, "{r} {g} {b}");
                    assert!((f64::from(chroma.1) - cr).abs() < 0.51, "{r} {g} {b}");
                }
            }
        }
    }

    #[test]
    fn every_colour_type_is_read() {
        let rgb = [255, 0, 0].repeat(256);
        let rgba = [255, 0, 0, 9].repeat(256);
        let red = read(Cursor::new(encode(16, 16, ColorType::Rgb, &rgb))).unwrap();
        assert_eq!((red.luma[40], red.cb[40], red.cr[40]), (76, 85, 255));
        assert_eq!(read(Cursor::new(encode(16, 16, ColorType::Rgba, &rgba))).unwrap(), red);
        let grey = read(Cursor::new(encode(16, 16, ColorType::Grayscale, &[77; 256]))).unwrap();
        assert_eq!((grey.luma[255], grey.cb[0], grey.cr[127]), (77, 128, 128));
        let veiled = [77, 3].repeat(256);
        let veiled = encode(16, 16, ColorType::GrayscaleAlpha, &veiled);
        assert_eq!(read(Cursor::new(veiled)).unwrap(), grey);
    }

    #[test]
    fn odd_and_damaged_pictures_are_refused() {
        let odd = encode(17, 16, ColorType::Grayscale, &[0; 272]);
        assert_eq!(read(Cursor::new(odd)).unwrap_err(), Problem::Size(17, 16, 16, 16));
        let mut cut = encode(16, 16, ColorType::Rgb, &[9; 768]);
        cut.truncate(cut.len() - 30);
        assert!(matches!(read(Cursor::new(cut)), Err(Problem::Png(_))));
    }
}
