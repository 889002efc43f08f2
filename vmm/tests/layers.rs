//! The library stands below its command line, and its modules in layers: each uses only what stands below it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The command line and its commands, which may use everything.
const ABOVE: [&str; 6] = ["cli", "command", "demo", "trace_cli", "docs_tests", "main"];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.for_each(|entry| sources(&entry.expect("an entry").path(), found));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_path_buf());
    }
}

/// Whether a file holds tests only: those may use what they like.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().expect("a name").to_string_lossy();
    name.ends_with("tests") || name == "testing" || path.components().any(|part| part.as_os_str() == "tests")
}

/// The code of each module of the crate that the library is made of, without comments and tests.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    for path in files.iter().filter(|path| !is_test(path)) {
        let first = path.strip_prefix(&root).expect("inside").components().next().expect("a name");
        let name = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
        if name == "lib" || ABOVE.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("text");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.for_each(|line| modules.entry(name.clone()).or_default().extend([line, "\n"]));
    }
    modules
}

#[test]
fn nothing_below_the_command_line_names_it() {
    let modules = modules();
    assert!(modules.len() > 30, "{} modules are below: the list is wrong", modules.len());
    for (module, code) in &modules {
        let above = ABOVE.iter().map(|name| format!("crate::{name}"));
        for name in above.chain(["clap::", "use clap"].map(str::to_string)) {
            assert!(!code.contains(&name), "{module} uses {name}");
        }
    }
}

/// The modules that `code` names.
fn used(code: &str) -> BTreeSet<String> {
    assert!(!code.contains("crate::{"), "this test reads one `use crate::NAME` a line");
    let names = code.split("crate::").skip(1);
    names.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Takes away all modules that use nothing that is left, until none can be: what is left stands in a circle, or on one.
fn circles(mut uses: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.values_mut().for_each(|used| used.retain(|name| left.contains(name)));
        uses.retain(|_, used| !used.is_empty());
        if uses.len() == left.len() {
            return uses;
        }
    }
}

#[test]
fn no_module_uses_one_that_uses_it() {
    let uses = modules().into_iter().map(|(module, code)| {
        let mut used = used(&code);
        used.remove(&module);
        (module, used)
    });
    let left = circles(uses.collect());
    assert!(left.is_empty(), "these use each other: {left:#?}");
}

#[test]
fn a_circle_is_found() {
    let uses = |code: &str| used(code);
    let modules = [
        ("a", uses("use crate::b::B;")),
        ("b", uses("crate::c::f();")),
        ("c", uses("use crate::a;")),
        ("d", uses("use crate::e;\nuse crate::a::A;")),
        ("e", uses("")),
    ];
    let left = circles(modules.map(|(name, used)| (name.to_string(), used)).into());
    assert_eq!(left.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}
