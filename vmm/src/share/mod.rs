//! A directory of the host's for the guest: the server behind the virtio file system (docs/virtio-fs.md).
//!
//! The guest is not trusted. Every file is reached by [`beneath`], one name at a time from a directory that is open, so that no name,
//! link or rename leads out of the directory; only files, directories and symbolic links are shared. What the guest sees of a
//! file are its contents and those attributes that a copy of the directory has too ([`attributes`]), names are sorted, and numbers are
//! given in the order in which the guest asks: the same requests get the same replies.

mod attributes;
mod beneath;
mod handles;
mod listing;
mod names;
mod reading;
mod saved;
mod server;
#[cfg(test)]
mod tests;
mod tree;
mod wire;
mod writing;

use std::path::Path;

use fencepost_devices::virtio_fs::{FileServer, Share};
use rustix::io::Errno;

use crate::allowance::Allowance;
use server::Server;

/// Opens the directory. What the guest writes there is taken from `allowance`.
///
/// # Errors
///
/// Which directory, why not, and the fix, as one line.
pub fn open(share: Share<'_>, allowance: Allowance) -> Result<Box<dyn FileServer>, String> {
    let Some(dir) = share.dir else {
        return Err("it has no directory; name one with dir=DIR, or by --share TAG=DIR".to_string());
    };
    match Server::new(dir, share.access, share.cache_s) {
        Ok(server) => Ok(Box::new(Server { allowance, ..server })),
        Err(error) => Err(refused(dir, error)),
    }
}

fn refused(dir: &Path, error: Errno) -> String {
    let dir = dir.display();
    match error {
        Errno::NOSYS => {
            format!("{dir}: this host's kernel cannot confine a guest to a directory; use Linux 5.8 or later")
        }
        Errno::NOTDIR => format!("{dir}: not a directory; name one"),
        Errno::NOENT => format!("{dir}: no such directory; name one that is there"),
        other => {
            let why = crate::error::plain(&other.into());
            format!("{dir}: {why}; name a directory that you may read")
        }
    }
}
