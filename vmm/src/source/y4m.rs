//! Y4M videos: indexed when opened, read frame by frame, repeated from the start at their end.

use std::io::{BufRead, Read, Seek, SeekFrom};

use fencepost_devices::camera::{
    Band, FrameSource, Picture, Range, Rate, Sampling, Size, SizeLimits, SourceError,
};

use super::Problem;
use super::y4m_header::{Chroma, Header, parse};
use crate::error::plain;

/// The longest header or frame line, in bytes.
const MAX_LINE: u64 = 4096;
/// Most frames in a file, whose places are remembered: nearly five hours at 60 a second.
pub const MAX_FRAMES: usize = 1 << 20;

/// An opened Y4M file.
pub struct Y4m<R> {
    file: R,
    header: Header,
    /// Where the bytes of each frame begin.
    frames: Vec<u64>,
}

impl<R: BufRead + Seek> Y4m<R> {
    /// Reads the header and finds every frame.
    pub fn new(mut file: R) -> Result<Self, Problem> {
        let line =
            read_line(&mut file)?.ok_or_else(|| Problem::Header("the first line does not end".into()))?;
        let header = parse(&line)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(line.len() as u64 + 1))?;
        let mut frames = Vec::new();
        while file.stream_position()? < end {
            let number = frames.len() as u64;
            let line = read_line(&mut file)?.ok_or(Problem::Frame(number))?;
            if line != "FRAME" && !line.starts_with("FRAME ") {
                return Err(Problem::Frame(number));
            }
            let start = file.stream_position()?;
            let bytes = frame_bytes(&header);
            if end - start < bytes {
                return Err(Problem::Frame(number));
            }
            if frames.len() >= MAX_FRAMES {
                return Err(Problem::Frames);
            }
            frames.push(start);
            file.seek(SeekFrom::Start(start + bytes))?;
        }
        if frames.is_empty() {
            return Err(Problem::Empty);
        }
        Ok(Y4m { file, header, frames })
    }

    /// Reads a band of the planes of the frame that begins at `start`.
    fn read_band(&mut self, start: u64, band: Band) -> std::io::Result<Picture> {
        let Header { size, chroma, .. } = self.header;
        let sampling = match chroma {
            Chroma::C420 | Chroma::Mono => Sampling::Yuv420,
            Chroma::C422 | Chroma::C444 => Sampling::Yuv422,
        };
        let lines = band.size_in(size).and_then(|lines| Picture::new(lines, sampling));
        let mut picture = lines.ok_or(std::io::ErrorKind::InvalidInput)?;
        // A plane of so many bytes has as large a part of them above the band.
        let above = |bytes: usize| bytes as u64 * u64::from(band.top_px) / u64::from(size.height_px);
        let luma_bytes = size.width_px as usize * size.height_px as usize;
        self.read_plane(start + above(luma_bytes), &mut picture.luma)?;
        let mut plane_at = start + luma_bytes as u64;
        for plane in [&mut picture.cb, &mut picture.cr] {
            let at = plane_at + above(chroma.plane_bytes(size));
            match chroma {
                Chroma::C420 | Chroma::C422 => self.read_plane(at, plane)?,
                Chroma::C444 => {
                    let mut full = vec![0; 2 * plane.len()];
                    self.read_plane(at, &mut full)?;
                    halve_lines(&full, plane);
                }
                // A new picture has no colour.
                Chroma::Mono => {}
            }
            plane_at += chroma.plane_bytes(size) as u64;
        }
        Ok(picture)
    }

    fn read_plane(&mut self, at: u64, plane: &mut [u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(plane)
    }
}

impl<R: BufRead + Seek + Send> FrameSource for Y4m<R> {
    fn sizes(&self) -> SizeLimits {
        SizeLimits { min: self.header.size, max: self.header.size }
    }

    fn range(&self) -> Range {
        self.header.range
    }

    fn rate(&self) -> Rate {
        self.header.rate
    }

    fn band(&mut self, sequence: u32, _size: Size, band: Band) -> Result<Picture, SourceError> {
        let index = sequence as usize % self.frames.len();
        self.read_band(self.frames[index], band).map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::UnexpectedEof => "it has become shorter".to_owned(),
                _ => plain(&error),
            };
            SourceError(format!(
                "cannot read frame {index} any more ({why}); leave the file as it is while the machine runs"
            ))
        })
    }
}

fn frame_bytes(header: &Header) -> u64 {
    let luma = u64::from(header.size.width_px) * u64::from(header.size.height_px);
    luma + 2 * header.chroma.plane_bytes(header.size) as u64
}

/// A line without its line feed; `None` if it is too long, does not end, or is not text.
fn read_line<R: BufRead>(file: &mut R) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    Ok(String::from_utf8(line).ok())
}

/// Rounded means of pairs: 4:4:4 chroma to 4:2:2. Widths are even, so pairs never cross lines.
fn halve_lines(full: &[u8], half: &mut [u8]) {
    for (to, pair) in half.iter_mut().zip(full.chunks_exact(2)) {
        *to = (u16::from(pair[0]) + u16::from(pair[1])).div_ceil(2) as u8;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const SIZE: Size = Size { width_px: 16, height_px: 16 };

    fn file(colour: &str, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("YUV4MPEG2 W16 H16 F25:1 C{colour}\n").into_bytes();
        for frame in frames {
            bytes.extend_from_slice(b"FRAME Ixyz\n");
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    fn ramp(len: usize, start: usize) -> Vec<u8> {
        (start..start + len).map(|i| i as u8).collect()
    }

    #[test]
    fn a_file_of_too_many_frames_is_refused() {
        let small = b"YUV4MPEG2 W16 H16 F60:1 C420\n";
        let frame = [&b"FRAME\n"[..], &[0; 384]].concat();
        let within = [&small[..], &frame.repeat(3)].concat();
        assert!(Y4m::new(Cursor::new(within)).is_ok());
        let beyond = [&small[..], &frame.repeat(MAX_FRAMES + 1)].concat();
        assert!(matches!(Y4m::new(Cursor::new(beyond)), Err(Problem::Frames)));
    }

    #[test]
    fn frames_repeat_from_the_start() {
        let mut y4m = Y4m::new(Cursor::new(file("420", &[ramp(384, 0), ramp(384, 7)]))).unwrap();
        assert_eq!(y4m.rate(), Rate { num: 25, den: 1 });
        let second = y4m.band(1, SIZE, Band::whole(SIZE)).unwrap();
        assert_eq!((second.luma[0], second.cb[0], second.cr[0]), (7, 7, 71));
        assert_eq!(y4m.band(2, SIZE, Band::whole(SIZE)).unwrap().luma[0], 0);
        assert_eq!(y4m.band(3, SIZE, Band::whole(SIZE)).unwrap(), second);
    }

    #[test]
    fn a_band_is_so_many_lines_of_each_plane() {
        for (colour, bytes, chroma_lines) in
            [("420", 384, 1), ("422", 512, 2), ("444", 768, 2), ("mono", 256, 1)]
        {
            let mut y4m = Y4m::new(Cursor::new(file(colour, &[ramp(bytes, 3)]))).unwrap();
            let whole = y4m.band(0, SIZE, Band::whole(SIZE)).unwrap();
            let band = y4m.band(0, SIZE, Band { top_px: 6, height_px: 4 }).unwrap();
            let (from, to) = (8 * 3 * chroma_lines, 8 * 5 * chroma_lines);
            assert_eq!(band.luma, whole.luma[16 * 6..16 * 10], "{colour}");
            assert_eq!((&band.cb[..], &band.cr[..]), (&whole.cb[from..to], &whole.cr[from..to]), "{colour}");
            assert!(y4m.band(0, SIZE, Band { top_px: 14, height_px: 4 }).is_err(), "beyond its end");
        }
    }

    #[test]
    fn c444_becomes_422_and_mono_becomes_grey() {
        let mut y4m = Y4m::new(Cursor::new(file("444", &[ramp(768, 0)]))).unwrap();
        let picture = y4m.band(0, SIZE, Band::whole(SIZE)).unwrap();
        assert_eq!(picture.sampling(), Sampling::Yuv422);
        // Cb of the plane that begins at byte 256: the mean of 2 n and 2 n + 1, rounded up.
        assert_eq!(picture.cb[..3], [1, 3, 5]);
        let mut y4m = Y4m::new(Cursor::new(file("mono", &[ramp(256, 0)]))).unwrap();
        let picture = y4m.band(0, SIZE, Band::whole(SIZE)).unwrap();
        assert_eq!((picture.luma[9], picture.cb[9], picture.cr[63]), (9, 128, 128));
    }

    #[test]
    fn damaged_files_are_refused_with_the_frame() {
        let problem = |bytes: Vec<u8>| Y4m::new(Cursor::new(bytes)).err().unwrap();
        assert_eq!(problem(file("420", &[])), Problem::Empty);
        assert_eq!(problem(file("420", &[ramp(384, 0), ramp(383, 0)])), Problem::Frame(1));
        assert_eq!(problem(file("422", &[ramp(384, 0)])), Problem::Frame(0));
        assert_eq!(problem(file("420", &[ramp(385, 0)])), Problem::Frame(1));
        assert!(matches!(problem(b"YUV4MPEG2 W16 H16".to_vec()), Problem::Header(_)));
        assert!(matches!(problem(vec![b'Y'; 9000]), Problem::Header(_)));
    }
}
