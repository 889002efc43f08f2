//! A machine that moves between the back ends while it runs.

mod common;

use std::time::Duration;

use fencepost::backend::End;
use fencepost::config::Accel;
use fencepost::error::HostError;
use fencepost::launch::{Launch, MoveAt};
use fencepost::machine::GuestEnd;
use fencepost::run::{Hooks, Outcome, run};
use fencepost::speed;
use fencepost_skip::Tested;

/// Comes ten times to mark 1 and mark 2 in turn, with a known value in RBX and XMM5. The exit status is 0x33; 1 when
/// RBX changed, 2 when XMM5 did, 3 when the TSC went back.
const ROUNDS: &[u8] = &[
    0x0f, 0x20, 0xe0, // mov rax, cr4
    0x0d, 0x00, 0x02, 0x00, 0x00, // or eax, 0x200
    0x0f, 0x22, 0xe0, // mov cr4, rax
    0x48, 0xbb, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, // mov rbx, 0x123456789abcdef
    0x66, 0x48, 0x0f, 0x6e, 0xeb, // movq xmm5, rbx
    0xb9, 0x14, 0x00, 0x00, 0x00, // mov ecx, 0x14
    0x45, 0x31, 0xc0, // xor r8d, r8d
    0x0f, 0x31, // 1: rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl rdx, 0x20
    0x48, 0x09, 0xc2, // or rdx, rax
    0xb0, 0x03, // mov al, 0x3
    0x4c, 0x39, 0xc2, // cmp rdx, r8
    0x72, 0x28, // jb 9f
    0x49, 0x89, 0xd0, // mov r8, rdx
    0x88, 0xc8, // mov al, cl
    0x24, 0x01, // and al, 0x1
    0xfe, 0xc0, // inc al
    0xe6, 0xf8, // out 0xf8, al
    0x66, 0x48, 0x0f, 0x7e, 0xee, // movq rsi, xmm5
    0xb0, 0x02, // mov al, 0x2
    0x48, 0x39, 0xde, // cmp rsi, rbx
    0x75, 0x11, // jne 9f
    0x48, 0xc1, 0xee, 0x38, // shr rsi, 0x38
    0xb0, 0x01, // mov al, 0x1
    0x83, 0xfe, 0x01, // cmp esi, 0x1
    0x75, 0x06, // jne 9f
    0xff, 0xc9, // dec ecx
    0x75, 0xca, // jne 1b
    0xb0, 0x33, // mov al, 0x33
    0xe6, 0xf4, // 9: out 0xf4, al
];

fn rounds(accel: Accel, moves: &[&str]) -> Result<Outcome, HostError> {
    let folder = tempfile::tempdir().expect("a folder");
    let args = Launch {
        timeout: Some(Duration::from_secs(120)),
        moves: moves.iter().map(|text| text.parse::<MoveAt>().expect("well formed")).collect(),
        ..common::launch(common::kernel(folder.path(), ROUNDS, 0x2000), accel, 32)
    };
    run(&args, Hooks::new(Box::new(std::io::sink())))
}

#[test]
fn marks_without_a_plan_are_ignored() {
    let outcome = rounds(Accel::Soft, &[]).expect("a good machine");
    assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(0x33)));
    assert_eq!(outcome.stats.moves.to_kvm.count(), 0);
}

#[test]
fn a_machine_moves_there_and_back_ten_times() -> Tested {
    if let Err(why) = speed::measure() {
        return Tested::skipped(why);
    }
    for first in [Accel::Soft, Accel::Kvm] {
        let outcome = rounds(first, &["1=kvm", "2=soft"]).expect("a good machine");
        assert_eq!(outcome.end, End::Guest(GuestEnd::Exit(0x33)), "{first:?}");
        let moves = &outcome.stats.moves;
        // ECX counts from 20: the first mark is 1.
        let expected = if first == Accel::Soft { (10, 10) } else { (9, 10) };
        assert_eq!((moves.to_kvm.count(), moves.to_soft.count()), expected);
    }
    Tested::Ran
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let error = rounds(Accel::Soft, &["1=kvm", "1=soft"]).map(|_| ()).expect_err("refused");
    assert_eq!(error.status(), 2);
    assert!(error.to_string().contains("mark 1"), "{error}");
}
