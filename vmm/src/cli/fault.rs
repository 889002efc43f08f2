//! `--fault`: what goes wrong in the machine's hardware.

use std::str::FromStr;

use fencepost_devices::faults::{COMMON, FaultSpec, KINDS, Kind, On};
use fencepost_devices::parameters::Parameter;

/// A fault, or the list of what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultOption {
    /// This one.
    Fault(FaultSpec),
    /// `help`.
    Help,
}

impl FaultOption {
    /// The fault, if it is one.
    pub fn spec(&self) -> Option<&FaultSpec> {
        if let FaultOption::Fault(spec) = self { Some(spec) } else { None }
    }
}

impl FromStr for FaultOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "help" => Ok(FaultOption::Help),
            text => text.parse().map(FaultOption::Fault),
        }
    }
}

/// All kinds with their keys, as `--fault help` shows them.
pub fn fault_help() -> String {
    let common = format!("every fault: TARGET:KIND[,KEY=VALUE...] with\n{}", keys(COMMON));
    let kinds = KINDS.iter().map(describe);
    std::iter::once(common).chain(kinds).collect::<Vec<_>>().join("\n")
}

fn describe(kind: &Kind) -> String {
    let target = match kind.on {
        On::Any => "DEVICE",
        On::Model(model) => model,
        On::Iommu => "iommu",
    };
    format!("{target}:{}: an occasion is each {}\n{}", kind.name, kind.occasion, keys(kind.keys))
}

fn keys(keys: &[Parameter]) -> String {
    let line = |key: &Parameter| format!("  {:<28}  {}\n", format!("{}={}", key.key, key.takes), key.about);
    keys.iter().map(line).collect()
}
