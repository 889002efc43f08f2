//! What a VNC viewer says (RFC 6143, 7.5), and the form in which it wants pixels.

/// What is no RFB: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRfb(pub &'static str);

/// The pseudo-encoding with which a viewer says that it can follow a new size (7.8.2).
pub const DESKTOP_SIZE: i32 = -223;
/// Pixels as they are (7.7.1).
pub const RAW: i32 = 0;

/// Encodings that a viewer may list; a list of more is refused.
const ENCODINGS_MAX: usize = 1024;
/// Bytes of a text from the viewer's clipboard, which are skipped; more is refused.
const CUT_TEXT_MAX: usize = 1 << 20;

/// How a pixel is to be sent (7.4): red, green and blue at their places in a number of `bytes` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelFormat {
    /// 1, 2 or 4.
    pub bytes: u8,
    /// The number's most significant byte comes first.
    pub big_endian: bool,
    /// The largest value of red, green and blue: a power of two, less one.
    pub max: [u16; 3],
    /// How far each is shifted to the left.
    pub shift: [u8; 3],
}

impl PixelFormat {
    /// The format of the pictures here: XRGB8888, least significant byte first.
    pub const OURS: Self = PixelFormat { bytes: 4, big_endian: false, max: [255; 3], shift: [16, 8, 0] };

    /// As it stands in a message.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0] = self.bytes * 8;
        bytes[1] = if self.bytes == 4 { 24 } else { self.bytes * 8 };
        bytes[2] = self.big_endian.into();
        bytes[3] = 1;
        for (at, max) in self.max.iter().enumerate() {
            bytes[4 + 2 * at..6 + 2 * at].copy_from_slice(&max.to_be_bytes());
        }
        bytes[10..13].copy_from_slice(&self.shift);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, NotRfb> {
        let [bits, _, big_endian, true_colour] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if true_colour == 0 {
            return Err(NotRfb("a colour map, and there is none"));
        }
        if ![8, 16, 32].contains(&bits) {
            return Err(NotRfb("pixels of another size than 8, 16 or 32 bits"));
        }
        let max = [4, 6, 8].map(|at| be16(bytes, at));
        let shift = [bytes[10], bytes[11], bytes[12]];
        let fits = |(max, shift): (&u16, &u8)| {
            *max > 0
                && max.count_ones() + max.leading_zeros() == 16
                && u32::from(*shift) + max.count_ones() <= u32::from(bits)
        };
        if !max.iter().zip(&shift).all(fits) {
            return Err(NotRfb("colours that do not fit a pixel"));
        }
        Ok(PixelFormat { bytes: bits / 8, big_endian: big_endian != 0, max, shift })
    }

    /// Adds `xrgb` (bytes B, G, R, X) to `out` in this format.
    pub fn convert(&self, xrgb: &[u8], out: &mut Vec<u8>) {
        if *self == Self::OURS {
            out.extend_from_slice(xrgb);
            return;
        }
        let bytes = usize::from(self.bytes);
        for pixel in xrgb.chunks_exact(4) {
            let colours = [pixel[2], pixel[1], pixel[0]];
            let parts = colours.iter().zip(self.max.iter().zip(&self.shift));
            let value = parts.fold(0, |value, (&colour, (&max, &shift))| {
                let scaled = (u32::from(colour) * u32::from(max) + 127) / 255;
                value | scaled << shift
            });
            if self.big_endian {
                out.extend_from_slice(&value.to_be_bytes()[4 - bytes..]);
            } else {
                out.extend_from_slice(&value.to_le_bytes()[..bytes]);
            }
        }
    }
}

/// What a viewer says once it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// How it wants pixels from now on.
    Format(PixelFormat),
    /// What it can read.
    Encodings(Vec<i32>),
    /// A picture, when there is one; `incremental`: only what has changed.
    Update {
        /// It has what it was sent before.
        incremental: bool,
    },
    /// A key, by its X keysym.
    Key {
        /// Went down.
        pressed: bool,
        /// Which.
        keysym: u32,
    },
    /// The pointer.
    Pointer {
        /// The buttons that are down: bits 0 to 2 left, middle, right; 3 and 4 the wheel up and down.
        buttons: u8,
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
    },
    /// Something in its clipboard, which nobody here wants.
    CutText,
}

/// The first message in `input` and its length in bytes, if all of it is there.
///
/// # Errors
///
/// What no viewer says.
pub fn parse(input: &[u8]) -> Result<Option<(Asked, usize)>, NotRfb> {
    let Some(&kind) = input.first() else { return Ok(None) };
    let length = match kind {
        0 => 20,
        2 | 4 | 5 | 6 => {
            let head = [0, 0, 4, 0, 8, 6, 8][usize::from(kind)];
            if input.len() < head {
                return Ok(None);
            }
            head + body(kind, input)?
        }
        3 => 10,
        _ => return Err(NotRfb("a message of a kind that there is not")),
    };
    // Nobody reads a clipboard's text: it is skipped as it comes.
    let needed = if kind == 6 { 8 } else { length };
    if input.len() < needed {
        return Ok(None);
    }
    let asked = match kind {
        0 => Asked::Format(PixelFormat::parse(&input[4..20])?),
        2 => Asked::Encodings(input[4..length].chunks_exact(4).map(|it| be32(it, 0) as i32).collect()),
        3 => Asked::Update { incremental: input[1] != 0 },
        4 => Asked::Key { pressed: input[1] != 0, keysym: be32(input, 4) },
        5 => Asked::Pointer { buttons: input[1], x: be16(input, 2), y: be16(input, 4) },
        _ => Asked::CutText,
    };
    Ok(Some((asked, length)))
}

/// Bytes behind a message's fixed part, which is there.
fn body(kind: u8, input: &[u8]) -> Result<usize, NotRfb> {
    match kind {
        2 => {
            let encodings = usize::from(be16(input, 2));
            if encodings > ENCODINGS_MAX { Err(NotRfb("too many encodings")) } else { Ok(encodings * 4) }
        }
        6 => {
            let bytes = be32(input, 4) as usize;
            if bytes > CUT_TEXT_MAX { Err(NotRfb("a clipboard of more than 1 MiB")) } else { Ok(bytes) }
        }
        _ => Ok(0),
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use fencepost_random::Random;

    use super::*;

    #[test]
    fn messages_are_read_as_the_rfc_has_them() {
        let cases: [(&[u8], Asked); 5] = [
            (&[2, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x21], Asked::Encodings(vec![RAW, DESKTOP_SIZE])),
            (&[3, 1, 0, 0, 0, 0, 1, 0, 1, 0], Asked::Update { incremental: true }),
            (&[4, 1, 0, 0, 0, 0, 0xff, 0x0d], Asked::Key { pressed: true, keysym: 0xff0d }),
            (&[5, 4, 1, 2, 3, 4], Asked::Pointer { buttons: 4, x: 0x102, y: 0x304 }),
            (&[6, 0, 0, 0, 0, 0, 0, 0], Asked::CutText),
        ];
        for (bytes, asked) in cases {
            assert_eq!(parse(bytes), Ok(Some((asked, bytes.len()))));
            for part in 0..bytes.len() {
                assert_eq!(parse(&bytes[..part]), Ok(None), "{part} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_no_viewer_says_is_refused() {
        assert!(parse(&[9]).is_err());
        assert!(parse(&[2, 0, 0xff, 0xff]).is_err(), "65535 encodings");
        assert!(parse(&[6, 0, 0, 0, 0xff, 0, 0, 0]).is_err(), "a long text");
        let mut format = [0; 20];
        format[4..].copy_from_slice(&PixelFormat::OURS.to_bytes());
        assert_eq!(parse(&format), Ok(Some((Asked::Format(PixelFormat::OURS), 20))));
        for (at, value) in [(4, 24), (7, 0), (9, 254), (9, 0), (14, 25)] {
            let mut format = format;
            format[at] = value;
            assert!(parse(&format).is_err(), "byte {at} is {value}");
        }
    }

    #[test]
    fn pixels_are_sent_as_the_viewer_wants_them() {
        // White and a dark red, in 5, 6 and 5 bits, both ways round; then 3, 3 and 2 bits.
        let xrgb = [255, 255, 255, 0, 0, 0, 132, 0];
        let mut format = PixelFormat { bytes: 2, big_endian: true, max: [31, 63, 31], shift: [11, 5, 0] };
        let sent = |format: PixelFormat| {
            let mut out = Vec::new();
            format.convert(&xrgb, &mut out);
            out
        };
        assert_eq!(sent(format), [0xff, 0xff, 0x80, 0x00]);
        format.big_endian = false;
        assert_eq!(sent(format), [0xff, 0xff, 0x00, 0x80]);
        let small = PixelFormat { bytes: 1, big_endian: false, max: [7, 7, 3], shift: [0, 3, 6] };
        assert_eq!(sent(small), [0xff, 0x04]);
        let turned = PixelFormat { shift: [0, 8, 16], ..PixelFormat::OURS };
        assert_eq!(sent(turned), [255, 255, 255, 0, 132, 0, 0, 0]);
    }

    #[test]
    fn no_input_breaks_it() {
        let mut random = Random::new(11);
        for _ in 0..200_000 {
            let length = random.below(40) as usize;
            let mut bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            if let Some(first) = bytes.first_mut() {
                *first %= 8;
            }
            if let Ok(Some((asked, used))) = parse(&bytes) {
                assert!(used > 0 && (used <= bytes.len() || asked == Asked::CutText));
                if let Asked::Format(format) = asked {
                    let mut out = Vec::new();
                    format.convert(&[1, 2, 3, 4, 255, 255, 255, 255], &mut out);
                    assert_eq!(out.len(), 2 * usize::from(format.bytes));
                }
            }
        }
    }
}
