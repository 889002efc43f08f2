//! Engines: the parts of a device that do work of their own, by name and role. A device declares its engines; this crate knows no
//! other.

use serde::{Deserialize, Serialize};

/// What an engine does with the content of buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It makes content: it writes buffers.
    Source,
    /// It makes content from content: it reads and writes buffers.
    Processor,
    /// It shows or consumes content: it reads buffers.
    Sink,
    /// It keeps content: it fills buffers from a medium and empties them to it.
    Storage,
    /// Anything else.
    Other,
}

impl Role {
    /// All of them, in order.
    pub const ALL: [Role; 5] = [Role::Source, Role::Processor, Role::Sink, Role::Storage, Role::Other];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Processor => "processor",
            Role::Sink => "sink",
            Role::Storage => "storage",
            Role::Other => "other",
        }
    }
}

/// An engine as a device declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSpec {
    /// What outputs call it: lower case, unique within the function.
    pub name: &'static str,
    /// What it does.
    pub role: Role,
}

/// An engine of a machine: the function that it is part of, and its place among those that the function declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EngineId {
    /// The function's requester id (bus << 8 | device << 3 | function).
    pub rid: u16,
    /// Its place among the function's engines, from 0.
    pub index: u8,
}

impl EngineId {
    /// The engine at `index` of function `rid`.
    pub const fn new(rid: u16, index: u8) -> EngineId {
        EngineId { rid, index }
    }
}

/// A requester id as `bus:device.function`.
pub fn rid_text(rid: u16) -> String {
    format!("{:02x}:{:02x}.{}", rid >> 8, rid >> 3 & 0x1f, rid & 7)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// All of the crate's sources, under `folder`.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs" || end == "js" || end == "html") {
                found.push(path);
            }
        }
    }

    /// The crate works from what devices declare. Comments, tests and the traces that tests are made of may name devices; the kernel's own
    /// names for its tracepoints and Rust's `Display` are no devices.
    #[test]
    fn no_code_of_this_crate_names_a_device() {
        let (mut files, mut named) = (Vec::new(), Vec::new());
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        files.sort();
        assert!(files.len() > 50, "{} sources", files.len());
        for file in files {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            if name.ends_with("tests.rs") || ["testing.rs", "synthetic.rs"].contains(&&*name) {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let line = line
                    .replace("gpu_scheduler", "")
                    .replace("fmt::Display", "")
                    .replace("style.display", "");
                let lower = line.to_lowercase();
                if ["camera", "gpu", "display"].iter().any(|word| lower.contains(word)) {
                    named.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
        assert!(named.is_empty(), "{named:#?}");
    }
}
