//! What page and server say to each other over the WebSocket.
//!
//! The server sends text (JSON, an [`Answer`]) and pictures: four bytes that say how long the header is, least first, the header (JSON, a
//! [`PictureHeader`]), and a PNG. The page sends text (JSON, an [`Asked`]). After each picture or count the server waits for `shown`, so
//! that a slow page gets fewer pictures, and no old ones.

use std::io;

use serde::{Deserialize, Serialize};

use super::changes::Area;
use super::hub::{Picture, Shown};
use super::keys;
use crate::frames::write_png;
use crate::input::{Button, Input};

/// Bytes of a message from the page at most.
pub const ASKED_MAX_BYTES: usize = 4096;

/// What the page says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Asked {
    /// What was sent last is on the page.
    Shown {},
    /// Wants to see another screen.
    Screen {
        /// Its name.
        name: String,
    },
    /// A key.
    Key {
        /// `KeyboardEvent.code`.
        code: String,
        /// Went down.
        pressed: bool,
    },
    /// The pointer is at this place, each from 0 to 32767.
    Pointer {
        /// From the left.
        x: u16,
        /// From the top.
        y: u16,
    },
    /// A button of the pointer.
    Button {
        /// `MouseEvent.button`: 0 left, 1 middle, 2 right.
        button: u8,
        /// Went down.
        pressed: bool,
    },
    /// The wheel.
    Wheel {
        /// Notches, positive away from the person.
        notches: i8,
    },
    /// The page has lost the keyboard: nothing is held down any more.
    Released {},
}

impl Asked {
    /// What it does at the input devices, if anything.
    pub fn input(&self) -> Option<Input> {
        match *self {
            Asked::Key { ref code, pressed } => {
                keys::of_browser(code).map(|code| Input::Key { code, pressed })
            }
            Asked::Pointer { x, y } => Some(Input::Absolute { x, y }),
            Asked::Button { button, pressed } => {
                let button =
                    [Button::Left, Button::Middle, Button::Right].get(usize::from(button)).copied()?;
                Some(Input::Button { button, pressed })
            }
            Asked::Wheel { notches } => Some(Input::Wheel(notches)),
            Asked::Shown {} | Asked::Screen { .. } | Asked::Released {} => None,
        }
    }
}

/// What the server says in text.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Answer<'a> {
    /// What there is: comes first, and when it changes.
    Screens {
        /// Names of all screens that have shown something.
        screens: &'a [String],
        /// Some device takes keys.
        keyboard: bool,
        /// Some device takes the pointer.
        pointer: bool,
    },
    /// Another frame of the same picture.
    Frame(FrameCount),
    /// The machine has ended: the last picture stays.
    Ended,
}

impl Answer<'_> {
    /// As text.
    pub fn text(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which frame a screen shows.
#[derive(Clone, Debug, Serialize)]
pub struct FrameCount {
    /// The screen's name.
    pub screen: String,
    /// The frame: vertical blanks that the display counted.
    pub frame: u64,
    /// The commit that brought it.
    pub flip: u64,
    /// CRC-32 of the picture's XRGB8888 words, as 8 digits.
    pub crc: String,
}

impl FrameCount {
    /// Of what `screen` shows.
    pub fn of(screen: String, shown: &Shown) -> Self {
        let Picture { flip, crc, .. } = *shown.picture;
        FrameCount { screen, frame: shown.frame, flip, crc: format!("{crc:08x}") }
    }
}

/// What stands before a picture's PNG.
#[derive(Clone, Debug, Serialize)]
pub struct PictureHeader {
    /// Where and which.
    #[serde(flatten)]
    pub count: FrameCount,
    /// Pixels in a row of the screen.
    pub width: u32,
    /// Rows of the screen.
    pub height: u32,
    /// Where the PNG's first pixel belongs.
    pub x: u32,
    /// Where the PNG's first row belongs.
    pub y: u32,
}

/// The message with the part `area` of what a screen shows; all outside it is there already.
///
/// # Errors
///
/// The PNG cannot be made.
pub fn picture(count: FrameCount, picture: &Picture, area: Area) -> io::Result<Vec<u8>> {
    let Area { x, y, width, height } = area;
    let header = PictureHeader { count, width: picture.width, height: picture.height, x, y };
    let header = serde_json::to_vec(&header)?;
    let mut message = (header.len() as u32).to_le_bytes().to_vec();
    message.extend(header);
    write_png(&mut message, (width, height), &area.pixels(picture))?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn asked(text: &str) -> Option<Asked> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn the_page_is_understood() {
        assert_eq!(asked(r#"{"type":"shown"}"#), Some(Asked::Shown {}));
        let key = asked(r#"{"type":"key","code":"KeyA","pressed":true}"#).and_then(|key| key.input());
        assert_eq!(key, Some(Input::Key { code: 30, pressed: true }));
        let button = asked(r#"{"type":"button","button":2,"pressed":false}"#).and_then(|it| it.input());
        assert_eq!(button, Some(Input::Button { button: Button::Right, pressed: false }));
        let unknown = asked(r#"{"type":"key","code":"Nothing","pressed":true}"#).map(|key| key.input());
        assert_eq!(unknown, Some(None));
    }

    #[test]
    fn what_no_page_says_is_refused() {
        for text in ["", "{}", r#"{"type":"other"}"#, r#"{"type":"pointer","x":-1,"y":0}"#] {
            assert_eq!(asked(text), None, "{text}");
        }
        assert_eq!(asked(r#"{"type":"wheel","notches":1000}"#), None);
        assert_eq!(asked(r#"{"type":"shown","more":1}"#), None);
    }

    #[test]
    fn a_picture_has_its_header_and_the_pixels_of_its_area() {
        let xrgb = (0..4 * 6).collect();
        let whole = Arc::new(Picture { flip: 7, crc: 0xab, width: 3, height: 2, xrgb });
        let count = FrameCount::of("display@3".into(), &Shown { frame: 9, picture: Arc::clone(&whole) });
        let area = Area { x: 1, y: 0, width: 2, height: 1 };
        let message = picture(count, &whole, area).expect("made");
        let length = u32::from_le_bytes(message[..4].try_into().expect("four")) as usize;
        let header: serde_json::Value = serde_json::from_slice(&message[4..4 + length]).expect("JSON");
        let expected = serde_json::json!({"screen": "display@3", "frame": 9, "flip": 7, "crc": "000000ab",
            "width": 3, "height": 2, "x": 1, "y": 0});
        assert_eq!(header, expected);
        let mut reader =
            png::Decoder::new(io::Cursor::new(&message[4 + length..])).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
        reader.next_frame(&mut rgb).expect("one picture");
        assert_eq!(rgb, [6, 5, 4, 10, 9, 8]);
    }
}
