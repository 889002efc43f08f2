//! The project's own CPU as the loop's [`Processor`].

use std::sync::Arc;

use fencepost_firmware::Entry;
use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::bus::{Bus, Exit};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpu::{Config, Cpu};
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::mem::saved::TlbState;
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::Stops;
use fencepost_softcpu::vector;
use fencepost_time::Cycles;
use vm_memory::GuestMemoryMmap;

use super::SavedCpu;
use super::soft::Processor;
use crate::control::Control;
use crate::entry;

/// A CPU on the memory of a machine whose bus and devices work on its own thread.
fn alone(memory: &GuestMemoryMmap, code: &Arc<CodePages>, control: &Control, cpuid: CpuidConfig) -> Cpu {
    let (code, config) = (Arc::clone(code), Config { cpuid });
    // SAFETY: under `soft` one thread runs the CPU, and the machine's devices between runs or as its bus. The threads
    // beside it (terminal, signals, writers of files) have no guest memory.
    unsafe { Cpu::new(memory.clone(), code, control.stop_flag(), config) }
}

/// A CPU at the firmware's entry.
pub fn at_entry(
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    entry: &Entry,
    control: &Control,
    cpuid: CpuidConfig,
) -> Cpu {
    let mut cpu = alone(memory, code, control, cpuid);
    let mut state = cpu.state();
    entry::apply(entry, &mut state);
    cpu.set_state(&state);
    cpu
}

/// A CPU that goes on from `saved`; none if that is not of this memory.
pub fn restored(
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    saved: &SavedCpu,
    control: &Control,
    cpuid: CpuidConfig,
) -> Option<Cpu> {
    let mut cpu = alone(memory, code, control, cpuid);
    cpu.set_state(&saved.state);
    cpu.set_translations(&saved.translations).then_some(cpu)
}

impl Processor for Cpu {
    fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        Cpu::run(self, bus, until)
    }

    fn cycles(&self) -> Cycles {
        Cpu::cycles(self)
    }

    fn skip_to(&mut self, until: Cycles) {
        Cpu::skip_to(self, until);
    }

    fn next_timer(&self) -> Option<Cycles> {
        Cpu::next_timer(self)
    }

    fn deliver(&mut self, message: InterruptMessage) {
        Cpu::deliver(self, message);
    }

    fn retired(&self) -> u64 {
        Cpu::retired(self)
    }

    fn change_state(&mut self, state: &CpuState) {
        let translations = self.translations();
        self.set_state(state);
        // They were taken from this very memory just now.
        let _ = self.set_translations(&translations);
    }

    fn set_stops(&mut self, stops: Stops) {
        Cpu::set_stops(self, stops);
    }

    fn pass_stop(&mut self) {
        Cpu::pass_stop(self);
    }

    fn state(&self) -> CpuState {
        Cpu::state(self)
    }

    fn translations(&self) -> TlbState {
        Cpu::translations(self)
    }

    fn unknown(&self) -> Vec<(String, u64)> {
        let counters = self.counters();
        let msrs = counters.unknown_msrs.iter().map(|(msr, count)| (format!("MSR {msr:#x}"), *count));
        let others = (counters.other_msrs != 0).then(|| ("other MSRs".to_string(), counters.other_msrs));
        let instructions =
            counters.unknown.iter().map(|(name, count)| (format!("instruction {name}"), *count));
        instructions.chain(msrs).chain(others).collect()
    }

    fn exceptions(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counters().exceptions;
        (0u8..)
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(v, count)| (vector::name(v), count))
            .collect()
    }
}
