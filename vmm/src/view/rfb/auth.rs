//! VNC authentication (RFC 6143, 7.2.2): the viewer encrypts what it is sent with the password, by DES.

use std::io;

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};

use crate::random;
use crate::view::token;

/// Letters of a password: VNC looks at no more.
pub const PASSWORD_LETTERS: usize = 8;

/// What a viewer is sent to encrypt.
pub struct Challenge([u8; 16]);

impl Challenge {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0; 16];
        random::fill(&mut bytes)?;
        Ok(Challenge(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether `answer` is it, encrypted with `password`.
    pub fn is_answered(&self, answer: &[u8], password: &str) -> bool {
        token::same(answer, &response(&self.0, password))
    }
}

/// The challenge encrypted: two blocks of DES, whose key is the password with the bits of each letter turned round.
fn response(challenge: &[u8; 16], password: &str) -> [u8; 16] {
    let mut key = [0; PASSWORD_LETTERS];
    key.iter_mut().zip(password.bytes()).for_each(|(key, letter)| *key = letter.reverse_bits());
    let cipher = Des::new(&key.into());
    let mut encrypted = *challenge;
    for block in encrypted.chunks_exact_mut(8) {
        let mut whole = [0; 8];
        whole.copy_from_slice(block);
        let mut whole = whole.into();
        cipher.encrypt_block(&mut whole);
        block.copy_from_slice(&whole);
    }
    encrypted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl enc -des-ecb -nopad -K 8246b4fa0c5a5e9c` (the password's letters, bits turned round) makes of it.
    #[test]
    fn the_response_is_that_of_another_des() {
        let challenge = std::array::from_fn(|at| at as u8);
        let expected =
            [0x5a, 0xf6, 0x71, 0xdd, 0x44, 0xd3, 0xa2, 0x34, 0xba, 0xf2, 0x1b, 0x79, 0x63, 0xb1, 0xaa, 0xcc];
        assert_eq!(response(&challenge, "Ab-_0Zz9"), expected);
    }

    #[test]
    fn the_right_password_answers_and_no_other() {
        let challenge = Challenge::new().expect("random");
        let right = response(challenge.bytes(), "Ab-_0Zz9");
        assert!(challenge.is_answered(&right, "Ab-_0Zz9"));
        assert!(!challenge.is_answered(&right, "Ab-_0Zz8"));
        assert!(!challenge.is_answered(&right[..8], "Ab-_0Zz9"));
        let other = Challenge::new().expect("random");
        assert!(!other.is_answered(&right, "Ab-_0Zz9"), "an answer serves once");
    }
}
