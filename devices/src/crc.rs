//! CRC-32, the checksum that devices publish for frames.

/// CRC-32 of `bytes` (CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms; zlib's `crc32`).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue: the CRC of the nine digits.
    #[test]
    fn the_check_value_of_the_specification() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
