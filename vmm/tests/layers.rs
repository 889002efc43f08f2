//! The library stands below its command line: nothing under it names the command line, its commands or clap.

use std::path::{Path, PathBuf};

/// The command line and its commands, which may use everything.
const ABOVE: [&str; 5] = ["cli", "demo", "trace_cli", "docs_tests", "main"];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.for_each(|entry| sources(&entry.expect("an entry").path(), found));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_path_buf());
    }
}

/// The module of the crate that a file belongs to.
fn module(path: &Path, root: &Path) -> String {
    let first = path.strip_prefix(root).expect("inside").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

#[test]
fn nothing_below_the_command_line_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut below) = (Vec::new(), 0);
    sources(&root, &mut files);
    for path in files {
        let module = module(&path, &root);
        if ABOVE.contains(&module.as_str()) || module == "lib" {
            continue;
        }
        below += 1;
        let text = std::fs::read_to_string(&path).expect("text");
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let above = ABOVE.iter().map(|name| format!("crate::{name}"));
        for name in above.chain(["clap::", "use clap"].map(str::to_string)) {
            assert!(!code.contains(&name), "{} uses {name}", path.display());
        }
    }
    assert!(below > 50, "{below} files are below: the list is wrong");
}
