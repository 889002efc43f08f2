//! Register offsets and bits are restated from the Intel SDM, not taken from `regs`.

use fencepost_time::TscOffset;

use super::*;

const TPR_OFFSET: u32 = 0x80;
const PPR_OFFSET: u32 = 0xa0;
const EOI_OFFSET: u32 = 0xb0;
const LDR_OFFSET: u32 = 0xd0;
const SVR_OFFSET: u32 = 0xf0;
const ESR_OFFSET: u32 = 0x280;
const ICR_OFFSET: u32 = 0x300;
const LVT_TIMER_OFFSET: u32 = 0x320;
const LVT_LINT0_OFFSET: u32 = 0x350;
const LVT_ERROR_OFFSET: u32 = 0x370;
const INITIAL_OFFSET: u32 = 0x380;
const CURRENT_OFFSET: u32 = 0x390;
const DIVIDE_OFFSET: u32 = 0x3e0;

/// That time of the machine's, of a guest that never set its counter.
fn at(cycles: u64) -> Moment {
    Moment { cycles: Cycles(cycles), ..Moment::default() }
}

/// When the timer goes off, for such a guest.
fn due(apic: &LocalApic) -> Option<u64> {
    apic.next_timer(at(0)).map(|cycles| cycles.0)
}

fn enabled() -> LocalApic {
    let mut apic = LocalApic::new(0);
    let _ = apic.write(SVR_OFFSET, 0x1ff, at(0));
    apic
}

fn x2apic() -> LocalApic {
    let mut apic = LocalApic::new(0);
    apic.wrmsr(0x1b, 0xfee0_0d00, at(0)).unwrap();
    apic.wrmsr(0x80f, 0x1ff, at(0)).unwrap();
    apic
}

fn fixed(vector: u8, level: bool) -> InterruptMessage {
    InterruptMessage { destination: 0, logical: false, delivery_mode: DeliveryMode::Fixed, vector, level }
}

#[test]
fn power_on_values_are_those_of_the_manual() {
    let mut apic = LocalApic::new(3);
    let at = |apic: &mut LocalApic, offset| apic.read(offset, at(0));
    assert_eq!(at(&mut apic, 0x20), 3 << 24);
    assert_eq!(at(&mut apic, 0x30) & 0xff, 0x14);
    assert_eq!(at(&mut apic, 0xe0), 0xffff_ffff);
    assert_eq!(at(&mut apic, SVR_OFFSET), 0xff);
    assert_eq!(at(&mut apic, LVT_TIMER_OFFSET), 0x1_0000);
    assert_eq!(apic.page(), Some(0xfee0_0000));
}

#[test]
fn a_disabled_apic_takes_no_vector_but_takes_an_nmi() {
    let mut apic = LocalApic::new(0);
    let _ = apic.deliver(fixed(0x30, false));
    assert_eq!(apic.highest_pending(), None);
    let nmi = InterruptMessage { delivery_mode: DeliveryMode::Nmi, ..fixed(0, false) };
    assert!(apic.deliver(nmi).nmi);
}

#[test]
fn the_highest_vector_comes_first_and_holds_back_its_class() {
    let mut apic = enabled();
    for vector in [0x31, 0x45, 0x42] {
        let _ = apic.deliver(fixed(vector, false));
    }
    assert_eq!(apic.highest_pending(), Some(0x45));
    apic.accept(0x45);
    assert_eq!(apic.highest_pending(), None, "0x42 is of the class in service");
    assert_eq!(apic.read(PPR_OFFSET, at(0)), 0x40);
    let ended = apic.write(EOI_OFFSET, 0, at(0)).end_of_interrupt;
    assert_eq!(ended, Some(Ended { vector: 0x45, level: false }), "edge-triggered: nothing to broadcast");
    assert_eq!(apic.highest_pending(), Some(0x42));
}

#[test]
fn the_task_priority_masks_its_class_and_below() {
    let mut apic = enabled();
    let _ = apic.deliver(fixed(0x4f, false));
    apic.set_cr8(4);
    assert_eq!(apic.read(TPR_OFFSET, at(0)), 0x40);
    assert_eq!(apic.highest_pending(), None);
    apic.set_cr8(3);
    assert_eq!(apic.highest_pending(), Some(0x4f));
}

#[test]
fn the_end_of_a_level_interrupt_is_broadcast() {
    let mut apic = enabled();
    let _ = apic.deliver(fixed(0x51, true));
    apic.accept(0x51);
    assert_eq!(apic.write(EOI_OFFSET, 0, at(0)).end_of_interrupt, Some(Ended { vector: 0x51, level: true }));
    assert_eq!(apic.write(EOI_OFFSET, 0, at(0)).end_of_interrupt, None, "nothing is in service");
}

#[test]
fn flat_logical_destinations_match_any_common_bit() {
    let mut apic = enabled();
    let _ = apic.write(LDR_OFFSET, 0x0100_0000, at(0));
    let to = |destination| InterruptMessage { destination, logical: true, ..fixed(0x30, false) };
    assert!(apic.is_destination(&to(0x03)));
    assert!(!apic.is_destination(&to(0x02)));
}

#[test]
fn cluster_logical_destinations_match_cluster_and_bit() {
    let mut apic = enabled();
    let _ = apic.write(0xe0, 0x0fff_ffff, at(0));
    let _ = apic.write(LDR_OFFSET, 0x2200_0000, at(0));
    let to = |destination| InterruptMessage { destination, logical: true, ..fixed(0x30, false) };
    assert!(apic.is_destination(&to(0x23)));
    assert!(!apic.is_destination(&to(0x13)));
    assert!(!apic.is_destination(&to(0x21)));
}

#[test]
fn a_self_ipi_is_delivered_and_stays_inside() {
    let mut apic = enabled();
    assert_eq!(apic.write(ICR_OFFSET, 0x4_00f1, at(0)), ApicEffect::NONE);
    assert_eq!(apic.highest_pending(), Some(0xf1));
}

#[test]
fn init_and_startup_for_another_cpu_go_out_as_an_icr() {
    let mut apic = enabled();
    let _ = apic.write(0x310, 0x0200_0000, at(0));
    assert_eq!(apic.write(ICR_OFFSET, 0xc500, at(0)).ipi, Some(0x2_0000_c500));
    assert_eq!(apic.write(ICR_OFFSET, 0x8500, at(0)), ApicEffect::NONE, "INIT de-assert does nothing");
    assert_eq!(apic.write(ICR_OFFSET, 0x0608, at(0)).ipi, Some(0x2_0000_0608));
    let startup = InterruptMessage { delivery_mode: DeliveryMode::Startup, ..fixed(8, false) };
    assert_eq!(apic.deliver(startup).startup, Some(8));
}

#[test]
fn all_but_self_leaves_the_sender_alone() {
    let mut apic = enabled();
    let effect = apic.write(ICR_OFFSET, 0xc_00f2, at(0));
    assert_eq!(effect.ipi, Some(0xffff_ffff_000c_00f2));
    assert_eq!(apic.highest_pending(), None);
    let effect = apic.write(ICR_OFFSET, 0x8_00f2, at(0));
    assert_eq!(effect.ipi, Some(0xffff_ffff_0008_00f2));
    assert_eq!(apic.highest_pending(), Some(0xf2));
}

#[test]
fn sending_a_vector_below_16_is_latched_in_esr_and_interrupts() {
    let mut apic = enabled();
    let _ = apic.write(LVT_ERROR_OFFSET, 0xfe, at(0));
    let _ = apic.write(ICR_OFFSET, 0x4_0005, at(0));
    assert_eq!(apic.highest_pending(), Some(0xfe));
    assert_eq!(apic.read(ESR_OFFSET, at(0)), 0, "not before it is latched");
    let _ = apic.write(ESR_OFFSET, 0, at(0));
    assert_eq!(apic.read(ESR_OFFSET, at(0)), 0x20);
    let _ = apic.write(ESR_OFFSET, 0, at(0));
    assert_eq!(apic.read(ESR_OFFSET, at(0)), 0);
}

#[test]
fn disabling_by_software_masks_every_lvt_entry() {
    let mut apic = enabled();
    let _ = apic.write(LVT_LINT0_OFFSET, 0x700, at(0));
    assert_eq!(apic.read(LVT_LINT0_OFFSET, at(0)), 0x700);
    let _ = apic.write(SVR_OFFSET, 0xff, at(0));
    assert_eq!(apic.read(LVT_LINT0_OFFSET, at(0)), 0x1_0700);
    let _ = apic.write(LVT_LINT0_OFFSET, 0x700, at(0));
    assert_eq!(apic.read(LVT_LINT0_OFFSET, at(0)), 0x1_0700);
}

#[test]
fn the_one_shot_timer_fires_once_after_count_times_divider() {
    let mut apic = enabled();
    let _ = apic.write(DIVIDE_OFFSET, 0x3, at(0)); // divide by 16
    let _ = apic.write(LVT_TIMER_OFFSET, 0xec, at(0));
    let _ = apic.write(INITIAL_OFFSET, 10, at(1000));
    assert_eq!(due(&apic), Some(1160));
    assert_eq!(apic.read(CURRENT_OFFSET, at(1000)), 10);
    assert_eq!(apic.read(CURRENT_OFFSET, at(1017)), 9);
    assert!(!apic.advance(at(1159)));
    assert!(apic.advance(at(1160)));
    assert_eq!(apic.highest_pending(), Some(0xec));
    assert_eq!((due(&apic), apic.read(CURRENT_OFFSET, at(1161))), (None, 0));
}

#[test]
fn every_divider_code_is_the_manuals() {
    let table = [(0b0000, 2), (0b0001, 4), (0b0010, 8), (0b0011, 16)];
    let rest = [(0b1000, 32), (0b1001, 64), (0b1010, 128), (0b1011, 1)];
    for (code, by) in table.into_iter().chain(rest) {
        assert_eq!(timer::divisor(code), by, "code {code:#b}");
    }
}

#[test]
fn the_periodic_timer_keeps_its_phase_over_missed_periods() {
    let mut apic = enabled();
    let _ = apic.write(DIVIDE_OFFSET, 0xb, at(0));
    let _ = apic.write(LVT_TIMER_OFFSET, 0x2_00ec, at(0));
    let _ = apic.write(INITIAL_OFFSET, 100, at(0));
    assert!(apic.advance(at(350)));
    assert_eq!(due(&apic), Some(400));
    assert_eq!(apic.read(CURRENT_OFFSET, at(360)), 40);
}

#[test]
fn a_masked_timer_runs_silently() {
    let mut apic = enabled();
    let _ = apic.write(DIVIDE_OFFSET, 0xb, at(0));
    let _ = apic.write(INITIAL_OFFSET, 100, at(0));
    assert_eq!(due(&apic), None);
    assert!(!apic.advance(at(100)));
    let _ = apic.write(LVT_TIMER_OFFSET, 0xec, at(150));
    assert_eq!((apic.highest_pending(), due(&apic)), (None, None));
}

#[test]
fn the_tsc_deadline_fires_and_disarms() {
    let mut apic = enabled();
    let _ = apic.write(LVT_TIMER_OFFSET, 0x4_00ec, at(0));
    apic.wrmsr(0x6e0, 500, at(10)).unwrap();
    assert_eq!(due(&apic), Some(500));
    assert_eq!(apic.rdmsr(0x6e0, at(11)), Ok(500));
    let _ = apic.write(INITIAL_OFFSET, 3, at(12));
    assert_eq!(due(&apic), Some(500), "the initial count is ignored in this mode");
    assert!(apic.advance(at(500)));
    assert_eq!(apic.rdmsr(0x6e0, at(501)), Ok(0));
    apic.wrmsr(0x6e0, 100, at(600)).unwrap();
    assert_eq!(apic.rdmsr(0x6e0, at(600)), Ok(0), "a past deadline fires at once");
}

#[test]
fn a_deadline_is_a_value_of_the_guests_counter() {
    const FAR: u64 = 1 << 50;
    let mut apic = enabled();
    let _ = apic.write(LVT_TIMER_OFFSET, 0x4_00ec, at(0));
    let ahead = |cycles| Moment { cycles: Cycles(cycles), offset: TscOffset(FAR) };
    apic.wrmsr(0x6e0, FAR + 1500, ahead(500)).unwrap();
    assert_eq!(apic.next_timer(ahead(500)), Some(Cycles(1500)));
    assert!(!apic.advance(ahead(1499)));
    // The guest sets its counter back by 300, and the deadline stays what it is.
    let behind = |cycles| Moment { cycles: Cycles(cycles), offset: TscOffset(FAR - 300) };
    assert_eq!(apic.next_timer(behind(1499)), Some(Cycles(1800)));
    assert!(!apic.advance(behind(1799)) && apic.advance(behind(1800)));
    assert_eq!(apic.rdmsr(0x6e0, behind(1800)), Ok(0));
    // Set beyond the deadline, it is due at once.
    apic.wrmsr(0x6e0, FAR + 5000, behind(1900)).unwrap();
    let beyond = Moment { cycles: Cycles(1901), offset: TscOffset(FAR + 5000) };
    assert_eq!(apic.next_timer(beyond), Some(Cycles(1901)));
    assert!(apic.advance(beyond));
}

#[test]
fn a_count_does_not_follow_the_guests_counter() {
    let mut apic = enabled();
    let _ = apic.write(DIVIDE_OFFSET, 0xb, at(0));
    let _ = apic.write(LVT_TIMER_OFFSET, 0xec, at(0));
    let _ = apic.write(INITIAL_OFFSET, 100, at(7));
    let ahead = |cycles| Moment { cycles: Cycles(cycles), offset: TscOffset(1 << 50) };
    assert_eq!(apic.next_timer(ahead(20)), Some(Cycles(107)));
    assert_eq!(apic.read(CURRENT_OFFSET, ahead(20)), 87);
    assert!(!apic.advance(ahead(106)) && apic.advance(ahead(107)));
}

#[test]
fn leaving_deadline_mode_disarms() {
    let mut apic = enabled();
    let _ = apic.write(LVT_TIMER_OFFSET, 0x4_00ec, at(0));
    apic.wrmsr(0x6e0, 500, at(10)).unwrap();
    let _ = apic.write(LVT_TIMER_OFFSET, 0x0_00ec, at(20));
    assert_eq!(due(&apic), None);
    apic.wrmsr(0x6e0, 700, at(30)).unwrap();
    assert_eq!(apic.rdmsr(0x6e0, at(30)), Ok(0), "ignored in one-shot mode");
}

#[test]
fn only_the_manuals_mode_switches_are_allowed() {
    let mut apic = LocalApic::new(0);
    assert_eq!(apic.rdmsr(0x1b, at(0)), Ok(0xfee0_0900));
    assert_eq!(apic.rdmsr(0x802, at(0)), Err(Fault), "no x2APIC registers in xAPIC mode");
    assert_eq!(apic.wrmsr(0x1b, 0xfee0_0500, at(0)), Err(Fault), "x2APIC without enable");
    apic.wrmsr(0x1b, 0xfee0_0c00, at(0)).unwrap();
    assert_eq!(apic.rdmsr(0x1b, at(0)), Ok(0xfee0_0d00), "the bootstrap bit is read-only");
    assert_eq!(apic.page(), None);
    assert_eq!(apic.wrmsr(0x1b, 0xfee0_0900, at(0)), Err(Fault), "back to xAPIC");
    apic.wrmsr(0x1b, 0xfee0_0100, at(0)).unwrap();
    assert_eq!(apic.wrmsr(0x1b, 0xfee0_0d00, at(0)), Err(Fault), "from disabled to x2APIC");
}

#[test]
fn x2apic_registers_refuse_what_is_reserved_or_absent() {
    let mut apic = x2apic();
    assert_eq!(apic.rdmsr(0x802, at(0)), Ok(0));
    assert_eq!(apic.rdmsr(0x80d, at(0)), Ok(1), "LDR: cluster 0, bit 0");
    assert_eq!(apic.rdmsr(0x80e, at(0)), Err(Fault), "no DFR");
    assert_eq!(apic.rdmsr(0x80b, at(0)), Err(Fault), "EOI is write-only");
    assert_eq!(apic.wrmsr(0x80b, 1, at(0)), Err(Fault));
    assert_eq!(apic.wrmsr(0x802, 0, at(0)), Err(Fault));
    assert_eq!(apic.wrmsr(0x808, 0x100, at(0)), Err(Fault));
    assert_eq!(apic.rdmsr(0x840, at(0)), Err(Fault));
}

#[test]
fn the_x2apic_icr_is_one_register_of_64_bits() {
    let mut apic = x2apic();
    let effect = apic.wrmsr(0x830, 0x7_0000_00f1, at(0)).unwrap();
    assert_eq!(effect.ipi, Some(0x7_0000_00f1));
    assert_eq!(apic.rdmsr(0x830, at(0)), Ok(0x7_0000_00f1));
    apic.wrmsr(0x83f, 0xf3, at(0)).unwrap();
    assert_eq!(apic.highest_pending(), Some(0xf3));
}

#[test]
fn an_msi_is_decoded_by_the_manuals_fields() {
    let fixed_to_5 = InterruptMessage {
        destination: 5,
        logical: false,
        delivery_mode: DeliveryMode::Fixed,
        vector: 0x61,
        level: false,
    };
    assert_eq!(InterruptMessage::from_msi(0xfee0_5000, 0x4061), Some(fixed_to_5));
    let logical = InterruptMessage::from_msi(0xfee0_100c, 0x0161).unwrap();
    assert_eq!((logical.logical, logical.delivery_mode), (true, DeliveryMode::LowestPriority));
    assert_eq!(InterruptMessage::from_msi(0xfeff_f000, 0x61), None, "beyond the interrupt range");
    assert_eq!(InterruptMessage::from_msi(0xfee0_0000, 0x8061), None, "level de-assert");
    assert_eq!(InterruptMessage::from_msi(0xfeef_f000, 0x61).unwrap().destination, BROADCAST);
}

#[test]
fn saving_and_restoring_keeps_everything_to_the_cycle() {
    let mut apic = enabled();
    let _ = apic.write(DIVIDE_OFFSET, 0x3, at(0));
    let _ = apic.write(LVT_TIMER_OFFSET, 0x2_00ec, at(0));
    let _ = apic.write(INITIAL_OFFSET, 100, at(7));
    let _ = apic.deliver(fixed(0x51, true));
    apic.accept(0x51);
    let _ = apic.deliver(fixed(0x61, false));
    let _ = apic.deliver(fixed(0x05, false)); // a receive error waits to be latched
    apic.advance(at(1001));
    let state = apic.save(Cycles(1001));
    let restored = LocalApic::restore(0, &state, apic.apic_base(), apic.tsc_deadline(), Cycles(1001));
    assert_eq!(restored, apic);
    assert_eq!(restored.save(Cycles(1001)), state);
}

#[test]
fn a_saved_deadline_is_restored() {
    let mut apic = x2apic();
    apic.wrmsr(0x832, 0x4_00ec, at(0)).unwrap();
    apic.wrmsr(0x6e0, 5000, at(0)).unwrap();
    let restored =
        LocalApic::restore(0, &apic.save(Cycles(9)), apic.apic_base(), apic.tsc_deadline(), Cycles(9));
    assert_eq!(restored, apic);
}
