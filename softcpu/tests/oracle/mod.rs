//! The host's processor as the judge: every form of a group of instructions, with random operands and state, runs on the
//! software CPU and natively, and everything either left is compared. ORACLE_SAMPLES and ORACLE_SEED widen the search.

// Each test uses its part of it.
#![allow(dead_code)]

mod compare;
pub mod encodings;
mod generate;
mod guest;
pub mod layout;
mod native;
pub mod program;
pub mod random;
pub mod v2;
pub mod vendor;
#[path = "../which/mod.rs"]
mod which;

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Code, CpuidFeature};

use generate::Case;
use guest::Guest;
use layout::DATA_BYTES;
use native::Native;
use random::Random;

/// A set of instruction forms.
pub struct Group {
    /// Forms that need these features and no others.
    pub features: &'static [CpuidFeature],
    /// Why a form is not tested, if it is not.
    pub excluded: fn(Code) -> Option<&'static str>,
    /// Cases for each form.
    pub samples: usize,
    /// As 64-bit code or as 32-bit code.
    pub bits: u32,
    /// Of the random numbers.
    pub seed: u64,
    /// Forms that must have run at least: a group that shrinks to nothing must not pass.
    pub floor: usize,
}

/// Why a form that can be encoded in no way is left out.
const NO_OPERANDS: &str = "the encoder has no operands for it";

/// What came out.
#[derive(Default)]
struct Report {
    forms: usize,
    cases: usize,
    exceptions: usize,
    left_out: BTreeMap<&'static str, Vec<Code>>,
    unknown: Vec<Code>,
    mismatches: Vec<(Code, usize, String)>,
}

fn forms(group: &Group) -> impl Iterator<Item = Code> {
    Code::values().filter(|code| {
        let features = code.cpuid_features();
        code.op_code().is_instruction()
            && if group.bits == 64 { code.op_code().mode64() } else { code.op_code().mode32() }
            && !features.is_empty()
            && features.iter().all(|f| group.features.contains(f))
    })
}

/// One form: how many cases ran, and the first mismatch with the number of them.
struct Bench {
    native: Native,
    guest: Guest,
    ours: Vec<u8>,
    bits: u32,
}

enum Verdict {
    Same { exception: bool },
    Different(String),
    Unknown,
}

impl Bench {
    fn new(random: &mut Random, bits: u32) -> Bench {
        let (native, guest) = (Native::new(), Guest::new(bits));
        let mut bench = Bench { native, guest, ours: vec![0; DATA_BYTES], bits };
        for chunk in bench.native.data().chunks_mut(16) {
            chunk.copy_from_slice(&random.vector().to_le_bytes());
        }
        bench
    }

    /// Whether a form that the host is not asked about is not implemented.
    fn is_unknown(&mut self, random: &mut Random, group: &Group, code: Code) -> bool {
        let unknown = self.guest.unknown();
        if let Some(case) = (0..20).find_map(|_| generate::case(random, code, group.bits)) {
            self.guest.run(&case.before, &case.bytes);
        }
        self.guest.unknown() != unknown
    }

    fn run(&mut self, random: &mut Random, case: &Case) -> Verdict {
        generate::fill_memory(random, case, self.native.data());
        let unknown = self.guest.unknown();
        let verdict = self.compare(case, &case.bytes);
        if self.guest.unknown() != unknown { Verdict::Unknown } else { verdict }
    }

    /// Runs the case here and `host_bytes` in its place on the host.
    fn compare(&mut self, case: &Case, host_bytes: &[u8]) -> Verdict {
        self.guest.write_data(self.native.data());
        let ours = self.guest.run(&case.before, &case.bytes);
        let host = self.native.run(&case.before, host_bytes, self.bits);
        self.guest.read_data(&mut self.ours);
        compare::overlook(case, self.native.data(), &mut self.ours);
        let mut differences = compare::differences(&case.instr, &ours, &host);
        let data = self.native.data();
        if let Some(at) = (0..DATA_BYTES).find(|&i| self.ours[i] != data[i]) {
            let end = (at + 16).min(DATA_BYTES);
            differences +=
                &format!(" memory at {at:#x} {:02x?}, host {:02x?};", &self.ours[at..end], &data[at..end]);
        }
        if differences.is_empty() {
            Verdict::Same { exception: host.exception.is_some() }
        } else {
            Verdict::Different(differences)
        }
    }
}

fn describe(case: &Case, differences: &str) -> String {
    let fx = &case.before.fx;
    format!(
        "{} [{}]\n     {differences}\n      before: gpr {:x?} flags {:#x} fcw {:02x}{:02x} fsw {:02x}{:02x} tags {:02x} mxcsr {:02x}{:02x} address {:#x} st0 {:x?} st1 {:x?}",
        case.instr,
        case.bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(),
        case.before.gpr,
        case.before.rflags,
        fx[1],
        fx[0],
        fx[3],
        fx[2],
        fx[4],
        fx[25],
        fx[24],
        case.address,
        u128::from_le_bytes(std::array::from_fn(|i| fx[32 + i])),
        u128::from_le_bytes(std::array::from_fn(|i| fx[48 + i]))
    )
}

/// A number from the environment, for a longer search than the tests make.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn check(group: &Group) -> Report {
    let seed = setting("ORACLE_SEED", group.seed);
    let mut random = Random::new(seed);
    let samples = setting("ORACLE_SAMPLES", group.samples as u64) as usize;
    let mut bench = Bench::new(&mut random, group.bits);
    let mut report = Report::default();
    for code in forms(group) {
        if let Some(reason) = (group.excluded)(code).or_else(|| vendor::left_out(code)) {
            report.left_out.entry(reason).or_default().push(code);
            if bench.is_unknown(&mut random, group, code) {
                report.unknown.push(code);
            }
            continue;
        }
        // With ORACLE_TRACE set, the last form named is the one that killed the process.
        if std::env::var_os("ORACLE_TRACE").is_some() {
            eprintln!("{code:?}");
        }
        // Each form has random numbers of its own, so that a change to one leaves the others' cases as they were.
        random = Random::new(seed << 32 | code as u64);
        let (mut done, mut attempts, mut bad, mut first) = (0, 0, 0, None);
        while done < samples && attempts < 20 * samples {
            attempts += 1;
            let Some(case) = generate::case(&mut random, code, group.bits) else { continue };
            done += 1;
            match bench.run(&mut random, &case) {
                Verdict::Same { exception } => report.exceptions += usize::from(exception),
                Verdict::Different(differences) => {
                    bad += 1;
                    first.get_or_insert_with(|| describe(&case, &differences));
                }
                Verdict::Unknown => {
                    report.unknown.push(code);
                    break;
                }
            }
        }
        if done == 0 {
            report.left_out.entry(NO_OPERANDS).or_default().push(code);
        } else if report.unknown.last() != Some(&code) {
            report.forms += 1;
            report.cases += done;
        }
        if let Some(first) = first {
            report.mismatches.push((code, bad, first));
        }
    }
    report
}

/// Checks a group: prints what was covered and what was not, and fails on the first difference. `unimplemented` are the
/// forms known to raise #UD where the host runs them.
pub fn run(group: &Group, unimplemented: &[Code]) {
    let report = check(group);
    println!(
        "{} forms, {} cases ({} of them exceptions) are the same on the host",
        report.forms - report.mismatches.len(),
        report.cases,
        report.exceptions
    );
    for (reason, codes) in &report.left_out {
        println!("not tested, {reason}: {} forms: {codes:?}", codes.len());
    }
    println!("not implemented: {} forms: {:?}", report.unknown.len(), report.unknown);
    for (code, bad, first) in &report.mismatches {
        println!("{code:?}: {bad} cases differ, first\n      {first}");
    }
    let unknown: BTreeSet<_> = report.unknown.iter().collect();
    let expected: BTreeSet<_> = unimplemented.iter().collect();
    assert!(report.mismatches.is_empty(), "{} forms differ from the host", report.mismatches.len());
    assert_eq!(unknown, expected, "the forms that are not implemented");
    assert_eq!(report.left_out.get(NO_OPERANDS), None, "forms without operands were not tested");
    let of_vendor = report.left_out.get(vendor::REASON).map_or(0, Vec::len);
    let forms = report.forms + of_vendor;
    assert!(forms >= group.floor, "only {forms} forms ran, not {}", group.floor);
}
