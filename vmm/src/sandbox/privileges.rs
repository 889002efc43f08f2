//! What the process has by its user: capabilities, the network, limits of the host's resources.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::error::plain;

use super::{Right, Sandbox};

/// Descriptors that a run needs at most: a share has some 800, the live view's connections some 50.
const DESCRIPTORS_MAX: u64 = 4096;

/// Capabilities by which root reaches files of others (capability.h).
const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
/// And by which it changes their attributes.
const FOWNER: u64 = 1 << 3;
const FSETID: u64 = 1 << 4;
/// And by which it ends a process of another user.
const KILL: u64 = 1 << 5;

/// The capabilities that stay, if the process has them: a root whose guest writes files goes on to reach them. Where they are is
/// Landlock's affair. A root who has started a process that has become another user ends that, and by seccomp's list no other.
pub fn kept(wanted: &Sandbox) -> u64 {
    let mut kept = 0;
    if wanted.has(&[Right::Read, Right::Pictures, Right::Replace, Right::Fill, Right::Change, Right::Remove])
    {
        kept |= DAC_OVERRIDE | DAC_READ_SEARCH;
    }
    if wanted.has(&[Right::Change, Right::Remove]) {
        kept |= FOWNER | FSETID;
    }
    if wanted.child.is_some() {
        kept |= KILL;
    }
    kept
}

/// Lowers the limits that no run needs: no image of the process is written when it crashes (the guest's memory is in it), and its
/// descriptors are bounded.
pub fn limit() -> Option<String> {
    let limits = [
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (libc::RLIMIT_MSGQUEUE, 0),
        (libc::RLIMIT_NICE, 0),
        (libc::RLIMIT_RTPRIO, 0),
    ];
    let lowered = limits.into_iter().all(|(which, most)| lower(which, most).is_ok());
    (!lowered).then(|| "limits that cannot be lowered".to_string())
}

fn lower(which: libc::__rlimit_resource_t, most: u64) -> std::io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let done = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: the call fills the structure.
    done(unsafe { libc::getrlimit(which, &raw mut limit) })?;
    limit = libc::rlimit { rlim_cur: limit.rlim_cur.min(most), rlim_max: limit.rlim_max.min(most) };
    // SAFETY: the call reads the structure.
    done(unsafe { libc::setrlimit(which, &raw const limit) })
}

/// To be called before the first thread is started, for the namespaces of [`engage`](super::engage): an ordinary user may make some in a
/// user namespace only, which a process with threads cannot enter. Where that is not permitted nothing happens.
pub fn prepare() {
    // SAFETY: these calls have no arguments.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: no memory is involved.
    if user == 0 || unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return;
    }
    // Everybody keeps the number that he has. Without these files he has none, which changes nothing of what he may.
    let maps = [
        ("setgroups", "deny".to_string()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ];
    for (name, text) in maps {
        let _ = std::fs::write(format!("/proc/self/{name}"), text);
    }
}

/// Takes the calling thread into a network of its own that has no way out. Gives what other threads follow it by; or why it is
/// not so. Sockets that are open stay where they are.
pub fn leave_network() -> (Option<OwnedFd>, Option<String>) {
    // SAFETY: no memory is involved, and nothing in this thread holds on to the network or System V IPC that it leaves.
    let left = match unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWIPC) } {
        0 => File::open("/proc/thread-self/ns/net"),
        _ => Err(std::io::Error::last_os_error()),
    };
    match left {
        Ok(network) => (Some(network.into()), None),
        Err(error) => (None, Some(format!("no network namespace ({})", plain(&error)))),
    }
}
