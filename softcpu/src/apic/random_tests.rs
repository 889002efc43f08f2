//! A random guest: whatever it does to the APIC, the rules of priority, time and saving hold.

use fencepost_random::Random;
use fencepost_time::TscOffset;

use super::*;

fn value(random: &mut Random) -> u64 {
    match random.below(3) {
        0 => random.bits(),
        1 => random.below(0x1000),
        _ => 1 << random.below(64),
    }
}

fn act(apic: &mut LocalApic, random: &mut Random, now: Moment) {
    let value = value(random);
    match random.bits() % 7 {
        0 | 1 => {
            let _ = apic.write((random.bits() % 0x420) as u32, value as u32, now);
        }
        2 => {
            let msr = [0x1b, 0x6e0, 0x800 + (random.bits() % 0x48) as u32][(random.bits() % 3) as usize];
            // Mostly deadlines near now, so that they fire.
            let value = if msr == 0x6e0 { now.tsc().0.wrapping_add(value % 5000) } else { value };
            let _ = apic.wrmsr(msr, value, now);
        }
        3 => {
            let _ = InterruptMessage::from_msi(0xfee0_0000 | value & 0xf_ffff, random.bits() as u32)
                .map(|message| apic.deliver(message));
        }
        4 => apic.set_cr8(random.bits() & 0xf),
        5 => {
            let _ = apic.write(0xf0, 0x1ff, now);
        }
        _ => {
            if let Some(vector) = apic.highest_pending() {
                apic.accept(vector);
                assert_eq!(apic.in_service(), Some(vector), "it outranks whatever was in service");
            }
        }
    }
}

fn check_rules(apic: &mut LocalApic, now: Moment) {
    if let Some(vector) = apic.highest_pending() {
        assert!(u64::from(vector >> 4) > apic.cr8(), "above the task priority");
        assert!(apic.in_service().is_none_or(|held| vector >> 4 > held >> 4), "above what is in service");
    }
    apic.advance(now);
    assert!(apic.next_timer(now).is_none_or(|due| due > now.cycles), "what was due has fired");
    let state = apic.save(now.cycles);
    let copy = LocalApic::restore(0, &state, apic.apic_base(), apic.tsc_deadline(), now.cycles);
    assert_eq!(copy, *apic, "saving and restoring keeps everything");
}

#[test]
fn a_random_guest_breaks_no_rule() {
    let mut random = Random::new(0xdead_beef_1234_5679);
    let mut apic = LocalApic::new(0);
    let mut now = Moment::default();
    for round in 0..200_000 {
        if round % 5000 == 0 {
            apic = LocalApic::new(0);
        }
        now.cycles += random.bits() % 3000;
        if random.bits().is_multiple_of(64) {
            // The guest sets its counter, sometimes just a little.
            apic.advance(now);
            now.offset = TscOffset(value(&mut random));
            apic.advance(now);
        }
        act(&mut apic, &mut random, now);
        check_rules(&mut apic, now);
    }
}
