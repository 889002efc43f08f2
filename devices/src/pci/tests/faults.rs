//! Interrupts that go wrong on their way.

use fencepost_trace::FaultKind;

use super::*;

/// A bench whose function has these faults.
fn with(specs: &[&str]) -> Bench {
    let mut bench = Bench::running();
    for spec in specs {
        let (root, spec) = (&mut bench.root, spec.parse().unwrap());
        bench.platform.lend(|p| root.give_fault(&spec, 0, p)).unwrap();
    }
    bench
}

impl Bench {
    /// Has the function raise vector 0; how many messages that sent.
    fn raise(&mut self) -> usize {
        self.write(BAR0_BASE + 0x0c, 0);
        std::mem::take(&mut self.platform.messages).len()
    }

    /// Makes the calls that are due at `now_ns`; how many messages they sent.
    fn advance_to(&mut self, now_ns: u64) -> usize {
        self.platform.clock.now_ns = now_ns;
        while let Some((&(rid, token), _)) = self.platform.clock.pending.iter().find(|(_, at)| **at <= now_ns)
        {
            self.platform.clock.pending.remove(&(rid, token));
            let root = &mut self.root;
            self.platform.lend(|p| root.timer(rid, token, p));
        }
        std::mem::take(&mut self.platform.messages).len()
    }

    fn faults_counted(&self) -> u64 {
        let counters = self.root.counters().next().unwrap().1;
        counters.iter().find(|counter| counter.name == "faults").unwrap().value
    }
}

#[test]
fn a_lost_interrupt_never_arrives_and_the_next_does() {
    let mut bench = with(&["1:irq-lost,after=2"]);
    assert_eq!([bench.raise(), bench.raise(), bench.raise()], [1, 0, 1]);
    assert_eq!(bench.advance_to(u64::MAX), 0);
    assert_eq!(bench.faults_counted(), 1);
    let told =
        |event: &Event| matches!(event, Event::Fault { rid: 8, kind: FaultKind::IrqLost, occasion: 2 });
    assert_eq!(bench.platform.trace.events.iter().filter(|event| told(event)).count(), 1);
}

#[test]
fn a_late_interrupt_arrives_when_it_says() {
    let mut bench = with(&["1:irq-late,for=5us"]);
    bench.platform.clock.now_ns = 1000;
    assert_eq!(bench.raise(), 0);
    assert_eq!([bench.advance_to(5999), bench.advance_to(6000), bench.advance_to(u64::MAX)], [0, 1, 0]);
}

#[test]
fn an_interrupt_arrives_twice() {
    let mut bench = with(&["1:irq-twice,after=2"]);
    assert_eq!([bench.raise(), bench.raise(), bench.raise()], [1, 2, 1]);
    let mut bench = with(&["1:irq-twice,for=5us"]);
    assert_eq!([bench.raise(), bench.advance_to(4999), bench.advance_to(5000)], [1, 0, 1]);
}

#[test]
fn a_spurious_interrupt_comes_at_its_time_or_behind_another() {
    let mut bench = with(&["1:irq-spurious,at=3us"]);
    assert_eq!([bench.advance_to(2999), bench.advance_to(3000), bench.advance_to(9000)], [0, 1, 0]);
    let mut bench = with(&["1:irq-spurious,after=2,for=1us"]);
    assert_eq!([bench.raise(), bench.raise()], [1, 1]);
    assert_eq!([bench.advance_to(999), bench.advance_to(1000)], [0, 1]);
    assert_eq!(bench.faults_counted(), 1);
}

#[test]
fn each_message_that_may_arrive_is_in_the_trace() {
    for (specs, messages, raised) in [
        (&["1:irq-twice"][..], 2, 2),
        (&["1:irq-twice,for=1us"], 2, 2),
        (&["1:irq-late,for=1us"], 1, 2),
        (&["1:irq-spurious,for=1us,vector=0"], 2, 2),
        (&["1:irq-lost"], 0, 1),
    ] {
        let mut bench = with(specs);
        assert_eq!(bench.raise() + bench.advance_to(1000), messages, "{specs:?}");
        let told = |event: &&Event| matches!(event, Event::MsiRaised { rid: 8, vector: 0 });
        assert_eq!(bench.platform.trace.events.iter().filter(told).count(), raised, "{specs:?}");
    }
}

#[test]
fn a_fault_is_one_vectors_if_it_says_so() {
    let mut bench = with(&["1:irq-lost,vector=1,every=1"]);
    assert_eq!(bench.raise(), 1);
    assert_eq!(bench.faults_counted(), 0);
}

#[test]
fn a_late_interrupt_is_saved_and_arrives_after_restoring() {
    let mut bench = with(&["1:irq-late,for=5us"]);
    bench.raise();
    let saved = pack(&bench.root);
    let state = crate::state::decode::<PciRoot>(&saved).unwrap();
    let toy: ToyFunction = unpack((), &state.endpoints[0].function).unwrap();
    bench.root = unpack(vec![Box::new(toy) as Box<dyn Function>], &saved).unwrap();
    assert_eq!(pack(&bench.root), saved);
    bench.platform.clock.pending.clear();
    let root = &mut bench.root;
    bench.platform.lend(|p| root.rearm(p));
    assert_eq!([bench.advance_to(4999), bench.advance_to(5000)], [0, 1]);
}

#[test]
fn a_fault_that_no_function_can_have_is_refused() {
    let mut bench = Bench::running();
    for (spec, said) in [("2:irq-lost", "no such device"), ("1:hang", "cannot have hang, there are irq-lost")]
    {
        let (root, spec) = (&mut bench.root, spec.parse().unwrap());
        let why = bench.platform.lend(|p| root.give_fault(&spec, 0, p)).unwrap_err();
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn dma_fails_in_the_direction_that_is_named() {
    let mut bench = with(&["1:dma-error,access=write"]);
    bench.write(BAR0_BASE, 0x2000);
    bench.write(BAR0_BASE + 0x14, 0);
    assert_eq!(bench.read(BAR0_BASE + 0x08), 0, "a read passes");
    bench.write(BAR0_BASE + 0x08, 7);
    assert_eq!((bench.read(BAR0_BASE + 0x08), bench.platform.read_u64(0x2000)), (1, 0));
    bench.write(BAR0_BASE + 0x08, 7);
    assert_eq!((bench.read(BAR0_BASE + 0x08), bench.platform.read_u64(0x2000)), (0, 7));
}

#[test]
fn a_function_that_is_removed_answers_nowhere() {
    for spec in ["1:removal,at=5us", "1:removal,after=1"] {
        let mut bench = with(&[spec]);
        let before = bench.root.revision();
        bench.advance_to(5000);
        let mut data = [0; 4];
        let root = &mut bench.root;
        bench.platform.lend(|p| root.read(Space::Memory, BAR0_BASE, &mut data, p));
        assert_ne!(bench.root.revision(), before, "{spec}");
        assert_eq!(bench.config_read(0, 4), u32::MAX, "{spec}");
        bench.config_write(0x04, 2, 6);
        assert!(!bench.root.decodes(BAR0_BASE) && bench.root.open_vectors().count() == 0, "{spec}");
    }
}

#[test]
fn a_link_that_is_reset_leaves_the_function_as_after_power_on() {
    let mut bench = with(&["1:link-reset,after=2"]);
    let id = bench.config_read(0, 4);
    bench.read(BAR0_BASE);
    let mut data = [0; 4];
    let root = &mut bench.root;
    bench.platform.lend(|p| root.read(Space::Memory, BAR0_BASE, &mut data, p));
    assert_eq!(data, [0xff; 4], "nobody completes the read at which it happens");
    assert_eq!((bench.config_read(0, 4), bench.config_read(0x04, 2), bench.config_read(0x10, 4)), (id, 0, 0));
}

#[test]
fn a_read_of_configuration_space_returns_all_ones_once() {
    let mut bench = with(&["1:config-ones,after=2"]);
    let id = bench.config_read(0, 4);
    assert_eq!([bench.config_read(0, 4), bench.config_read(0, 4)], [u32::MAX, id]);
}

#[test]
fn a_function_goes_and_comes_back_as_after_power_on() {
    let mut bench = Bench::running();
    let id = bench.config_read(0, 4);
    let set = |bench: &mut Bench, what: &str| {
        let (root, presence) = (&mut bench.root, what.parse().unwrap());
        bench.platform.lend(|p| root.set_there(&presence, p))
    };
    assert!(set(&mut bench, "add 1").is_err_and(|why| why.contains("it is there already")));
    assert!(set(&mut bench, "remove 2").is_err_and(|why| why.contains("no such device")));
    let before = bench.root.revision();
    set(&mut bench, "remove 1").unwrap();
    assert_ne!(bench.root.revision(), before, "its doorbells are nowhere");
    assert_eq!(bench.config_read(0, 4), u32::MAX);
    bench.config_write(0x04, 2, 6);
    assert!(!bench.root.decodes(BAR0_BASE) && bench.root.open_vectors().count() == 0);
    assert!(set(&mut bench, "remove 1").is_err_and(|why| why.contains("it is gone already")));
    set(&mut bench, "add 1").unwrap();
    assert_eq!((bench.config_read(0, 4), bench.config_read(0x04, 2), bench.config_read(0x10, 4)), (id, 0, 0));
    bench.config_write(0x10, 4, BAR0_BASE as u32);
    bench.config_write(0x04, 2, 6);
    assert!(bench.root.decodes(BAR0_BASE));
}
