//! What x86-64-v2 has beyond SSE2, as 32-bit code, against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use fencepost_skip::Tested;

#[test]
fn every_form_is_the_same_on_the_host() -> Tested {
    if let Some(lacking) = oracle::v2::host_lacks() {
        return Tested::skipped(lacking);
    }
    let excluded = oracle::v2::excluded;
    let group = oracle::Group {
        features: oracle::v2::FEATURES,
        excluded,
        bits: 32,
        samples: 150,
        seed: 15,
        floor: 90,
    };
    oracle::run(&group, &[]);
    Tested::Ran
}
