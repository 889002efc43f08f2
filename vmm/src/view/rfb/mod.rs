//! The screens for VNC viewers: RFB 3.8 (RFC 6143), and 3.7 and 3.3, which differ in how they begin.
//!
//! One session shows all screens side by side. Pictures go out as they are (Raw), the part that has changed, when the viewer asks.

mod auth;
pub mod messages;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth::Challenge;
pub use auth::PASSWORD_LETTERS;
use messages::{Asked, DESKTOP_SIZE, NotRfb, PixelFormat, RAW, parse};

use super::changes::Area;
use super::connection::{Connection, END_LIMIT, SEND_LIMIT, Woken};
use super::desktop;
use super::hub::Picture;
use super::keys;
use crate::input::{ABSOLUTE_MAX, Button, Hands, Input, InputDevices};

/// A viewer must be let in by then.
const LOGIN_LIMIT: Duration = Duration::from_secs(20);
/// A wrong password is answered so late, so that nobody tries many.
const WRONG_DELAY: Duration = Duration::from_secs(1);
/// Bytes of the viewer's that wait to be understood.
const INPUT_MAX_BYTES: usize = 8192;
/// The size of the black picture that is there before the guest shows one.
const NOTHING_PX: (u32, u32) = (640, 480);

/// The largest side of a picture that the protocol can tell of; a guest may have a larger one.
const SIDE_MAX_PX: u32 = u16::MAX as u32;

/// What a viewer calls the screen.
const NAME: &str = "Fencepost";

/// The versions of the protocol, as the server tells apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V3,
    V7,
    V8,
}

struct Session<'c> {
    connection: &'c Connection,
    input: Vec<u8>,
    /// Bytes of a clipboard that are still to be skipped.
    skip: usize,
    output: Vec<u8>,
    written: usize,
    sending: Option<Instant>,
    format: PixelFormat,
    follows_size: bool,
    /// The viewer waits for a picture; true: it has what it was sent.
    asked: Option<bool>,
    sent: Arc<Picture>,
    /// The screens' pictures, and they side by side.
    joined: (Vec<Arc<Picture>>, Option<Arc<Picture>>),
    buttons: u8,
    hands: Hands,
}

/// Serves a viewer until it leaves or the machine ends.
///
/// # Errors
///
/// Why the connection was given up: it broke, the password was wrong, or it sent what no viewer sends.
pub fn serve(connection: &Connection, password: &str, devices: InputDevices) -> io::Result<()> {
    let mut session = Session {
        connection,
        input: Vec::new(),
        skip: 0,
        output: Vec::new(),
        written: 0,
        sending: None,
        format: PixelFormat::OURS,
        follows_size: false,
        asked: None,
        sent: Arc::new(nothing()),
        joined: Default::default(),
        buttons: 0,
        hands: Hands::new(devices),
    };
    session.log_in(password)?;
    session.serve()
}

fn nothing() -> Picture {
    let (width, height) = NOTHING_PX;
    Picture { flip: 0, crc: 0, width, height, xrgb: vec![0; (width * height * 4) as usize] }
}

impl From<NotRfb> for io::Error {
    fn from(error: NotRfb) -> Self {
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

impl Session<'_> {
    /// Version, security, password, and what the screen is (7.1 to 7.3).
    fn log_in(&mut self, password: &str) -> io::Result<()> {
        let until = Instant::now() + LOGIN_LIMIT;
        self.connection.write_all(b"RFB 003.008\n", until)?;
        let version = match &self.expect(12, until)?[..] {
            b"RFB 003.008\n" => Version::V8,
            b"RFB 003.007\n" => Version::V7,
            // RFC 6143, 7.1.1: other versions are 3.3.
            other if other.starts_with(b"RFB 003.") && other.ends_with(b"\n") => Version::V3,
            _ => return Err(NotRfb("no version of RFB").into()),
        };
        // VNC authentication has the number 2: chosen by the server in 3.3, by the viewer from then on.
        if version == Version::V3 {
            self.connection.write_all(&[0, 0, 0, 2], until)?;
        } else {
            self.connection.write_all(&[1, 2], until)?;
            if self.expect(1, until)? != [2] {
                return Err(NotRfb("a security type that was not offered").into());
            }
        }
        let challenge = Challenge::new()?;
        self.connection.write_all(challenge.bytes(), until)?;
        let answer = self.expect(16, until)?;
        if !challenge.is_answered(&answer, password) {
            return self.refuse(version, until);
        }
        self.connection.write_all(&[0; 4], until)?;
        // Whether others may watch too: they may.
        self.expect(1, until)?;
        if let Some(picture) = self.newest() {
            // What the viewer has is black, of the right size.
            let Picture { width, height, .. } = *picture;
            self.sent = Arc::new(Picture { width, height, ..Picture::default() });
        }
        let mut init = Vec::new();
        [self.sent.width, self.sent.height].iter().for_each(|side| init.extend((*side as u16).to_be_bytes()));
        init.extend(PixelFormat::OURS.to_bytes());
        init.extend((NAME.len() as u32).to_be_bytes());
        init.extend(NAME.bytes());
        self.connection.write_all(&init, until)
    }

    fn refuse(&mut self, version: Version, until: Instant) -> io::Result<()> {
        std::thread::sleep(WRONG_DELAY);
        let why = b"wrong password";
        let mut result = vec![0, 0, 0, 1];
        if version == Version::V8 {
            result.extend((why.len() as u32).to_be_bytes());
            result.extend(why);
        }
        self.connection.write_all(&result, until)?;
        Err(ErrorKind::PermissionDenied.into())
    }

    /// The next `count` bytes, at most [`INPUT_MAX_BYTES`].
    fn expect(&mut self, count: usize, until: Instant) -> io::Result<Vec<u8>> {
        while self.input.len() < count {
            let open = self.connection.read_into(&mut self.input, count)?;
            if self.input.len() >= count {
                break;
            }
            if !open {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if self.connection.hub.is_over() || self.connection.wait(false, Some(until))? == Woken::Late {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(self.input.drain(..count).collect())
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let open = self.connection.read_into(&mut self.input, INPUT_MAX_BYTES)?;
            self.take()?;
            if !open {
                return Ok(());
            }
            self.connection.waiter.arm();
            let over = self.connection.hub.is_over();
            if self.sending.is_none() {
                self.send_news()?;
            }
            self.flush()?;
            if over {
                let until = Instant::now() + END_LIMIT;
                return self.connection.write_all(&self.output[self.written..], until);
            }
            let late = self.connection.wait(self.sending.is_some(), self.sending)? == Woken::Late;
            if late {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Takes all whole messages.
    fn take(&mut self) -> io::Result<()> {
        loop {
            let skipped = self.skip.min(self.input.len());
            self.input.drain(..skipped);
            self.skip -= skipped;
            let Some((asked, length)) = parse(&self.input)? else { return Ok(()) };
            let here = length.min(self.input.len());
            self.input.drain(..here);
            self.skip = length - here;
            self.hear(asked);
        }
    }

    fn hear(&mut self, asked: Asked) {
        match asked {
            Asked::Format(format) => self.format = format,
            Asked::Encodings(list) => self.follows_size = list.contains(&DESKTOP_SIZE),
            Asked::Update { incremental } => self.asked = Some(incremental && self.asked != Some(false)),
            Asked::Key { pressed, keysym } => {
                if let Some(code) = keys::of_keysym(keysym) {
                    self.hands.act(Input::Key { code, pressed });
                }
            }
            Asked::Pointer { buttons, x, y } => self.point(buttons, x, y),
            Asked::CutText => {}
        }
    }

    fn point(&mut self, buttons: u8, x: u16, y: u16) {
        let scaled = |at: u16, side: u32| {
            let last = side.saturating_sub(1).max(1);
            (u32::from(at).min(last) * u32::from(ABSOLUTE_MAX) / last) as u16
        };
        let (x, y) = (scaled(x, self.sent.width), scaled(y, self.sent.height));
        self.hands.act(Input::Absolute { x, y });
        let went_down = buttons & !self.buttons;
        for (bit, button) in [Button::Left, Button::Middle, Button::Right].into_iter().enumerate() {
            if (buttons ^ self.buttons) >> bit & 1 == 1 {
                self.hands.act(Input::Button { button, pressed: went_down >> bit & 1 == 1 });
            }
        }
        for (bit, notches) in [(3, 1), (4, -1)] {
            if went_down >> bit & 1 == 1 {
                self.hands.act(Input::Wheel(notches));
            }
        }
        self.buttons = buttons;
    }

    /// The newest pictures, side by side. What is too large for the protocol is left out: viewers keep what they had.
    fn newest(&mut self) -> Option<Arc<Picture>> {
        let screens = self.connection.hub.all();
        let (before, joined) = &mut self.joined;
        let same =
            before.len() == screens.len() && before.iter().zip(&screens).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            *joined = desktop::joined(&screens, SIDE_MAX_PX);
            *before = screens;
        }
        joined.clone()
    }

    /// Prepares what the viewer has asked for, if there is anything.
    fn send_news(&mut self) -> io::Result<()> {
        let Some(incremental) = self.asked else { return Ok(()) };
        let newest = self.newest();
        // What was only announced has no pixels that could be sent again.
        let old = || Some(Arc::clone(&self.sent)).filter(|sent| !sent.xrgb.is_empty());
        let Some(picture) = newest.or_else(old) else { return Ok(()) };
        if (picture.width, picture.height) != (self.sent.width, self.sent.height) {
            if !self.follows_size {
                return Err(NotRfb("the size has changed, which this viewer cannot follow").into());
            }
            self.begin_update(&[Area::whole(&picture)], DESKTOP_SIZE);
            // The viewer's picture is black now, and it asks again.
            let Picture { width, height, .. } = *picture;
            self.sent = Arc::new(Picture { width, height, ..Picture::default() });
            self.asked = None;
            return Ok(());
        }
        // One that was only announced has no pixels here.
        let known = incremental && self.sent.xrgb.len() == picture.xrgb.len();
        let area = if known { Area::changed(&self.sent, &picture) } else { Some(Area::whole(&picture)) };
        let Some(area) = area else { return Ok(()) };
        self.begin_update(&[area], RAW);
        for row in area.rows(&picture) {
            self.format.convert(row, &mut self.output);
        }
        self.sent = picture;
        self.asked = None;
        Ok(())
    }

    /// A FramebufferUpdate (7.6.1) with these rectangles, whose data follows.
    fn begin_update(&mut self, areas: &[Area], encoding: i32) {
        self.output.clear();
        self.written = 0;
        self.sending = Some(Instant::now() + SEND_LIMIT);
        self.output.extend([0, 0, 0, areas.len() as u8]);
        for area in areas {
            for number in [area.x, area.y, area.width, area.height] {
                self.output.extend((number as u16).to_be_bytes());
            }
            self.output.extend(encoding.to_be_bytes());
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.connection.write_some(&self.output, &mut self.written)? {
            self.sending = None;
            self.output = Vec::new();
            self.written = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
