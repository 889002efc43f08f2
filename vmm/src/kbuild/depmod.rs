//! What depmod(8) writes for a kernel's modules, so that `modprobe` finds them by name, alias and symbol: a kernel's package does not have it.
//!
//! The texts are those of modules.dep(5) and its kin, which busybox reads; the binary files beside them ([`super::trie`]) are
//! kmod's. Who needs whom is worked out by the symbols that modules export and want, not by what they say in `depends=`.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::trie::Index;
use crate::root::modules::name_of;

/// A file of the index: its name and its bytes.
pub type File = (&'static str, Vec<u8>);

/// Endings of packed modules, which `modules.order` does not have.
const PACKED: [&str; 3] = [".gz", ".xz", ".zst"];

/// One module. Symbols are numbers of [`Catalogue::symbols`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// Its path in the folder `lib/modules/RELEASE`.
    path: String,
    name: String,
    aliases: Vec<String>,
    softdeps: Vec<String>,
    exports: Vec<u32>,
    wants: Vec<u32>,
}

/// What the files say of all modules of one kernel.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Catalogue {
    symbols: Vec<String>,
    entries: Vec<Entry>,
}

/// What the kernel's build says of what is in the kernel itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin<'a> {
    /// `modules.builtin`: a path a line.
    pub list: &'a str,
    /// `modules.builtin.modinfo`: strings MODULE.KEY=VALUE, each ended by NUL.
    pub information: &'a [u8],
}

impl Catalogue {
    /// Of modules, by their paths in the folder, in the order of `modules.order`; those that it does not have come last, by their paths.
    pub fn new(mut modules: Vec<(String, Facts)>, order: &str) -> Catalogue {
        let places: HashMap<&str, usize> =
            order.lines().enumerate().map(|(place, path)| (path, place)).collect();
        let place = |path: &str| {
            let plain = PACKED.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
            places.get(plain).copied().unwrap_or(usize::MAX)
        };
        modules.sort_by(|(a, _), (b, _)| (place(a), a).cmp(&(place(b), b)));
        let mut catalogue = Catalogue::default();
        catalogue.add(modules);
        catalogue
    }

    /// Adds modules behind the others; one takes the place of another of its name.
    pub fn add(&mut self, modules: Vec<(String, Facts)>) {
        let mut numbers: HashMap<String, u32> = self.symbols.iter().cloned().zip(0..).collect();
        for (path, facts) in modules {
            let mut numbered = |names: &[String]| {
                let number = |name: &String| {
                    let next = numbers.len() as u32;
                    *numbers.entry(name.clone()).or_insert_with(|| {
                        self.symbols.push(name.clone());
                        next
                    })
                };
                names.iter().map(number).collect::<Vec<_>>()
            };
            let (exports, wants) = (numbered(&facts.exports), numbered(&facts.wants));
            let values = |key| facts.values(key).map(str::to_string).collect();
            let name = name_of(&path);
            self.entries.push(Entry {
                aliases: values("alias"),
                softdeps: values("softdep"),
                path,
                name,
                exports,
                wants,
            });
        }
        let mut later = HashSet::new();
        let mut entries = std::mem::take(&mut self.entries);
        entries.reverse();
        entries.retain(|entry| later.insert(entry.name.clone()));
        entries.reverse();
        self.entries = entries;
    }

    /// All files. Says why they cannot be made.
    ///
    /// # Errors
    ///
    /// There is too much for one file.
    pub fn write(&self, builtin: Builtin) -> Result<Vec<File>, String> {
        let mut files = Vec::new();
        self.dependencies(&mut files)?;
        self.aliases(&mut files)?;
        self.symbols(&mut files)?;
        self.softdeps(&mut files);
        self.devices(&mut files);
        builtin.write(&mut files)?;
        Ok(files)
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(&self.entries)
    }

    /// The number of the module that exports each symbol: the last one of several.
    fn owners(&self) -> Vec<Option<u32>> {
        let mut owners = vec![None; self.symbols.len()];
        for (number, entry) in self.numbered() {
            entry.exports.iter().for_each(|symbol| owners[*symbol as usize] = Some(number));
        }
        owners
    }

    /// The modules that each one needs itself, in the order of the symbols that it wants.
    fn needs(&self) -> Vec<Vec<u32>> {
        let owners = self.owners();
        let of = |(number, entry): (u32, &Entry)| {
            let mut needs = Vec::new();
            for owner in entry.wants.iter().filter_map(|symbol| owners[*symbol as usize]) {
                if owner != number && !needs.contains(&owner) {
                    needs.push(owner);
                }
            }
            needs
        };
        self.numbered().map(of).collect()
    }

    fn dependencies(&self, files: &mut Vec<File>) -> Result<(), String> {
        let needs = self.needs();
        let ranks = ranks(&needs);
        let (mut text, mut index) = (String::new(), Index::default());
        for (number, entry) in self.numbered() {
            // Modules that need each other cannot be loaded.
            if ranks[number as usize].is_none() {
                continue;
            }
            let mut all = closure(&needs, number);
            all.retain(|other| ranks[*other as usize].is_some());
            all.sort_unstable_by_key(|other| ranks[*other as usize]);
            let mut line = format!("{}:", entry.path);
            for other in all {
                line.push(' ');
                line.push_str(&self.entries[other as usize].path);
            }
            text.push_str(&line);
            text.push('\n');
            index.add(entry.name.clone(), number, line);
        }
        files.push(("modules.dep", text.into_bytes()));
        finish(files, "modules.dep.bin", index)
    }

    fn aliases(&self, files: &mut Vec<File>) -> Result<(), String> {
        let mut text = "# Aliases extracted from modules themselves.\n".to_string();
        let mut index = Index::default();
        for (number, entry) in self.numbered() {
            for alias in &entry.aliases {
                let _ = writeln!(text, "alias {alias} {}", entry.name);
                if let Some(key) = key(alias) {
                    index.add(key, number, entry.name.clone());
                }
            }
        }
        files.push(("modules.alias", text.into_bytes()));
        finish(files, "modules.alias.bin", index)
    }

    fn symbols(&self, files: &mut Vec<File>) -> Result<(), String> {
        let mut text = "# Aliases for symbols, used by symbol_request().\n".to_string();
        let mut index = Index::default();
        for (symbol, owner) in self.symbols.iter().zip(self.owners()) {
            let Some(number) = owner else { continue };
            let name = &self.entries[number as usize].name;
            let _ = writeln!(text, "alias symbol:{symbol} {name}");
            index.add(format!("symbol:{symbol}"), number, name.clone());
        }
        files.push(("modules.symbols", text.into_bytes()));
        finish(files, "modules.symbols.bin", index)
    }

    fn softdeps(&self, files: &mut Vec<File>) {
        let mut text = "# Soft dependencies extracted from modules themselves.\n".to_string();
        for entry in &self.entries {
            for one in &entry.softdeps {
                let _ = writeln!(text, "softdep {} {one}", entry.name);
            }
        }
        files.push(("modules.softdep", text.into_bytes()));
    }

    /// Device nodes whose opening loads a module: those of modules with a name for one, and its numbers.
    fn devices(&self, files: &mut Vec<File>) {
        let mut text = "# Device nodes to trigger on-demand module loading.\n".to_string();
        for entry in &self.entries {
            let name = entry.aliases.iter().find_map(|alias| alias.strip_prefix("devname:"));
            let numbers = entry.aliases.iter().find_map(|alias| device_numbers(alias));
            if let (Some(name), Some(numbers)) = (name, numbers) {
                let _ = writeln!(text, "{} {name} {numbers}", entry.name);
            }
        }
        files.push(("modules.devname", text.into_bytes()));
    }
}

impl Builtin<'_> {
    fn write(&self, files: &mut Vec<File>) -> Result<(), String> {
        let mut index = Index::default();
        let named = self.list.lines().filter(|line| !line.trim().is_empty());
        named.for_each(|line| index.add(name_of(line), 0, String::new()));
        finish(files, "modules.builtin.bin", index)?;
        let mut index = Index::default();
        for text in self.information.split(|byte| *byte == 0) {
            let text = String::from_utf8_lossy(text);
            let alias = || {
                let (name, rest) = text.split_once('.')?;
                Some((name, key(rest.strip_prefix("alias=")?)?))
            };
            if let Some((name, key)) = alias() {
                index.add(key, 0, name.to_string());
            }
        }
        finish(files, "modules.builtin.alias.bin", index)
    }
}

fn finish(files: &mut Vec<File>, name: &'static str, index: Index) -> Result<(), String> {
    let bytes = index.write().ok_or_else(|| format!("{name} would be larger than its format allows"))?;
    files.push((name, bytes));
    Ok(())
}

/// An alias as it is searched for: "_" for "-", but within brackets, where "-" is a range. `None` if a bracket is alone.
fn key(alias: &str) -> Option<String> {
    let mut inside = false;
    let mut key = String::with_capacity(alias.len());
    for c in alias.chars() {
        match c {
            ']' if !inside => return None,
            '[' | ']' => inside = c == '[' || !inside,
            _ => {}
        }
        key.push(if c == '-' && !inside { '_' } else { c });
    }
    (!inside).then_some(key)
}

/// `c10:200` of `char-major-10-200`, and `b` for a block device.
fn device_numbers(alias: &str) -> Option<String> {
    let (kind, rest) = alias.split_once("-major-")?;
    let kind = match kind {
        "char" => 'c',
        "block" => 'b',
        _ => return None,
    };
    let (major, minor) = rest.split_once('-')?;
    Some(format!("{kind}{}:{}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
}

/// All that a module needs, directly or not.
fn closure(needs: &[Vec<u32>], of: u32) -> Vec<u32> {
    let mut all: Vec<u32> = needs[of as usize].clone();
    let mut next = 0;
    while let Some(one) = all.get(next) {
        for other in &needs[*one as usize] {
            if *other != of && !all.contains(other) {
                all.push(*other);
            }
        }
        next += 1;
    }
    all
}

/// A rank for each module, lower than that of all that it needs; none for those that need each other, and what only those need.
fn ranks(needs: &[Vec<u32>]) -> Vec<Option<u32>> {
    let mut users = vec![0u32; needs.len()];
    needs.iter().flatten().for_each(|one| users[*one as usize] += 1);
    let mut ready: Vec<u32> =
        (0..).zip(&users).filter(|(_, users)| **users == 0).map(|(one, _)| one).collect();
    let (mut ranks, mut rank) = (vec![None; needs.len()], 0);
    while let Some(one) = ready.pop() {
        ranks[one as usize] = Some(rank);
        rank += 1;
        for other in &needs[one as usize] {
            users[*other as usize] -= 1;
            if users[*other as usize] == 0 {
                ready.push(*other);
            }
        }
    }
    ranks
}

#[cfg(test)]
#[path = "depmod_tests.rs"]
mod tests;
