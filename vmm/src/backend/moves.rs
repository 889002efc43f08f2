//! A machine that moves between the two back ends while it runs.
//!
//! The guest writes a number to the mark port ([`fencepost_firmware::layout::MARK_PORT`]); where the plan names that mark,
//! the back end's part ends behind that very instruction, and the other back end goes on. What moves: the CPU's whole
//! state ([`CpuState`]), the I/O APIC, time. What stays where it is: guest memory, the devices, their calls to come.
//!
//! Time goes on: the guest's TSC reads at the first instruction after a move what it read at the last one before it, or
//! more. Its frequency cannot change under way, so a guest that shall move is told the host's from the start. Where KVM
//! cannot give the counter an offset either, it reads the host's own counter: then the machine begins with that under
//! `soft` too, and at a move jumps forward by what virtual time lags behind, or waits for what it is ahead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fencepost_firmware::Entry;
use fencepost_softcpu::code::CodePages;
use fencepost_softcpu::cpu::Cpu;
use fencepost_softcpu::cpuid::CpuidConfig;
use fencepost_softcpu::cpus::Cpus;
use fencepost_softcpu::ioapic::IoApicState;
use fencepost_softcpu::model::Model;
use fencepost_softcpu::state::CpuState;
use fencepost_time::{Cycles, TscOffset};
use fencepost_trace::Accel;
use vm_memory::GuestMemoryMmap;

use super::kvm::{self, KvmBackEnd};
use super::soft::{Processor, Soft};
use super::{BackEnd, Built, End, Ran, SavedCpus, cpu};
use crate::accel::Chosen;
use crate::control::{Control, StopReason};
use crate::debug::Attached;
use crate::error::HostError;
use crate::lengths::Lengths;
use crate::machine::irq::{InterruptController, SoftInterrupts};
use crate::machine::time::{Base, TimeBase};
use crate::machine::{GuestEnd, Machine};

/// How exactly an offset is known where KVM does not tell it: to a hundred-thousandth of a second with room to spare.
const MARGIN_PER_SECOND: u64 = 100_000;
/// The longest wait without a look at the reasons to stop.
const LOOK_AROUND: Duration = Duration::from_millis(10);

/// At which mark the machine goes where.
pub type Plan = BTreeMap<u8, Chosen>;

/// The moves that were made, and how long each took: from the end of one back end's part to where the other's begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// From the software CPU to KVM.
    pub to_kvm: Lengths,
    /// From KVM to the software CPU.
    pub to_soft: Lengths,
}

/// Both back ends around one machine.
pub struct Moving {
    soft: Soft<Cpus>,
    kvm: KvmBackEnd,
    plan: Plan,
    at: Chosen,
    /// Where the machine goes before it runs on: it has paused, or is restored, under `soft`.
    next: Option<Chosen>,
    done: Moves,
}

impl Moving {
    /// Both back ends, the machine in `first` at `entry`.
    pub fn build(
        (first, cpuid): (Chosen, CpuidConfig),
        plan: &Plan,
        memory: &GuestMemoryMmap,
        code: &Arc<CodePages>,
        entry: &Entry,
        control: &Control,
    ) -> Result<Built, HostError> {
        let kvm = KvmBackEnd::new(memory, Some(entry), (cpuid.cpus, cpuid.model))?;
        let tsc_hz = u32::try_from(kvm.tsc_hz()).ok().filter(|hz| *hz != 0).ok_or_else(|| frequency(&kvm))?;
        let cpuid = CpuidConfig { tsc_hz, ..cpuid };
        let mut soft = Soft::new(cpu::at_entry(memory, code, entry, control, cpuid));
        let (time, interrupts): (_, Box<dyn InterruptController>) = match first {
            Chosen::Soft => {
                // The guest has not set its counter yet: it reads what the machine's does.
                let base = Base { cycles: kvm.tsc_is()?.unwrap_or_default().cycles(TscOffset(0)), ns: 0 };
                soft.processor().skip_to(base.cycles);
                (TimeBase::virtual_from(tsc_hz.into(), base), Box::<SoftInterrupts>::default())
            }
            Chosen::Kvm => (kvm.time()?, Box::new(kvm.interrupts())),
        };
        let moving = Moving { soft, kvm, plan: plan.clone(), at: first, next: None, done: Moves::default() };
        Ok((Box::new(moving), time, interrupts))
    }

    /// Both back ends, the machine that `soft` has the CPUs of about to go on under `kvm`.
    ///
    /// # Errors
    ///
    /// A guest that was told another TSC frequency than this KVM's, or has turned on what this KVM lacks, is refused as bad input.
    pub fn resume(
        (mut soft, model): (Soft<Cpus>, Model),
        memory: &GuestMemoryMmap,
        time: &TimeBase,
    ) -> Result<Self, HostError> {
        let states: Vec<CpuState> = soft.processor().all().iter().map(Cpu::state).collect();
        kvm::model::allows(model, &states)?;
        let kvm = KvmBackEnd::new(memory, None, (soft.processor().all().len() as u32, model))?;
        if kvm.tsc_hz() != time.hz() {
            let (told, has) = (time.hz(), kvm.tsc_hz());
            return Err(HostError::input(
                format!("its guest was told a TSC of {told} Hz, and this KVM has {has} Hz"),
                "restore it with --accel soft",
            ));
        }
        // KVM's CPUs write memory without a report.
        soft.processor().current_mut().forget_code();
        let (plan, done) = (Plan::new(), Moves::default());
        Ok(Moving { soft, kvm, plan, at: Chosen::Soft, next: Some(Chosen::Kvm), done })
    }

    /// The software CPU, from whose next state the machine is about to go on under `kvm`.
    pub fn restart(&mut self) -> &mut Soft<Cpus> {
        (self.at, self.next) = (Chosen::Soft, Some(Chosen::Kvm));
        &mut self.soft
    }

    /// Changes the back end, whoever is to know of it; `current` has ended the last part.
    fn change(&mut self, to: Chosen, machine: &mut Machine, current: u32) -> Result<(), HostError> {
        let ioapic = machine.ioapic()?;
        match to {
            Chosen::Kvm => self.resume_in_kvm(machine, &ioapic)?,
            Chosen::Soft => self.resume_in_soft(machine, (&ioapic, current))?,
        }
        self.at = to;
        Ok(())
    }

    /// Moves the machine.
    fn go(&mut self, to: Chosen, machine: &mut Machine, current: u32) -> Result<(), HostError> {
        let start = Instant::now();
        self.change(to, machine, current)?;
        machine.record_move(match to {
            Chosen::Kvm => Accel::Kvm,
            Chosen::Soft => Accel::Soft,
        });
        let lengths = match to {
            Chosen::Kvm => &mut self.done.to_kvm,
            Chosen::Soft => &mut self.done.to_soft,
        };
        lengths.push(start.elapsed());
        Ok(())
    }

    /// Lets host time pass while the machine's is ahead of a counter that cannot be set. A reason to stop ends it.
    fn wait_for_time(
        &self,
        to: Chosen,
        machine: &Machine,
        control: &Control,
    ) -> Result<Option<StopReason>, HostError> {
        let mut reason = None;
        while to == Chosen::Kvm && reason.is_none() {
            let now = machine.moment();
            let wanted = now.cycles + self.kvm.tsc_hz() / MARGIN_PER_SECOND;
            // One that the guest has set is refused, for it cannot be waited for.
            let ahead = self.kvm.tsc_is()?.map_or(0, |is| wanted - is.cycles(TscOffset(0)));
            if ahead == 0 {
                break;
            }
            let wait = Duration::from_secs_f64(ahead as f64 / self.kvm.tsc_hz() as f64);
            std::thread::sleep(wait.min(LOOK_AROUND));
            reason = control.stop_reason();
        }
        Ok(reason)
    }

    fn resume_in_kvm(&mut self, machine: &mut Machine, ioapic: &IoApicState) -> Result<(), HostError> {
        // Without hardware under it KVM gives every guest the host's counter.
        let cpus = self.soft.processor();
        let states: Vec<CpuState> = cpus.all().iter().map(Cpu::state).collect();
        let moved = states.iter().any(|state| state.tsc_offset != TscOffset(0));
        if (moved || machine.moment().offset != TscOffset(0)) && self.kvm.tsc_is()?.is_some() {
            return Err(counter());
        }
        // KVM's CPUs write memory without a report. The one that has the turn keeps the code for all.
        cpus.current_mut().forget_code();
        let time = self.kvm.enter(&states, ioapic, machine.now().ns)?;
        machine.resume_with(time, Box::new(self.kvm.interrupts()));
        Ok(())
    }

    fn resume_in_soft(
        &mut self,
        machine: &mut Machine,
        (ioapic, by): (&IoApicState, u32),
    ) -> Result<(), HostError> {
        let before = machine.now();
        let mut states = self.kvm.leave(machine)?;
        // Read after `before`, so not below it but for what an offset that is measured may be wrong by.
        let cycles = states[0].cycles.max(Cycles(before.cycles));
        let cpus = self.soft.processor();
        for (cpu, state) in cpus.all_mut().iter_mut().zip(&mut states) {
            (state.cycles, state.retired) = (cycles, cpu.retired());
            cpu.set_state(state);
        }
        cpus.set_turn(SavedCpus::untranslated(states, by).turn);
        let mut time =
            TimeBase::virtual_from(self.kvm.tsc_hz(), Base { cycles: Cycles(before.cycles), ns: before.ns });
        time.set_cycles(cycles);
        machine.resume_with(
            time,
            Box::new(SoftInterrupts::restore(ioapic).expect("KVM's I/O APIC has this program's layout")),
        );
        Ok(())
    }

    /// One back end's part.
    fn part(&mut self, machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        match self.at {
            Chosen::Soft => self.soft.run(machine, control),
            Chosen::Kvm => self.kvm.run(machine, control),
        }
    }

    /// What both back ends tell together.
    fn ran(&mut self, end: End, cpus: SavedCpus, soft: Vec<(String, u64)>) -> Ran {
        let assists = self.kvm.assists();
        let unknown = soft.into_iter().chain(assists.unknown.clone()).collect();
        let (exceptions, code) = (self.soft.processor().exceptions(), self.soft.processor().code());
        Ran { end, cpus, unknown, exceptions, code, assists, moves: self.done.clone() }
    }
}

fn frequency(kvm: &KvmBackEnd) -> HostError {
    HostError::input(
        format!("--move: a guest cannot be told KVM's TSC frequency of {} Hz", kvm.tsc_hz()),
        "leave --move out",
    )
}

fn counter() -> HostError {
    HostError::Host(
        "--move: the guest has set its time-stamp counter, and this host's KVM cannot give it that one; \
         leave --move out, or do not write IA32_TSC in the guest"
            .into(),
    )
}

impl BackEnd for Moving {
    fn attach(&mut self, debugger: Attached) {
        self.soft.attach(debugger.clone());
        self.kvm.attach(debugger);
    }

    fn prepare(&mut self) {
        self.soft.prepare();
    }

    fn run(&mut self, mut machine: Machine, control: &Control) -> Result<(Machine, Ran), HostError> {
        machine.stop_at(self.plan.keys().copied());
        if let Some(to) = self.next.take() {
            if let Some(reason) = self.wait_for_time(to, &machine, control)? {
                let (cpus, soft) = (self.soft.processor().save(), self.soft.unknown());
                return Ok((machine, self.ran(End::Host(reason), cpus, soft)));
            }
            self.change(to, &mut machine, 0)?;
        }
        loop {
            let (after, ran) = self.part(machine, control)?;
            machine = after;
            let saved = match ran.end {
                End::Guest(GuestEnd::Pause) => true,
                End::Guest(GuestEnd::Panicked) => control.can_pause(),
                _ => false,
            };
            if saved && self.at == Chosen::Kvm {
                // What is saved is a machine under `soft`: its state is whole there.
                machine.flush_trace();
                self.change(Chosen::Soft, &mut machine, ran.cpus.turn.cpu)?;
                self.next = Some(Chosen::Kvm);
                let (cpus, soft) = (self.soft.processor().save(), self.soft.unknown());
                return Ok((machine, self.ran(ran.end, cpus, soft)));
            }
            let End::Guest(GuestEnd::Mark(mark)) = ran.end else {
                let soft = self.soft.unknown();
                return Ok((machine, self.ran(ran.end, ran.cpus, soft)));
            };
            match self.plan.get(&mark) {
                Some(&to) if to != self.at => {
                    machine.flush_trace();
                    if let Some(reason) = self.wait_for_time(to, &machine, control)? {
                        let soft = self.soft.unknown();
                        return Ok((machine, self.ran(End::Host(reason), ran.cpus, soft)));
                    }
                    self.go(to, &mut machine, ran.cpus.turn.cpu)?;
                }
                _ => machine.pass_mark(),
            }
        }
    }
}
