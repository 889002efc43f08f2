//! The virtual machine monitor: machine, back ends, command line.

#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod accel;
pub mod backend;
pub mod cache;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod demo;
pub mod descriptors;
pub mod devices;
pub mod doctor;
pub mod dump;
pub mod entry;
pub mod error;
pub mod files;
pub mod footprint;
pub mod frames;
pub mod initrd;
pub mod kernel;
pub mod launch;
pub mod lengths;
pub mod machine;
pub mod modules;
pub mod outlet;
mod ready;
pub mod report;
pub mod run;
pub mod say;
pub mod signals;
pub mod snapshot;
pub mod source;
pub mod terminal;
pub mod trace_cli;
pub mod tracing;

#[cfg(test)]
mod docs_tests;
