//! The camera's sources, read and drawn a second time by code of their own.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::colour::{Planar, Range};
use crate::error::plain;

/// A Y4M file: where its frames are, each read when it is asked for.
pub struct Video {
    file: File,
    name: String,
    layout: Layout,
    colour: String,
    /// Offset of each frame's first byte of luma.
    frames: Vec<u64>,
}

/// Of each picture, before 4:4:4 becomes 4:2:2.
struct Layout {
    width: usize,
    height: usize,
    sub_x: usize,
    sub_y: usize,
    range: Range,
}

impl Layout {
    fn luma_bytes(&self) -> usize {
        self.width * self.height
    }

    fn chroma_bytes(&self) -> usize {
        self.width / self.sub_x * (self.height / self.sub_y)
    }
}

impl Video {
    /// Reads the header and finds the frames.
    pub fn open(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let bad = |what: &str| format!("{name}: {what}");
        let io = |error: std::io::Error| bad(&plain(&error));
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let mut header = Vec::new();
        let mut at = reader.read_until(b'\n', &mut header).map_err(io)? as u64;
        let header = std::str::from_utf8(&header).map_err(|_| bad("the header is not text"))?;
        let (layout, colour) = parse_header(header.trim_end()).map_err(bad)?;
        let chroma = if colour == "mono" { 0 } else { 2 * layout.chroma_bytes() };
        let picture = (layout.luma_bytes() + chroma) as u64;
        let end = reader.get_ref().metadata().map_err(io)?.len();
        let mut frames = Vec::new();
        while at < end {
            let line = reader.read_until(b'\n', &mut Vec::new()).map_err(io)? as u64;
            frames.push(at + line);
            at += line + picture;
            reader.seek(SeekFrom::Start(at)).map_err(io)?;
        }
        if frames.is_empty() || at != end {
            return Err(bad("no frames, or the last one is cut off"));
        }
        let file = reader.into_inner();
        Ok(Video { file, name, layout, colour, frames })
    }

    /// The frame that the camera gives at `sequence`: 4:4:4 becomes 4:2:2, grey gets neutral chroma.
    pub fn frame(&self, sequence: u32) -> Result<Planar, String> {
        let Layout { width, height, sub_x, sub_y, range } = self.layout;
        let start = self.frames[sequence as usize % self.frames.len()];
        let plane = |skip: usize, bytes: usize| {
            let mut plane = vec![0; bytes];
            let read = self.file.read_exact_at(&mut plane, start + skip as u64);
            read.map(|()| plane).map_err(|error| format!("{}: {}", self.name, plain(&error)))
        };
        let (luma, chroma) = (self.layout.luma_bytes(), self.layout.chroma_bytes());
        let planes = match self.colour.as_str() {
            "mono" => [plane(0, luma)?, vec![128; chroma], vec![128; chroma]],
            _ => [plane(0, luma)?, plane(luma, chroma)?, plane(luma + chroma, chroma)?],
        };
        let frame = Planar { width, height, sub_x, sub_y, range, planes };
        Ok(if sub_x == 1 { frame.halve_chroma(true) } else { frame })
    }
}

/// A Y4M header's layout and colour space.
fn parse_header(header: &str) -> Result<(Layout, String), &'static str> {
    let (mut width, mut height, mut colour, mut range) = (0usize, 0usize, "420jpeg", None);
    for word in header.split(' ').skip(1) {
        match word.split_at_checked(1) {
            Some(("W", v)) => width = v.parse().map_err(|_| "bad width")?,
            Some(("H", v)) => height = v.parse().map_err(|_| "bad height")?,
            Some(("C", v)) => colour = v,
            Some(("X", "COLORRANGE=FULL")) => range = Some(Range::Full),
            Some(("X", "COLORRANGE=LIMITED")) => range = Some(Range::Limited),
            _ => {}
        }
    }
    let (sub_x, sub_y) = match colour {
        "422" => (2, 1),
        "444" => (1, 1),
        _ => (2, 2),
    };
    let range = range.unwrap_or(if colour == "420jpeg" { Range::Full } else { Range::Limited });
    Ok((Layout { width, height, sub_x, sub_y, range }, colour.to_string()))
}

/// A PNG as full-range 4:2:2.
pub fn read_png(path: &Path) -> Result<Planar, String> {
    let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| bad(&plain(&e)))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|e| bad(&e))?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(|| bad(&"too large"))?];
    let info = reader.next_frame(&mut bytes).map_err(|e| bad(&e))?;
    let samples = info.color_type.samples();
    let grey = samples < 3;
    let rgb: Vec<[f64; 3]> = bytes
        .chunks_exact(samples)
        .map(|p| if grey { [p[0]; 3] } else { [p[0], p[1], p[2]] }.map(f64::from))
        .collect();
    let (width, height) = (info.width as usize, info.height as usize);
    let luma = rgb.iter().map(|p| round(weigh(*p, LUMA))).collect();
    let pairs = || rgb.chunks_exact(2).map(|two| [0, 1, 2].map(|i| (two[0][i] + two[1][i]) / 2.0));
    let cb = pairs().map(|p| round(weigh(p, CB) + 128.0)).collect();
    let cr = pairs().map(|p| round(weigh(p, CR) + 128.0)).collect();
    Ok(Planar { width, height, sub_x: 2, sub_y: 1, range: Range::Full, planes: [luma, cb, cr] })
}

/// BT.601's weights in 65536ths as the camera has them; those of a chroma sum to zero, so that grey has no colour.
const LUMA: [f64; 3] = [19595.0, 38470.0, 7471.0];
const CB: [f64; 3] = [-11059.0, -21709.0, 32768.0];
const CR: [f64; 3] = [32768.0, -27439.0, -5329.0];

fn weigh(rgb: [f64; 3], weights: [f64; 3]) -> f64 {
    (0..3).map(|i| rgb[i] * weights[i]).sum::<f64>() / 65536.0
}

fn round(value: f64) -> u8 {
    (value + 0.5).floor().clamp(0.0, 255.0) as u8
}

impl Planar {
    /// The window of `width` x `height` pixels at `x`, `y`, all even.
    pub fn window(&self, x: usize, y: usize, width: usize, height: usize) -> Planar {
        let cut = |plane: &[u8], sx: usize, sy: usize| -> Vec<u8> {
            plane
                .chunks(self.width / sx)
                .skip(y / sy)
                .take(height / sy)
                .flat_map(|line| line[x / sx..(x + width) / sx].to_vec())
                .collect()
        };
        let chroma = |n: usize| cut(&self.planes[n], self.sub_x, self.sub_y);
        let planes = [cut(&self.planes[0], 1, 1), chroma(1), chroma(2)];
        Planar { width, height, planes, ..*self }
    }
}

/// Where the camera's window on a still picture stands: 2 pixels a frame, to and fro.
pub fn pan(sequence: u32, room: usize) -> usize {
    let steps = room / 2;
    if steps == 0 {
        return 0;
    }
    let (way, step) = (sequence as usize / steps, sequence as usize % steps);
    if way % 2 == 0 { 2 * step } else { room - 2 * step }
}

/// Eight bars of 75 % colour as (Y, Cb, Cr) in limited range, from BT.601's equations.
fn bars() -> [[u8; 3]; 8] {
    [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]].map(|rgb| {
        let [r, g, b] = rgb.map(|on| 0.75 * f64::from(on));
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        let (cb, cr) = ((b - y) / 1.772, (r - y) / 1.402);
        [round(16.0 + 219.0 * y), round(128.0 + 224.0 * cb), round(128.0 + 224.0 * cr)]
    })
}

/// The shape of each digit, three cells wide and five high, `#` is lit.
const GLYPHS: [&str; 10] = [
    "####.##.##.####",
    ".#.##..#..#.###",
    "###..#####..###",
    "###..####..####",
    "#.##.####..#..#",
    "####..###..####",
    "####..####.####",
    "###..#.#..#..#.",
    "####.#####.####",
    "####.####..####",
];

/// The camera's test pattern: bars that move 4 pixels to the left in a frame, and the frame's number in the middle.
pub fn pattern(sequence: u32, width: usize, height: usize) -> Planar {
    let bars = bars();
    let at = |x: usize| bars[(x + 4 * sequence as usize) % width * 8 / width];
    // All lines are alike.
    let mut luma = (0..width).map(|x| at(x)[0]).collect::<Vec<u8>>().repeat(height);
    let chroma = |n: usize| (0..width / 2).map(|x| at(2 * x)[n]).collect::<Vec<u8>>().repeat(height / 2);
    // Six digits in a box of 25 x 7 cells that is at most half as wide and high as the picture.
    let cell = (width / 2 / 25).min(height / 2 / 7);
    let (left, top) = ((width - 25 * cell) / 2, (height - 7 * cell) / 2);
    let number = format!("{:06}", sequence % 1_000_000);
    for row in 0..7 {
        let lit = |column: usize| {
            (1..6).contains(&row) && column > 0 && (column - 1) % 4 < 3 && {
                let digit = usize::from(number.as_bytes()[(column - 1) / 4] - b'0');
                GLYPHS[digit].as_bytes()[(row - 1) * 3 + (column - 1) % 4] == b'#'
            }
        };
        let cells = (0..25).map(|column| if lit(column) { 235 } else { 16 });
        let line: Vec<u8> = cells.flat_map(|luma| std::iter::repeat_n(luma, cell)).collect();
        for y in top + row * cell..top + (row + 1) * cell {
            luma[y * width + left..][..line.len()].copy_from_slice(&line);
        }
    }
    let planes = [luma, chroma(1), chroma(2)];
    Planar { width, height, sub_x: 2, sub_y: 2, range: Range::Limited, planes }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_window_turns_round_at_the_edge() {
        let places: Vec<usize> = (0..8).map(|n| pan(n, 6)).collect();
        assert_eq!(places, [0, 2, 4, 6, 4, 2, 0, 2]);
        assert_eq!(pan(5, 0), 0);
        assert_eq!((pan(u32::MAX, 0), pan(u32::MAX, 6), pan(6 * 100_000_001 + 1, 6)), (0, 6, 2));
    }

    #[test]
    fn a_video_is_read_frame_by_frame_and_repeats() {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut bytes = b"YUV4MPEG2 W2 H2 F30:1 C444 XCOLORRANGE=FULL\n".to_vec();
        for first in [0u8, 100] {
            bytes.extend_from_slice(b"FRAME Ip\n");
            bytes.extend(first..first + 12);
        }
        file.write_all(&bytes).expect("written");
        let video = Video::open(file.path()).expect("a good file");
        let frame = video.frame(3).expect("read");
        assert_eq!(frame.planes, [vec![100, 101, 102, 103], vec![105, 107], vec![109, 111]]);
        assert_eq!((frame.sub_x, frame.sub_y, frame.range), (2, 1, Range::Full));
        assert_eq!(video.frame(4).expect("read").planes[0], [0, 1, 2, 3]);
        file.as_file().set_len(bytes.len() as u64 - 1).expect("cut");
        assert!(Video::open(file.path()).is_err());
        assert!(video.frame(1).is_err(), "a file that shrinks is an error, not a panic");
    }

    #[test]
    fn a_window_of_422_keeps_its_pairs() {
        let whole = Planar {
            width: 4,
            height: 2,
            sub_x: 2,
            sub_y: 1,
            range: Range::Full,
            planes: [(0..8).collect(), vec![10, 11, 12, 13], vec![20, 21, 22, 23]],
        };
        let cut = whole.window(2, 0, 2, 2);
        assert_eq!(cut.planes, [vec![2, 3, 6, 7], vec![11, 13], vec![21, 23]]);
    }

    // ITU-R BT.471's 75 % white bar is Y 180 in 8-bit limited range.
    #[test]
    fn the_first_bar_is_75_percent_white() {
        assert_eq!(bars()[0], [180, 128, 128]);
    }
}
