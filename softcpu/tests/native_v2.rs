//! What x86-64-v2 has beyond SSE2 against the host's processor.
#![cfg(target_arch = "x86_64")]

mod oracle;

use fencepost_skip::Tested;
use fencepost_softcpu::model::Model;
use oracle::encodings::{self, Encoding};

#[test]
fn every_form_is_the_same_on_the_host() -> Tested {
    oracle::v2::compare(64, 400, 14, 100)
}

/// What the model lacks is no instruction at all, whatever the host has.
#[test]
fn the_baseline_refuses_every_extension() {
    const UD: u8 = 6;
    let all: [&[u8]; 8] = [
        &[0xf2, 0x0f, 0x7c, 0xc1],             // haddps xmm0, xmm1
        &[0x66, 0x0f, 0x38, 0x00, 0xc1],       // pshufb xmm0, xmm1
        &[0x66, 0x0f, 0x38, 0x17, 0xc1],       // ptest xmm0, xmm1
        &[0x66, 0x0f, 0x38, 0x37, 0xc1],       // pcmpgtq xmm0, xmm1
        &[0xf2, 0x0f, 0x38, 0xf0, 0xc1],       // crc32 eax, cl
        &[0x66, 0x0f, 0x38, 0xdc, 0xc1],       // aesenc xmm0, xmm1
        &[0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00], // pclmulqdq xmm0, xmm1, 0
        &[0x0f, 0x38, 0xf0, 0x04, 0x24],       // movbe eax, [rsp]
    ];
    let all = all.map(|bytes| Encoding { ours: bytes.to_vec(), host: bytes.to_vec() });
    let refused = encodings::exceptions_here(16, Model::Baseline, &all);
    assert_eq!(refused, all.each_ref().map(|encoding| (encoding.ours.clone(), UD)));
    // The random state may have unmasked floating-point exceptions, which an instruction that exists raises.
    let raised = encodings::exceptions_here(16, Model::V2, &all);
    assert!(raised.iter().all(|(_, vector)| *vector != UD), "{raised:?}");
}
