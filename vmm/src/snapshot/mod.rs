//! A machine as a file, and a machine from it again.

pub mod file;
mod whole;
