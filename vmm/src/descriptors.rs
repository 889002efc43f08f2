//! The descriptors that the process was started with: what nobody named is closed, so that a pipe of whoever started it does not
//! stay open for as long as a guest runs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Standard input, output and error. Those that were closed are /dev/null by now: the standard library sees to it before `main`, so
/// that no other file becomes one of them.
const STANDARD: u32 = 3;

/// Closes every inherited descriptor but the standard ones and those that an argument names, such as `/dev/fd/63` of a shell's
/// `<(command)`. To be called first of all: nothing of the process's own may be open.
pub fn close_inherited() {
    let mut first = STANDARD;
    for kept in named(std::env::args_os()) {
        close(first, kept.wrapping_sub(1));
        first = kept.saturating_add(1);
    }
    close(first, u32::MAX);
}

fn close(first: u32, last: u32) {
    if first <= last {
        // SAFETY: nothing in this process owns a descriptor of this range yet.
        // A kernel older than 5.9 refuses; then they stay open, as they would without this.
        unsafe { libc::close_range(first, last, 0) };
    }
}

/// The descriptors from 3 on that the arguments name, in order, each once.
fn named(arguments: impl Iterator<Item = OsString>) -> Vec<u32> {
    const FOLDER: &[u8] = b"/fd/";
    let mut named: Vec<u32> = Vec::new();
    for argument in arguments {
        let bytes = argument.as_bytes();
        for at in 0..bytes.len() {
            let Some(rest) = bytes[at..].strip_prefix(FOLDER) else { continue };
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse().ok());
            named.extend(number.filter(|number| (STANDARD..u32::MAX).contains(number)));
        }
    }
    named.sort_unstable();
    named.dedup();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_descriptors_anywhere_in_them() {
        let arguments =
            ["run", "--kernel", "/dev/fd/63", "--camera=source=/proc/self/fd/4,fps=3", "/dev/fd/", "/fd/x"];
        let more = ["/dev/fd/2", "/dev/fd/99999999999", "a/fd/7/fd/4", "--trace=/dev/fd/63"];
        let all = arguments.into_iter().chain(more).map(OsString::from);
        assert_eq!(named(all), [4, 7, 63]);
        assert!(named([OsString::from("/dev/null")].into_iter()).is_empty());
    }
}
