//! Saved states: one shape for every device.
//!
//! A device's state is plain data of a type of its own. [`pack`] puts its name and layout version beside its bytes, and
//! [`unpack`] builds the device from them again: restoring is a constructor, so there is no half-restored device.
//!
//! ```
//! use fencepost_devices::gpu::{Gpu, GpuConfig};
//! use fencepost_devices::state::{pack, unpack};
//!
//! let gpu = Gpu::new(GpuConfig::default());
//! let saved = pack(&gpu);
//! assert_eq!((saved.kind.as_str(), saved.version), ("gpu", 10));
//! let again: Gpu = unpack(GpuConfig::default(), &saved).unwrap();
//! assert_eq!(pack(&again), saved);
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a saved state was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The state of something else.
    #[error("Saved state of \"{found}\" where \"{expected}\" is expected")]
    Kind {
        /// What is to be restored.
        expected: &'static str,
        /// What was saved.
        found: String,
    },
    /// Written by another version of the program.
    #[error("Saved state of \"{kind}\" has version {found}; this program reads version {expected}")]
    Version {
        /// What is to be restored.
        kind: &'static str,
        /// The version that this program reads.
        expected: u32,
        /// The version that was saved.
        found: u32,
    },
    /// Bytes that are not of this layout.
    #[error("Saved state of \"{0}\" is damaged")]
    Damaged(&'static str),
    /// A state that the device could not be in.
    #[error("Saved state of \"{kind}\" is impossible: {why}")]
    Impossible {
        /// What is to be restored.
        kind: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What the device had on the host is not what it was.
    #[error(
        "{0} was written since the snapshot was taken; put its file back as it was, or keep it so with writes=snapshot"
    )]
    Changed(String),
}

/// A saved state: what it is of, its layout, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// [`Stateful::KIND`] of what was saved.
    pub kind: String,
    /// [`Stateful::VERSION`] of the code that saved it.
    pub version: u32,
    /// The state in postcard's encoding.
    pub bytes: Vec<u8>,
}

/// Something whose state can be saved, and that can be built from it again.
pub trait Stateful: Sized {
    /// Its name in saved states.
    const KIND: &'static str;
    /// The version of the layout of [`Self::State`]: another number after every change to it.
    const VERSION: u32;
    /// What the host provides again: configuration, and where pictures come from and go to.
    type Parts;
    /// All that it remembers.
    type State: Serialize + DeserializeOwned;

    /// The state now.
    fn save(&self) -> Self::State;

    /// One in `state`. Nothing is raised, called or recorded: timers are asked for again by
    /// [`Function::rearm`](crate::function::Function::rearm). A state that this code could not go on from is refused.
    fn restore(parts: Self::Parts, state: Self::State) -> Result<Self, StateError>;
}

/// The state of `device` as bytes.
pub fn pack<S: Stateful>(device: &S) -> SavedState {
    let bytes =
        postcard::to_stdvec(&device.save()).expect("a state has no map or type that postcard cannot encode");
    SavedState { kind: S::KIND.to_string(), version: S::VERSION, bytes }
}

/// Builds a device from `parts` and a state that [`pack`] made.
pub fn unpack<S: Stateful>(parts: S::Parts, saved: &SavedState) -> Result<S, StateError> {
    S::restore(parts, decode::<S>(saved)?)
}

/// The state that [`pack`] made bytes of, not yet looked at any closer.
pub fn decode<S: Stateful>(saved: &SavedState) -> Result<S::State, StateError> {
    if saved.kind != S::KIND {
        return Err(StateError::Kind { expected: S::KIND, found: saved.kind.clone() });
    }
    if saved.version != S::VERSION {
        return Err(StateError::Version { kind: S::KIND, expected: S::VERSION, found: saved.version });
    }
    let damaged = StateError::Damaged(S::KIND);
    let Ok((state, rest)) = postcard::take_from_bytes(&saved.bytes) else { return Err(damaged) };
    if rest.is_empty() { Ok(state) } else { Err(damaged) }
}

/// Refuses a state of `S` for the reason `why` unless it is `possible`.
///
/// # Errors
///
/// [`StateError::Impossible`].
pub fn require<S: Stateful>(possible: bool, why: &'static str) -> Result<(), StateError> {
    if possible { Ok(()) } else { Err(StateError::Impossible { kind: S::KIND, why }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Gpu, GpuConfig};

    fn restored(change: impl FnOnce(&mut SavedState)) -> Result<Gpu, StateError> {
        let mut saved = pack(&Gpu::new(GpuConfig::default()));
        change(&mut saved);
        unpack(GpuConfig::default(), &saved)
    }

    #[test]
    fn the_state_of_another_kind_or_version_is_refused_by_name() {
        let error = restored(|saved| saved.kind = "camera".into()).unwrap_err();
        assert_eq!(error.to_string(), "Saved state of \"camera\" where \"gpu\" is expected");
        let error = restored(|saved| saved.version = 1).unwrap_err();
        assert_eq!(error.to_string(), "Saved state of \"gpu\" has version 1; this program reads version 10");
    }

    #[test]
    fn cut_and_overlong_states_are_damaged() {
        assert!(restored(|_| {}).is_ok());
        for len in 0..pack(&Gpu::new(GpuConfig::default())).bytes.len() {
            let cut = restored(|saved| saved.bytes.truncate(len));
            assert!(matches!(cut, Err(StateError::Damaged("gpu"))), "{len} bytes: {cut:?}");
        }
        assert!(matches!(restored(|saved| saved.bytes.push(0)), Err(StateError::Damaged("gpu"))));
    }
}
