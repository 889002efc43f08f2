//! A scenario's file.
#![no_main]

use std::path::Path;

use fencepost::scenario::Found;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Found::of(Path::new("/nonexistent/fuzz.toml"), text) {
        Ok(found) => {
            for (_, variant) in found.variants() {
                variant.scenario.steps.iter().for_each(|step| _ = found.line(step));
                let _ = variant.scenario.kernel.names();
            }
        }
        Err(why) => assert!(!why.to_string().contains('\n'), "{why}"),
    }
});
