//! Which of the two runs a test's guest code: `FENCEPOST_SOFT_CPU=interpreter`, or the translator.

#![allow(dead_code)]

use fencepost_softcpu::Translate;

/// The translator, from the first run of each block on, unless the environment asks for the interpreter.
pub fn translate() -> Translate {
    match std::env::var("FENCEPOST_SOFT_CPU").as_deref() {
        Ok("interpreter") => Translate::Never,
        Ok("translator") | Err(_) => Translate::Always,
        Ok(other) => panic!("FENCEPOST_SOFT_CPU is {other}: neither interpreter nor translator"),
    }
}
