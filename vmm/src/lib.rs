//! The virtual machine monitor: machine, back ends, command line.

pub mod source;
