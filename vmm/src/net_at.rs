//! What a guest's network device is connected to, as the user says it.

use std::path::PathBuf;
use std::str::FromStr;

/// The longest name of an interface: `IFNAMSIZ` without the final NUL.
pub const TAP_NAME_MAX_BYTES: usize = 15;

/// `--net`: what is at the wire's other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetAt {
    /// A process `passt` of this run's own.
    Passt,
    /// A process that listens at this Unix socket, and takes and gives frames as QEMU's stream does: `passt`, for one.
    Socket(PathBuf),
    /// This tap device.
    Tap(String),
}

impl FromStr for NetAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "passt" => Ok(NetAt::Passt),
            Some(("socket", path)) if !path.is_empty() => Ok(NetAt::Socket(path.into())),
            Some(("tap", name)) if (1..=TAP_NAME_MAX_BYTES).contains(&name.len()) => {
                Ok(NetAt::Tap(name.into()))
            }
            _ => Err("write passt, socket=PATH, or tap=NAME with a name of at most 15 characters".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_passt_a_socket_or_a_tap() {
        assert_eq!("passt".parse(), Ok(NetAt::Passt));
        assert_eq!("socket=/run/a=b".parse(), Ok(NetAt::Socket("/run/a=b".into())));
        assert_eq!("tap=tap0".parse(), Ok(NetAt::Tap("tap0".into())));
        for wrong in ["", "user", "passt=1", "socket=", "tap=", "tap", "tap=a-name-of-16-char"] {
            assert!(wrong.parse::<NetAt>().is_err_and(|why| why.contains("socket=PATH")), "{wrong}");
        }
    }
}
