//! The host's KVM around the same machine: APICs in the host's kernel, everything else here.
//!
//! Two threads. The caller's thread runs the CPU and handles its exits; the event thread makes the devices' timed
//! calls, feeds the console and stops the CPU when the host wants an end. Both work on the machine under its mutex,
//! which neither holds while the CPU runs. Lock order: machine, then the notes in [`Control`].

pub mod assist;
pub mod convert;
mod vcpu;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fencepost_firmware::Entry;
use fencepost_softcpu::apic::InterruptMessage;
use kvm_bindings::{kvm_msi, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use self::vcpu::{Step, Vcpu};
use super::{BackEnd, End, Ran};
use crate::control::Control;
use crate::error::HostError;
use crate::machine::irq::InterruptController;
use crate::machine::time::TimeBase;
use crate::machine::{GuestEnd, Machine};

/// Where KVM may keep its task-state segment on Intel hosts: three pages below the top of 4 GiB, away from all else.
const TSS_ADDRESS: usize = 0xfffb_d000;

fn host_error(what: &str, error: impl std::fmt::Display) -> HostError {
    HostError::Host(format!("KVM: {what}: {error}; try --accel soft"))
}

/// A VM with one CPU, ready for its first instruction.
pub struct KvmBackEnd {
    vcpu: Vcpu,
    vm: Arc<VmFd>,
    /// Keeps the RAM that KVM was given mapped for as long as the VM lives.
    _memory: GuestMemoryMmap,
}

impl KvmBackEnd {
    /// Makes the VM around `memory`, its CPU at `entry`.
    pub fn new(memory: &GuestMemoryMmap, entry: &Entry) -> Result<Self, HostError> {
        let kvm = Kvm::new().map_err(|e| host_error("/dev/kvm", e))?;
        let vm = kvm.create_vm().map_err(|e| host_error("cannot make a VM", e))?;
        vm.set_tss_address(TSS_ADDRESS).map_err(|e| host_error("cannot place the TSS", e))?;
        vm.create_irq_chip().map_err(|e| host_error("cannot make the APICs", e))?;
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
            // SAFETY: the region is mapped RAM of this length, and the clone of `memory` in this structure keeps it
            // mapped until after the VM is gone.
            unsafe { vm.set_user_memory_region(region) }
                .map_err(|e| host_error("cannot give it memory", e))?;
        }
        let vcpu = Vcpu::new(&vm, memory, entry)?;
        Ok(KvmBackEnd { vcpu, vm: Arc::new(vm), _memory: memory.clone() })
    }

    /// Interrupt delivery of this VM.
    pub fn interrupts(&self) -> KernelInterrupts {
        KernelInterrupts { vm: Arc::clone(&self.vm) }
    }

    /// The host's clocks, with cycles as the guest's own TSC counts them.
    pub fn time(&self) -> Result<TimeBase, HostError> {
        Ok(TimeBase::host(self.vcpu.tsc_hz(), self.vcpu.tsc()?))
    }
}

/// The host kernel's APICs.
pub struct KernelInterrupts {
    vm: Arc<VmFd>,
}

impl InterruptController for KernelInterrupts {
    fn msi(&mut self, address: u64, data: u32) {
        let message = kvm_msi {
            address_lo: address as u32,
            address_hi: (address >> 32) as u32,
            data,
            ..kvm_msi::default()
        };
        // A message that means nothing is lost, as on a bus.
        let _ = self.vm.signal_msi(message);
    }

    fn pulse(&mut self, gsi: u32) {
        for level in [true, false] {
            // Fails only without in-kernel APICs, which `KvmBackEnd::new` made.
            let _ = self.vm.set_irq_line(gsi, level);
        }
    }

    // The guest's accesses to the I/O APIC end in the host's kernel and never come here.
    fn read(&mut self, _offset: u64) -> u32 {
        u32::MAX
    }

    fn write(&mut self, _offset: u64, _value: u32) {}

    fn end_of_interrupt(&mut self, _vector: u8) {}

    fn waiting(&self) -> bool {
        false
    }

    fn take(&mut self) -> Vec<InterruptMessage> {
        Vec::new()
    }
}

fn lock(machine: &Mutex<Machine>) -> MutexGuard<'_, Machine> {
    machine.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl BackEnd for KvmBackEnd {
    fn run(&mut self, machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        let machine = Mutex::new(machine);
        let done = AtomicBool::new(false);
        let kick = vcpu::Kick::of_this_thread()?;
        let end = std::thread::scope(|scope| {
            let events = std::thread::Builder::new().name("events".into());
            events
                .spawn_scoped(scope, || event_loop(&machine, control, &done, &kick))
                .map_err(|e| host_error("cannot start a thread", e))?;
            let end = self.vcpu_loop(&machine, control);
            done.store(true, Ordering::Release);
            control.nudge();
            end
        })?;
        let machine = machine.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let assists = self.vcpu.assists();
        let ran = Ran { end, state: self.vcpu.state()?, unknown: assists.unknown.clone(), assists };
        Ok((machine, ran))
    }
}

impl KvmBackEnd {
    fn vcpu_loop(&mut self, machine: &Mutex<Machine>, control: &Control) -> Result<End, HostError> {
        loop {
            if let Some(reason) = control.stop_reason() {
                return Ok(End::Host(reason));
            }
            match self.vcpu.step(machine)? {
                Step::Handled => {}
                // The event thread sleeps until the event it knows of: have it look again.
                Step::EventsChanged => control.nudge(),
                Step::Shutdown => {
                    let state = Box::new(self.vcpu.state()?);
                    return Ok(End::Guest(GuestEnd::TripleFault(state)));
                }
                Step::Ended(end) => return Ok(End::Guest(end)),
            }
        }
    }
}

/// How often a CPU that has to stop is kicked: a kick just before it enters the guest is lost.
const KICK_AGAIN: Duration = Duration::from_millis(1);
/// The longest sleep without looking around.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

fn event_loop(machine: &Mutex<Machine>, control: &Control, done: &AtomicBool, kick: &vcpu::Kick) {
    while !done.load(Ordering::Acquire) {
        if control.attend().is_some() {
            kick.send();
            std::thread::sleep(KICK_AGAIN);
            continue;
        }
        let mut machine = lock(machine);
        machine.attend_console();
        machine.run_due();
        machine.flush_console();
        machine.cpu_deadline();
        let now_ns = machine.now().ns;
        let next = machine.next_event_ns().map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns)));
        drop(machine);
        control.wait(Some(next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)));
    }
}
