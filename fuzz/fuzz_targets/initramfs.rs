//! An initramfs, searched for modules of another kernel.
#![no_main]

use fencepost::modules::{mismatch, release_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Two files, as --initrd given twice.
    let (one, other) = data.split_at(data.len() / 2);
    for files in [vec![data], vec![one, other]] {
        let said = mismatch(files, || Some("6.12.0-fuzz".into()));
        // It is one line for a terminal.
        assert!(said.is_none_or(|line| !line.contains(char::is_control)));
    }
    release_of(data);
});
