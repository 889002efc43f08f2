//! Writes the manual pages of `fencepost` and its commands into a folder: `cargo run --example man_pages -- FOLDER`. `ci/package` does.

use std::path::PathBuf;

use clap::CommandFactory;
use fencepost::cli::Cli;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).expect("which folder?");
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
