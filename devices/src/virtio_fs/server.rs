//! Who answers the requests.

use std::path::Path;

use super::config::Access;

/// What the host is asked to share.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// The directory; none: the host's user has named none.
    pub dir: Option<&'a Path>,
    /// What the guest may do.
    pub access: Access,
    /// How long the guest need not ask again, in seconds.
    pub cache_s: u32,
}

/// Answers requests of the FUSE protocol (Linux, `include/uapi/linux/fuse.h`).
///
/// The same requests get the same replies while the files are the same.
pub trait FileServer: Send {
    /// The reply to `request`, at most `room` bytes; empty where the protocol has no reply. The guest's clock shows `now_ns`
    /// nanoseconds since power-on. A request of any bytes at all may come.
    fn handle(&mut self, request: &[u8], room: usize, now_ns: u64) -> Vec<u8>;
    /// Forgets the guest, as at power-on.
    fn reset(&mut self);
    /// What [`Self::restore`] goes on from.
    fn save(&self) -> Vec<u8>;
    /// Goes on from what [`Self::save`] gave. A file that is gone is an error in the reply to whoever asks for it, not here.
    ///
    /// # Errors
    ///
    /// Bytes that [`Self::save`] has not given.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
}

/// A server without files: every request gets an error.
pub struct NoFiles;

/// Bytes of the header of a reply, `struct fuse_out_header`.
pub(super) const OUT_HEADER_BYTES: usize = 16;

/// The reply that says no more than that `request` has failed with `errno`; empty where there is no room for it, or the request has
/// no number.
pub fn failed(request: &[u8], room: usize, errno: i32) -> Vec<u8> {
    match request.get(8..16) {
        Some(unique) if room >= OUT_HEADER_BYTES => {
            [&(OUT_HEADER_BYTES as u32).to_le_bytes()[..], &errno.saturating_neg().to_le_bytes(), unique]
                .concat()
        }
        _ => Vec::new(),
    }
}

impl FileServer for NoFiles {
    fn handle(&mut self, request: &[u8], room: usize, _: u64) -> Vec<u8> {
        /// No such device.
        const ENODEV: i32 = 19;
        failed(request, room, ENODEV)
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        if saved.is_empty() { Ok(()) } else { Err("there are no files here".to_string()) }
    }
}
