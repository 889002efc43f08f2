//! The page as text; `ci/outputs-test` opens it in a browser.

use super::*;
use crate::journey::HandoffKind;
use crate::journey::synthetic::Machine;
use crate::timeline::tests::{HOSTILE, trace};

fn page(trace: &TraceFile, cap: usize) -> String {
    let mut bytes = Vec::new();
    write_capped(trace, &Journeys::build(trace), cap, &mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("text")
}

fn data(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}

#[test]
fn nothing_of_the_guests_is_markup_and_nothing_comes_from_elsewhere() {
    let page = page(&trace(5, true), MAX_ITEMS);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img") && !page.contains(HOSTILE));
    for word in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.replace("img src=x", "").contains(word), "{word}");
    }
    let data = data(&page);
    let strings = data["strings"].as_array().expect("strings");
    assert!(strings.iter().any(|text| text.as_str().is_some_and(|t| t.starts_with("</script><img"))));
    assert!(!page.contains("@DATA@") && !page.contains("@SCRIPT@"));
}

#[test]
fn the_table_has_what_the_journeys_have() {
    let trace = trace(25, true);
    let journeys = Journeys::build(&trace);
    let page = page(&trace, MAX_ITEMS);
    let kinds: std::collections::BTreeSet<HandoffKind> =
        journeys.handoffs.iter().map(|one| one.kind).collect();
    assert_eq!(kinds.len(), 7);
    for kind in kinds {
        let mut took: Vec<u64> =
            journeys.handoffs.iter().filter(|one| one.kind == kind).map(|one| one.took.cycles).collect();
        took.sort();
        let row = page.split_once(&format!("<tr data-kind=\"{}\">", kind.key(&trace.header)));
        let (_, row) = row.expect("its row");
        let row = row.split_once("</tr>").expect("its end").0;
        for value in [took[took.len().div_ceil(2) - 1], took[took.len() - 1]] {
            assert!(row.contains(&format!(">{}<", crate::outputs::thousands(value))), "{kind:?} {value}");
        }
    }
    assert_eq!(page.matches("<tr data-kind=").count(), 7);
}

#[test]
fn who_waited_for_whose_fences_is_a_table_of_text() {
    let fence = (HOSTILE, "ring", 5, 1);
    let mut machine = Machine::new(true);
    machine.fence(100, "dma_fence_wait_start", 100, fence);
    machine.fence(1_334, "dma_fence_wait_end", 100, fence);
    let mut trace = machine.trace();
    assert!(page(&trace, MAX_ITEMS).contains("<th scope=\"row\">thread 100</th>"));
    trace.tasks.insert(100, HOSTILE.into());
    let page = page(&trace, MAX_ITEMS);
    let (_, table) = page.split_once("id=\"waits\"").expect("a table");
    let table = table.split_once("</table>").expect("its end").0;
    assert!(table.contains(&crate::outputs::thousands(1_234)), "{table}");
    assert!(!table.contains("<img") && table.contains("&lt;img"), "{table}");
    assert!(!table.contains("<caption>"), "{table}");
}

#[test]
fn a_long_table_of_waits_says_what_it_leaves_out() {
    let mut machine = Machine::new(true);
    for thread in 0..103u32 {
        let at = 100 * u64::from(thread);
        machine.fence(at, "dma_fence_wait_start", thread, ("gpu", "ring", 5, 1));
        machine.fence(at + 50, "dma_fence_wait_end", thread, ("gpu", "ring", 5, 1));
    }
    let page = page(&machine.trace(), MAX_ITEMS);
    let (_, table) = page.split_once("id=\"waits\"").expect("a table");
    let table = table.split_once("</table>").expect("its end").0;
    assert_eq!(table.matches("<th scope=\"row\">").count(), 100);
    assert!(table.contains("3 more are in the report's JSON"), "{table}");
}

#[test]
fn a_long_trace_is_cut_and_says_so() {
    let trace = trace(300, true);
    let whole = page(&trace, MAX_ITEMS);
    assert!(!whole.contains("id=\"cut\""));
    let cut = page(&trace, 2000);
    assert!(cut.contains("id=\"cut\"") && cut.contains(" of 300 frames"));
    let data = data(&cut);
    let items = |lane: &serde_json::Value| {
        let rows = lane["rows"].as_array().expect("rows").iter();
        rows.map(|row| row.as_array().map_or(0, Vec::len)).sum::<usize>()
            + lane["marks"].as_array().map_or(0, Vec::len)
    };
    let all: usize = data["lanes"].as_array().expect("lanes").iter().map(items).sum();
    assert!((1990..=2010).contains(&all), "{all}");
    assert!(cut.len() < whole.len() / 2);
}

#[test]
fn the_same_trace_gives_the_same_page() {
    assert_eq!(page(&trace(9, true), MAX_ITEMS), page(&trace(9, true), MAX_ITEMS));
}
