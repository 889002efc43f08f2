//! CRC-32, the checksum that devices publish for frames.

/// CRC-32 of `bytes` (CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms; zlib's `crc32`).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 of so many zeros, which need not be there.
pub fn crc32_of_zeros(len: u64) -> u32 {
    let (mut sum, mut run) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
    run.update(&[0]);
    let mut left = len;
    // Runs of 1, 2, 4 and so on, one behind the other.
    while left > 0 {
        if left & 1 == 1 {
            sum.combine(&run);
        }
        run.combine(&run.clone());
        left >>= 1;
    }
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_the_crc_that_they_have() {
        for len in [0, 1, 2, 3, 4095, 4096, 1_000_003] {
            assert_eq!(crc32_of_zeros(len), crc32(&vec![0; len as usize]), "{len}");
        }
    }

    /// The check value of the catalogue: the CRC of the nine digits.
    #[test]
    fn the_check_value_of_the_specification() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
