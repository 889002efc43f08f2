//! Secrets that are made for one run.

use std::io;

use crate::random;

/// The letters of a password that a person may have to type: 64, so that each is 6 bits.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A secret of `letters` letters, 6 bits each, that stands in an address as it is.
///
/// # Errors
///
/// The system has no random numbers.
pub fn secret(letters: usize) -> io::Result<String> {
    let mut bytes = vec![0; letters];
    random::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect())
}

/// Whether two are the same, in a time that does not tell where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_another_each_time_and_needs_no_escapes() {
        let (one, other) = (secret(22).expect("random"), secret(22).expect("random"));
        assert_eq!((one.len(), one == other), (22, false));
        assert!(one.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)));
    }

    #[test]
    fn a_part_of_a_secret_is_not_the_secret() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b"abd"[..], b"ab", b"", b"abcd"] {
            assert!(!same(b"abc", wrong));
        }
    }
}
