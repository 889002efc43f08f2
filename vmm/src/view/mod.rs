//! The live view: what the machine's screens show, for a browser and for VNC viewers on this computer, and their keys and pointer for
//! the guest (docs/view.md).
//!
//! The machine's thread puts each picture into the [`Hub`], which keeps the newest of each screen; every viewer has a
//! thread of its own that takes the newest when its viewer is ready for one. So no viewer slows the guest, or makes the host keep more.

mod changes;
mod connection;
mod desktop;
mod door;
mod http;
pub mod hub;
mod keys;
mod messages;
mod rfb;
mod socket;
mod token;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use connection::{Connection, Woken};
use door::Door;
use http::Verdict;
use hub::Hub;
pub(crate) use keys::of_browser as key_number;

use crate::error::{HostError, plain};
use crate::input::InputDevices;

/// Letters of the token in the page's address: 132 bits.
const TOKEN_LETTERS: usize = 22;
/// A request must be whole by then, and its answer taken.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Where to listen; for each a loopback address, where port 0 is a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// For browsers.
    pub page: Option<SocketAddr>,
    /// For VNC viewers.
    pub vnc: Option<SocketAddr>,
}

impl Addresses {
    /// Whether there is nothing to listen at.
    pub fn is_empty(&self) -> bool {
        self.page.is_none() && self.vnc.is_none()
    }
}

/// A live view. Dropped, it shows every viewer the last picture and sends them away, within seconds.
pub struct View {
    hub: Arc<Hub>,
    doors: Vec<Door>,
    lines: Vec<String>,
}

impl View {
    /// Listens, and gives what viewers do to `devices`.
    ///
    /// # Errors
    ///
    /// An address is not on this computer's loopback, or is not to be had.
    pub fn open(addresses: Addresses, devices: &InputDevices) -> Result<Self, HostError> {
        let mut view = View { hub: Arc::default(), doors: Vec::new(), lines: Vec::new() };
        if let Some(address) = addresses.page {
            let (line, door) =
                view.page(address, devices).map_err(|error| refused("--view", address, &error))?;
            view.lines.push(line);
            view.doors.push(door);
        }
        if let Some(address) = addresses.vnc {
            let (line, door) =
                view.vnc(address, devices).map_err(|error| refused("--vnc", address, &error))?;
            view.lines.push(line);
            view.doors.push(door);
        }
        Ok(view)
    }

    /// Where the machine's pictures go.
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// What the user must know: the addresses, with the secrets in them.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn page(&self, address: SocketAddr, devices: &InputDevices) -> io::Result<(String, Door)> {
        let secret = token::secret(TOKEN_LETTERS)?;
        let (hub, devices, expected) = (self.hub(), devices.clone(), secret.clone());
        let serve = move |stream| serve_page(stream, &hub, &expected, &devices);
        let door = open("view", address, serve)?;
        Ok((format!("view: http://{}/?token={secret}", door.address()), door))
    }

    fn vnc(&self, address: SocketAddr, devices: &InputDevices) -> io::Result<(String, Door)> {
        let password = token::secret(rfb::PASSWORD_LETTERS)?;
        let (hub, devices, expected) = (self.hub(), devices.clone(), password.clone());
        let serve = move |stream| {
            if let Ok(connection) = Connection::new(stream, &hub) {
                // Why a viewer went is nobody's business.
                let _ = rfb::serve(&connection, &expected, devices.clone());
                connection.close();
            }
        };
        let door = open("vnc", address, serve)?;
        Ok((format!("vnc: {}, password {password}", door.address()), door))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.hub.end();
    }
}

fn open(
    name: &str,
    address: SocketAddr,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> io::Result<Door> {
    if !address.ip().is_loopback() {
        return Err(io::Error::other("not a loopback address"));
    }
    Door::open(name, address, Arc::new(serve))
}

fn refused(option: &str, address: SocketAddr, error: &io::Error) -> HostError {
    HostError::input(
        format!("{option} {address}: {}", plain(error)),
        "name a free port of 127.0.0.1 or [::1], or none for any",
    )
}

fn serve_page(stream: TcpStream, hub: &Arc<Hub>, secret: &str, devices: &InputDevices) {
    if let Ok(connection) = Connection::new(stream, hub) {
        // Why a viewer went is nobody's business.
        let _ = answer(&connection, secret, devices);
        connection.close();
    }
}

/// Answers the one request of a connection.
fn answer(connection: &Connection, secret: &str, devices: &InputDevices) -> io::Result<()> {
    let until = Instant::now() + REQUEST_LIMIT;
    let mut request = Vec::new();
    loop {
        let open = connection.read_into(&mut request, http::REQUEST_MAX_BYTES)?;
        let answer = match http::judge(&request, secret) {
            Verdict::More if open && !connection.hub.is_over() => {
                if connection.wait(false, Some(until))? == Woken::Late {
                    return connection
                        .write_all(&http::refusal(408, "Request Timeout"), until + REQUEST_LIMIT);
                }
                continue;
            }
            Verdict::More => return Ok(()),
            Verdict::Page(host) => http::page(&host, &token::secret(TOKEN_LETTERS)?),
            Verdict::Refused(status, reason) => http::refusal(status, reason),
            Verdict::Socket(key, length) => {
                connection.write_all(&http::switch(&key), until)?;
                return socket::serve(connection, request.split_off(length), devices.clone());
            }
        };
        return connection.write_all(&answer, until);
    }
}

#[cfg(test)]
mod tests;
