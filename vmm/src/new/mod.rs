//! `fencepost new`: starting points for a test of a driver, and for a device of one's own, whose tests pass as they are written.

mod folder;
mod name;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::error::{HostError, plain};
use folder::{File, Folder};
use name::Name;

/// The version of the crates that a device of one's own needs.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The crates, and where they are in a clone.
const CRATES: [(&str, &str); 3] =
    [("fencepost", "vmm"), ("fencepost-devices", "devices"), ("fencepost-trace", "trace")];

const SCENARIO: &[File] = &[
    File { path: "@NAME@.toml", text: include_str!("scenario/scenario.toml.in") },
    File { path: "driver/Kbuild", text: include_str!("scenario/Kbuild.in") },
    File { path: "driver/hello.c", text: include_str!("scenario/hello.c.in") },
    File { path: "README.md", text: include_str!("scenario/README.md.in") },
    File { path: ".gitignore", text: include_str!("scenario/gitignore.in") },
];

const DEVICE: &[File] = &[
    File { path: "Cargo.toml", text: include_str!("device/Cargo.toml.in") },
    File { path: "README.md", text: include_str!("device/README.md.in") },
    File { path: ".gitignore", text: include_str!("device/gitignore.in") },
    File { path: "src/lib.rs", text: include_str!("device/lib.rs.in") },
    File { path: "src/main.rs", text: include_str!("device/main.rs.in") },
    File { path: "src/registers.rs", text: include_str!("device/registers.rs.in") },
    File { path: "src/config.rs", text: include_str!("device/config.rs.in") },
    File { path: "src/device.rs", text: include_str!("device/device.rs.in") },
    File { path: "src/state.rs", text: include_str!("device/state.rs.in") },
    File { path: "tests/model.rs", text: include_str!("device/model.rs.in") },
    File { path: "driver/Kbuild", text: include_str!("device/Kbuild.in") },
    File { path: "driver/@MODULE@.c", text: include_str!("device/driver.c.in") },
    File { path: "scenarios/@NAME@.toml", text: include_str!("device/scenario.toml.in") },
];

/// Writes a scenario with a kernel module into `path`, a folder that is not there or empty.
///
/// # Errors
///
/// A name that cannot be, something that is there, or a folder that cannot be written.
pub fn scenario(path: &Path) -> Result<(), HostError> {
    let name = Name::of(path, "scenario")?;
    Folder::new(path)?.write(SCENARIO, &|text| text.replace("@NAME@", name.text()))
}

/// Writes a device model as a crate, its driver and a scenario into `path`, whose last part is the device's kind. The crates of Fencepost
/// that it needs come from a registry, or from a clone.
///
/// # Errors
///
/// As [`scenario`], or a clone that is none.
pub fn device(path: &Path, clone: Option<&Path>) -> Result<(), HostError> {
    let name = Name::of(path, "device")?;
    name.can_be_a_device()?;
    let source = clone.map(Clone::of).transpose()?;
    let module = name.module();
    let changes = [
        ("@NAME@", name.text().to_string()),
        ("@CRATE@", name.identifier()),
        ("@UPPER@", module.to_uppercase()),
        ("@MODULE@", module),
        ("@DEVICE_ID@", format!("{:04x}", name.device_id())),
        ("@DEPENDENCIES@", dependencies(source.as_ref())),
        ("@WHERE@", whence(source.as_ref())),
    ];
    let fill = |text: &str| changes.iter().fold(text.to_string(), |text, (mark, by)| text.replace(mark, by));
    let folder = Folder::new(path)?;
    folder.write(DEVICE, &fill)?;
    match source.and_then(|clone| clone.lock) {
        // The versions that the clone is tested with; cargo adds to it what is missing.
        Some(lock) => folder.add("Cargo.lock", &lock),
        None => Ok(()),
    }
}

/// A clone of Fencepost.
struct Clone {
    folder: PathBuf,
    lock: Option<String>,
}

impl Clone {
    fn of(path: &Path) -> Result<Clone, HostError> {
        let wrong = |why: &str| {
            HostError::input(
                format!("--crates {}: {why}", path.display()),
                "name the folder of a clone of Fencepost",
            )
        };
        let folder = std::fs::canonicalize(path).map_err(|error| wrong(&plain(&error)))?;
        for (name, place) in CRATES {
            let text = std::fs::read_to_string(folder.join(place).join("Cargo.toml"));
            if !text.is_ok_and(|text| text.contains(&format!("name = \"{name}\"\n"))) {
                return Err(wrong(&format!("there is no crate {name} in {place}")));
            }
        }
        if folder.to_str().is_none() {
            return Err(wrong("its name is not UTF-8"));
        }
        let lock = std::fs::read_to_string(folder.join("Cargo.lock")).ok();
        Ok(Clone { folder, lock })
    }
}

/// The lines for Fencepost's crates in `[dependencies]`.
fn dependencies(clone: Option<&Clone>) -> String {
    let line = |(name, place): &(&str, &str)| match clone {
        Some(clone) => {
            let path = toml::Value::String(clone.folder.join(place).display().to_string());
            format!("{name} = {{ version = \"{VERSION}\", path = {path} }}")
        }
        None => format!("{name} = \"{VERSION}\""),
    };
    CRATES.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Where they come from, in words.
fn whence(clone: Option<&Clone>) -> String {
    match clone {
        Some(_) => "Fencepost's crates come from a clone, by `path`. Take `path` away, and they come from the registry.",
        None => "Fencepost's crates come from the registry. For a clone add `path` to each: its folders vmm, devices and trace.",
    }
    .to_string()
}
