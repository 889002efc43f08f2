//! The devices' pages in docs/: their counters are those of the devices, and every test that they name exists.

use std::path::{Path, PathBuf};

use fencepost_devices::iommu::Iommu;
use fencepost_devices::parameters::Parameters;
use fencepost_devices::registry::{MODELS, NoHost};
use fencepost_devices::testing::page::{Table, page};

/// The names in the page's table of counters.
fn stated(kind: &str) -> Vec<String> {
    let text = page(&format!("{kind}.md"));
    Table::after(&text, "## Counters").rows().map(|row| row.cell("counter")).collect()
}

#[test]
fn the_counters_are_those_of_the_page() {
    for model in MODELS {
        let device = model.build(&Parameters::new(), &mut NoHost).expect("the defaults are right");
        let counted: Vec<_> = device.counters().iter().map(|counter| counter.name).collect();
        assert_eq!(stated(model.kind), counted, "{}", model.kind);
    }
    let counted: Vec<_> = Iommu::new().counters().iter().map(|counter| counter.name).collect();
    assert_eq!(stated("iommu"), counted);
    assert_eq!(stated("pci"), ["narrow-writes", "faults"]);
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all tests of this crate and of `vmm`.
fn tests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    for folder in ["devices/src", "devices/tests", "vmm/src", "vmm/tests"] {
        sources(&root.join(folder), &mut paths);
    }
    let mut names = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("text");
        let behind = text.split("#[test]\n").skip(1).filter_map(|rest| rest.split_once("fn "));
        names.extend(behind.filter_map(|(_, rest)| Some(rest.split_once('(')?.0.to_string())));
    }
    names
}

#[test]
fn every_threat_names_a_test_that_exists() {
    let tests = tests();
    let kinds = MODELS.iter().map(|model| model.kind).chain(["iommu", "pci"]);
    for kind in kinds {
        let table = Table::after(&page(&format!("{kind}.md")), "## Who may send what");
        for row in table.rows() {
            for name in row.cell("test").split(", ") {
                assert!(tests.iter().any(|test| test == name), "{kind}.md: there is no test {name}");
            }
        }
        assert!(table.rows().count() >= 8, "{kind}.md");
    }
}
