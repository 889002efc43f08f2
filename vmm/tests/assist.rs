//! An instruction that KVM without hardware under it does not know, in a whole machine on both back ends.

mod common;

use std::time::Duration;

use fencepost::backend::End;
use fencepost::config::Accel;
use fencepost::launch::Launch;
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, Outcome, run};
use fencepost::speed;
use fencepost_skip::Tested;

/// Reads the TSC, does CMPXCHG16B, reads the TSC again; the exit status is the sum of what the exchange wrote, or 1 when
/// it did not exchange, or 2 when the TSC went back.
const EXCHANGE: &[u8] = &[
    0x0f, 0x31, // rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl rdx, 32
    0x48, 0x09, 0xc2, // or rdx, rax
    0x49, 0x89, 0xd0, // mov r8, rdx
    0xbf, 0x00, 0x08, 0x10, 0x00, // mov edi, 0x100800
    0x31, 0xc0, // xor eax, eax
    0x31, 0xd2, // xor edx, edx
    0xbb, 0x11, 0x00, 0x00, 0x00, // mov ebx, 0x11
    0xb9, 0x22, 0x00, 0x00, 0x00, // mov ecx, 0x22
    0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b [rdi]
    0x75, 0x15, // jnz 1f
    0x0f, 0x31, // rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl rdx, 32
    0x48, 0x09, 0xc2, // or rdx, rax
    0x4c, 0x39, 0xc2, // cmp rdx, r8
    0x76, 0x0b, // jbe 2f
    0x8a, 0x07, // mov al, [rdi]
    0x02, 0x47, 0x08, // add al, [rdi + 8]
    0xe6, 0xf4, // out 0xf4, al
    0xb0, 0x01, // 1: mov al, 1
    0xe6, 0xf4, // out 0xf4, al
    0xb0, 0x02, // 2: mov al, 2
    0xe6, 0xf4, // out 0xf4, al
];

fn exchange(accel: Accel) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let args = Launch {
        timeout: Some(Duration::from_secs(120)),
        ..common::launch(common::kernel(folder.path(), EXCHANGE, 0x2000), accel, 32)
    };
    run(&args, Hooks::new(Box::new(std::io::sink()))).expect("a good machine")
}

#[test]
fn the_software_cpu_needs_no_help() {
    let outcome = exchange(Accel::Soft);
    assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(0x33)));
    assert_eq!(outcome.stats.assists.lengths.count(), 0);
}

#[test]
fn kvm_gets_the_same_with_help_where_it_needs_some() -> Tested {
    let mips = match speed::measure() {
        Ok(mips) => mips,
        Err(why) => return Tested::skipped(why),
    };
    let outcome = exchange(Accel::Kvm);
    assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(0x33)));
    let assists = &outcome.stats.assists;
    assert!(assists.by_name.keys().all(|name| name == "cmpxchg16b"), "{assists:?}");
    assert_eq!(assists.by_name.values().sum::<u64>(), assists.lengths.count());
    assert!(
        mips < speed::KVM_WORTH_MIPS || assists.lengths.count() == 0,
        "a processor needs no help: {assists:?}"
    );
    Tested::Ran
}
