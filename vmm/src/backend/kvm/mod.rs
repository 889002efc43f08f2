//! The host's KVM around the same machine: APICs in the host's kernel, everything else here.
//!
//! The caller's thread runs the event loop: the devices' timed calls, doorbells, the console, the end. Each vCPU has a
//! thread of its own, which handles that vCPU's exits. All work on the machine under its one lock, which nobody holds while
//! a vCPU runs. docs/kvm.md tells more.

pub mod assist;
mod breakpoints;
pub mod convert;
mod debugged;
mod doorbells;
mod events;
mod exits;
mod interrupts;
mod ioctls;
mod kick;
pub mod model;
mod pacing;
mod routes;
mod run_area;
mod shared;
mod standing;
mod syscalls;
mod threads;
mod tsc;
mod turnstile;
mod vcpu;
mod watch;

use std::sync::Arc;

use fencepost_firmware::Entry;
use fencepost_softcpu::ioapic::IoApicState;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::CpuState;
use fencepost_time::{HostTsc, Tsc, TscOffset};
use kvm_bindings::{kvm_irqchip, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use self::assist::Assists;
use self::debugged::Debugged;
use self::interrupts::KernelInterrupts;
use self::shared::Shared;
use self::threads::Link;
use self::vcpu::Vcpu;
use super::moves::Moves;
use super::{BackEnd, Ran, SavedCpus};
use crate::control::Control;
use crate::debug::Attached;
use crate::error::HostError;
use crate::machine::Machine;
use crate::machine::time::{Base, TimeBase};
use crate::sandbox::{Heir, Role};

/// Where KVM may keep its task-state segment on Intel hosts: three pages below the top of 4 GiB, away from all else.
const TSS_ADDRESS: usize = 0xfffb_d000;

fn host_error(what: &str, error: impl std::fmt::Display) -> HostError {
    HostError::Host(format!("KVM: {what}: {error}; try --accel soft"))
}

/// The machine has no 8259, but KVM's interrupt chip brings two, which would deliver every pin of the I/O APIC a second
/// time: all their inputs are masked.
fn silence_pics(vm: &VmFd) -> Result<(), HostError> {
    for chip_id in [kvm_bindings::KVM_IRQCHIP_PIC_MASTER, kvm_bindings::KVM_IRQCHIP_PIC_SLAVE] {
        let mut chip = kvm_irqchip { chip_id, ..kvm_irqchip::default() };
        vm.get_irqchip(&mut chip).map_err(|e| host_error("the 8259 cannot be read", e))?;
        chip.chip.pic.imr = u8::MAX;
        vm.set_irqchip(&chip).map_err(|e| host_error("the 8259 cannot be masked", e))?;
    }
    Ok(())
}

/// A VM with its CPUs, ready for the first instruction.
pub struct KvmBackEnd {
    vcpus: Vec<Vcpu>,
    vm: Arc<VmFd>,
    debugged: Option<Debugged>,
    /// Keeps the RAM that KVM was given mapped for as long as there is a vCPU: dropped after them.
    _memory: GuestMemoryMmap,
}

impl KvmBackEnd {
    /// Makes the VM around `memory` with so many CPUs, of `model`, the first at `entry`; with none, for [`enter`](Self::enter).
    pub fn new(
        memory: &GuestMemoryMmap,
        entry: Option<&Entry>,
        (cpus, model): (u32, Model),
    ) -> Result<Self, HostError> {
        let kvm = Kvm::new().map_err(|e| host_error("/dev/kvm", e))?;
        let most = kvm.get_max_vcpus();
        if cpus as usize > most {
            let what = format!("--cpus {cpus}: this host's KVM gives a machine {most} at most");
            return Err(HostError::input(what, format!("use --cpus {most}, or --accel soft")));
        }
        let vm = kvm.create_vm().map_err(|e| host_error("cannot make a VM", e))?;
        vm.set_tss_address(TSS_ADDRESS).map_err(|e| host_error("cannot place the TSS", e))?;
        vm.create_irq_chip().map_err(|e| host_error("cannot make the APICs", e))?;
        silence_pics(&vm)?;
        for (slot, region) in (0..).zip(memory.iter()) {
            let address = memory
                .get_host_address(region.start_addr())
                .map_err(|e| host_error("guest memory has no address", e))?;
            let region = kvm_userspace_memory_region {
                slot,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: address as u64,
                flags: 0,
            };
            // SAFETY: the region is mapped RAM of this length. The clone of `memory` in this structure keeps it mapped
            // until after the vCPUs are gone, which alone access it; the VM itself may stay, for its interrupts.
            unsafe { vm.set_user_memory_region(region) }
                .map_err(|e| host_error("cannot give it memory", e))?;
        }
        if pacing::needed() {
            pacing::take_deadlines(&vm)?;
        }
        let made = (0..cpus.max(1)).map(|number| Vcpu::new(&vm, memory, entry, (number, cpus, model)));
        let vcpus = made.collect::<Result<_, _>>()?;
        Ok(KvmBackEnd { vcpus, vm: Arc::new(vm), debugged: None, _memory: memory.clone() })
    }

    /// Takes over the CPUs and an I/O APIC from another back end, at the machine's time `now_ns` (the state has it in
    /// cycles); the machine's time from now on.
    pub fn enter(
        &mut self,
        states: &[CpuState],
        ioapic: &IoApicState,
        now_ns: u64,
    ) -> Result<TimeBase, HostError> {
        convert::ioapic::set(&self.vm, ioapic)?;
        let now = HostTsc::now();
        let entered = self.vcpus.iter_mut().zip(states).map(|(vcpu, state)| vcpu.enter(state, now));
        let offset = entered.collect::<Result<Vec<_>, _>>()?[0];
        let base = Base { cycles: states[0].cycles, ns: now_ns };
        Ok(TimeBase::host(self.tsc_hz(), offset.without(states[0].tsc_offset), base))
    }

    /// The CPUs, all at the same moment, for another back end to take over, or to be shown; `machine` is told what the guest's counter
    /// reads.
    pub fn leave(&self, machine: &mut Machine) -> Result<Vec<CpuState>, HostError> {
        let (first, first_within) = tsc::bounded_offset(&self.vcpus[0].fd)?;
        machine.guest_counter_is(first, first_within);
        let from_machine = machine.moment().offset;
        let mut states = Vec::new();
        for vcpu in &self.vcpus {
            let (own, own_within) = tsc::bounded_offset(&vcpu.fd)?;
            let measured_same = own.distance(first) <= first_within.saturating_add(own_within);
            let ahead = if measured_same { TscOffset(0) } else { own.beyond(first) };
            states.push(vcpu.state()?.behind(TscOffset(from_machine.0.wrapping_add(ahead.0))));
        }
        let cycles = states.iter().map(|state| state.cycles).max().unwrap_or_default();
        states.iter_mut().for_each(|state| state.cycles = cycles);
        Ok(states)
    }

    /// What the software CPU did for KVM so far.
    pub fn assists(&self) -> Assists {
        self.vcpus.iter().map(Vcpu::assists).fold(Assists::default(), Assists::and)
    }

    /// Where the guest's TSC must be to run here: how far it is now, if that cannot be chosen.
    pub fn tsc_is(&self) -> Result<Option<Tsc>, HostError> {
        Ok(self.vcpus[0].fixed_tsc_offset()?.map(|offset| HostTsc::now().tsc(offset)))
    }

    /// The TSC frequency that the guest gets.
    pub fn tsc_hz(&self) -> u64 {
        self.vcpus[0].tsc_hz()
    }

    /// Interrupt delivery of this VM.
    pub fn interrupts(&self) -> KernelInterrupts {
        KernelInterrupts::new(Arc::clone(&self.vm))
    }

    /// The host's TSC as the guest sees it; nanoseconds are zero when that is.
    pub fn time(&self) -> Result<TimeBase, HostError> {
        let first = &self.vcpus[0];
        Ok(TimeBase::host(first.tsc_hz(), first.tsc_offset()?, Base::default()))
    }
}

/// Stops the vCPUs' threads when the event loop is left, by whichever way: they are waited for.
struct StopAll<'a, 'b>(&'a Shared<'b>);

impl Drop for StopAll<'_, '_> {
    fn drop(&mut self) {
        // Only if nobody said anything else before: then it is a panic on its way.
        self.0.ending.finish(Err(HostError::Host("the event loop ended by itself".into())));
        self.0.kick_all();
        self.0.standing.wake();
    }
}

impl BackEnd for KvmBackEnd {
    fn attach(&mut self, debugger: Attached) {
        self.debugged = Some(Debugged::new(debugger));
    }

    /// The machine's parts have all been made.
    fn prepare(&mut self) {}

    fn run(&mut self, mut machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        // A machine that ran elsewhere before already has vectors that are not held back.
        machine.follow_routes();
        let links = self.vcpus.iter().map(Link::new).collect::<Result<Vec<_>, _>>()?;
        let shared = Shared::new(Arc::clone(&self.vm), machine, control, (links, self.debugged.as_ref()))?;
        std::thread::scope(|scope| {
            let stop = StopAll(&shared);
            let (mut started, heir) = (Vec::new(), Heir::own());
            for vcpu in &mut self.vcpus {
                let thread = std::thread::Builder::new().name(format!("vcpu{}", vcpu.number));
                let shared = &shared;
                let work = move || {
                    heir.begin(Role::Vcpu);
                    threads::run(vcpu, shared);
                };
                match thread.spawn_scoped(scope, work) {
                    Ok(thread) => started.push(thread),
                    Err(error) => shared.ending.finish(Err(host_error("cannot start a thread", error))),
                }
            }
            if let Err(error) = events::run(&shared) {
                shared.ending.finish(Err(error));
            }
            drop(stop);
            // One that panicked has said so by the end it gave. The scope alone would wait for its work, not for it.
            started.into_iter().for_each(|thread| drop(thread.join()));
        });
        // What was rung last.
        shared.with(|_| ());
        let (end, by) = shared.ending.take().expect("the event loop ends when the run is over");
        let (end, mut machine) = (end?, shared.into_machine());
        let (states, assists) = (self.leave(&mut machine)?, self.assists());
        let (unknown, cpus) = (assists.unknown.clone(), SavedCpus::untranslated(states, by));
        let (exceptions, code, moves) = (Vec::new(), Vec::new(), Moves::default());
        Ok((machine, Ran { end, cpus, unknown, exceptions, code, assists, moves }))
    }
}
