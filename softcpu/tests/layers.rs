//! The modules stand in layers: none imports one of a layer above its own. Rust itself does not mind a circle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From the ground up. A module is a file or a folder of `src`; one in a folder may be placed by itself.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "values",
        &[
            "value",
            "step",
            "stops",
            "stop_flag",
            "vector",
            "state",
            "flags",
            "bus",
            "code",
            "control",
            "cpuid",
            "mem::view",
            "model",
            "pinned",
        ],
    ),
    ("parts", &["arena", "apic", "ioapic", "descriptor", "file", "op", "fp::values", "simd::values"]),
    ("stores", &["generated", "blocks", "mem::ram", "mem::tlb", "mem::saved"]),
    ("the CPU", &["cpu"]),
    ("its memory and machine", &["mem", "reach", "stale", "init", "breakpoints"]),
    ("lowering", &["lower"]),
    ("instructions", &["exec", "sys", "fp", "simd"]),
    ("decoding", &["dispatch", "decode"]),
    ("translating", &["native", "interpreted"]),
    ("running", &["run", "one", "stopping", "cpus"]),
];

/// Files of the folders of instructions that compute with values alone, and know no CPU.
const VALUES: &[&str] = &[
    "fp::arith",
    "fp::env",
    "fp::functions",
    "fp::host",
    "fp::image",
    "fp::number",
    "fp::ops",
    "fp::round",
    "fp::stack",
    "fp::transcendental",
    "fp::wide",
    "simd::cipher",
    "simd::float",
    "simd::horizontal",
    "simd::integer",
    "simd::lanes",
    "simd::rounding",
    "simd::shuffle",
    "simd::text",
    "simd::widen",
];

/// The layer of a module, by the longest part of its path that has a place.
fn layer(module: &str) -> Option<usize> {
    let mut module = match VALUES.contains(&module) {
        true => format!("{}::values", &module[..module.find(':')?]),
        false => module.to_string(),
    };
    loop {
        if let Some(at) = LAYERS.iter().position(|(_, modules)| modules.contains(&module.as_str())) {
            return Some(at);
        }
        module.truncate(module.rfind("::")?);
    }
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the sources are here") {
        let path = entry.expect("a folder lists its files").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// What a file says without comments and its tests, and with `super` spelled out.
fn code(text: &str, module: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let parent = module.rfind("::").map_or("crate".to_string(), |end| format!("crate::{}", &module[..end]));
    // `use super::*` is a module in the file itself, which takes from the file.
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let lines = lines.filter(|line| line.trim() != "use super::*;");
    lines.collect::<Vec<_>>().join("\n").replace("super::", &format!("{parent}::")).replace("$crate", "crate")
}

/// The modules, of those that exist, that the code names by `crate::`: also in a list in braces.
fn imports<'a>(code: &str, modules: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let end = rest.find([';', '(', ')', ' ']).unwrap_or(rest.len());
        let braced = rest.find('{').filter(|open| *open < end);
        let list = match braced {
            Some(open) => {
                let close = rest.find(';').unwrap_or(rest.len());
                rest[open..close]
                    .split([',', '{', '}'])
                    .map(|item| format!("{}{}", &rest[..open], item.trim()))
                    .collect()
            }
            None => vec![rest[..end].to_string()],
        };
        for path in list {
            let known = |path: &str| modules.get_key_value(path).map(|(name, _)| name.as_str());
            let mut path = path.as_str();
            while !path.is_empty() {
                if let Some(name) = known(path) {
                    found.push(name);
                    break;
                }
                path = path.rfind("::").map_or("", |end| &path[..end]);
            }
        }
    }
    found
}

#[test]
fn no_module_imports_from_a_higher_layer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut modules = BTreeMap::new();
    for file in files.iter().filter(|file| !file.to_string_lossy().contains("tests")) {
        let path = file.strip_prefix(&src).expect("below the sources").with_extension("");
        let name = path.to_string_lossy().replace('/', "::").trim_end_matches("::mod").to_string();
        let text = std::fs::read_to_string(file).expect("the source can be read");
        modules.insert(name.clone(), code(&text, &name));
    }
    modules.remove("lib");
    let (mut seen, mut wrong) = (0, Vec::new());
    for (module, text) in &modules {
        let Some(mine) = layer(module) else { panic!("{module} has no layer") };
        for other in imports(text, &modules) {
            seen += 1;
            let theirs = layer(other).unwrap_or(usize::MAX);
            if theirs > mine {
                wrong.push(format!("{module} ({}) imports {other} ({})", LAYERS[mine].0, LAYERS[theirs].0));
            }
        }
    }
    assert!(seen > 200, "only {seen} imports were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
