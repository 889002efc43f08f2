//! Encodings given as bytes, valid or not, against the host.

use fencepost_softcpu::model::Model;

use super::generate::{self, Case};
use super::guest::Guest;
use super::random::Random;
use super::{Bench, Verdict, describe, setting};

/// An encoding given as bytes, and one as long that does the same on a host with more features.
pub struct Encoding {
    /// For the software CPU.
    pub ours: Vec<u8>,
    /// For the host.
    pub host: Vec<u8>,
}

/// Runs encodings that may be none to a decoder; all of a process's, as there is one [`Native`]. The tests fail if any
/// ends otherwise than on the host, be it with #UD. How many raised an exception.
pub fn run_encodings<const N: usize>(seed: u64, lists: [&[Encoding]; N]) -> [usize; N] {
    let mut random = Random::new(setting("ORACLE_SEED", seed));
    let mut bench = Bench::new(&mut random, 64);
    let mut bad = 0;
    let exceptions = lists.map(|encodings| {
        let mut exceptions = 0;
        for Encoding { ours, host } in encodings {
            assert_eq!(ours.len(), host.len(), "{ours:02x?}");
            // What the host runs says which flags are undefined: processors differ in BSF's, and TZCNT has fewer.
            let case = Case { instr: generate::decoded(host), ..generate::raw(&mut random, ours) };
            match bench.compare(&case, host) {
                Verdict::Same { exception } => exceptions += usize::from(exception),
                Verdict::Different(differences) => {
                    bad += 1;
                    if bad < 20 {
                        println!("{}", describe(&case, &differences));
                    }
                }
                Verdict::Unknown => unreachable!("compare does not ask"),
            }
        }
        println!("{} encodings, {exceptions} of them exceptions", encodings.len());
        exceptions
    });
    assert_eq!(bad, 0, "{bad} encodings differ from the host");
    exceptions
}

/// Runs encodings on the software CPU of a model alone: those that raise an exception, with its vector.
pub fn exceptions_here(seed: u64, model: Model, encodings: &[Encoding]) -> Vec<(Vec<u8>, u8)> {
    let mut random = Random::new(seed);
    let mut guest = Guest::of_model(64, model);
    let vector_of = |Encoding { ours, .. }: &Encoding| {
        let case = generate::raw(&mut random, ours);
        let outcome = guest.run(&case.before, ours);
        outcome.exception.map(|vector| (ours.clone(), vector))
    };
    encodings.iter().filter_map(vector_of).collect()
}
