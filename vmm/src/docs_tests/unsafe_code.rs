//! docs/memory-safety.md: its table has every source file with unsafe code, and how much of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is counted. A comment is none of it.
const FORMS: [&str; 5] = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn amount(source: &str) -> usize {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| FORMS.map(|form| line.matches(form).count())).sum()
}

/// Adds the files of a folder and of those in it.
fn add(folder: &Path, found: &mut BTreeMap<String, usize>) {
    // The forms above stand here as text.
    let own = Path::new(file!()).file_name();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            add(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") && path.file_name() != own {
            let name = path.strip_prefix(root()).expect("inside").to_string_lossy().into_owned();
            found.extend(Some((name, amount(&text(&path)))).filter(|(_, amount)| *amount > 0));
        }
    }
}

/// Those of the members of the workspace, and of the fuzz targets.
fn of_the_sources() -> BTreeMap<String, usize> {
    let manifest: toml::Table = toml::from_str(&text(&root().join("Cargo.toml"))).expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("an array");
    let members = members.iter().map(|member| member.as_str().expect("text"));
    let mut found = BTreeMap::new();
    members.chain(["fuzz"]).for_each(|member| add(&root().join(member).join("src"), &mut found));
    found
}

#[test]
fn every_file_with_unsafe_code_is_on_the_page() {
    let page = text(&root().join("docs/memory-safety.md"));
    let (_, table) = page.split_once("## Files with unsafe code").expect("the section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed = rows.map(|(name, rest)| {
        let amount = rest.split(" | ").next().unwrap_or_default();
        (name.to_string(), amount.parse().unwrap_or_else(|_| panic!("{name}: {amount:?}")))
    });
    assert_eq!(listed.collect::<BTreeMap<String, usize>>(), of_the_sources());
}

#[test]
fn comments_do_not_count() {
    let source = "// unsafe {\n//! let cpu = unsafe { new() };\nlet x = unsafe { y() }; // unsafe {\nunsafe impl A for B {}\n\
        unsafe fn f() { unsafe { g() } }\n\"typeof unsafe unsized\"";
    assert_eq!(amount(source), 4);
}
