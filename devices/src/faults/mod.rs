//! Faults on request: what goes wrong in a machine's hardware because somebody asked for it (docs/faults.md).
//!
//! A [`FaultSpec`] says where, what and when, as plain data with one text form. The bus keeps a [`FaultSet`] for each function: the
//! faults that it was told of, and how many occasions each has seen. Bus and devices ask it at each occasion whether a fault takes
//! place ([`crate::ports::Ports::fault`]); without faults that is one comparison. All of it is state of the machine: the same
//! faults, guest and seed give the same run.
//!
//! ```
//! use fencepost_devices::faults::FaultSpec;
//!
//! let spec: FaultSpec = "gpu:hang,after=3".parse().unwrap();
//! assert_eq!(spec.to_string(), "gpu:hang,after=3");
//! let wrong = "gpu:hnag".parse::<FaultSpec>().unwrap_err();
//! assert!(wrong.ends_with("did you mean hang?"), "{wrong}");
//! ```

mod kinds;
mod set;
mod spec;
#[cfg(test)]
mod tests;

pub use fencepost_trace::FaultKind;
pub use kinds::{COMMON, KINDS, Kind, On};
pub use set::{FaultSet, Struck};
pub(crate) use spec::means_other_than_a_model;
pub use spec::{FaultSpec, IOMMU, Told};
pub(crate) use spec::{target_of, told_of};
