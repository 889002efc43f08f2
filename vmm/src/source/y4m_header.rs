//! The header line of a Y4M file (yuv4mpeg(5) of mjpegtools).

use fencepost_devices::camera::{Range, Rate, Size};

use super::{Problem, check_size};

/// How the planes of a frame lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// 4:2:0, whatever the siting.
    C420,
    /// 4:2:2.
    C422,
    /// 4:4:4.
    C444,
    /// Luma only.
    Mono,
}

impl Chroma {
    /// Bytes of each of the two chroma planes.
    pub fn plane_bytes(self, size: Size) -> usize {
        let luma = size.width_px as usize * size.height_px as usize;
        match self {
            Chroma::C420 => luma / 4,
            Chroma::C422 => luma / 2,
            Chroma::C444 => luma,
            Chroma::Mono => 0,
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub size: Size,
    pub rate: Rate,
    pub chroma: Chroma,
    pub range: Range,
}

/// Reads a header line, without its line feed.
pub fn parse(line: &str) -> Result<Header, Problem> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    if words.next() != Some("YUV4MPEG2") {
        return Err(Problem::Header("it does not begin with YUV4MPEG2".into()));
    }
    let (mut width, mut height) = (None, None);
    let mut rate = Rate { num: 30, den: 1 };
    let (mut colour, mut stated_range) = ("420jpeg", None);
    for word in words {
        let mut letters = word.chars();
        let tag = letters.next().unwrap_or(' ');
        let value = letters.as_str();
        match tag {
            'W' => width = Some(number(word, value)?),
            'H' => height = Some(number(word, value)?),
            'F' => rate = parse_rate(value)?,
            'I' if !matches!(value, "p" | "?") => return Err(Problem::Interlaced),
            'C' => colour = value,
            'X' if value == "COLORRANGE=FULL" => stated_range = Some(Range::Full),
            'X' if value == "COLORRANGE=LIMITED" => stated_range = Some(Range::Limited),
            _ => {}
        }
    }
    let missing = |name: &str| Problem::Header(format!("no {name}"));
    let (width_px, height_px) = (width.ok_or(missing("width"))?, height.ok_or(missing("height"))?);
    check_size(width_px, height_px)?;
    let (chroma, usual_range) = parse_colour(colour)?;
    let size = Size { width_px, height_px };
    Ok(Header { size, rate, chroma, range: stated_range.unwrap_or(usual_range) })
}

fn number(word: &str, value: &str) -> Result<u32, Problem> {
    value.parse().map_err(|_| Problem::Header(format!("{word:?} is not a number of pixels")))
}

/// The planes, and the range that the name implies: `420jpeg` is JPEG's, all codes; the others are video's.
fn parse_colour(name: &str) -> Result<(Chroma, Range), Problem> {
    match name {
        "420jpeg" => Ok((Chroma::C420, Range::Full)),
        "420" | "420mpeg2" | "420paldv" => Ok((Chroma::C420, Range::Limited)),
        "422" => Ok((Chroma::C422, Range::Limited)),
        "444" => Ok((Chroma::C444, Range::Limited)),
        "mono" => Ok((Chroma::Mono, Range::Limited)),
        other => Err(Problem::ColourSpace(format!("C{other}"))),
    }
}

/// `NUM:DEN`, reduced; 0:0 means unknown and becomes 30:1.
fn parse_rate(value: &str) -> Result<Rate, Problem> {
    let bad = || Problem::Rate(value.to_string());
    let (num, den) = value.split_once(':').ok_or_else(bad)?;
    let (num, den): (u32, u32) = (num.parse().map_err(|_| bad())?, den.parse().map_err(|_| bad())?);
    if (num, den) == (0, 0) {
        return Ok(Rate { num: 30, den: 1 });
    }
    let divisor = gcd(num, den);
    let rate = Rate { num: num / divisor, den: den / divisor };
    let too_fast = u64::from(rate.num) > u64::from(rate.den) * 240;
    if rate.den == 0 || rate.num < rate.den || too_fast || rate.num > 1_000_000 {
        return Err(bad());
    }
    Ok(rate)
}

/// The greatest common divisor; at least 1 unless both are 0.
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_size_rate_sampling_and_range() {
        let header = parse("YUV4MPEG2 W320 H240 F30:1 Ip A1:1 C420jpeg").unwrap();
        let expected = Header {
            size: Size { width_px: 320, height_px: 240 },
            rate: Rate { num: 30, den: 1 },
            chroma: Chroma::C420,
            range: Range::Full,
        };
        assert_eq!(header, expected);
        let header = parse("YUV4MPEG2 C422 W64 H48 F60000:2002 XCOLORRANGE=FULL").unwrap();
        assert_eq!((header.chroma, header.range), (Chroma::C422, Range::Full));
        assert_eq!(header.rate, Rate { num: 30_000, den: 1001 });
        let range = |line: &str| parse(&format!("YUV4MPEG2 W64 H48 {line}")).unwrap().range;
        assert_eq!(range("C420mpeg2"), Range::Limited);
        assert_eq!(range("C420jpeg XCOLORRANGE=LIMITED"), Range::Limited);
        assert_eq!(range("F0:0"), Range::Full);
    }

    #[test]
    fn a_video_that_the_camera_cannot_show_is_refused() {
        let problem = |line: &str| parse(&format!("YUV4MPEG2 {line}")).unwrap_err();
        assert_eq!(problem("W64 H47"), Problem::Size(64, 47, 64, 46));
        assert_eq!(problem("W0 H5000"), Problem::Size(0, 5000, 16, 4096));
        assert_eq!(problem("W64 H48 C420p10"), Problem::ColourSpace("C420p10".into()));
        assert_eq!(problem("W64 H48 It"), Problem::Interlaced);
        assert_eq!(problem("W64"), Problem::Header("no height".into()));
        assert!(matches!(problem("Wx H48"), Problem::Header(_)));
        for rate in ["F241:1", "F1:2", "F1:0", "F0:1", "F30", "F4294967295:4294967294"] {
            assert!(matches!(problem(&format!("W64 H48 {rate}")), Problem::Rate(_)), "{rate}");
        }
    }
}
