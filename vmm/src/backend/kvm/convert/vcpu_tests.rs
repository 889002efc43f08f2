//! States through a real vCPU and a real I/O APIC.

use fencepost_skip::Tested;
use fencepost_softcpu::apic::LocalApic;
use fencepost_softcpu::apic::regs::*;
use fencepost_softcpu::state::{CpuState, PendingException, Segment, Table};
use fencepost_time::{Cycles, Moment, TscOffset};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::super::vcpu::cpuid_table;
use super::tests::{Random, random_fpu};
use super::{VcpuState, ioapic};

/// Why a test of KVM is skipped.
pub const NO_KVM: &str = "/dev/kvm does not open";

/// A VM with APICs and one CPU that has the project's CPUID; `None` where there is no KVM.
pub fn vcpu() -> Option<(VmFd, VcpuFd)> {
    let kvm = Kvm::new().ok()?;
    let vm = kvm.create_vm().expect("a VM");
    vm.create_irq_chip().expect("APICs");
    let fd = vm.create_vcpu(0).expect("a CPU");
    let table = cpuid_table(&Default::default()).expect("short enough");
    fd.set_cpuid2(&table).expect("the model is taken");
    Some((vm, fd))
}

/// A canonical address.
fn canonical(random: &mut Random) -> u64 {
    (random.next() as i64 >> 16) as u64
}

fn flat(selector: u16, base: u64, attributes: u16) -> Segment {
    Segment { selector, base, limit: u32::MAX, attributes }
}

fn apic(random: &mut Random) -> LocalApic {
    let mut apic = LocalApic::new(0);
    let _ = apic.write(0xf0, 0x1ff, Moment::default());
    // Deadline mode, vector 0xec.
    let _ = apic.write(0x320, 0x0004_00ec, Moment::default());
    let _ = apic.write(0x350, 0x700, Moment::default());
    let _ = apic.write(0x380, 0, Moment::default());
    let _ = apic.write(0x80, (random.next() as u32 & 0xf) << 4, Moment::default());
    apic
}

/// A random state of 64-bit code that a processor can be in.
fn sane(random: &mut Random) -> CpuState {
    let user = random.yes();
    let (cs, ss) = if user { (0xa0fb, 0xc0f3) } else { (0xa09b, 0xc093) };
    let rpl = if user { 3 } else { 0 };
    let mut state = CpuState {
        gpr: std::array::from_fn(|_| random.next()),
        rip: canonical(random),
        rflags: random.next() & 0xcd5 | 0x202,
        ldtr: Segment { attributes: 0x82, limit: 0xffff, ..Segment::default() },
        tr: Segment { selector: 0x40, base: canonical(random), limit: 0x206f, attributes: 0x8b },
        gdtr: Table { base: canonical(random), limit: 0x7f },
        idtr: Table { base: canonical(random), limit: 0xfff },
        cr0: 0x8005_0033,
        cr2: canonical(random),
        cr3: random.next() & 0x3f_ffff_f000,
        cr4: 0x6f0,
        efer: 0xd01,
        fpu: random_fpu(random),
        cycles: Cycles(0),
        tsc_offset: TscOffset(0),
        ..CpuState::default()
    };
    state.seg = [
        flat(0, 0, 0),
        flat(0x10 | rpl, 0, cs),
        flat(0x18 | rpl, 0, ss),
        flat(0, 0, 0),
        flat(0, canonical(random), 0),
        flat(0, canonical(random), 0),
    ];
    for null in [0, 3, 4, 5] {
        state.seg[null].limit = 0;
    }
    state.dr = [canonical(random), canonical(random), canonical(random), 0, 0, 0, 0xffff_0ff1, 0x400];
    state.msr.star = 0x0023_0010_0000_0000;
    state.msr.lstar = canonical(random);
    state.msr.cstar = canonical(random);
    state.msr.fmask = random.next() & 0x0025_7fd5;
    state.msr.kernel_gs_base = canonical(random);
    state.msr.sysenter_cs = 0x10;
    state.msr.sysenter_esp = canonical(random);
    state.msr.sysenter_eip = canonical(random);
    state.msr.pat = 0x0407_0506_0007_0106;
    state.msr.tsc_aux = random.next() & 0xffff_ffff;
    state.msr.misc_enable = 1;
    state.msr.mtrr_def_type = 0xc06;
    events(random, &mut state);
    let apic = apic(random);
    state.msr.apic_base = apic.apic_base();
    // Far enough away that it does not fire while the test looks at it.
    state.msr.tsc_deadline = u64::MAX / 2;
    state.apic = apic.save(Cycles(0));
    // A request for service, and one in service below it.
    state.apic.regs[IRR + 7] = 1 << 5;
    state.apic.regs[ISR + 1] = 1 << 4;
    state.apic.regs[PPR] = state.apic.regs[TPR].max(0x20);
    state
}

fn events(random: &mut Random, state: &mut CpuState) {
    state.interrupt_shadow = random.yes();
    state.nmi_blocked = random.yes();
    state.nmi_pending = random.yes();
    state.halted = random.next() % 4 == 0;
    state.pending_exception = match random.next() % 3 {
        0 => Some(PendingException { vector: 13, error_code: Some(random.next() as u32 & 0xffff) }),
        1 => Some(PendingException { vector: 0, error_code: None }),
        _ => None,
    };
}

#[test]
fn random_states_come_back_from_a_vcpu() -> Tested {
    let Some((_vm, fd)) = vcpu() else { return Tested::skipped(NO_KVM) };
    let mut random = Random::new(0x5eed_0003);
    for round in 0..200 {
        let state = sane(&mut random);
        VcpuState::from_cpu(&state).set(&fd).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let mut back = VcpuState::get(&fd).expect("readable").to_cpu();
        // Nobody stopped the counter.
        back.cycles = Cycles(0);
        assert_eq!(back, state, "round {round}");
    }
    Tested::Ran
}

#[test]
fn an_update_changes_what_differs_and_leaves_the_rest() -> Tested {
    let Some((_vm, fd)) = vcpu() else { return Tested::skipped(NO_KVM) };
    let mut random = Random::new(0x5eed_0004);
    for _ in 0..50 {
        let first = sane(&mut random);
        VcpuState::from_cpu(&first).set(&fd).expect("taken");
        let before = VcpuState::get(&fd).expect("readable");
        let mut wanted = sane(&mut random);
        wanted.cycles = before.to_cpu().cycles;
        VcpuState::from_cpu(&wanted).update(&fd, &before).expect("taken");
        let mut back = VcpuState::get(&fd).expect("readable").to_cpu();
        assert!(back.cycles >= wanted.cycles, "the counter went back");
        back.cycles = wanted.cycles;
        assert_eq!(back, wanted);
    }
    Tested::Ran
}

#[test]
fn the_io_apic_comes_back_from_the_kernel() -> Tested {
    let Some((vm, _fd)) = vcpu() else { return Tested::skipped(NO_KVM) };
    let mut soft = fencepost_softcpu::ioapic::IoApic::new(0);
    for (index, value) in [(0x18, 0x31), (0x19, 0), (0x1a, 0x1_0032), (0x12, 0x9_33)] {
        let _ = soft.write(0, index);
        let _ = soft.write(0x10, value);
    }
    let state = soft.save();
    ioapic::set(&vm, &state).expect("taken");
    assert_eq!(ioapic::get(&vm).expect("readable"), state);
    Tested::Ran
}
