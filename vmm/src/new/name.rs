//! The name of what is made: the last part of its folder's path.

use std::path::Path;

use fencepost_devices::registry::models;

use crate::error::HostError;

/// Longest name. A module's has at most 55 bytes, and something is added to this.
const MOST_BYTES: usize = 40;

/// Names that Rust, or cargo, or a device's crate itself has another use for (The Rust Reference, *Keywords*).
const TAKEN: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else enum \
    examples extern false fencepost fencepost-devices fencepost-trace final fn for gen help if impl in incremental let loop macro \
    main match mod move mut override priv proc-macro pub ref return self serde static std struct super test trait true try type \
    typeof unsafe unsized use virtual where while yield";

/// A name of lower-case letters, digits and hyphens.
#[derive(Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name of `path`, the folder of a `what`.
    ///
    /// # Errors
    ///
    /// It has none, or one that cannot be.
    pub fn of(path: &Path, what: &str) -> Result<Name, HostError> {
        // `.` and `..` have a name, too.
        let last = match path.file_name() {
            Some(name) => Some(name.to_os_string()),
            None => std::fs::canonicalize(path).ok().and_then(|path| Some(path.file_name()?.to_os_string())),
        };
        let last = last.unwrap_or_default().to_string_lossy().into_owned();
        let letter = |byte: u8| byte.is_ascii_lowercase();
        let fits = last.bytes().next().is_some_and(letter)
            && last.bytes().all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'-')
            && !last.ends_with('-')
            && last.len() <= MOST_BYTES;
        if fits {
            return Ok(Name(last));
        }
        let shown: String = last.chars().take(MOST_BYTES).collect();
        let like = suggested(&last).map(|like| format!(", such as {like}")).unwrap_or_default();
        Err(HostError::input(
            format!("'{shown}' cannot be the name of a {what}"),
            format!(
                "write at most {MOST_BYTES} lower-case letters, digits and hyphens, a letter first{like}"
            ),
        ))
    }

    /// Whether a device, and so a crate, can have it.
    ///
    /// # Errors
    ///
    /// What else has it.
    pub fn can_be_a_device(&self) -> Result<(), HostError> {
        let Name(name) = self;
        let refused = |why: &str| {
            HostError::input(format!("'{name}' cannot be the name of a device: {why}"), "take another")
        };
        if models().any(|model| model.kind == name) || ["iommu", "disk"].contains(&name.as_str()) {
            return Err(refused("Fencepost has one of that name"));
        }
        match TAKEN.split_whitespace().any(|word| word == name) {
            true => Err(refused("it means something else to Rust, cargo or Fencepost")),
            false => Ok(()),
        }
    }

    /// As it is.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// With underscores: a crate's name in Rust.
    pub fn identifier(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The driver's module, and what its functions begin with: a name that no module of the kernel has, and no function.
    pub fn module(&self) -> String {
        format!("{}_drv", self.identifier())
    }

    /// A PCI device id from 0x8000 on, which Fencepost's own devices do not use: two names hardly ever have the same.
    pub fn device_id(&self) -> u16 {
        (crc32fast::hash(self.0.as_bytes()) & 0x7fff) as u16 | 0x8000
    }
}

/// A name like `text` that can be.
fn suggested(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let joined = parts.collect::<Vec<_>>().join("-");
    let name = joined.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name: String = name.chars().take(MOST_BYTES).collect();
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_string())
}
