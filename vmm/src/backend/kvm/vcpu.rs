//! One CPU of KVM's: its setup, its exits, and how another thread stops it.

use std::sync::Mutex;

use fencepost_firmware::Entry;
use fencepost_softcpu::bus::Flow;
use fencepost_softcpu::cpuid::{self, CpuidConfig};
use fencepost_softcpu::one::Outcome;
use fencepost_softcpu::state::CpuState;
use kvm_bindings::{CpuId, Msrs, kvm_cpuid_entry2, kvm_fpu, kvm_mp_state, kvm_msr_entry};
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use super::assist::{Assistant, Assists};
use super::convert::{self, IA32_TSC, VcpuState};
use super::{host_error, lock};
use crate::error::HostError;
use crate::machine::{GuestEnd, Machine};

/// What one entry into the guest came to.
pub enum Step {
    /// An exit was handled.
    Handled,
    /// An exit was handled, and the machine's next event is now earlier.
    EventsChanged,
    /// Triple fault.
    Shutdown,
    /// The guest ended.
    Ended(GuestEnd),
}

/// The CPU.
pub struct Vcpu {
    fd: VcpuFd,
    tsc_hz: u64,
    cpuid: CpuidConfig,
    memory: GuestMemoryMmap,
    /// Made when it is first needed: on real hardware never.
    assistant: Option<Assistant>,
}

impl Vcpu {
    /// Makes CPU 0 of `vm`, ready for the instruction at `entry`.
    pub fn new(vm: &VmFd, memory: &GuestMemoryMmap, entry: &Entry) -> Result<Self, HostError> {
        let fd = vm.create_vcpu(0).map_err(|e| host_error("cannot make a CPU", e))?;
        let tsc_khz = fd.get_tsc_khz().map_err(|e| host_error("the TSC's frequency is not known", e))?;
        let tsc_hz = u64::from(tsc_khz) * 1000;
        let cpuid =
            CpuidConfig { tsc_hz: u32::try_from(tsc_hz).unwrap_or(u32::MAX), ..CpuidConfig::default() };
        let table = cpuid_table(&cpuid)?;
        fd.set_cpuid2(&table).map_err(|e| host_error("it refuses the CPUID model", e))?;
        let vcpu = Vcpu { fd, tsc_hz, cpuid, memory: memory.clone(), assistant: None };
        vcpu.set_registers(entry)?;
        vcpu.set_msrs()?;
        Ok(vcpu)
    }

    /// The guest's TSC frequency.
    pub fn tsc_hz(&self) -> u64 {
        self.tsc_hz
    }

    /// The guest's TSC now.
    pub fn tsc(&self) -> Result<u64, HostError> {
        let unread = |e| host_error("the guest's TSC cannot be read", e);
        let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index: IA32_TSC, ..kvm_msr_entry::default() }])
            .map_err(|e| host_error("too many MSRs", format!("{e:?}")))?;
        self.fd.get_msrs(&mut msrs).map_err(unread)?;
        Ok(msrs.as_slice().first().map_or(0, |entry| entry.data))
    }

    fn set_registers(&self, entry: &Entry) -> Result<(), HostError> {
        let refused = |e| host_error("it refuses the entry registers", e);
        let mut sregs = self.fd.get_sregs().map_err(refused)?;
        convert::entry_sregs(entry, &mut sregs);
        self.fd.set_sregs(&sregs).map_err(refused)?;
        self.fd.set_regs(&convert::entry_regs(entry)).map_err(refused)?;
        let fpu = kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..kvm_fpu::default() };
        self.fd.set_fpu(&fpu).map_err(refused)?;
        // Without this a CPU behind in-kernel APICs may wait for a start-up message.
        self.fd.set_mp_state(kvm_mp_state { mp_state: kvm_bindings::KVM_MP_STATE_RUNNABLE }).map_err(refused)
    }

    fn set_msrs(&self) -> Result<(), HostError> {
        const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;
        const MTRR_ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;
        let entry = |index, data| kvm_msr_entry { index, data, ..kvm_msr_entry::default() };
        let list = [entry(IA32_TSC, 0), entry(IA32_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK)];
        let msrs = Msrs::from_entries(&list).map_err(|e| host_error("too many MSRs", format!("{e:?}")))?;
        match self.fd.set_msrs(&msrs) {
            Ok(count) if count == list.len() => Ok(()),
            Ok(count) => Err(host_error("it refuses an MSR", format!("{:#x}", list[count].index))),
            Err(error) => Err(host_error("it refuses the MSRs", error)),
        }
    }

    /// The whole state.
    pub fn state(&self) -> Result<CpuState, HostError> {
        Ok(VcpuState::get(&self.fd)?.to_cpu())
    }

    /// Enters the guest once and handles its exit.
    pub fn step(&mut self, machine: &Mutex<Machine>) -> Result<Step, HostError> {
        let flow = match self.fd.run() {
            Ok(VcpuExit::IoOut(port, data)) => port_write(&mut lock(machine), port, data),
            Ok(VcpuExit::IoIn(port, data)) => port_read(&mut lock(machine), port, data),
            Ok(VcpuExit::MmioWrite(gpa, data)) => lock(machine).mmio_write_now(gpa, data),
            Ok(VcpuExit::MmioRead(gpa, data)) => {
                lock(machine).read_mmio(gpa, data);
                Flow::Continue
            }
            Ok(VcpuExit::Shutdown) => return Ok(Step::Shutdown),
            Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt) => Flow::Continue,
            Ok(VcpuExit::InternalError) => match self.internal_error(machine)? {
                Outcome::TripleFault => return Ok(Step::Shutdown),
                Outcome::Retired | Outcome::Raised(_) => lock(machine).flow(),
            },
            Ok(exit) => {
                let what = format!("{exit:?}");
                return Err(host_error("the guest stopped for an unforeseen reason", what));
            }
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => Flow::Continue,
            Err(error) => return Err(host_error("the guest cannot be entered", error)),
        };
        if flow == Flow::Continue {
            return Ok(Step::Handled);
        }
        let end = lock(machine).end().cloned();
        Ok(end.map_or(Step::EventsChanged, Step::Ended))
    }

    /// KVM gave up: where that is for want of an instruction, the software CPU executes it.
    fn internal_error(&mut self, machine: &Mutex<Machine>) -> Result<Outcome, HostError> {
        const EMULATION: u32 = 1;
        // SAFETY: after KVM_EXIT_INTERNAL_ERROR this is the member of the union that the kernel filled.
        let suberror = unsafe { self.fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
        if suberror == EMULATION {
            let assistant = self.assistant.get_or_insert_with(|| Assistant::new(&self.memory, self.cpuid));
            return assistant.assist(&self.fd, &mut lock(machine));
        }
        let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
        Err(host_error(
            &format!("the guest stopped at rip {rip:#x}"),
            format!("internal error, suberror {suberror}"),
        ))
    }

    /// What the software CPU did for KVM.
    pub fn assists(&self) -> Assists {
        self.assistant.as_ref().map(Assistant::done).unwrap_or_default()
    }
}

/// KVM hands over all elements of a string instruction at once; anything longer than one access is such a string of
/// bytes to one port.
const PORT_ACCESS_MAX: usize = 4;

fn port_write(machine: &mut Machine, port: u16, data: &[u8]) -> Flow {
    let size = if data.len() > PORT_ACCESS_MAX { 1 } else { data.len() };
    for element in data.chunks(size.max(1)) {
        machine.write_port(port, element);
    }
    machine.flow()
}

fn port_read(machine: &mut Machine, port: u16, data: &mut [u8]) -> Flow {
    let size = if data.len() > PORT_ACCESS_MAX { 1 } else { data.len() };
    for element in data.chunks_mut(size.max(1)) {
        machine.read_port(port, element);
    }
    Flow::Continue
}

/// What the guest's CPUID answers.
pub(super) fn cpuid_table(config: &CpuidConfig) -> Result<CpuId, HostError> {
    /// KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the subleaf matters.
    const INDEXED: u32 = 1;
    let basic = (0..=cpuid::MAX_BASIC).map(|leaf| (leaf, 0, 0));
    let topology = (0..2).map(|subleaf| (0xb, subleaf, INDEXED));
    let extended = (0x8000_0000..=cpuid::MAX_EXTENDED).map(|leaf| (leaf, 0, 0));
    let entries: Vec<kvm_cpuid_entry2> = basic
        .filter(|(leaf, ..)| *leaf != 0xb)
        .chain(topology)
        .chain(extended)
        .map(|(function, index, flags)| {
            let [eax, ebx, ecx, edx] = cpuid::cpuid(function, index, config);
            kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..kvm_cpuid_entry2::default() }
        })
        .collect();
    CpuId::from_entries(&entries).map_err(|e| host_error("the CPUID table is too long", format!("{e:?}")))
}

/// Makes the CPU's thread leave the guest.
pub struct Kick {
    thread: libc::pthread_t,
    signal: libc::c_int,
}

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

impl Kick {
    /// Kicks the calling thread.
    pub fn of_this_thread() -> Result<Self, HostError> {
        let signal = SIGRTMIN();
        register_signal_handler(signal, ignore).map_err(|e| host_error("no signal can be used", e))?;
        // SAFETY: pthread_self has no preconditions.
        Ok(Kick { thread: unsafe { libc::pthread_self() }, signal })
    }

    /// Interrupts the thread's system call.
    pub fn send(&self) {
        // SAFETY: the event thread is joined before the CPU's thread ends, so the thread exists.
        unsafe { libc::pthread_kill(self.thread, self.signal) };
    }
}
