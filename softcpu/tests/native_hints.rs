//! What a processor ignores when it lacks the feature, against the host's: hint space, and prefixes without a meaning.
//! The opcodes are those of the Intel SDM vol. 2, appendix A, and the AMD64 APM vol. 3, appendix A.
#![cfg(target_arch = "x86_64")]

mod oracle;

use std::sync::{Mutex, PoisonError};

use fencepost_skip::Tested;
use fencepost_softcpu::model::Model;
use oracle::encodings::{self, Encoding};
use oracle::vendor::host_is_amd;

/// Second bytes of hint space: prefetches (0D, 18), MPX (1A, 1B), CLDEMOTE (1C), CET (1E), NOP (1F) and their neighbours.
const HINTS: [u8; 9] = [0x0d, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f];
/// None, operand size, REPNE, REP; and those that no hint takes notice of.
const PREFIXES: [&[u8]; 8] = [&[], &[0x66], &[0xf2], &[0xf3], &[0x67], &[0x65], &[0x66, 0xf3], &[0x2e, 0xf2]];
const REX: [&[u8]; 4] = [&[], &[0x48], &[0x41], &[0x4f]];
const LOCK: &[u8] = &[0xf0];
/// Its second byte.
const PREFETCHW: u8 = 0x0d;
const UD: u8 = 6;

/// Every ModR/M byte's `reg` with one memory operand of each form, or with each register.
fn operands(register: bool) -> impl Iterator<Item = Vec<u8>> {
    let memory: [&[u8]; 6] = [
        &[0x00],                               // [rax]
        &[0x05, 0x44, 0x33, 0x22, 0x11],       // [rip + x]
        &[0x04, 0x25, 0x44, 0x33, 0x22, 0x91], // [x]
        &[0x44, 0x8b, 0x80],                   // [rbx + rcx * 4 - 128]
        &[0x43, 0x7f],                         // [rbx + 127]
        &[0x84, 0xd1, 0xff, 0xff, 0xff, 0x7f], // [rcx + rdx * 8 + x]
    ];
    let tails: Vec<Vec<u8>> =
        if register { (0xc0..0xc8).map(|b| vec![b]).collect() } else { memory.map(<[u8]>::to_vec).to_vec() };
    (0..8).flat_map(move |reg| {
        tails.clone().into_iter().map(move |mut tail| {
            tail[0] |= reg << 3;
            tail
        })
    })
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn same(bytes: Vec<u8>) -> Encoding {
    Encoding { host: bytes.clone(), ours: bytes }
}

/// Held by a test that runs code on the host: that is at an address of its own.
static HOST: Mutex<()> = Mutex::new(());

/// All of hint space, the prefixes in front.
fn hint_space(lock: &[u8]) -> Vec<Encoding> {
    let mut all = Vec::new();
    for opcode in HINTS {
        for register in [false, true] {
            // A test of its own.
            if register && opcode == PREFETCHW {
                continue;
            }
            all.extend(hints_of(lock, opcode, register));
        }
    }
    all
}

/// One opcode of it.
fn hints_of(lock: &[u8], opcode: u8, register: bool) -> Vec<Encoding> {
    let prefixes = PREFIXES.iter().flat_map(|p| REX.iter().map(move |r| (*p, *r)));
    let of = |(prefix, rex)| {
        operands(register).map(move |o| same(join(&[lock, prefix, rex, &[0x0f, opcode], &o])))
    };
    prefixes.flat_map(of).collect()
}

/// PREFETCHW with a register is a NOP on Intel's processors, which CPUID says this is, and #UD on AMD's.
#[test]
fn prefetchw_with_a_register_is_ignored() -> Tested {
    if host_is_amd() {
        return Tested::skipped("AMD's processors refuse 0F 0D with a register, and the host is one");
    }
    let _alone = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let exceptions = encodings::run_encodings(4, [&hints_of(&[], PREFETCHW, true), &[], &[], &[]]);
    assert_eq!(exceptions[0], 0);
    Tested::Ran
}

#[test]
fn hints_ignored_here_are_ignored_by_the_host() {
    let hints = hint_space(&[]);
    assert!(hints.len() > 20_000, "{}", hints.len());
    // Every seventh: seven is coprime to all the counts above.
    let locked: Vec<Encoding> = hint_space(LOCK).into_iter().step_by(7).collect();
    let _alone = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let exceptions = encodings::run_encodings(4, [&hints, &locked, &meaningless_prefixes(), &bit_scans()]);
    assert_eq!(exceptions[0], 0, "NOPs that raise an exception");
    assert_eq!(exceptions[1], locked.len(), "LOCK before a NOP");
    assert_eq!(exceptions[3], 0, "bit scans that raise an exception");
}

/// What looks like an instruction of a later processor, and is an older one with a prefix that means nothing to it.
fn meaningless_prefixes() -> Vec<Encoding> {
    let mut all = Vec::new();
    for prefix in [&[][..], &[0x66], &[0xf2], &[0xf3]] {
        // WBINVD, WBNOINVD and INVD (privileged: #GP), NOP and PAUSE, XCHG R8.
        for tail in [&[0x0f, 0x09][..], &[0x0f, 0x08], &[0x90], &[0x41, 0x90], &[0x49, 0x90], &[0x48, 0x90]] {
            // With REP in front Intel's processors exchange R8, and AMD's pause.
            if prefix != [0xf3] || !tail.ends_with(&[0x90]) || tail[0] & 1 == 0 || host_is_amd() {
                all.push(same(join(&[prefix, tail])));
            }
            all.push(same(join(&[LOCK, prefix, tail])));
        }
        // RET, JMP and CALL with BND; MOV, XCHG and locked ADD with XACQUIRE or XRELEASE.
        if prefix != [0x66] {
            for tail in [
                &[0xc3][..],
                &[0xeb, 0x20],
                &[0xe9, 0x40, 0, 0, 0],
                &[0xe8, 0x40, 0, 0, 0],
                &[0x75, 0x20],
                &[0x0f, 0x85, 0x40, 0, 0, 0],
            ] {
                all.push(same(join(&[prefix, tail])));
                all.push(same(join(&[&[0x2e], prefix, tail])));
                all.push(same(join(&[&[0x3e], prefix, tail])));
            }
        }
        for tail in [
            &[0x88, 0x06][..],
            &[0x48, 0x89, 0x07],
            &[0xc6, 0x06, 0x12],
            &[0xc7, 0x07, 1, 2, 3, 4],
            &[0x87, 0x06],
            &[0xf0, 0x01, 0x06],
            &[0xf0, 0xff, 0x07],
            &[0xf0, 0x0f, 0xc1, 0x06],
        ] {
            let tail = if prefix == [0x66] && tail[0] == 0xc7 { &[0xc7, 0x07, 1, 2][..] } else { tail };
            all.push(same(join(&[prefix, tail])));
        }
    }
    all
}

/// TZCNT and LZCNT, which are not announced: to older processors they are BSF and BSR. In their place the host runs
/// these, with another prefix that means nothing.
fn bit_scans() -> Vec<Encoding> {
    let mut all = Vec::new();
    for opcode in [0xbc, 0xbd] {
        for rex in [0x40, 0x48, 0x4d] {
            for modrm in 0xc0..=0xff {
                let encoding = |prefix| vec![prefix, rex, 0x0f, opcode, modrm];
                all.push(Encoding { ours: encoding(0xf3), host: encoding(0x3e) });
            }
        }
    }
    all
}

/// On AMD's processors the test above cannot say so.
#[test]
fn every_hint_runs_here_whatever_the_host() {
    let mut all = hint_space(&[]);
    all.extend(hints_of(&[], PREFETCHW, true));
    let raised = encodings::exceptions_here(8, Model::Baseline, &all);
    assert_eq!(raised, []);
    let mut locked = hint_space(LOCK);
    locked.extend(hints_of(LOCK, PREFETCHW, true));
    let raised = encodings::exceptions_here(8, Model::Baseline, &locked);
    assert_eq!(raised.len(), locked.len());
    assert!(raised.iter().all(|(_, vector)| *vector == UD));
}
