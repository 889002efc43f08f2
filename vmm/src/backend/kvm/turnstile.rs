//! Who is in the guest, and how somebody gets guest memory to himself.
//!
//! A vCPU's thread passes on its way into the guest and out of it. The software CPU executes an instruction for one vCPU by plain
//! accesses, which are not atomic for the others: so whoever has it work first gets everybody out of the guest and keeps them out.
//! What the threads do with guest memory outside, they do under the machine's lock; what they read of it without that lock, they read as
//! if they were inside. Nobody waits here with that lock.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    /// The vCPUs in the guest, a bit for each.
    inside: u64,
    /// Somebody is alone, or waits to be.
    alone: bool,
}

/// The way into the guest.
#[derive(Default)]
pub struct Turnstile {
    state: Mutex<State>,
    changed: Condvar,
}

impl Turnstile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a vCPU in, when nobody is alone. It is inside for as long as the result lives.
    pub fn enter(&self, cpu: u32) -> Inside<'_> {
        let mut state = self.lock();
        while state.alone {
            state = self.wait(state);
        }
        state.inside |= 1 << cpu;
        Inside { turnstile: self, cpu }
    }

    /// Waits until no vCPU is inside, and keeps them out for as long as the result lives. `kick` makes one leave soon. The caller is
    /// outside.
    pub fn alone(&self, kick: impl Fn(u32)) -> Alone<'_> {
        let mut state = self.lock();
        while state.alone {
            state = self.wait(state);
        }
        state.alone = true;
        (0..u64::BITS).filter(|cpu| state.inside >> cpu & 1 != 0).for_each(kick);
        while state.inside != 0 {
            state = self.wait(state);
        }
        Alone(self)
    }
}

/// A vCPU that may be in the guest.
pub struct Inside<'a> {
    turnstile: &'a Turnstile,
    cpu: u32,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.turnstile.lock();
        state.inside &= !(1 << self.cpu);
        if state.alone {
            self.turnstile.changed.notify_all();
        }
    }
}

/// No vCPU is in the guest.
pub struct Alone<'a>(&'a Turnstile);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.lock().alone = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    #[test]
    fn whoever_is_alone_has_nobody_beside_him() {
        const THREADS: u32 = 4;
        let (turnstile, kicked) =
            (Turnstile::default(), [const { AtomicBool::new(false) }; THREADS as usize]);
        let (inside, alone) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for cpu in 0..THREADS {
                let (turnstile, kicked, inside, alone) = (&turnstile, &kicked, &inside, &alone);
                scope.spawn(move || {
                    for _ in 0..200 {
                        {
                            let _inside = turnstile.enter(cpu);
                            inside.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(alone.load(Ordering::SeqCst), 0);
                            for _ in 0..100 {
                                if kicked[cpu as usize].swap(false, Ordering::SeqCst) {
                                    break;
                                }
                                std::thread::yield_now();
                            }
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                        let _alone = turnstile.alone(|other| {
                            assert_ne!(other, cpu, "it has left");
                            kicked[other as usize].store(true, Ordering::SeqCst);
                        });
                        assert_eq!(alone.fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(inside.load(Ordering::SeqCst), 0);
                        alone.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
