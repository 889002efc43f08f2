//! What a module's file says of it: its information (section `.modinfo`, include/linux/moduleparam.h) and its symbols.

use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};

use crate::error::HostError;
use crate::root::initramfs::unpacked;

/// What stands before the name of an exported symbol (include/linux/export.h).
const EXPORT: &str = "__ksymtab_";
const FIX: &str = "name a module that was built for the kernel, a .ko file";

/// What one module says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Keys with their values, in the file's order; a key may come more than once.
    pub information: Vec<(String, String)>,
    /// The symbols that it exports.
    pub exports: Vec<String>,
    /// The symbols that others have to export, in the file's order.
    pub wants: Vec<String>,
}

impl Facts {
    /// Reads a module's file, packed or not.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no module.
    pub fn read(path: &Path) -> Result<Facts, HostError> {
        let bytes = fs::read(path).and_then(unpacked);
        let bytes = bytes.map_err(|error| HostError::file("module", path, &error, FIX))?;
        Facts::of(&bytes).map_err(|why| {
            HostError::input(format!("module {}: it is no module: {why}", path.display()), FIX)
        })
    }

    /// What the bytes of a module say.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn of(bytes: &[u8]) -> Result<Facts, String> {
        let damaged = |error: object::Error| error.to_string();
        let file = object::File::parse(bytes).map_err(damaged)?;
        let section = file.section_by_name(".modinfo").ok_or("it has no section .modinfo")?;
        let information = texts(section.data().map_err(damaged)?);
        let (mut exports, mut wants) = (Vec::new(), Vec::new());
        for symbol in file.symbols() {
            let name = symbol.name().map_err(damaged)?;
            if let Some(exported) = name.strip_prefix(EXPORT)
                && symbol.is_definition()
            {
                exports.push(exported.to_string());
            } else if symbol.is_undefined() && !name.is_empty() {
                wants.push(name.to_string());
            }
        }
        Ok(Facts { information, exports, wants })
    }

    /// All values of a key.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.information.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The modules without which it cannot be loaded.
    pub fn depends(&self) -> impl Iterator<Item = String> {
        let all = self.values("depends").flat_map(|text| text.split(','));
        all.filter(|name| !name.is_empty()).map(crate::root::modules::name_of)
    }

    /// The modules that it wishes to be loaded before it (`MODULE_SOFTDEP`).
    pub fn wishes(&self) -> Vec<String> {
        let mut names = Vec::new();
        for text in self.values("softdep") {
            let words = text.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
            names.extend(words.take_while(|word| *word != "post:").map(crate::root::modules::name_of));
        }
        names
    }

    /// The release of the kernel that it was built for.
    pub fn release(&self) -> Option<&str> {
        self.values("vermagic").next()?.split(' ').next()
    }
}

/// The strings KEY=VALUE, each ended by NULs.
fn texts(section: &[u8]) -> Vec<(String, String)> {
    let all = section.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    all.filter_map(|text| text.split_once('=').map(|(key, value)| (key.to_string(), value.to_string())))
        .collect()
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
