//! The lists as programs for the host's kernel (seccomp), and the names of calls.

use std::io;

use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use super::role::ALL;
use super::rules::{self, Rules};
use super::{Role, Sandbox};
use crate::error::HostError;

/// The filters of one role: all count, and what refuses most decides.
type Filters = Vec<BpfProgram>;

/// Programs for every role.
pub struct Kernel {
    filters: Vec<Filters>,
}

impl Kernel {
    /// Those of a run that needs what is `wanted`; none where the host has no seccomp.
    pub fn new(wanted: &Sandbox) -> Result<Self, HostError> {
        if !is_there() {
            return Ok(Kernel { filters: Vec::new() });
        }
        let made = ALL.iter().map(|role| filters(*role, wanted)).collect::<Result<_, _>>();
        let filters = made.map_err(|error| HostError::Host(format!("sandbox: seccomp: {error}")))?;
        Ok(Kernel { filters })
    }

    /// Whether there are filters.
    pub fn filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// What the host has not.
    pub fn lack(&self) -> Option<String> {
        (!self.filters()).then(|| "no seccomp".to_string())
    }

    /// Has the calling thread filtered as one of this `role`. It may be called in a signal's handler: it takes no memory.
    pub fn filter(&self, role: Role) -> io::Result<()> {
        let filters = self.filters.get(role as usize).map(Vec::as_slice).unwrap_or_default();
        filters.iter().try_for_each(|filter| apply_filter(filter).map_err(|_| io::Error::last_os_error()))
    }
}

/// Whether the host has the filters that are used here.
fn is_there() -> bool {
    let trap = libc::SECCOMP_RET_TRAP;
    // SAFETY: the call reads the number that it is given the address of.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const trap) == 0 }
}

fn filters(role: Role, wanted: &Sandbox) -> Result<Filters, BackendError> {
    let rules = rules::of(role, wanted, std::process::id())?;
    let refused = rules::refused(&rules);
    let newer = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let denied = SeccompAction::Errno(libc::EACCES as u32);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let mut filters = vec![program(newer, SeccompAction::Allow, unknown)?];
    let mut rules = rules;
    if !refused.is_empty() {
        // What is refused is no violation.
        rules.extend(refused.clone());
        filters.push(program(refused, SeccompAction::Allow, denied)?);
    }
    filters.push(program(rules, SeccompAction::Trap, SeccompAction::Allow)?);
    // One filter allows no further ones: the widest comes last.
    Ok(filters)
}

fn program(rules: Rules, others: SeccompAction, these: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, others, these, TargetArch::x86_64)?.try_into()
}

macro_rules! names {
    ($($call:ident)*) => { &[$((libc::$call, stringify!($call))),*] };
}

/// Calls that a program which is up to something makes, and those that a change of this program may come to make.
const NAMES: &[(i64, &str)] = names! {
    SYS_accept SYS_accept4 SYS_access SYS_acct SYS_add_key SYS_bind SYS_bpf SYS_capset SYS_chdir SYS_chmod SYS_chown SYS_chroot
    SYS_clone SYS_connect SYS_copy_file_range SYS_creat SYS_delete_module SYS_dup2 SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl
    SYS_epoll_pwait SYS_epoll_wait SYS_eventfd2 SYS_execve SYS_execveat SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchown
    SYS_fchownat SYS_fcntl SYS_finit_module SYS_fork SYS_fsetxattr SYS_getdents64 SYS_getrlimit SYS_getrusage SYS_init_module
    SYS_inotify_init1 SYS_io_uring_enter SYS_io_uring_setup SYS_ioctl SYS_ioperm SYS_iopl SYS_kexec_load SYS_keyctl SYS_kill
    SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_link SYS_linkat SYS_listen SYS_memfd_create SYS_mkdir
    SYS_mkdirat SYS_mknod SYS_mknodat SYS_mlock SYS_mmap SYS_mount SYS_move_mount SYS_mprotect SYS_msync SYS_name_to_handle_at
    SYS_open_by_handle_at SYS_open_tree SYS_perf_event_open SYS_personality SYS_pidfd_getfd SYS_pidfd_open
    SYS_pidfd_send_signal SYS_pipe SYS_pipe2 SYS_pivot_root SYS_pkey_mprotect SYS_prctl SYS_prlimit64 SYS_process_madvise
    SYS_process_vm_readv SYS_process_vm_writev SYS_ptrace SYS_quotactl SYS_reboot SYS_recvmsg SYS_rename SYS_renameat
    SYS_renameat2 SYS_rmdir SYS_rt_sigaction SYS_rt_sigqueueinfo SYS_rt_sigtimedwait SYS_sched_setaffinity
    SYS_sched_setscheduler SYS_seccomp SYS_select SYS_sendfile SYS_sendmsg SYS_setgid SYS_setns SYS_setpgid SYS_setpriority
    SYS_setresgid SYS_setresuid SYS_setrlimit SYS_setsid SYS_setuid SYS_setxattr SYS_shmat SYS_shmget SYS_signalfd4 SYS_socket
    SYS_socketpair SYS_splice SYS_swapon SYS_symlink SYS_symlinkat SYS_sync SYS_syslog SYS_tgkill SYS_timer_create
    SYS_timerfd_create SYS_timerfd_settime SYS_tkill SYS_truncate SYS_umask SYS_umount2 SYS_unlink SYS_unlinkat SYS_unshare
    SYS_userfaultfd SYS_utimensat SYS_vfork SYS_vmsplice SYS_wait4 SYS_waitid
};

/// A call's name, if it is one of the better known.
pub fn name(call: i64) -> &'static str {
    let known =
        NAMES.iter().find(|(number, _)| *number == call).and_then(|(_, name)| name.strip_prefix("SYS_"));
    known.unwrap_or("number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_names() {
        assert_eq!([41, 59, 101, 0xffff].map(name), ["socket", "execve", "ptrace", "number"]);
    }
}
