//! The virtual machine monitor: machine, back ends, command line.
//!
//! Below the command line it is a library: a [`MachineConfig`](config::MachineConfig) describes a machine, a
//! [`Launch`](launch::Launch) what to do with it, [`Hooks`](run::Hooks) connect it with the caller, and [`run`](run::run)
//! runs it to its end. `vmm/examples/plug.rs` plugs a device of its own. [`main_with`] is the whole command, with device models of
//! the caller's beside its own.
//!
//! ```no_run
//! use fencepost::config::{Accel, DeviceConfig, MachineConfig};
//! use fencepost::launch::Launch;
//! use fencepost::run::{Hooks, run};
//!
//! let mut machine = MachineConfig { accel: Accel::Soft, ..MachineConfig::boot("vmlinuz") };
//! machine.devices.push(DeviceConfig::new("gpu", 4).with("latency", 1000));
//! let outcome = run(&Launch::new(machine), Hooks::new(Box::new(std::io::stdout())))?;
//! println!("status {}", outcome.status());
//! # Ok::<(), fencepost::error::HostError>(())
//! ```

#![warn(missing_docs)]
#![deny(clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod accel;
pub mod agent;
mod ahead;
pub mod allocator;
pub mod allowance;
pub mod backend;
pub mod cache;
pub mod cache_contents;
pub mod channel;
mod claims;
pub mod cli;
pub mod command;
pub mod conductor;
pub mod config;
mod confinement;
pub mod console;
pub mod console_log;
pub mod console_size;
pub mod control;
pub mod debug;
pub mod demo;
pub mod descriptors;
pub mod devices;
pub mod disk;
pub mod doctor;
pub mod dump;
mod ends;
pub mod entry;
pub mod error;
mod event;
pub mod exec;
pub mod failures;
pub mod files;
pub mod footprint;
pub mod frames;
pub mod gdb;
mod going_back;
mod guest_reader;
mod hooks;
mod in_use;
pub mod initrd;
pub mod input;
pub mod input_script;
mod inputs;
pub mod kbuild;
pub mod kernel;
pub mod launch;
pub mod lengths;
mod loading;
pub mod machine;
pub mod modules;
pub mod net_at;
pub mod new;
pub mod once;
mod outcome;
pub mod outlet;
mod pages;
pub mod paging;
pub mod panic;
pub mod picture_size;
mod random;
mod ready;
pub mod report;
pub mod root;
pub mod run;
pub mod sandbox;
pub mod say;
pub mod scenario;
pub mod serial_line;
mod share;
pub mod shelf;
pub mod signals;
pub mod snapshot;
pub mod source;
pub mod speed;
pub mod state_log;
pub mod stream;
pub mod suite;
pub mod tail;
pub mod terminal;
mod time_limit;
pub mod trace_cli;
pub mod tracing;
mod unix_socket;
pub mod view;
pub mod wire;

pub use command::main_with;

#[cfg(test)]
mod docs_tests;
