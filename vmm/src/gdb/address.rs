//! Where a debugger comes to, as the user says it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// A place of this computer's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of a loopback address.
    Tcp(SocketAddr),
}

/// `--gdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GdbAt {
    /// Where it listens.
    pub place: Place,
    /// Whether the guest waits for a debugger before its first instruction.
    pub waits: bool,
}

impl FromStr for GdbAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write unix:PATH, PORT, 127.0.0.1:PORT or [::1]:PORT, and `,nowait` behind it for a guest that does not wait".to_string()
        };
        let far =
            "other computers can reach it; name 127.0.0.1 or [::1], and come from elsewhere through `ssh -L`";
        let (place, waits) = match text.strip_suffix(",nowait") {
            Some(place) => (place, false),
            None => (text, true),
        };
        if let Some(path) = place.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(wrong()),
                false => Ok(GdbAt { place: Place::Unix(path.into()), waits }),
            };
        }
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let port = place.strip_prefix("localhost:").or(place.strip_prefix(':')).unwrap_or(place);
        let at: SocketAddr = match port.parse() {
            Ok(port) => local(port),
            Err(_) => place.parse().map_err(|_| wrong())?,
        };
        match at.ip().is_loopback() {
            true => Ok(GdbAt { place: Place::Tcp(at), waits }),
            false => Err(far.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debugger_comes_to_a_socket_or_a_port_of_this_computer() {
        let tcp = |at: &str, waits| Ok(GdbAt { place: Place::Tcp(at.parse().unwrap()), waits });
        for text in ["1234", ":1234", "localhost:1234", "127.0.0.1:1234"] {
            assert_eq!(text.parse(), tcp("127.0.0.1:1234", true), "{text}");
        }
        assert_eq!("[::1]:0,nowait".parse(), tcp("[::1]:0", false));
        let unix = |path: &str, waits| Ok(GdbAt { place: Place::Unix(path.into()), waits });
        assert_eq!("unix:/run/a,b".parse(), unix("/run/a,b", true));
        assert_eq!("unix:s,nowait".parse(), unix("s", false));
        for wrong in ["", "unix:", "tcp::1234", "65536", "host:1", ",nowait"] {
            assert!(wrong.parse::<GdbAt>().is_err_and(|why| why.contains("unix:PATH")), "{wrong}");
        }
        assert!("0.0.0.0:1".parse::<GdbAt>().is_err_and(|why| why.contains("ssh -L")));
    }
}
