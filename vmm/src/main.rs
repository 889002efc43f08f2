//! The `fencepost` command.

use std::process::ExitCode;

use fencepost::allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    fencepost::main_with(&[])
}
