//! x87 against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use iced_x86::{Code, CpuidFeature, Mnemonic};

fn excluded(code: Code) -> Option<&'static str> {
    use Mnemonic::*;
    match code.mnemonic() {
        Fstenv | Fstcw | Feni | Fdisi | Fclex | Finit | Fsetpm | Fsave | Fstsw => {
            Some("WAIT and then another form, two instructions")
        }
        Fstpnce => Some("not documented"),
        _ => None,
    }
}

#[test]
fn every_form_is_the_same_on_the_host() {
    let features = &[CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387, CpuidFeature::CMOV];
    oracle::run(&oracle::Group { features, excluded, bits: 64, samples: 200, seed: 3, floor: 180 }, &[]);
}
