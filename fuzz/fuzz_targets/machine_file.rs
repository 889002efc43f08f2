//! A machine's file.
#![no_main]

use fencepost::config::{files_from, parse, print};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(mut machine) => {
            // Names are absolute in what is printed.
            files_from(&mut machine, std::path::Path::new("/"));
            let printed = print(&machine).expect("its names are UTF-8");
            let again = parse(&printed).unwrap_or_else(|why| panic!("{why:?} in\n{printed}"));
            assert_eq!(print(&again).expect("as before"), printed);
            let _ = machine.check();
        }
        Err(why) => assert!(!why.why.contains('\n'), "{why:?}"),
    }
});
