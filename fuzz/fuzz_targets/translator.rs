//! The translator beside the interpreter, on what `cpu` runs: the same state, translations, time, accesses and memory.
#![no_main]

use fencepost_fuzz::cpu::{Machine, Setup, compare};
use fencepost_softcpu::Translate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let setup = Setup::of(data);
    let mut interpreted = Machine::new(&setup, Translate::Never);
    let mut translated = Machine::new(&setup, Translate::Always);
    for machine in [&mut interpreted, &mut translated] {
        machine.run(setup.halfway());
    }
    compare(&interpreted, &translated, "halfway");
    for machine in [&mut interpreted, &mut translated] {
        machine.end();
    }
    compare(&interpreted, &translated, "at the end");
});
