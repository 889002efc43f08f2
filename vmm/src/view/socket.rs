//! A page's WebSocket: pictures out, keys and pointer in.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::changes::Area;
use super::connection::{Connection, END_LIMIT, SEND_LIMIT, Woken};
use super::hub::Picture;
use super::messages::{self, ASKED_MAX_BYTES, Answer, Asked, FrameCount};
use crate::frames::ScreenName;
use crate::input::{Hands, InputDevices};

/// Messages that are taken before anything is sent again.
const ROUND: usize = 64;

/// What was sent last.
struct Sent {
    screen: ScreenName,
    frame: u64,
    picture: Arc<Picture>,
}

struct Page<'c> {
    connection: &'c Connection,
    socket: WebSocket<TcpStream>,
    hands: Hands,
    /// The screen that the page asked for.
    wanted: Option<String>,
    screens: Option<Vec<String>>,
    sent: Option<Sent>,
    /// The page has what was sent.
    ready: bool,
    /// Until when what is being sent must have been taken, if something is.
    sending: Option<Instant>,
}

/// Serves a page until it leaves or the machine ends. `begun` is what it sent behind its request.
///
/// # Errors
///
/// Why the connection was given up: it broke, or it sent what no page sends.
pub fn serve(connection: &Connection, begun: Vec<u8>, devices: InputDevices) -> io::Result<()> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(ASKED_MAX_BYTES))
        .max_frame_size(Some(ASKED_MAX_BYTES));
    let stream = connection.stream.try_clone()?;
    let socket = WebSocket::from_partially_read(stream, begun, Role::Server, Some(limits));
    let hands = Hands::new(devices);
    let mut page = Page {
        connection,
        socket,
        hands,
        wanted: None,
        screens: None,
        sent: None,
        ready: true,
        sending: None,
    };
    page.serve()
}

impl Page<'_> {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let more = self.take()?;
            self.connection.waiter.arm();
            if self.connection.hub.is_over() {
                return self.end();
            }
            if self.ready && self.sending.is_none() {
                self.send_news()?;
            }
            self.flush()?;
            let until = if more { Some(Instant::now()) } else { self.sending };
            let late = self.connection.wait(self.sending.is_some(), until)? == Woken::Late;
            if late && self.sending.is_some_and(|limit| limit <= Instant::now()) {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Takes what the page has said; whether there may be more.
    fn take(&mut self) -> io::Result<bool> {
        for _ in 0..ROUND {
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                // Answered by the library.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Ok(Message::Close(_)) => return Err(ErrorKind::ConnectionAborted.into()),
                Ok(Message::Binary(_)) => return Err(ErrorKind::InvalidData.into()),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(broken(error)),
            };
            let asked: Asked = serde_json::from_str(&text)?;
            match &asked {
                Asked::Shown {} => self.ready = true,
                Asked::Screen { name } => self.wanted = Some(name.clone()),
                Asked::Released {} => self.hands.let_go(),
                _ => asked.input().into_iter().for_each(|input| self.hands.act(input)),
            }
        }
        Ok(true)
    }

    /// Sends what the page does not have yet.
    fn send_news(&mut self) -> io::Result<()> {
        let names = self.connection.hub.screens();
        let wanted = self.wanted.as_ref();
        let wanted = wanted.and_then(|wanted| names.iter().find(|name| name.to_string() == *wanted));
        let shown = self.connection.hub.shown(wanted);
        let texts: Vec<String> = names.iter().map(ScreenName::to_string).collect();
        if self.screens.as_ref() != Some(&texts) {
            let devices = self.hands.devices();
            let (keyboard, pointer) = (devices.has_keyboard(), devices.has_tablet());
            let answer = Answer::Screens { screens: &texts, keyboard, pointer }.text();
            self.send(Message::text(answer))?;
            self.screens = Some(texts);
        }
        let Some((screen, shown)) = shown else { return Ok(()) };
        let sent = self.sent.as_ref().filter(|sent| sent.screen == screen);
        if sent.is_some_and(|sent| sent.frame == shown.frame && Arc::ptr_eq(&sent.picture, &shown.picture)) {
            return Ok(());
        }
        let area = sent
            .map_or(Some(Area::whole(&shown.picture)), |sent| Area::changed(&sent.picture, &shown.picture));
        let count = FrameCount::of(screen.to_string(), &shown);
        let message = match area {
            Some(area) => messages::picture(count, &shown.picture, area)?.into(),
            None => Message::text(Answer::Frame(count).text()),
        };
        self.send(message)?;
        self.ready = false;
        self.sent = Some(Sent { screen, frame: shown.frame, picture: shown.picture });
        Ok(())
    }

    /// Puts a message into the library's buffer, which [`Self::flush`] empties.
    fn send(&mut self, message: Message) -> io::Result<()> {
        self.sending.get_or_insert_with(|| Instant::now() + SEND_LIMIT);
        match self.socket.write(message) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other.map_err(broken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.socket.flush() {
            Ok(()) => self.sending = None,
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                self.sending.get_or_insert_with(|| Instant::now() + SEND_LIMIT);
            }
            Err(error) => return Err(broken(error)),
        }
        Ok(())
    }

    /// Sends the last picture, and that it is the last.
    fn end(&mut self) -> io::Result<()> {
        let limit = Instant::now() + END_LIMIT;
        self.send_news()?;
        self.send(Message::text(Answer::Ended.text()))?;
        match self.socket.close(None) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            other => other.map_err(broken)?,
        }
        loop {
            match self.socket.flush() {
                Ok(()) | Err(Error::ConnectionClosed) => return Ok(()),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
            if self.connection.room_by(limit)? == Woken::Late {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
