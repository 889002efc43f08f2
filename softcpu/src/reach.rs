//! Lends a bus to the CPU while it runs.

use std::ptr::NonNull;

use crate::bus::{Bus, Reach};
use crate::cpu::Cpu;

/// Takes the bus away when dropped, also when a panic unwinds.
struct Within<'a>(&'a mut Cpu);

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.reach = Reach(None);
    }
}

impl Cpu {
    /// Does `work` with the machine in reach.
    pub(crate) fn with_bus<R>(&mut self, bus: &mut dyn Bus, work: impl FnOnce(&mut Cpu) -> R) -> R {
        let bus: NonNull<dyn Bus + '_> = NonNull::from(bus);
        // SAFETY: only the lifetime changes. `within` takes the pointer away before the borrow ends, however it ends.
        let bus: NonNull<dyn Bus + 'static> = unsafe { std::mem::transmute(bus) };
        let within = Within(self);
        within.0.reach = Reach(Some(bus));
        work(within.0)
    }

    /// The machine, while running.
    pub(crate) fn bus(&mut self) -> &mut dyn Bus {
        let mut bus = self.reach.0.expect("instructions run only within with_bus()");
        // SAFETY: `with_bus` made the pointer from a `&mut dyn Bus` that it holds until it takes the pointer away again,
        // and no other reference is made from it while this one lives (`&mut self`).
        unsafe { bus.as_mut() }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::machine::Machine;

    #[test]
    fn a_panic_takes_the_bus_away() {
        let mut m = Machine::new();
        m.cpu.with_bus(&mut m.bus, |cpu| assert!(cpu.reach.0.is_some()));
        assert!(m.cpu.reach.0.is_none());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            m.cpu.with_bus(&mut m.bus, |_| panic!("as a device might"));
        }));
        assert!(unwound.is_err() && m.cpu.reach.0.is_none());
    }

    #[test]
    fn a_cpu_can_be_sent_to_another_thread() {
        fn needs_send<T: Send>(_: &T) {}
        needs_send(&Machine::new().cpu);
    }
}
