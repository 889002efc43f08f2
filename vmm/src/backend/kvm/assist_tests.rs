//! Assists asked for by hand, so that they are tested on hosts whose KVM needs none.

use std::sync::Arc;

use fencepost_devices::pci::PciRoot;
use fencepost_skip::Tested;
use fencepost_softcpu::state::{CpuState, PendingException, Segment, Table, reg, seg};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use super::super::convert::vcpu_tests::{NO_KVM, vcpu};
use super::*;
use crate::machine::Parts;
use crate::machine::irq::SoftInterrupts;
use crate::machine::log::EventLog;
use crate::machine::remap::Remapping;
use crate::machine::time::TimeBase;

const TABLES: u64 = 0x1000;
const IDT: u64 = 0x4000;
const GDT: u64 = 0x5000;
const HANDLER: u64 = 0x6000;
const CODE: u64 = 0x8000;
const STACK: u64 = 0xa000;

struct Bench {
    assistant: Assistant,
    machine: Machine,
    fd: VcpuFd,
    vm: VmFd,
    memory: GuestMemoryMmap,
}

/// 64-bit kernel code at [`CODE`], its first 2 MiB mapped onto themselves, every exception to [`HANDLER`].
fn state() -> CpuState {
    let data = Segment { selector: 0x10, base: 0, limit: !0, attributes: 0xc093 };
    let mut state = VcpuState::get(&vcpu().expect("there is KVM").1).expect("readable").to_cpu();
    state.seg = [data; 6];
    state.seg[seg::CS] = Segment { selector: 8, base: 0, limit: !0, attributes: 0xa09b };
    state.gdtr = Table { base: GDT, limit: 23 };
    state.idtr = Table { base: IDT, limit: 0xfff };
    (state.cr0, state.cr3, state.cr4, state.efer) = (0x8000_0033, TABLES, 0x6a0, 0xd00);
    (state.rip, state.rflags, state.gpr[reg::RSP]) = (CODE, 2, STACK);
    state
}

fn bench(code: &[u8]) -> Option<Bench> {
    let (vm, fd) = vcpu()?;
    let memory = memory::map(memory::MEMORY_MIN_BYTES).expect("mapped");
    let put = |gpa: u64, value: u64| memory.write_obj(value, GuestAddress(gpa)).expect("RAM");
    put(TABLES, TABLES + 0x1003);
    put(TABLES + 0x1000, TABLES + 0x2003);
    put(TABLES + 0x2000, 0x83);
    put(GDT + 8, 0x00af_9b00_0000_ffff);
    put(GDT + 16, 0x00cf_9300_0000_ffff);
    for vector in 0..32 {
        put(IDT + 16 * vector, HANDLER | 8 << 16 | 0x8e << 40);
    }
    memory.write_slice(code, GuestAddress(CODE)).expect("RAM");
    let host = memory.get_host_address(GuestAddress(0)).expect("mapped");
    let region = kvm_userspace_memory_region {
        slot: 0,
        guest_phys_addr: 0,
        memory_size: memory::MEMORY_MIN_BYTES,
        userspace_addr: host as u64,
        flags: 0,
    };
    // SAFETY: mapped RAM of this length; the bench drops the VM before it.
    unsafe { vm.set_user_memory_region(region) }.expect("taken");
    let machine = Machine::new(Parts {
        code: Arc::new(CodePages::new(memory::end(&memory))),
        memory: memory.clone(),
        time: TimeBase::virtual_from_zero(),
        interrupts: Box::<SoftInterrupts>::default(),
        console: Box::new(std::io::sink()),
        control: Arc::default(),
        log: EventLog::new(1),
        pci: PciRoot::new(),
        iommu: Remapping::Off,
    });
    let assistant = Assistant::new(&memory, CpuidConfig::default());
    Some(Bench { assistant, machine, fd, vm, memory })
}

impl Bench {
    fn start(&self, state: &CpuState) -> CpuState {
        VcpuState::from_cpu(state).set(&self.fd).expect("taken");
        self.state()
    }

    fn assist(&mut self) -> Outcome {
        self.assistant.assist(&self.fd, &mut self.machine, None).expect("the vCPU takes it back")
    }

    fn state(&self) -> CpuState {
        VcpuState::get(&self.fd).expect("readable").to_cpu()
    }
}

#[test]
fn only_what_the_instruction_changes_changes() -> Tested {
    // movaps xmm1, xmm0: the FPU goes back too.
    let Some(mut bench) = bench(&[0x0f, 0x28, 0xc8]) else { return Tested::skipped(NO_KVM) };
    let mut state = state();
    state.fpu.xmm[0] = 0x1234_5678_9abc_def0;
    state.rflags |= 0x200;
    let before = bench.start(&state);
    assert_eq!(bench.assist(), Outcome::Retired);
    let after = bench.state();
    assert!(after.cycles > before.cycles, "time goes on");
    let mut expected = CpuState { rip: CODE + 3, cycles: after.cycles, ..before };
    expected.fpu.xmm[1] = 0x1234_5678_9abc_def0;
    assert_eq!(after, expected);
    Tested::Ran
}

#[test]
fn the_exception_that_kvm_queued_for_it_is_dropped_and_others_stay() -> Tested {
    let Some(mut bench) = bench(&[0x90, 0x90]) else { return Tested::skipped(NO_KVM) };
    let waits = |vector| Some(PendingException { vector, error_code: None });
    bench.start(&CpuState { pending_exception: waits(6), ..state() });
    bench.assist();
    assert_eq!(bench.state().pending_exception, None);
    bench.start(&CpuState { pending_exception: waits(0), ..state() });
    bench.assist();
    assert_eq!(bench.state().pending_exception, waits(0));
    Tested::Ran
}

#[test]
fn a_breakpoint_is_delivered() -> Tested {
    let Some(mut bench) = bench(&[0xcc]) else { return Tested::skipped(NO_KVM) };
    bench.start(&state());
    assert_eq!(bench.assist(), Outcome::Retired);
    let after = bench.state();
    assert_eq!((after.rip, after.gpr[reg::RSP]), (HANDLER, STACK - 40));
    assert_eq!(bench.memory.read_obj::<u64>(GuestAddress(STACK - 40)).expect("RAM"), CODE + 1);
    Tested::Ran
}

#[test]
fn an_instruction_that_writes_the_apic_changes_the_kernels() -> Tested {
    // mov cr8, rax
    let Some(mut bench) = bench(&[0x44, 0x0f, 0x22, 0xc0]) else { return Tested::skipped(NO_KVM) };
    let mut state = state();
    state.gpr[reg::RAX] = 9;
    bench.start(&state);
    assert_eq!(bench.assist(), Outcome::Retired);
    assert_eq!(bench.fd.get_sregs().expect("readable").cr8, 9);
    Tested::Ran
}

#[test]
fn an_interrupt_handler_that_cannot_be_reached_is_a_triple_fault() -> Tested {
    let Some(mut bench) = bench(&[0x0f, 0x0b]) else { return Tested::skipped(NO_KVM) };
    bench.start(&CpuState { idtr: Table::default(), ..state() });
    assert_eq!(bench.assist(), Outcome::TripleFault);
    Tested::Ran
}

#[test]
fn assists_are_counted_by_name() -> Tested {
    let Some(mut bench) = bench(&[0x90, 0xf9, 0x90]) else { return Tested::skipped(NO_KVM) };
    bench.start(&state());
    for _ in 0..3 {
        bench.assist();
    }
    let done = bench.assistant.done();
    let counts: Vec<(&str, u64)> = done.by_name.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counts, [("nop", 2), ("stc", 1)]);
    assert_eq!(done.lengths.count(), 3);
    Tested::Ran
}

#[test]
fn deadlines_are_handed_over_where_asked_for() -> Tested {
    // mov ecx, 0x6e0; xor edx, edx; mov eax, 0x1000; wrmsr
    let code = [0xb9, 0xe0, 6, 0, 0, 0x31, 0xd2, 0xb8, 0, 0x10, 0, 0, 0x0f, 0x30];
    let Some(mut bench) = bench(&code) else { return Tested::skipped(NO_KVM) };
    super::super::pacing::take_deadlines(&bench.vm).expect("this KVM can");
    bench.start(&state());
    let exit = bench.fd.run().expect("it runs");
    let kvm_ioctls::VcpuExit::X86Wrmsr(write) = exit else { panic!("{exit:?}") };
    assert_eq!((write.index, write.data), (0x6e0, 0x1000));
    Tested::Ran
}

#[test]
fn what_is_sent_to_others_becomes_writes() {
    let sender = CpuidConfig { apic_id: 1, cpus: 4, ..CpuidConfig::default() };
    let sent = |icr| to_others(icr, sender).map(|it| (it.address, it.data)).collect::<Vec<_>>();
    assert_eq!(sent(3 << 32 | 0x4650), [(0xfee0_3000, 0x4650)], "a startup message");
    assert_eq!(sent(u64::from(BROADCAST) << 32 | 0x4400).len(), 3, "an NMI to all others");
    assert_eq!(sent(0xf << 32 | 0x4841), [(0xfee0_f004, 0x4041)], "to a logical destination");
    assert_eq!(sent(1 << 32 | 0x4041), [], "to itself, which it has taken");
    assert_eq!(sent(2 << 32 | 0x4341), [], "a mode that is none");
}
