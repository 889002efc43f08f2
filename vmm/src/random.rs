//! The host's random numbers.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` with what nobody can guess.
///
/// # Errors
///
/// The system has no random numbers.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        done += getrandom(rest, GetRandomFlags::empty())?;
    }
    Ok(())
}
