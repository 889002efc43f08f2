//! A device is its folder, its page, its tests and one line: nothing else of the program knows this one.

use std::path::{Path, PathBuf};

/// Sources of the program, from the repository's root.
const SOURCES: [&str; 5] = ["devices/src", "vmm/src", "trace/src", "firmware/src", "softcpu/src"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn one_line_outside_its_folder_names_the_device() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    SOURCES.iter().for_each(|folder| rust_files(&root.join(folder), &mut files));
    assert!(files.len() > 200, "{} files", files.len());
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.starts_with(root.join("devices/src/edu"))) {
        let text = std::fs::read_to_string(file).unwrap();
        // Examples in comments may use it.
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
            if words.any(|word| word.eq_ignore_ascii_case("edu")) {
                found.push((file.strip_prefix(root).unwrap().to_path_buf(), line.trim().to_string()));
            }
        }
    }
    assert_eq!(found, [(PathBuf::from("devices/src/lib.rs"), "edu: Edu,".to_string())]);
}
