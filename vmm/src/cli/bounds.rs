//! The options that bound what a guest writes to the host.

use clap::Args;

use super::values::{size, whole};
use crate::config::Size;
use crate::launch::Bounds;

/// How much of its outputs a guest gets. What comes beyond is left out and counted, and the guest goes on.
#[derive(Clone, Copy, Debug, Args)]
pub struct BoundsArgs {
    /// Bytes of each console that are taken, with K, M or G, or MiB: what is shown, --console-log and the files of --serial. What comes beyond is
    /// left out and counted, and the guest goes on
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_console: Option<Size>,
    /// Pictures that --frames writes; the rest is counted
    #[arg(long, value_name = "COUNT", value_parser = whole::<u64>(0, u64::MAX))]
    pub max_frames: Option<u64>,
    /// Bytes that the pictures of --frames, --console-log, the files of --serial and what the guest writes to shares may take together. A
    /// share has no space left then, and the others end
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_disk: Option<Size>,
}

impl BoundsArgs {
    /// The same for a run.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            console: self.max_console.map(|size| size.0),
            frames: self.max_frames,
            disk: self.max_disk.map(|size| size.0),
        }
    }
}
