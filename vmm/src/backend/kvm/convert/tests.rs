//! States there and back, without a kernel.

use fencepost_softcpu::apic::regs::{COUNT, IRR, ISR, PPR, SAVED_ERRORS, SAVED_TIMER_PHASE, TPR};
use fencepost_softcpu::ioapic::{IoApicState, PINS};
use fencepost_softcpu::state::{ApicState, CpuState, FpuState, Msrs, PendingException, Segment, Table};
use fencepost_time::{Cycles, TscOffset};

use super::{VcpuState, ioapic};

/// Random numbers, and the parts of a state made of them.
pub struct Random(fencepost_random::Random);

impl Random {
    /// One of a seed.
    pub fn new(seed: u64) -> Self {
        Random(fencepost_random::Random::new(seed))
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// A coin.
    pub fn yes(&mut self) -> bool {
        self.next() & 1 != 0
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    fn segment(&mut self) -> Segment {
        // Bits 8 to 12 are not attributes but part of the limit.
        let attributes = self.next() as u16 & 0xf0ff;
        Segment { selector: self.next() as u16, base: self.next(), limit: self.next() as u32, attributes }
    }
}

/// A random FPU; what is summarised or reserved in its registers is as a processor has it.
pub fn random_fpu(random: &mut Random) -> FpuState {
    let fcw = random.next() as u16 & 0x0f3f | 0x40;
    let mut fsw = random.next() as u16 & 0x7f7f;
    if fsw & !fcw & 0x3f != 0 {
        fsw |= 0x8080;
    }
    FpuState {
        r: std::array::from_fn(|_| random.wide() >> 48),
        fcw,
        fsw,
        ftw: random.next() as u8,
        fop: random.next() as u16 & 0x7ff,
        fip: random.next(),
        fdp: random.next(),
        xmm: std::array::from_fn(|_| random.wide()),
        mxcsr: random.next() as u32 & 0xffbf,
    }
}

/// Random bits wherever a state can have any.
fn wild(random: &mut Random) -> CpuState {
    let mut regs: Vec<u32> = (0..COUNT).map(|_| random.next() as u32).collect();
    regs[SAVED_ERRORS] = 0;
    regs[SAVED_TIMER_PHASE] = 0;
    let x2apic = random.yes();
    // The id has eight bits in either place of KVM's page.
    regs[2] = random.next() as u32 & 0xff;
    let msr = Msrs {
        star: random.next(),
        lstar: random.next(),
        cstar: random.next(),
        fmask: random.next(),
        kernel_gs_base: random.next(),
        sysenter_cs: random.next(),
        sysenter_esp: random.next(),
        sysenter_eip: random.next(),
        pat: random.next(),
        tsc_aux: random.next(),
        misc_enable: random.next() | 1,
        apic_base: 0xfee0_0800 | u64::from(x2apic) << 10,
        tsc_deadline: random.next(),
        tsc_adjust: random.next(),
        mtrr_def_type: random.next(),
    };
    let mut dr = std::array::from_fn(|_| random.next());
    (dr[4], dr[5]) = (0, 0);
    dr[6] = dr[6] & 0xe00f | 0xffff_0ff0;
    dr[7] = dr[7] & 0xffff_2bff | 0x400;
    let waits = random.yes();
    CpuState {
        waits_for_startup: waits,
        debug_held: false,
        debug_hits: 0,
        gpr: std::array::from_fn(|_| random.next()),
        rip: random.next(),
        rflags: random.next(),
        seg: std::array::from_fn(|_| random.segment()),
        ldtr: random.segment(),
        tr: random.segment(),
        gdtr: Table { base: random.next(), limit: random.next() as u16 },
        idtr: Table { base: random.next(), limit: random.next() as u16 },
        cr0: random.next(),
        cr2: random.next(),
        cr3: random.next(),
        cr4: random.next(),
        efer: random.next(),
        dr,
        fpu: random_fpu(random),
        msr,
        // What is not told apart from the guest's counter under KVM.
        cycles: Cycles(random.next()),
        tsc_offset: TscOffset(0),
        retired: random.next(),
        halted: waits || random.yes(),
        interrupt_shadow: random.yes(),
        nmi_blocked: random.yes(),
        nmi_pending: random.yes(),
        pending_exception: random.yes().then(|| PendingException {
            vector: (random.next() % 32) as u8,
            error_code: random.yes().then(|| random.next() as u32),
        }),
        apic: ApicState { regs },
    }
}

#[test]
fn random_states_come_back_unchanged() {
    let mut random = Random::new(0x5eed_0001);
    for round in 0..2000 {
        let mut state = wild(&mut random);
        let back = VcpuState::from_cpu(&state).to_cpu();
        // The one register that follows from others: the class of the highest vector in service, if the task's is lower.
        let in_service =
            (0..256u32).rev().find(|v| state.apic.regs[ISR + *v as usize / 32] >> (v % 32) & 1 != 0);
        let (task, class) = (state.apic.regs[TPR], in_service.unwrap_or(0) & 0xf0);
        state.apic.regs[PPR] = if task & 0xf0 < class { class } else { task };
        assert_eq!(back, state, "round {round}");
    }
}

#[test]
fn cr8_is_the_task_prioritys_upper_half() {
    let mut state = CpuState::default();
    state.apic.regs[TPR] = 0xb7;
    state.apic.regs[PPR] = 0x20;
    state.apic.regs[ISR] = 1;
    state.apic.regs[IRR] = 1;
    assert_eq!(VcpuState::from_cpu(&state).sregs.cr8, 0xb);
}

#[test]
fn the_io_apic_comes_back_unchanged() {
    let mut random = Random::new(0x5eed_0002);
    for _ in 0..500 {
        let entries: Vec<u64> = (0..PINS).map(|_| random.next()).collect();
        let level = (0..PINS).filter(|&pin| entries[pin] & 1 << 15 != 0).fold(0, |all, pin| all | 1 << pin);
        let state = IoApicState {
            version: 1,
            id: (random.next() as u32 & 0xf) << 24,
            select: random.next() as u8,
            entries,
            pins: random.next() as u32 & level,
        };
        assert_eq!(ioapic::from_kvm(&ioapic::to_kvm(&state)), state);
    }
}
