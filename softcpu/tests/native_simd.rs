//! MMX, SSE and SSE2 against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use iced_x86::CpuidFeature;

#[test]
fn every_form_is_the_same_on_the_host() {
    let features = &[CpuidFeature::MMX, CpuidFeature::SSE, CpuidFeature::SSE2, CpuidFeature::FXSR];
    oracle::run(
        &oracle::Group { features, excluded: |_| None, bits: 64, samples: 150, seed: 2, floor: 300 },
        &[],
    );
}
