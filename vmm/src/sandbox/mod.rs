//! What is left of the process's powers while a guest runs (docs/security.md).
//!
//! When all is set up and before the guest's first instruction [`engage`] takes from every thread what it does not need: calls of
//! the host's kernel by seccomp, a list for each [`Role`]; files by Landlock; capabilities; the network by a namespace. There
//! is no way back: the process is to end after the guest.

mod calls;
mod files;
mod privileges;
mod role;
mod rules;
mod threads;
mod violation;

use std::path::PathBuf;

use crate::error::HostError;

use calls::Kernel;
pub use files::Right;
pub use privileges::prepare;
pub use role::{Heir, Role, start};
use threads::Orders;
pub use violation::STATUS;

/// What a run needs beyond what is open when its guest starts.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    rights: Vec<(PathBuf, Right)>,
    child: Option<u32>,
}

impl Sandbox {
    /// Adds a file or folder that has to be there when the guest starts.
    pub fn allow(&mut self, path: impl Into<PathBuf>, right: Right) {
        self.rights.push((path.into(), right));
    }

    /// The same, with that added.
    #[must_use]
    pub fn allowing(mut self, path: impl Into<PathBuf>, right: Right) -> Self {
        self.allow(path, right);
        self
    }

    /// The process of this number is ended after the guest.
    pub fn may_end(&mut self, child: u32) {
        self.child = Some(child);
    }

    fn has(&self, rights: &[Right]) -> bool {
        self.rights.iter().any(|(_, right)| rights.contains(right))
    }
}

/// Takes from all threads of this process what `wanted` does not need. Gives a line of what this host has no means for, if there is
/// anything.
///
/// # Errors
///
/// A folder that is not there, and a host that refuses what it offers.
pub fn engage(wanted: &Sandbox) -> Result<Option<String>, HostError> {
    role::take_on(Role::Machine);
    let mut lacking = Vec::new();
    let mut note = |lack: Option<String>| lacking.extend(lack);
    note(privileges::limit());
    let (network, lack) = privileges::leave_network();
    note(lack);
    let (ruleset, lack) = files::ruleset(&wanted.rights)?;
    note(lack);
    let kernel = Kernel::new(wanted)?;
    note(kernel.lack());
    if kernel.filters() {
        violation::watch()?;
    }
    let orders = Orders::new(kernel, ruleset, network, privileges::kept(wanted));
    note(threads::confine_all(orders)?);
    Ok((!lacking.is_empty()).then(|| format!("sandbox: this host gives {}", lacking.join(", "))))
}
