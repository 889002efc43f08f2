//! Landlock: which files can be opened once the guest runs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
};

use crate::error::HostError;

/// What may be done with a file, or with all that is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To be read.
    Read,
    /// The files' thread writes new files there, and names them when they are whole.
    Pictures,
    /// A file there is replaced by a new one.
    Replace,
    /// Files and folders are made, read and removed there.
    Fill,
    /// All that a guest may do in a folder that it shares with the host.
    Change,
    /// A name is removed there: a socket's of this run.
    Remove,
}

/// The newest rights of Landlock that are known here: Linux 6.10 has all of them.
const NEWEST: ABI = ABI::V5;

impl Right {
    fn access(self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::Truncate;
        match self {
            Right::Read => read,
            Right::Pictures => write | AccessFs::RemoveFile,
            Right::Replace => write | AccessFs::ReadFile | AccessFs::RemoveFile,
            Right::Fill => read | write | AccessFs::MakeDir | AccessFs::RemoveFile | AccessFs::RemoveDir,
            Right::Change => Right::Fill.access() | AccessFs::MakeSym | AccessFs::Refer,
            Right::Remove => AccessFs::RemoveFile | AccessFs::RemoveDir,
        }
    }
}

/// Rules that allow `rights` and nothing else of what Landlock knows; none where the host has no Landlock. What the host lacks is
/// told too.
///
/// # Errors
///
/// A path of `rights` that cannot be found.
pub fn ruleset(rights: &[(PathBuf, Right)]) -> Result<(Option<OwnedFd>, Option<String>), HostError> {
    let failed = |error: landlock::RulesetError| HostError::Host(format!("sandbox: Landlock: {error}"));
    let rules = Ruleset::default().handle_access(AccessFs::from_all(NEWEST)).map_err(failed)?;
    let rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(failed)?;
    let mut rules = rules.create().map_err(failed)?;
    for (path, right) in rights {
        let place = place(path)?;
        let access =
            if path.is_dir() { right.access() } else { right.access() & AccessFs::from_file(NEWEST) };
        rules = rules.add_rule(PathBeneath::new(place, access)).map_err(failed)?;
    }
    let rules: Option<OwnedFd> = rules.into();
    Ok((rules, lack(version())))
}

fn place(path: &Path) -> Result<PathFd, HostError> {
    PathFd::new(path).map_err(|error| HostError::Host(format!("sandbox: {error}")))
}

/// The version of the host's Landlock; 0: it has none.
fn version() -> i64 {
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call takes no memory, and gives a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0usize, VERSION) }.max(0)
}

/// What a Landlock of this version does not do.
fn lack(version: i64) -> Option<String> {
    let lack = match version {
        0 => "no Landlock",
        1 => {
            "a Landlock by which guests cannot move files between folders of a share, and truncation is free"
        }
        2 => "a Landlock by which truncation is free",
        _ => return None,
    };
    Some(lack.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_landlock_is_told_of() {
        assert_eq!(lack(0).as_deref(), Some("no Landlock"));
        assert!(lack(1).is_some() && lack(2).is_some() && lack(3).is_none() && lack(9).is_none());
    }

    #[test]
    fn no_right_runs_programs_or_makes_devices_and_sockets() {
        use Right::*;
        let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
        for right in [Read, Pictures, Replace, Fill, Change, Remove] {
            assert!((right.access() & (never | AccessFs::IoctlDev | AccessFs::MakeFifo)).is_empty());
        }
        assert!((Read.access() & AccessFs::from_write(NEWEST)).is_empty());
    }
}
