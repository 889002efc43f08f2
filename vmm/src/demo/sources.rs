//! The camera's sources, read and drawn a second time by code of their own.

use std::path::Path;

use super::colour::{Planar, Range};

/// Every frame of a Y4M file, as the camera gives it: 4:4:4 becomes 4:2:2, grey gets neutral chroma.
pub fn read_y4m(path: &Path) -> Result<Vec<Planar>, String> {
    let name = path.display();
    let data = std::fs::read(path).map_err(|e| format!("{name}: {e}"))?;
    let bad = |what: &str| format!("{name}: {what}");
    let end = data.iter().position(|b| *b == b'\n').ok_or_else(|| bad("no header"))?;
    let header = std::str::from_utf8(&data[..end]).map_err(|_| bad("the header is not text"))?;
    let mut rest = &data[end + 1..];
    let (mut width, mut height, mut colour, mut range) = (0usize, 0usize, "420jpeg", None);
    for word in header.split(' ').skip(1) {
        match word.split_at_checked(1) {
            Some(("W", v)) => width = v.parse().map_err(|_| bad("bad width"))?,
            Some(("H", v)) => height = v.parse().map_err(|_| bad("bad height"))?,
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
    let chroma = width / sub_x * (height / sub_y);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').ok_or_else(|| bad("no frame header"))?;
        rest = &rest[end + 1..];
        let mut take = |len: usize| {
            let (plane, after) = rest.split_at_checked(len).ok_or_else(|| bad("cut-off frame"))?;
            rest = after;
            Ok::<_, String>(plane.to_vec())
        };
        let luma = take(width * height)?;
        let planes = match colour {
            "mono" => [luma, vec![128; chroma], vec![128; chroma]],
            _ => [luma, take(chroma)?, take(chroma)?],
        };
        let frame = Planar { width, height, sub_x, sub_y, range, planes };
        frames.push(if sub_x == 1 { frame.halve_chroma(true) } else { frame });
    }
    if frames.is_empty() { Err(bad("no frames")) } else { Ok(frames) }
}

/// A PNG as full-range 4:2:2.
pub fn read_png(path: &Path) -> Result<Planar, String> {
    let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = std::fs::File::open(path).map_err(|e| bad(&e))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
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
    let mut at = 0usize;
    let mut forward = true;
    for _ in 0..sequence {
        if room == 0 {
            return 0;
        }
        forward = if at == room {
            false
        } else if at == 0 {
            true
        } else {
            forward
        };
        at = if forward { at + 2 } else { at - 2 };
    }
    at
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
    let mut luma: Vec<u8> = (0..width * height).map(|i| at(i % width)[0]).collect();
    let chroma = |n: usize| (0..width * height / 4).map(|i| at(i % (width / 2) * 2)[n]).collect();
    // Six digits in a box of 25 x 7 cells that is at most half as wide and high as the picture.
    let cell = (width / 2 / 25).min(height / 2 / 7);
    let (left, top) = ((width - 25 * cell) / 2, (height - 7 * cell) / 2);
    let number = format!("{:06}", sequence % 1_000_000);
    for y in 0..7 * cell {
        for x in 0..25 * cell {
            let (row, column) = (y / cell, x / cell);
            let lit = (1..6).contains(&row) && column > 0 && (column - 1) % 4 < 3 && {
                let digit = usize::from(number.as_bytes()[(column - 1) / 4] - b'0');
                GLYPHS[digit].as_bytes()[(row - 1) * 3 + (column - 1) % 4] == b'#'
            };
            luma[(top + y) * width + left + x] = if lit { 235 } else { 16 };
        }
    }
    let planes = [luma, chroma(1), chroma(2)];
    Planar { width, height, sub_x: 2, sub_y: 2, range: Range::Limited, planes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_turns_round_at_the_edge() {
        let places: Vec<usize> = (0..8).map(|n| pan(n, 6)).collect();
        assert_eq!(places, [0, 2, 4, 6, 4, 2, 0, 2]);
        assert_eq!(pan(5, 0), 0);
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
