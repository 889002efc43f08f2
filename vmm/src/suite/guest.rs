//! The machine of a scenario, and the scripts that its guest gets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fencepost_devices::parameters;
use fencepost_devices::registry::find;
use fencepost_trace::conditions::Condition;

use crate::config::{Accel, DeviceConfig, MachineConfig, Plug, Size};
use crate::error::HostError;
use crate::root::boot::COMMAND_LINE;
use crate::scenario::{MachineAt, Preset, Scenario};

/// The shared folder with what one scenario brings.
pub const STAGE: &str = "fencepost-stage";
/// The shared folder of the kernel's modules.
pub const MODULES: &str = "fencepost-modules";
/// The shared folder of the lists by which modules are found, and of extra ones.
pub const INDEX: &str = "fencepost-index";
/// The shared folder in which the scenario's file lies.
pub const WORK: &str = "fencepost-work";
/// Guest memory where the scenario says nothing.
const MEMORY: Size = Size(512 << 20);

/// What a scenario's machine has on the host.
pub struct HostSide<'a> {
    /// The image with the guest's root.
    pub root: &'a Path,
    /// The folder of each tag.
    pub shares: BTreeMap<String, PathBuf>,
}

/// The machine, without its kernel, and the slot of the disk with its root.
///
/// # Errors
///
/// There is no slot left.
pub fn machine(scenario: &Scenario, host: &HostSide<'_>) -> Result<(MachineConfig, u8), HostError> {
    let mut machine = match &scenario.machine {
        Some(MachineAt::Here(machine)) => (**machine).clone(),
        _ => MachineConfig { memory: MEMORY, ..MachineConfig::default() },
    };
    if machine.accel == Accel::Auto {
        // The same run on every host.
        machine.accel = Accel::Soft;
    }
    machine.iommu = scenario.iommu.unwrap_or(machine.iommu);
    machine.cpus = scenario.cpus.unwrap_or(machine.cpus);
    machine.cpu = scenario.cpu.unwrap_or(machine.cpu);
    let plugged = |why: String| HostError::Input(format!("{}: {why}", scenario.scenario.name));
    let root = host.root.display().to_string().replace(',', ",,");
    let disk = plug(&mut machine, "virtio-blk", &format!("file={root},writes=refused,format=raw"))
        .map_err(plugged)?;
    if !machine.devices.iter().any(|device| device.kind == "virtio-console") {
        plug(&mut machine, "virtio-console", "").map_err(plugged)?;
    }
    for (tag, dir) in &host.shares {
        let dir = dir.display().to_string().replace(',', ",,");
        plug(&mut machine, "virtio-fs", &format!("tag={tag},dir={dir}")).map_err(plugged)?;
    }
    Ok((machine, disk))
}

/// Plugs a device; gives its slot.
fn plug(machine: &mut MachineConfig, kind: &str, keys: &str) -> Result<u8, String> {
    let model = find(kind)?;
    let parameters = parameters::parse(keys, model.parameters)?;
    machine.plug(&Plug { model: model.kind, slot: None, parameters })?;
    Ok(machine.devices.last().map_or(0, |device| device.slot))
}

/// The slot of the console whose channel the agent has.
pub fn channel_slot(machine: &MachineConfig) -> Option<u8> {
    let consoles = machine.devices.iter().filter(|device| device.kind == "virtio-console");
    consoles.map(|console: &DeviceConfig| console.slot).min()
}

/// The kernel's command line.
pub fn command_line(scenario: &Scenario) -> String {
    let preset = match scenario.kernel.command_line {
        Preset::Fast => COMMAND_LINE,
        Preset::Stock => "console=ttyS0 panic=-1 reboot=acpi intel_iommu=on",
    };
    format!("{preset} {}", scenario.kernel.append).trim().to_string()
}

/// A word of a shell script.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The trace agent in the stage.
pub const TRACE_AGENT: &str = "trace-agent";
/// Starts it. It stops itself when all that happens from then on is recorded.
const START_TRACE: &str = "cp stage/trace-agent $own/trace-agent
$own/trace-agent >$own/trace-agent.log &
echo $! >$own/trace-agent.pid
until grep -qs '^State:.T' /proc/$!/status; do
    if ! [ -d /proc/$! ] || grep -qs '^State:.Z' /proc/$!/status; then cat $own/trace-agent.log; exit 1; fi
    sleep 0.01
done
kill -CONT $!";
/// Ends it when it has handed over everything.
const END_TRACE: &str = "read -r agent </run/fencepost/trace-agent.pid
kill $agent
while grep -q '^State:.[^Z]' /proc/$agent/status; do sleep 0.01; done
";

/// Whether the guest's kernel is to record its own events.
pub fn is_traced(scenario: &Scenario) -> bool {
    let needs = |sentence: &String| sentence.parse::<Condition>().is_ok_and(|it| it.needs_guest());
    scenario.expect.trace.iter().any(needs)
}

/// What has the guest tell what its kernel has said, at the end.
pub fn ending(scenario: &Scenario) -> String {
    let trace = if is_traced(scenario) { END_TRACE } else { "" };
    format!("exec 2>&1\n{trace}/run/fencepost/busybox dmesg -r\n")
}

/// What stands before each part of what makes the guest ready.
const BEGIN: &str = "set -e
exec 2>&1
own=/run/fencepost
cd $own
";

/// What lets the guest find the kernel's modules and those of the scenario.
fn modules(release: &str) -> String {
    format!(
        "mkdir -p kernel index lists/upper lists/work /lib/modules/{release}
mount -t virtiofs -o ro {MODULES} kernel
mount -t virtiofs -o ro {INDEX} index
mount -t overlay -o lowerdir=index,upperdir=lists/upper,workdir=lists/work lists /lib/modules/{release}
ln -s $own/kernel/kernel /lib/modules/{release}/kernel
"
    )
}

/// Brings in the scenario's folders and files; `copies` are files of the stage and where they go.
fn files(scenario: &Scenario, copies: &[(String, String)]) -> String {
    let mut lines = vec![
        "mkdir -p stage below over/upper over/work /work".to_string(),
        format!("mount -t virtiofs -o ro {STAGE} stage"),
        format!("mount -t virtiofs -o ro {WORK} below"),
        "mount -t overlay -o lowerdir=below,upperdir=over/upper,workdir=over/work work /work".into(),
    ];
    for tag in scenario.guest.share.keys() {
        let to = quoted(&format!("/mnt/{tag}"));
        lines.push(format!("mkdir -p {to}; mount -t virtiofs -o ro {} {to}", quoted(tag)));
    }
    for (from, to) in copies {
        let (from, to) = (quoted(&format!("stage/{from}")), quoted(to));
        lines.push(format!("mkdir -p \"$(dirname {to})\"; cp -RT {from} {to}"));
    }
    lines.extend(is_traced(scenario).then(|| START_TRACE.to_string()));
    lines.join("\n") + "\n"
}

/// What comes from here on is the scenario's doing; the first of it is that `load`, modules with their parameters, are loaded in this
/// order.
fn load(load: &[(String, String)]) -> String {
    let mut lines = vec![format!("echo {} >/dev/kmsg", quoted(BEGINS))];
    lines.extend(load.iter().map(|(name, parameters)| format!("modprobe {name} {parameters}")));
    lines.join("\n") + "\n"
}

/// The scripts that make a guest ready for the first step.
pub struct Scripts {
    /// All of it.
    pub whole: String,
    /// What does not depend on the scenario's files, its seed and its trace, and can be done once for all scenarios with the same modules;
    /// and the rest of it. Nothing where no module is loaded, or where the load may find files of the scenario's.
    pub once: Option<(String, String)>,
}

/// Folders where a driver, or `modprobe`, looks when a module is loaded.
const READ_BY_LOADING: [&str; 3] = ["/lib/firmware/", "/usr/lib/firmware/", "/etc/"];

/// What makes the guest ready; `copies` are files of the stage and where they go, `modules` those to be loaded.
pub fn prepare(
    scenario: &Scenario,
    release: &str,
    copies: &[(String, String)],
    load_list: &[(String, String)],
) -> Scripts {
    let (modules, files, load) = (modules(release), files(scenario, copies), load(load_list));
    let read = |to: &String| READ_BY_LOADING.iter().any(|folder| format!("{to}/").starts_with(folder));
    let alone =
        !load_list.is_empty() && scenario.expect.trace.is_empty() && !copies.iter().any(|(_, to)| read(to));
    Scripts {
        whole: format!("{BEGIN}{modules}{files}{load}"),
        once: alone.then(|| (format!("{BEGIN}{modules}{load}"), format!("{BEGIN}{files}"))),
    }
}

/// The line among the kernel's messages behind which the scenario begins.
pub const BEGINS: &str = "fencepost: the scenario begins";

/// What stands before each command's script.
pub fn preamble(scenario: &Scenario, seed: Option<u64>) -> String {
    let mut lines: Vec<String> =
        scenario.guest.env.iter().map(|(name, value)| format!("export {name}={}", quoted(value))).collect();
    lines.extend(seed.map(|seed| format!("export FENCEPOST_SEED={seed}")));
    lines.push("cd /work".to_string());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for text in ["plain", "two words", "it's", "$(false) `x` \\ \"", "", "'"] {
            let script = format!("printf %s {}", quoted(text));
            let ran = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap(), text);
        }
    }

    #[test]
    fn modules_are_loaded_once_unless_the_load_may_see_what_is_the_scenarios_own() {
        let load = [("driver".to_string(), "a=1".to_string())];
        let copy = |to: &str| vec![("files/0".to_string(), to.to_string())];
        let scenario = |text: &str| toml::from_str::<Scenario>(text).unwrap();
        let plain = scenario("[scenario]");
        let traced = scenario("[expect]\ntrace = ['no IOMMU fault']");
        let once = |of: &Scenario, copies: &[(String, String)], load: &[(String, String)]| {
            prepare(of, "6.12", copies, load).once
        };
        let (first, rest) = once(&plain, &copy("/work/check.sh"), &load).unwrap();
        assert!(first.ends_with("/dev/kmsg\nmodprobe driver a=1\n"), "{first}");
        assert!(
            !first.contains("stage") && !rest.contains("modprobe") && rest.contains("check.sh"),
            "{rest}"
        );
        let whole = prepare(&plain, "6.12", &copy("/etc/x"), &load).whole;
        let at = |text: &str| whole.find(text).unwrap();
        assert!(at("index") < at("cp -RT") && at("cp -RT") < at("modprobe"));
        assert!(once(&plain, &[], &[]).is_none());
        assert!(once(&traced, &[], &load).is_none());
        for to in ["/lib/firmware/a.bin", "/etc/modprobe.d/a.conf", "/etc", "/usr/lib/firmware"] {
            assert!(once(&plain, &copy(to), &load).is_none(), "{to}");
        }
    }
}
