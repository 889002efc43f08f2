//! Modules for tests, made without a compiler.

use std::path::{Path, PathBuf};

use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::tree::KernelTree;

pub(super) const RELEASE: &str = "6.12.3-amd64";

/// The bytes of a module with this information (`KEY=VALUE;KEY=VALUE`), that exports and wants these symbols.
pub(super) fn module(information: &str, exports: &[&str], wants: &[&str]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    // The kernel's build ends each string with one NUL or more.
    let text = information.replace(';', "\0\0") + "\0";
    object.append_section_data(section, text.as_bytes(), 1);
    let data = object.section_id(StandardSection::Data);
    object.append_section_data(data, &[0; 8], 8);
    let mut add = |name: String, kind, section| {
        object.add_symbol(Symbol {
            name: name.into_bytes(),
            value: 0,
            size: 0,
            kind,
            scope: if section == SymbolSection::Undefined {
                SymbolScope::Unknown
            } else {
                SymbolScope::Compilation
            },
            weak: false,
            section,
            flags: SymbolFlags::None,
        });
    };
    for name in exports {
        add(format!("__ksymtab_{name}"), SymbolKind::Data, SymbolSection::Section(data));
        add(name.to_string(), SymbolKind::Data, SymbolSection::Section(data));
    }
    wants.iter().for_each(|name| add(name.to_string(), SymbolKind::Unknown, SymbolSection::Undefined));
    object.write().expect("a module")
}

/// Writes a file with the folders that it is in.
pub(super) fn put(path: PathBuf, bytes: impl AsRef<[u8]>) -> PathBuf {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, bytes).expect("written");
    path
}

/// A kernel whose folder holds these modules, by their paths.
pub(super) fn kernel(root: &Path, modules: &[(&str, Vec<u8>)], builtin: &str) -> KernelTree {
    let folder = root.join("lib/modules").join(RELEASE);
    let image = put(root.join("boot").join(format!("vmlinuz-{RELEASE}")), "");
    put(folder.join("modules.builtin"), builtin);
    std::fs::create_dir_all(folder.join("kernel")).expect("made");
    modules.iter().for_each(|(path, bytes)| drop(put(folder.join(path), bytes)));
    KernelTree { release: RELEASE.to_string(), image, modules: folder }
}
