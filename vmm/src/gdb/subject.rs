//! The machine that stands still, as `gdbstub` works on it.

use std::collections::BTreeSet;

use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::{Kinds, Range, Stops};
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::monitor;
use super::registers::{AllRegisters, Amd64};
use crate::debug::{Most, Order, Stopped};
use crate::paging;
use crate::say;

/// The error number for what cannot be reached, or set so.
const EFAULT: u8 = 14;
/// The error number for a thread that is not there.
const ESRCH: u8 = 3;
/// The error number for what cannot be changed.
const EROFS: u8 = 30;
/// What is said then.
const PAST: &str =
    "fencepost: gdb: the past cannot be changed; `continue` to where the guest was farthest first";
/// The error number for too much.
const ENOSPC: u8 = 28;

/// The machine, for as long as it stands still.
#[derive(Default)]
pub struct Subject {
    /// The CPUs. The debugger's threads are they, counted from 1.
    pub cpus: Stopped,
    /// Guest memory, and what was written to it: physical addresses and lengths.
    pub memory: Option<GuestMemoryMmap>,
    pub written: Vec<(u64, u64)>,
    /// How it is to go on, once that was said.
    pub order: Option<Order>,
    /// What can be stopped at; set before anybody can ask for it.
    pub most: Option<Most>,
    /// Marks that the trace is to get.
    pub marks: Vec<String>,
    software: BTreeSet<u64>,
    hardware: BTreeSet<u64>,
    watched: BTreeSet<Range>,
}

impl Subject {
    /// Where the CPU is to stop.
    pub fn stops(&self) -> Stops {
        Stops::new(self.software.union(&self.hardware).copied(), self.watched.iter().copied().collect())
    }

    /// Forgets where it is to stop, and how it was to go on.
    pub fn let_go(&mut self) {
        self.order = None;
        self.software.clear();
        self.hardware.clear();
        self.watched.clear();
    }

    /// Whether the machine can go back.
    pub fn can_go_back(&self) -> bool {
        self.most.is_some_and(|most| most.back)
    }

    /// Refuses to change what has been.
    fn check_present(&self) -> TargetResult<(), Self> {
        if self.cpus.past {
            say::in_passing(PAST);
            return Err(TargetError::Errno(EROFS));
        }
        Ok(())
    }

    /// The thread that the reason to stand still is of.
    pub fn current(&self) -> Tid {
        Tid::new(self.cpus.current + 1).unwrap_or(Tid::MIN)
    }

    fn cpu(&self, thread: Tid) -> Result<&CpuState, TargetError<&'static str>> {
        self.cpus.cpus.get(thread.get() - 1).ok_or(TargetError::Errno(ESRCH))
    }

    /// Whether a breakpoint of the software's kind is at RIP.
    pub fn is_at_software_breakpoint(&self) -> bool {
        let cpu = self.cpu(self.current());
        cpu.is_ok_and(|cpu| self.software.contains(&paging::linear_rip(cpu)))
    }

    /// Which accesses to `start` are watched.
    pub fn watch_kind(&self, start: u64) -> WatchKind {
        let kinds = self.watched.iter().filter(|range| range.start == start).map(|range| range.kinds);
        let all = kinds.fold((false, false), |(read, write), kinds| (read | kinds.read, write | kinds.write));
        match all {
            (true, true) => WatchKind::ReadWrite,
            (true, false) => WatchKind::Read,
            _ => WatchKind::Write,
        }
    }

    fn check_room(&self) -> TargetResult<(), Self> {
        let taken = self.software.len() + self.hardware.len() + self.watched.len();
        let room = self.most.is_some_and(|most| taken < most.stops);
        room.then_some(()).ok_or(TargetError::Errno(ENOSPC))
    }

    fn reach(
        &self,
        thread: Tid,
        (start, bytes): (u64, usize),
        mut each: impl FnMut(&GuestMemoryMmap, u64, usize, usize) -> bool,
    ) -> usize {
        let (Some(memory), Ok(cpu)) = (&self.memory, self.cpu(thread)) else { return 0 };
        let mut done = 0;
        for (gpa, length) in paging::parts(memory, cpu, start, bytes) {
            if !each(memory, gpa, done, length) {
                break;
            }
            done += length;
        }
        done
    }
}

fn range(start: u64, bytes: u64, kind: WatchKind) -> Range {
    let kinds = match kind {
        WatchKind::Write => Kinds { read: false, write: true },
        WatchKind::Read => Kinds { read: true, write: false },
        WatchKind::ReadWrite => Kinds { read: true, write: true },
    };
    Range { start, bytes: bytes.max(1), kinds }
}

impl Target for Subject {
    type Arch = Amd64;
    type Error = &'static str;

    fn base_ops(&mut self) -> BaseOps<'_, Amd64, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Subject {
    fn read_registers(&mut self, registers: &mut AllRegisters, thread: Tid) -> TargetResult<(), Self> {
        *registers = AllRegisters::of(self.cpu(thread)?);
        Ok(())
    }

    fn write_registers(&mut self, registers: &AllRegisters, thread: Tid) -> TargetResult<(), Self> {
        self.check_present()?;
        self.cpu(thread)?;
        registers.set(&mut self.cpus.cpus[thread.get() - 1]).map_err(|_| TargetError::Errno(EFAULT))
    }

    /// Reads guest memory as far as it is mapped, and RAM: a device's registers may not be read without the guest's knowing.
    fn read_addrs(&mut self, start: u64, data: &mut [u8], thread: Tid) -> TargetResult<usize, Self> {
        let count = self.reach(thread, (start, data.len()), |memory, gpa, done, length| {
            let part = data.get_mut(done..done + length);
            part.is_some_and(|part| memory.read_slice(part, GuestAddress(gpa)).is_ok())
        });
        if count == 0 && !data.is_empty() { Err(TargetError::Errno(EFAULT)) } else { Ok(count) }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], thread: Tid) -> TargetResult<(), Self> {
        self.check_present()?;
        // Nothing is written if not all can be.
        let mut parts = Vec::new();
        let reached = self.reach(thread, (start, data.len()), |memory, gpa, done, length| {
            parts.push((gpa, done, length));
            vm_memory::GuestMemoryBackend::check_range(memory, GuestAddress(gpa), length)
        });
        let Some(memory) = self.memory.as_ref().filter(|_| reached == data.len()) else {
            return Err(TargetError::Errno(EFAULT));
        };
        for (gpa, done, length) in parts {
            let part = data.get(done..done + length).unwrap_or_default();
            memory.write_slice(part, GuestAddress(gpa)).map_err(|_| TargetError::Errno(EFAULT))?;
            self.written.push((gpa, length as u64));
        }
        Ok(())
    }

    fn list_active_threads(&mut self, each: &mut dyn FnMut(Tid)) -> Result<(), Self::Error> {
        // To the first of them gdb comes.
        let current = self.current();
        let others = (1..=self.cpus.cpus.len()).filter_map(Tid::new).filter(|thread| *thread != current);
        std::iter::once(current).chain(others).for_each(each);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Subject {
    /// What `info threads` shows of a CPU.
    fn thread_extra_info(&self, thread: Tid, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let Ok(cpu) = self.cpu(thread) else { return Ok(0) };
        let does = match (cpu.waits_for_startup, cpu.halted) {
            (true, _) => "not started",
            (_, true) => "halted",
            _ => "running",
        };
        let text = format!("CPU {}, {does}", thread.get() - 1);
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text.as_bytes()[..length]);
        Ok(length)
    }
}

impl MultiThreadResume for Subject {
    fn resume(&mut self) -> Result<(), Self::Error> {
        self.order.get_or_insert(Order::Run);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Self::Error> {
        self.order = None;
        Ok(())
    }

    /// What a CPU does that is not told to step. A signal has no meaning for a machine.
    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        if self.can_go_back() { Some(self) } else { None }
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        if self.can_go_back() { Some(self) } else { None }
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Subject {
    fn set_resume_action_step(&mut self, thread: Tid, _: Option<Signal>) -> Result<(), Self::Error> {
        self.order = Some(Order::Step(thread.get() - 1));
        Ok(())
    }
}

impl ReverseStep<Tid> for Subject {
    fn reverse_step(&mut self, thread: Tid) -> Result<(), Self::Error> {
        self.order = Some(Order::StepBack(thread.get() - 1));
        Ok(())
    }
}

impl ReverseCont<Tid> for Subject {
    fn reverse_cont(&mut self) -> Result<(), Self::Error> {
        self.order = Some(Order::RunBack);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Subject {
    /// The others have their turns all the same: the run is the one without a debugger.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl Breakpoints for Subject {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Subject {
    fn add_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        self.check_room()?;
        self.software.insert(at);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.software.remove(&at))
    }
}

impl HwBreakpoint for Subject {
    fn add_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        self.check_room()?;
        self.hardware.insert(at);
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.hardware.remove(&at))
    }
}

impl HwWatchpoint for Subject {
    fn add_hw_watchpoint(&mut self, at: u64, bytes: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.check_room()?;
        let range = range(at, bytes, kind);
        let most = self.most.filter(|most| most.watches);
        let as_processor = [1, 2, 4, 8].contains(&bytes) && at % bytes.max(1) == 0 && range.kinds.write;
        // gdb watches by single steps then, or says so.
        if !most.is_some_and(|most| most.any_range || as_processor) {
            return Ok(false);
        }
        self.watched.insert(range);
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, at: u64, bytes: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.watched.remove(&range(at, bytes, kind)))
    }
}

impl MonitorCmd for Subject {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Self::Error> {
        out.write_raw(monitor::answer(command, &self.cpus, &mut self.marks).as_bytes());
        Ok(())
    }
}
