//! CONTRIBUTING.md: ports and contracts have no default methods. Who implements one says everything; a default that is
//! forgotten breaks something far away.

use std::path::{Path, PathBuf};

/// Folders and files whose traits are ports and contracts, from the repository's root.
const PLACES: [&str; 4] = ["devices/src", "trace/src", "softcpu/src/bus.rs", "vmm/src"];

fn sources(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        std::fs::read_dir(path)
            .expect("a folder")
            .for_each(|entry| sources(&entry.expect("an entry").path(), found));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_path_buf());
    }
}

/// The methods with a body in the traits of a file that rustfmt has formatted, and how many traits it has.
fn defaults(text: &str) -> (Vec<String>, usize) {
    let (mut inside, mut found, mut traits) = (None, Vec::new(), 0);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start().trim_start_matches("pub").trim_start_matches("(crate)");
        match inside {
            None if words.trim_start().starts_with("trait ") && line.ends_with('{') => {
                (inside, traits) = (Some(indent), traits + 1);
            }
            Some(start) if indent == start && line.trim() == "}" => inside = None,
            Some(start) if indent == start + 4 && line.ends_with(['{', '}']) && line.trim() != "}" => {
                found.push(line.trim().to_string());
            }
            _ => {}
        }
    }
    (found, traits)
}

#[test]
fn ports_and_contracts_have_no_default_methods() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let (mut files, mut traits) = (Vec::new(), 0);
    PLACES.iter().for_each(|place| sources(&root.join(place), &mut files));
    // A virtio device without configuration, features of its own or input from the host says nothing of them.
    files.retain(|file| !file.ends_with("devices/src/virtio/device.rs"));
    for file in files {
        let (found, count) = defaults(&std::fs::read_to_string(&file).expect("a source file"));
        assert!(found.is_empty(), "{}: {found:?}", file.display());
        traits += count;
    }
    assert!(traits >= 15, "{traits} traits were looked at");
}

#[test]
fn a_default_method_is_found_in_every_form() {
    let text = "pub trait A {\n    fn a(&self);\n    fn b(&self) {}\n    fn c(\n        &self,\n    ) -> u8 {\n        \
                1\n    }\n}\nimpl A for B {\n    fn a(&self) {}\n}\n";
    assert_eq!(defaults(text), (vec!["fn b(&self) {}".to_string(), ") -> u8 {".to_string()], 1));
}
