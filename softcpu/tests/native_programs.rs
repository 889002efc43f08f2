//! Random programs on the software CPU, in stretches that end anywhere, and on the host's processor: what they leave in registers, flags and
//! memory is the same, and so is the exception, if there is one, and where.
//!
//! `FENCEPOST_FUZZ=SECONDS[,SEED]` runs on with other programs for so long.
#![cfg(target_arch = "x86_64")]

#[path = "common/fuzz.rs"]
mod fuzz;
mod oracle;
mod programs;

use iced_x86::Code;
use oracle::layout::{DATA, START};
use oracle::program::Both;
use oracle::random::Random;
use programs::{HOST_STACK, Style, differs_on_hosts, forms, integer, listing, program};

/// Programs of the default run.
const PROGRAMS: u64 = 1500;
const STYLE: Style = Style { data: DATA, on_host: true };
/// More than any of them runs.
const INSTRUCTIONS: u64 = 20_000;

/// Whether the program of a seed ended with an exception.
fn compare(both: &mut Both, seed: u64, forms: &[Code]) -> bool {
    let mut random = Random::new(seed);
    let code = program(&mut random, forms, &STYLE, START).code;
    let mut gpr: [u64; 16] = std::array::from_fn(|_| integer(&mut random));
    gpr[4] = DATA + HOST_STACK;
    gpr[11] = DATA;
    gpr[14] = random.below(3);
    let ended = both.run(&mut random, &code, gpr, INSTRUCTIONS);
    if !ended.differences.is_empty() {
        println!("{}", listing(&code, START));
    }
    assert_eq!(ended.differences, "", "program {seed}");
    ended.exception.is_some()
}

#[test]
fn random_programs_run_as_on_the_host() {
    let mut forms = forms();
    forms.retain(|code| !differs_on_hosts(*code));
    assert!(forms.len() > 550, "{} forms", forms.len());
    let mut both = Both::new();
    let faults = (0..PROGRAMS).filter(|&seed| compare(&mut both, seed, &forms)).count() as u64;
    println!("{PROGRAMS} programs, {faults} of them ended by an exception, of {} forms", forms.len());
    assert!(faults > PROGRAMS / 20 && faults < PROGRAMS * 19 / 20, "{faults}");
    let more = fuzz::seeds().filter(|&seed| compare(&mut both, seed, &forms)).count();
    println!("with those of FENCEPOST_FUZZ {more} more");
}
