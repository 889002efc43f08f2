//! Turns facts into the report about them.

use serde::Serialize;

use super::facts::{Capability, Device, Facts, Kernel, Speed};
use crate::speed::KVM_WORTH_MIPS;

/// What KVM is worth on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It runs kernel code natively.
    Native,
    /// It works, but emulates kernel code.
    Slow,
    /// It cannot run a guest.
    None,
}

impl Class {
    /// The exit status of `fencepost doctor`.
    pub fn status(self) -> i32 {
        match self {
            Class::Native => 0,
            Class::Slow => 10,
            Class::None => 11,
        }
    }

    fn verdict(self) -> &'static str {
        match self {
            Class::Native => "native: KVM runs kernel code on the processor; --accel auto picks kvm",
            Class::Slow => "slow: KVM works but emulates kernel code; --accel auto picks soft",
            Class::None => "none: KVM cannot run a guest; --accel auto picks soft, which needs no KVM",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// The command that fixes it, or why none does. Only of what is not `ok`.
    pub fix: Option<String>,
}

/// The report about a host.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What KVM is worth.
    pub class: Class,
    /// Everything looked at, in the order in which one thing needs another.
    pub checks: Vec<Check>,
}

/// Breaks a text between words, so that a line of the report fits in 100 columns. Commands are never broken.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 100 - 21;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => line.extend([" ", word]),
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, ok: true, found: found.into(), fix: None }
}

fn bad(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, ok: false, found: found.into(), fix: Some(fix.into()) }
}

impl Report {
    /// Judges the facts.
    pub fn of(facts: &Facts) -> Self {
        let (class, mut checks) = kvm(facts);
        checks.extend(facts.kernels.iter().map(cached));
        checks.push(modules(facts));
        Report { class, checks }
    }

    /// One screen of text.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for check in &self.checks {
            let (mut mark, mut name) = (if check.ok { "ok" } else { "BAD" }, check.name);
            for part in wrapped(&check.found) {
                lines.push(format!("{mark:<4}  {name:<13}  {part}"));
                (mark, name) = ("", "");
            }
            lines.extend(check.fix.iter().map(|fix| format!("{:21}fix: {fix}", "")));
        }
        lines.push(format!("{} (exit status {})", self.class.verdict(), self.class.status()));
        lines
    }

    /// The report and the facts as one JSON object.
    pub fn json(&self, facts: &Facts) -> String {
        let Report { class, checks } = self;
        let all =
            serde_json::json!({ "class": class, "status": class.status(), "checks": checks, "facts": facts });
        format!("{all:#}")
    }
}

/// Why `/dev/kvm` does not open, and the fix; none when it opens.
pub fn refusal(facts: &Facts) -> Option<(String, String)> {
    match &facts.kvm {
        Device::Absent => Some(("/dev/kvm is not there".into(), load(facts))),
        Device::Broken { why } => Some((format!("/dev/kvm does not open: {why}"), load(facts))),
        Device::Refused { group } => {
            let fix = match group {
                Some(group) => format!("sudo usermod -aG {group} \"$USER\"   (then log in again)"),
                None => "sudo chown \"$USER\" /dev/kvm   (until the next boot)".into(),
            };
            Some(("you may not open /dev/kvm".into(), fix))
        }
        Device::Opens { .. } => None,
    }
}

fn kvm(facts: &Facts) -> (Class, Vec<Check>) {
    let there = good("/dev/kvm", "is there");
    match (&facts.kvm, refusal(facts)) {
        (Device::Absent, Some((_, fix))) => (Class::None, vec![bad("/dev/kvm", "is not there", fix)]),
        (_, Some((found, fix))) => (Class::None, vec![there, bad("open", found, fix)]),
        (Device::Opens { kernel_mode, capabilities }, None) => {
            let (able, abilities) = abilities(capabilities);
            let (class, speed) = speed(kernel_mode);
            let class = if able { class } else { Class::None };
            (class, vec![there, good("open", "you may open it"), abilities, speed])
        }
        (_, None) => unreachable!("whatever does not open has its reason"),
    }
}

fn load(facts: &Facts) -> String {
    match facts.kvm_module {
        Some(module) => format!("sudo modprobe {module}"),
        None => {
            "no command: turn virtualization on in the firmware, or in the hypervisor around this host".into()
        }
    }
}

fn speed(measured: &Speed) -> (Class, Check) {
    const NAME: &str = "kernel mode";
    match measured {
        Speed::Mips(mips) if *mips >= KVM_WORTH_MIPS => {
            (Class::Native, good(NAME, format!("is native: {mips:.0} MIPS measured")))
        }
        Speed::Mips(mips) => {
            let found =
                format!("is emulated: {mips:.1} MIPS measured, native is {KVM_WORTH_MIPS:.0} or more");
            (
                Class::Slow,
                bad(NAME, found, "no command: needs a host with hardware virtualization; use --accel soft"),
            )
        }
        Speed::Failed(why) => {
            let fix = "no command: KVM runs nothing on this host; use --accel soft";
            (Class::None, bad(NAME, format!("does not run: {why}"), fix))
        }
    }
}

/// Whether everything is there that `--accel kvm` cannot do without, and the line that says what is.
fn abilities(all: &[Capability]) -> (bool, Check) {
    const NAME: &str = "capabilities";
    let names = |pick: &dyn Fn(&Capability) -> bool| {
        all.iter().filter(|c| pick(c)).map(|c| c.name).collect::<Vec<_>>().join(", ")
    };
    let needed = names(&|c| !c.there && c.needed);
    if !needed.is_empty() {
        let fix = "no command: needs a host with a newer KVM; use --accel soft";
        return (false, bad(NAME, format!("lacks {needed}, which --accel kvm needs"), fix));
    }
    let (has, lacks) = (names(&|c| c.there), names(&|c| !c.there));
    let lacks = if lacks.is_empty() { lacks } else { format!("; not {lacks} (not needed)") };
    (true, good(NAME, format!("{has}{lacks}")))
}

fn cached(kernel: &Kernel) -> Check {
    match &kernel.folder {
        Some(_) if kernel.whole() => good(kernel.name, format!("{} is cached", kernel.version)),
        Some(folder) => {
            // ci/kernel takes a folder that has its name for whole.
            let fix = format!("rm -r '{}' && {}", folder.display(), kernel.fetch);
            bad(kernel.name, format!("is cached without {}", kernel.lacks.join(", ")), fix)
        }
        None => bad(kernel.name, "is not cached", kernel.fetch),
    }
}

fn modules(facts: &Facts) -> Check {
    const NAME: &str = "guest modules";
    if !facts.missing_tools.is_empty() {
        let found = format!("cannot be built: {} not on the PATH", facts.missing_tools.join(", "));
        return bad(NAME, found, "ci/setup");
    }
    let ready: Vec<_> = facts.kernels.iter().filter(|k| k.whole()).map(|k| k.name).collect();
    match (ready.is_empty(), facts.kernels.first()) {
        (true, Some(first)) => {
            bad(NAME, "cannot be built: no kernel's headers", cached(first).fix.unwrap_or_default())
        }
        _ => good(NAME, format!("can be built for {}", ready.join(", "))),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
