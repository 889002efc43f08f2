//! Device models as pure state machines.
//!
//! A device owns registers, queues and timing, and nothing else: no lock, thread, file or clock of its own.
//! All that it may do to the world goes through the four [`ports`]. The machine owns buses and threads.

#![deny(clippy::unwrap_used, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::arithmetic_side_effects))]
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

/// The device models: each line is a folder of this crate and the type in it that is the model.
///
/// rustfmt does not look into a macro for modules: `ci/format` names these folders to it.
macro_rules! models {
    ($($(#[$doc:meta])* $name:ident: $model:ident,)*) => {
        $($(#[$doc])* pub mod $name;)*

        /// The models, in the order in which they are plugged.
        pub static MODELS: &[registry::Entry] = &[$(registry::Entry::of::<$name::$model>(),)*];
    };
}

models! {
    gpu: Gpu,
    camera: Camera,
    display: Display,
}

pub mod crc;
pub mod function;
pub mod iommu;
pub mod parameters;
pub mod pci;
pub mod pixel;
pub mod ports;
pub mod registers;
pub mod registry;
pub mod sg;
pub mod state;
pub mod testing;
