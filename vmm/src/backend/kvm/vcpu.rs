//! One CPU of KVM's and its setup.

use fencepost_firmware::Entry;
use fencepost_softcpu::cpuid::{self, CpuidConfig};
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::CpuState;
use fencepost_time::{HostOffset, HostTsc};
use kvm_bindings::{CpuId, Msrs, kvm_cpuid_entry2, kvm_fpu, kvm_mp_state, kvm_msr_entry};
use kvm_ioctls::{VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;

use super::assist::{Assistant, Assists};
use super::breakpoints::Breakpoints;
use super::convert::{self, IA32_TSC, VcpuState};
use super::kick::Kick;
use super::pacing::Pacing;
use super::run_area::RunArea;
use super::shared::Shared;
use super::syscalls;
use super::{host_error, ioctls, tsc};
use crate::error::HostError;

/// One of the CPUs.
pub struct Vcpu {
    /// Its number, which is its APIC id.
    pub(super) number: u32,
    pub(super) fd: VcpuFd,
    pub(super) area: RunArea,
    tsc_hz: u64,
    pub(super) cpuid: CpuidConfig,
    pub(super) memory: GuestMemoryMmap,
    /// Made when it is first needed: on real hardware never.
    pub(super) assistant: Option<Assistant>,
    /// Where the host stops it: for half-done system calls and for a debugger.
    pub(super) breakpoints: Breakpoints,
    /// Used where deadlines are handed over.
    pub(super) pacing: Pacing,
}

impl Vcpu {
    /// Makes CPU `number` of the `cpus` of `vm`. The first is ready for the instruction at `entry`, the others wait to be started; with
    /// no entry, for [`enter`](Self::enter).
    pub fn new(
        vm: &VmFd,
        memory: &GuestMemoryMmap,
        entry: Option<&Entry>,
        (number, cpus, model): (u32, u32, Model),
    ) -> Result<Self, HostError> {
        let fd = vm.create_vcpu(number.into()).map_err(|e| host_error("cannot make a CPU", e))?;
        let area = RunArea::map(&fd, vm.run_size())
            .map_err(|e| host_error("what the CPU shares cannot be mapped", e))?;
        let tsc_khz = fd.get_tsc_khz().map_err(|e| host_error("the TSC's frequency is not known", e))?;
        let tsc_hz = u64::from(tsc_khz) * 1000;
        let tsc_hz_told = u32::try_from(tsc_hz).unwrap_or(u32::MAX);
        let cpuid = CpuidConfig { tsc_hz: tsc_hz_told, apic_id: number, cpus, model };
        let table = cpuid_table(&cpuid)?;
        fd.set_cpuid2(&table).map_err(|e| host_error("it refuses the CPUID model", e))?;
        let breakpoints = Breakpoints::new(syscalls::half_done());
        let vcpu = Vcpu {
            number,
            fd,
            area,
            tsc_hz,
            cpuid,
            memory: memory.clone(),
            assistant: None,
            breakpoints,
            pacing: Pacing::default(),
        };
        entry.filter(|_| number == 0).map(|entry| vcpu.set_registers(entry)).transpose()?;
        vcpu.set_msrs()?;
        Ok(vcpu)
    }

    /// The guest's TSC frequency.
    pub fn tsc_hz(&self) -> u64 {
        self.tsc_hz
    }

    /// What the guest's TSC reads more than the host's, modulo 2^64.
    pub fn tsc_offset(&self) -> Result<HostOffset, HostError> {
        tsc::offset(&self.fd)
    }

    /// Becomes the CPU that `state` says, its counter going on from where it is `at` that moment, or further on
    /// where that is fixed; the counter's new offset.
    pub fn enter(&mut self, state: &CpuState, at: HostTsc) -> Result<HostOffset, HostError> {
        // First: the timer's deadline is compared with it.
        let offset = match self.fixed_tsc_offset()? {
            Some(fixed) => fixed,
            None => {
                let offset = HostOffset::to_tsc(at, state.tsc());
                ioctls::set_tsc_offset(&self.fd, offset)
                    .map_err(|e| host_error("it refuses a TSC offset", e))?;
                offset
            }
        };
        VcpuState::from_cpu(state).set(&self.fd)?;
        self.follow_page_faults()?;
        Ok(offset)
    }

    /// [`Self::follow_page_faults`] while other vCPUs run: as one in the guest, for it reads guest memory, which somebody else may have
    /// for himself. The caller has neither that nor the machine.
    pub(super) fn follow_page_faults_beside(&mut self, shared: &Shared<'_>) -> Result<(), HostError> {
        let _inside = shared.turnstile.enter(self.number);
        self.follow_page_faults()
    }

    /// Brings the breakpoint for half-done system calls, where there is one, to where the guest's handler is now.
    fn follow_page_faults(&mut self) -> Result<(), HostError> {
        let followed = self.breakpoints.follow(&self.fd, &self.memory);
        followed.map_err(|e| host_error("it refuses a breakpoint", e))
    }

    /// What the guest's TSC reads more than the host's whatever anybody wants, if that is so.
    pub fn fixed_tsc_offset(&self) -> Result<Option<HostOffset>, HostError> {
        tsc::fixed_offset(&self.fd)
    }

    /// How other threads reach the thread that runs this CPU.
    pub fn kick(&self) -> Result<Kick, HostError> {
        Kick::new(&self.fd)
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

    /// What the software CPU did for KVM.
    pub fn assists(&self) -> Assists {
        self.assistant.as_ref().map(Assistant::done).unwrap_or_default()
    }
}

/// What the guest's CPUID answers: what this KVM cannot give is not announced.
pub(super) fn cpuid_table(config: &CpuidConfig) -> Result<CpuId, HostError> {
    /// KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the subleaf matters.
    const INDEXED: u32 = 1;
    let missing = super::model::missing(config.model).unwrap_or_default();
    let basic = (0..=cpuid::MAX_BASIC).map(|leaf| (leaf, 0, 0));
    let indexed = [(7, 0), (0xb, 0), (0xb, 1)].map(|(leaf, subleaf)| (leaf, subleaf, INDEXED));
    let extended = (0x8000_0000..=cpuid::MAX_EXTENDED).map(|leaf| (leaf, 0, 0));
    let entries: Vec<kvm_cpuid_entry2> = basic
        .filter(|(leaf, ..)| !matches!(leaf, 7 | 0xb))
        .chain(indexed)
        .chain(extended)
        .map(|(function, index, flags)| {
            let [eax, ebx, ecx, edx] = missing.without(function, cpuid::cpuid(function, index, config));
            kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..kvm_cpuid_entry2::default() }
        })
        .collect();
    CpuId::from_entries(&entries).map_err(|e| host_error("the CPUID table is too long", format!("{e:?}")))
}
