//! The virtual machine monitor: machine, back ends, command line.

pub mod accel;
pub mod backend;
pub mod cli;
pub mod console;
pub mod control;
pub mod error;
pub mod frames;
pub mod machine;
pub mod options;
pub mod signals;
pub mod source;
