//! Which scenarios run: each and its variants on each of its kernels, as often as it is wanted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fencepost_report::{Failure, Outcome, Verdict};

use super::Wanted;
use crate::error::HostError;
use crate::scenario::{Found, KernelName};

/// One run of a scenario.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name in reports.
    pub name: String,
    /// The scenario; if this is a variant, that.
    pub found: Found,
    /// Which variant it is.
    pub variant: Option<String>,
    /// Its kernel.
    pub kernel: KernelName,
    /// Its seed.
    pub seed: Option<u64>,
}

impl Item {
    /// The outcome where there was no run, or none that was judged: `came`, at `at`, instead of what was `expected`.
    pub fn without_run(&self, verdict: Verdict, at: &str, expected: &str, came: &str) -> Outcome {
        let (at, expected, came) = (at.to_string(), expected.to_string(), came.to_string());
        Outcome {
            name: self.name.clone(),
            file: Some(self.found.path.clone()),
            kernel: None,
            seed: self.seed,
            verdict,
            wall_ms: 0,
            guest_ns: 0,
            checks: Vec::new(),
            failures: vec![Failure { at, line: None, expected, came, output: Vec::new() }],
            console: Vec::new(),
            evidence: None,
            reproduce: String::new(),
        }
    }
}

/// All runs of the scenarios, by name.
///
/// # Errors
///
/// Two scenarios of one name, a kernel named wrongly, a filter that fits none.
pub fn plan(found: Vec<Found>, wanted: &Wanted) -> Result<Vec<Item>, HostError> {
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut items = Vec::new();
    for found in found {
        let name = found.scenario.scenario.name.clone();
        if let Some(other) = names.insert(name.clone(), found.path.clone()) {
            let why = format!("{}: its name '{name}' is that of {}", found.path.display(), other.display());
            return Err(HostError::input(why, "give it another name under [scenario]"));
        }
        let kernels = |found: &Found| match wanted.kernels.is_empty() {
            true => found.scenario.kernel.names().map_err(HostError::Input),
            false => Ok(wanted.kernels.iter().cloned().map(KernelName::Package).collect()),
        };
        let several = kernels(&found)?.len() > 1;
        for (variant, found) in found.variants() {
            let name = variant.iter().fold(name.clone(), |name, variant| format!("{name}[{variant}]"));
            for kernel in &kernels(&found)? {
                for round in 0..wanted.repeat {
                    items.push(Item {
                        name: run_name(&name, kernel, several, round, wanted.repeat),
                        found: found.clone(),
                        variant: variant.clone(),
                        kernel: kernel.clone(),
                        seed: wanted.seed.map(|seed| seed.wrapping_add(u64::from(round))),
                    });
                }
            }
        }
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    if !wanted.filter.is_empty() {
        items.retain(|item| wanted.filter.iter().any(|filter| fits(filter, &item.name)));
        if items.is_empty() {
            let parts = wanted.filter.join(", ");
            return Err(HostError::input(
                format!("--filter {parts}: no scenario has that name, or that in it"),
                "see --list",
            ));
        }
    }
    Ok(items)
}

/// Whether a filter takes a run: `=NAME` is the whole name, and anything else a part of it.
fn fits(filter: &str, name: &str) -> bool {
    filter.strip_prefix('=').map_or_else(|| name.contains(filter), |whole| name == whole)
}

fn run_name(name: &str, kernel: &KernelName, several: bool, round: u32, rounds: u32) -> String {
    let kernel = match kernel {
        KernelName::Package(package) => package.clone(),
        KernelName::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let of_kernel = if several { format!("[{kernel}]") } else { String::new() };
    let of_round = if rounds > 1 { format!("#{}", round + 1) } else { String::new() };
    format!("{name}{of_kernel}{of_round}")
}
