//! Builds the trace agent, a static program that `fencepost test` brings into its guests.

use std::path::Path;
use std::{env, fs};

const SOURCE: &str = "src/root/trace_agent.c";

fn main() {
    for file in [SOURCE, "src/root/trace_port.h"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let to = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("trace_agent");
    let compiler = cc::Build::new().debug(false).opt_level_str("s").get_compiler();
    let built = compiler.to_command().args(["-static", "-s", "-o"]).arg(&to).arg(SOURCE).status();
    if !built.is_ok_and(|status| status.success()) {
        // What needs it says so when it is asked for: all else does not.
        println!(
            "cargo:warning=there is no static libc here, so guests of `fencepost test` cannot be traced"
        );
        fs::write(&to, []).expect("the build's folder can be written");
    }
}
