//! The CPU by the interpreter: random state, tables and code in every mode. One that is replaced halfway by another with its state goes
//! on as one that is not.
#![no_main]

use fencepost_fuzz::cpu::{Machine, Setup, compare};
use fencepost_softcpu::Translate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let setup = Setup::of(data);
    let mut one = Machine::new(&setup, Translate::Never);
    let mut other = Machine::new(&setup, Translate::Never);
    one.end();
    other.run(setup.halfway());
    other.replace();
    other.end();
    compare(&one, &other, "one that goes on, and one that is restored");
});
