//! The options of the live view.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use crate::view::Addresses;

/// Where the live view is served.
#[derive(Clone, Debug, Default, Args)]
pub struct ViewArgs {
    /// Show the screens live to a browser on this computer, and give the guest's virtio-keyboard and virtio-tablet what is done there
    /// (docs/view.md). The page's address, with its token, is printed on standard error. Without a port, any free one of 127.0.0.1
    #[arg(long, value_name = "[ADDR:]PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = loopback)]
    pub view: Option<SocketAddr>,
    /// Show the screens, side by side, to VNC viewers on this computer (RFB 3.8); address and password are printed on standard error
    #[arg(long, value_name = "[ADDR:]PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = loopback)]
    pub vnc: Option<SocketAddr>,
}

impl ViewArgs {
    /// As the view takes them.
    pub fn addresses(&self) -> Addresses {
        Addresses { page: self.view, vnc: self.vnc }
    }
}

/// A port of this computer's own: `PORT`, or `ADDR:PORT` with a loopback address.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let wrong = || "write PORT, 127.0.0.1:PORT or [::1]:PORT, with a port from 0 (any) to 65535".to_string();
    let far =
        "other computers can reach it; name 127.0.0.1 or [::1], and come from elsewhere through `ssh -L`";
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_string(),
    };
    let address: SocketAddr = text.parse().map_err(|_| wrong())?;
    if address.ip().is_loopback() { Ok(address) } else { Err(far.into()) }
}
