//! Which calls of the host's kernel each thread may make.
//!
//! All threads use what is open; what opens, makes or names something is on the lists of those whose work that is. The
//! conditions on numbers are those that a filter can look at: registers, never memory.

use std::collections::BTreeMap;

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq, Ne};
use seccompiler::{BackendError, SeccompCondition, SeccompRule};

use super::{Right, Role, Sandbox};

/// Calls, and for each the conditions of which one has to hold; with none it is free.
pub type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What works on descriptors that are there, on the thread's own memory, time and signals, and the flags by which threads tell each other.
const EVERY: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_flock,
    libc::SYS_dup,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getpgrp,
    libc::SYS_getpgid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
];

/// Opening a file, and what a path is. Where a thread has no business with files these fail as if it were not permitted: the
/// standard library and the C library ask for files of their own where that is no more than a loss (a backtrace).
pub const OPENING: &[i64] = &[
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
];
/// What the software CPU asks for where it may have memory for code of the host's, and does without where not. It has had its own before
/// the sandbox; one that is made anew runs on as an interpreter.
const CODE: &[i64] = &[libc::SYS_memfd_create];

/// Giving a file a name, and taking it away.
const NAMING: &[i64] = &[
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
];
const REMOVING: &[i64] = &[libc::SYS_unlink, libc::SYS_unlinkat, libc::SYS_rmdir];
/// What a guest does in a folder that it may change.
const CHANGING: &[i64] =
    &[libc::SYS_symlinkat, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2, libc::SYS_utimensat];
/// The event loop around KVM's CPUs.
const EVENTS: &[i64] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_pipe2,
];

/// Requests to a terminal, none of which types anything in it (as TIOCSTI would).
const TERMINAL: &[u64] = &[
    libc::TCGETS,
    libc::TCSETS,
    libc::TCSETSW,
    libc::TCSETSF,
    libc::TCGETS2,
    libc::TCSETS2,
    libc::TCSETSW2,
    libc::TCSETSF2,
    libc::TIOCGPGRP,
    libc::TIOCGWINSZ,
    libc::FIONBIO,
];
/// KVM's requests have this in their second byte (linux/kvm.h).
const KVMIO: u64 = 0xae00;

/// Calls with conditions on their arguments.
struct List(Rules);

impl List {
    fn free(&mut self, calls: &[i64]) {
        calls.iter().for_each(|call| drop(self.0.insert(*call, Vec::new())));
    }

    /// Allows `call` if all of `conditions` hold: number of the argument, comparison, value.
    fn when(&mut self, call: i64, conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<(), BackendError> {
        let one = |(number, how, value): &(u8, SeccompCmpOp, u64)| {
            let wide = call == libc::SYS_prlimit64;
            SeccompCondition::new(*number, if wide { Qword } else { Dword }, how.clone(), *value)
        };
        let conditions = conditions.iter().map(one).collect::<Result<_, _>>()?;
        self.0.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    }

    /// What every thread may: itself, and what is open.
    fn every(pid: u64) -> Result<Self, BackendError> {
        let mut list = List(Rules::new());
        list.free(EVERY);
        // No more memory is to be executed.
        let exec = MaskedEq(libc::PROT_EXEC as u64);
        list.when(libc::SYS_mmap, &[(2, exec.clone(), 0)])?;
        list.when(libc::SYS_mprotect, &[(2, exec, 0)])?;
        // Signals to this process alone, and none in the place of that which ends it.
        list.when(libc::SYS_tgkill, &[(0, Eq, pid)])?;
        list.when(libc::SYS_rt_sigaction, &[(0, Ne, libc::SIGSYS as u64)])?;
        for request in TERMINAL {
            list.when(libc::SYS_ioctl, &[(1, Eq, *request)])?;
        }
        for what in [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_NO_NEW_PRIVS, libc::PR_SET_VMA] {
            list.when(libc::SYS_prctl, &[(0, Eq, what as u64)])?;
        }
        let commands = [
            libc::F_GETFL,
            libc::F_SETFL,
            libc::F_GETFD,
            libc::F_SETFD,
            libc::F_DUPFD,
            libc::F_DUPFD_CLOEXEC,
        ];
        for what in commands {
            list.when(libc::SYS_fcntl, &[(1, Eq, what as u64)])?;
        }
        // Limits are read, not set.
        list.when(libc::SYS_prlimit64, &[(2, Eq, 0)])?;
        Ok(list)
    }

    /// Starting threads, never a process. The newer call has its flags in memory, where a filter cannot look: it fails as if it
    /// were not there, and the C library takes the older one.
    fn threads(&mut self) -> Result<(), BackendError> {
        let thread = libc::CLONE_THREAD as u64;
        self.free(&[libc::SYS_clone3]);
        self.when(libc::SYS_clone, &[(0, MaskedEq(thread), thread)])
    }

    fn files(&mut self, wanted: &Sandbox) {
        use Right::{Change, Fill, Read, Remove, Replace};
        if wanted.has(&[Read, Replace, Fill, Change]) {
            self.free(OPENING);
        }
        if wanted.has(&[Replace, Fill, Change]) {
            self.free(NAMING);
        }
        if wanted.has(&[Replace, Fill, Change, Remove]) {
            self.free(REMOVING);
        }
        if wanted.has(&[Change]) {
            self.free(CHANGING);
        }
    }

    fn machine(&mut self, wanted: &Sandbox) -> Result<(), BackendError> {
        self.files(wanted);
        self.free(EVENTS);
        self.when(libc::SYS_ioctl, &[(1, MaskedEq(0xff00), KVMIO)])
    }
}

/// What a thread of this `role` may in the process `pid`.
pub fn of(role: Role, wanted: &Sandbox, pid: u32) -> Result<Rules, BackendError> {
    let pid = u64::from(pid);
    let mut list = List::every(pid)?;
    match role {
        Role::Other | Role::Input | Role::Output => {}
        Role::Vcpu => list.machine(wanted)?,
        Role::Machine => {
            list.machine(wanted)?;
            list.threads()?;
            // Threads that start later are given lists of their own.
            list.when(libc::SYS_seccomp, &[(0, Eq, libc::SECCOMP_SET_MODE_FILTER.into())])?;
            if let Some(child) = wanted.child {
                list.when(libc::SYS_kill, &[(0, Eq, child.into())])?;
                list.when(libc::SYS_wait4, &[(0, Eq, child.into())])?;
            }
        }
        Role::Signals => list.when(libc::SYS_kill, &[(0, Eq, pid)])?,
        Role::Files => {
            if wanted.has(&[Right::Pictures]) {
                list.free(&[libc::SYS_open, libc::SYS_openat]);
                // They get their names when they are whole.
                list.free(&[libc::SYS_rename, libc::SYS_unlink]);
            }
        }
        Role::Server => {
            list.threads()?;
            list.free(&[libc::SYS_accept4, libc::SYS_accept]);
            if wanted.has(&[Right::Remove]) {
                list.free(REMOVING);
            }
        }
    }
    Ok(list.0)
}

/// What of [`OPENING`] and [`CODE`] fails quietly, as these rules do not allow it.
pub fn refused(rules: &Rules) -> Rules {
    let quiet = OPENING.iter().chain(CODE).filter(|call| !rules.contains_key(call));
    quiet.map(|call| (*call, Vec::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::role;
    use super::*;

    /// What no thread may, whatever the run needs.
    const NEVER: [i64; 19] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_ptrace,
        libc::SYS_process_vm_writev,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_mount,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_setuid,
        libc::SYS_unshare,
        libc::SYS_kexec_load,
        libc::SYS_open_by_handle_at,
    ];

    fn all() -> Sandbox {
        use Right::*;
        [Read, Pictures, Replace, Fill, Change, Remove]
            .into_iter()
            .fold(Sandbox::default(), |sandbox, right| sandbox.allowing("/", right))
    }

    #[test]
    fn no_list_has_what_none_may_have() {
        for role in role::ALL {
            let rules = of(role, &all(), 7).unwrap();
            assert!(NEVER.iter().all(|call| !rules.contains_key(call)), "{role:?}");
            for call in [libc::SYS_ioctl, libc::SYS_mmap, libc::SYS_tgkill, libc::SYS_rt_sigaction] {
                assert!(!rules[&call].is_empty(), "{role:?}: {call} is free");
            }
        }
    }

    #[test]
    fn a_run_that_needs_no_file_has_no_thread_that_opens_one() {
        for role in role::ALL {
            let rules = of(role, &Sandbox::default(), 7).unwrap();
            assert!(OPENING.iter().all(|call| !rules.contains_key(call)), "{role:?}");
            assert_eq!(refused(&rules).len(), OPENING.len() + CODE.len());
            assert!(REMOVING.iter().chain(NAMING).all(|call| !rules.contains_key(call)), "{role:?}");
        }
        let pictures = Sandbox::default().allowing("/", Right::Pictures);
        let opens = |role| of(role, &pictures, 7).unwrap().contains_key(&libc::SYS_openat);
        assert!(opens(Role::Files) && !opens(Role::Machine) && !opens(Role::Vcpu) && !opens(Role::Output));
    }

    #[test]
    fn a_cpu_may_no_more_than_the_machine() {
        let [machine, cpu] = [Role::Machine, Role::Vcpu].map(|role| of(role, &all(), 7).unwrap());
        assert!(cpu.iter().all(|(call, rules)| machine.get(call) == Some(rules)));
        assert!(!cpu.contains_key(&libc::SYS_clone3));
    }
}
