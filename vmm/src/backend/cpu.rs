//! The project's own CPUs as the loop's [`Processor`].

use std::collections::BTreeMap;
use std::sync::Arc;

use fencepost_firmware::Entry;
use fencepost_softcpu::apic::InterruptMessage;
use fencepost_softcpu::bus::{Bus, Exit};
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpu::{Config, Counters, Cpu};
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::cpus::{CPUS_MAX, Cpus};
use fencepost_softcpu::state::CpuState;
use fencepost_softcpu::stops::Stops;
use fencepost_softcpu::vector;
use fencepost_time::Cycles;
use vm_memory::GuestMemoryMmap;

use super::soft::Processor;
use super::{SavedCpu, SavedCpus};
use crate::control::Control;
use crate::debug::Stopped;
use crate::entry;

/// A CPU on the memory of a machine whose bus and devices work on its own thread.
fn alone(memory: &GuestMemoryMmap, code: &Arc<CodePages>, control: &Control, cpuid: CpuidConfig) -> Cpu {
    let (code, config) = (Arc::clone(code), Config { cpuid, translate: control.soft_cpu() });
    // SAFETY: under `soft` one thread runs the CPUs, one at a time, and the machine's devices between runs or as its bus. The threads
    // beside it (terminal, signals, writers of files) have no guest memory.
    unsafe { Cpu::new(memory.clone(), code, control.stop_flag(), config) }
}

/// As many CPUs as `cpuid` says, the first one at the firmware's entry. The others wait to be started.
pub fn at_entry(
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    entry: &Entry,
    control: &Control,
    cpuid: CpuidConfig,
) -> Cpus {
    let made = (0..cpuid.cpus).map(|apic_id| {
        let mut cpu = alone(memory, code, control, CpuidConfig { apic_id, ..cpuid });
        if apic_id == 0 {
            let mut state = cpu.state();
            entry::apply(entry, &mut state);
            cpu.set_state(&state);
        } else {
            cpu.wait_for_startup();
        }
        cpu
    });
    ready(Cpus::new(made.collect()))
}

/// The CPUs, with all the memory that their translator needs: later the process may not ask for that.
fn ready(mut cpus: Cpus) -> Cpus {
    cpus.current_mut().prepare();
    cpus
}

/// CPUs that go on from `saved`; none if that is not of this memory.
pub fn restored(
    memory: &GuestMemoryMmap,
    code: &Arc<CodePages>,
    saved: &SavedCpus,
    control: &Control,
    cpuid: CpuidConfig,
) -> Option<Cpus> {
    let cpus = u32::try_from(saved.cpus.len()).ok().filter(|&cpus| (1..=CPUS_MAX as u32).contains(&cpus))?;
    let made = (0..cpus)
        .map(|apic_id| alone(memory, code, control, CpuidConfig { apic_id, cpus, ..cpuid }))
        .collect();
    let mut made = Cpus::new(made);
    restore(&mut made, saved).then(|| ready(made))
}

/// Puts `cpus` where they were when they were saved. False if they cannot have been.
pub fn restore(cpus: &mut Cpus, saved: &SavedCpus) -> bool {
    let mut pairs = cpus.all_mut().iter_mut().zip(&saved.cpus);
    let all = pairs.all(|(cpu, saved)| {
        cpu.set_state(&saved.state);
        cpu.set_translations(&saved.translations)
    });
    all && cpus.all().len() == saved.cpus.len() && cpus.set_turn(saved.turn)
}

impl Processor for Cpus {
    fn prepare(&mut self) {
        self.current_mut().prepare();
    }

    fn run(&mut self, bus: &mut dyn Bus, until: Cycles) -> Exit {
        Cpus::run(self, bus, until)
    }

    fn cycles(&self) -> Cycles {
        Cpus::cycles(self)
    }

    fn skip_to(&mut self, until: Cycles) {
        Cpus::skip_to(self, until);
    }

    fn next_timer(&mut self) -> Option<Cycles> {
        Cpus::next_timer(self)
    }

    fn takes_interrupts(&self) -> bool {
        Cpus::takes_interrupts(self)
    }

    fn deaf(&self) -> u64 {
        let one_hears = self.takes_interrupts();
        let deaf = |cpu: &Cpu| !(cpu.takes_interrupts() || one_hears && cpu.is_halted());
        (0..).zip(self.all()).filter(|(_, cpu)| deaf(cpu)).fold(0, |mask, (number, _)| mask | 1 << number)
    }

    fn deliver(&mut self, message: InterruptMessage) {
        Cpus::deliver(self, message);
    }

    fn current(&self) -> usize {
        self.turn().cpu as usize
    }

    fn retired(&self) -> u64 {
        Cpus::retired(self)
    }

    fn retired_by(&self, cpu: usize) -> u64 {
        self.all()[cpu].retired()
    }

    fn change_state(&mut self, cpu: usize, state: &CpuState) {
        let cpu = &mut self.all_mut()[cpu];
        let translations = cpu.translations();
        cpu.set_state(state);
        // They were taken from this very memory just now.
        let _ = cpu.set_translations(&translations);
    }

    fn set_stops(&mut self, stops: Stops) {
        self.all_mut().iter_mut().for_each(|cpu| cpu.set_stops(stops.clone()));
    }

    fn pass_stop(&mut self, cpu: usize) {
        self.all_mut()[cpu].pass_stop();
    }

    fn stopped(&self) -> Stopped {
        let cpus = self.all().iter().map(Cpu::state).collect();
        Stopped { cpus, current: self.turn().cpu as usize, ..Stopped::default() }
    }

    fn save(&self) -> SavedCpus {
        let saved = |cpu: &Cpu| SavedCpu { state: cpu.state(), translations: cpu.translations() };
        SavedCpus { cpus: self.all().iter().map(saved).collect(), turn: self.turn() }
    }

    fn restore(&mut self, saved: &SavedCpus) -> bool {
        restore(self, saved)
    }

    fn unknown(&self) -> Vec<(String, u64)> {
        let mut counts = BTreeMap::new();
        for (name, count) in self.all().iter().flat_map(unknown) {
            *counts.entry(name).or_insert(0u64) += count;
        }
        counts.into_iter().collect()
    }

    fn exceptions(&self) -> Vec<(&'static str, u64)> {
        let mut sums = [0u64; 32];
        for counts in self.all().iter().map(|cpu| cpu.counters().exceptions) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        (0u8..).zip(sums).filter(|(_, count)| *count > 0).map(|(v, count)| (vector::name(v), count)).collect()
    }

    fn code(&self) -> Vec<(&'static str, u64)> {
        let all: Vec<_> = self.all().iter().map(|cpu| cpu.counters()).collect();
        let sum = |of: fn(&Counters) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
        vec![
            ("blocks decoded", sum(|counts| counts.blocks_decoded)),
            ("translated", sum(|counts| counts.blocks_translated)),
            ("pages dropped", sum(|counts| counts.pages_dropped)),
            (
                "times without room",
                sum(|counts| counts.code_gave_way.saturating_add(counts.translations_dropped)),
            ),
        ]
    }
}

/// What a CPU did not know, by name.
fn unknown(cpu: &Cpu) -> Vec<(String, u64)> {
    let counters = cpu.counters();
    let msrs = counters.unknown_msrs.iter().map(|(msr, count)| (format!("MSR {msr:#x}"), *count));
    let others = (counters.other_msrs != 0).then(|| ("other MSRs".to_string(), counters.other_msrs));
    let instructions = counters.unknown.iter().map(|(name, count)| (format!("instruction {name}"), *count));
    instructions.chain(msrs).chain(others).collect()
}
