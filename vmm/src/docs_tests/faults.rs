//! docs/faults.md and docs/scenarios.md against the tables in the code, and the example scenarios against both.

use std::path::Path;

use fencepost_devices::changes::keys_of;
use fencepost_devices::faults::KINDS;
use fencepost_devices::testing::page::page;

use crate::scenario::{Action, Found, find};

/// The steps of the example scenarios' that are host's actions, in words, and which files have a variant that fails.
fn examples() -> (Vec<String>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-tests/scenarios/faults");
    let (mut faults, mut variants) = (Vec::new(), 0);
    for path in find(&[folder]).expect("scenarios") {
        let text = std::fs::read_to_string(&path).expect("a scenario");
        // Its programs need not be built here.
        let text = text.replace("share = {", "# share = {");
        let found = Found::of(&path, &text).expect("a scenario that can be read");
        for step in &found.scenario.steps {
            if let Ok(Action::Fault(spec)) = step.get_ref().action() {
                faults.push(spec.to_string());
            }
        }
        variants += found.scenario.variants.iter().filter(|variant| variant.fails.is_some()).count();
    }
    (faults, variants)
}

#[test]
fn every_kind_of_fault_has_an_example() {
    let (faults, variants) = examples();
    for kind in KINDS {
        let named = |spec: &&String| spec.split([':', ',']).nth(1) == Some(kind.name);
        assert!(faults.iter().any(|spec| named(&spec)), "no scenario has {}", kind.name);
    }
    assert!(variants >= 18, "{variants} variants fail");
}

#[test]
fn the_page_of_scenarios_lists_what_changes() {
    let text = page("scenarios.md");
    for model in fencepost_devices::MODELS {
        let row = text.lines().find(|line| line.starts_with(&format!("| {} | `", model.kind)));
        let keys = keys_of(model.kind);
        assert_eq!(row.is_some(), !keys.is_empty(), "{}", model.kind);
        for key in keys {
            assert!(row.is_some_and(|row| row.contains(&format!("`{key}`"))), "{}: {key}", model.kind);
        }
    }
}
