//! What x86-64-v2 has beyond SSE2, as 32-bit code, against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use fencepost_skip::Tested;

#[test]
fn every_form_is_the_same_on_the_host() -> Tested {
    oracle::v2::compare(32, 150, 15, 90)
}
