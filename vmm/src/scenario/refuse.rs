//! What a scenario cannot have although its file is well formed: names that the guest could not use, and KVM.

use fencepost_devices::parameters::Value;

use super::{MachineAt, Scenario};
use crate::config::Accel;

/// What the tags of `fencepost test` itself begin with.
pub const OWN_TAGS: &str = "fencepost-";
/// The virtio file system's limit.
const TAG_MAX_BYTES: usize = 36;

/// Refuses names that the guest could not use or that are not the scenario's to give, and a machine that it cannot run on. Gives the
/// name as it is in the file, and what is wrong with it.
pub(super) fn check(scenario: &Scenario) -> Result<(), (String, String)> {
    let about = &scenario.scenario.name;
    if about.chars().any(char::is_control) {
        let why = "the scenario's name has a control character; write it on one line".to_string();
        return Err(("name".to_string(), why));
    }
    for tag in scenario.guest.share.keys() {
        check_tag(tag).map_err(|why| (tag.clone(), why))?;
    }
    let of_variants = scenario.variants.iter().flat_map(|variant| variant.env.keys());
    for name in scenario.guest.env.keys().chain(of_variants) {
        if !is_variable(name) {
            let why = format!("'{name}' is no name of a variable; write letters, digits and _");
            return Err((name.clone(), why));
        }
    }
    let Some(MachineAt::Here(machine)) = &scenario.machine else { return Ok(()) };
    if machine.accel == Accel::Kvm {
        let why =
            "scenarios run under soft, so that each run is the same; leave accel = \"kvm\" out".to_string();
        return Err(("accel".to_string(), why));
    }
    for device in machine.devices.iter().filter(|device| device.kind == "virtio-fs") {
        let Some(Value::Text(tag)) = device.parameters.get("tag") else { continue };
        own(tag).map_err(|why| (tag.clone(), why))?;
        if scenario.guest.share.contains_key(tag) {
            let why = format!("the tag '{tag}' is that of a device and of a folder of [guest]; rename one");
            return Err((tag.clone(), why));
        }
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), String> {
    own(tag)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !tag.is_empty() && tag.len() <= TAG_MAX_BYTES && tag.bytes().all(plain) && !tag.starts_with('.') {
        true => Ok(()),
        false => Err(format!(
            "the tag '{tag}' is not possible; write 1 to {TAG_MAX_BYTES} letters, digits and -_. with no . in front"
        )),
    }
}

fn own(tag: &str) -> Result<(), String> {
    match tag.starts_with(OWN_TAGS) {
        true => Err(format!(
            "the tag '{tag}' is not free: {OWN_TAGS}* is for `fencepost test` itself; give another"
        )),
        false => Ok(()),
    }
}

fn is_variable(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(letter) && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}
