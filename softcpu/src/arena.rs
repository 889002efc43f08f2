//! Values at fixed addresses, each with a single owner.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use std::ptr::NonNull;

use crate::pinned::Pinned;

/// Names a value of an [`Arena`]. A name becomes invalid when its value is retired; it never names a later value in the
/// same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    slot: u32,
    generation: u32,
}

impl Id {
    /// Names no value.
    pub const NONE: Id = Id { slot: u32::MAX, generation: 0 };
}

struct Slot<T> {
    generation: u32,
    value: Option<Pinned<T>>,
}

/// Owns values that do not move. Each has exactly one owner, a [`Pinned`]. A retired value stays allocated until
/// [`free_retired`](Self::free_retired).
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// Slots without a value, to be used again.
    vacant: Vec<u32>,
    retired: Vec<Pinned<T>>,
}

impl<T> Arena<T> {
    /// An empty one.
    pub const fn new() -> Arena<T> {
        Arena { slots: Vec::new(), vacant: Vec::new(), retired: Vec::new() }
    }

    /// Adds the value that `make` returns; `make` gets its name. The pointer is valid until the value is retired and freed.
    pub fn insert(&mut self, make: impl FnOnce(Id) -> T) -> NonNull<T> {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 1, value: None });
            (self.slots.len() as u32).wrapping_sub(1)
        });
        let entry = &mut self.slots[slot as usize];
        let owned = Pinned::new(make(Id { slot, generation: entry.generation }));
        let at = owned.at();
        entry.value = Some(owned);
        at
    }

    /// The value of a name; `None` if it was retired.
    pub fn get(&self, id: Id) -> Option<NonNull<T>> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == id.generation).map(|owned| owned.at())
    }

    /// Retires a value. An invalid name is ignored. Returns whether a value was retired.
    pub fn retire(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return false };
        let Some(owned) = slot.value.take_if(|_| slot.generation == id.generation) else { return false };
        slot.generation = slot.generation.wrapping_add(1);
        self.vacant.push(id.slot);
        self.retired.push(owned);
        true
    }

    /// Frees retired values, as many as `most`. Nobody may use a pointer to any of them after this.
    pub fn free_retired(&mut self, most: usize) {
        self.retired.truncate(self.retired.len().saturating_sub(most));
    }

    /// How many values are retired and not freed.
    #[inline(always)]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    /// The values that are not retired.
    pub fn live(&self) -> impl Iterator<Item = NonNull<T>> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref().map(|owned| owned.at()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Counted<'a>(Id, &'a Cell<u32>);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
        }
    }

    fn id(arena: &mut Arena<Counted<'_>>, at: NonNull<Counted<'_>>) -> Id {
        assert!(arena.live().any(|live| live.as_ptr().cast::<u8>() == at.as_ptr().cast()));
        // SAFETY: live, as was just checked.
        unsafe { at.as_ref() }.0
    }

    #[test]
    fn a_value_is_freed_once_however_often_it_is_retired() {
        let freed = Cell::new(0);
        let mut arena = Arena::new();
        let at = arena.insert(|id| Counted(id, &freed));
        let first = id(&mut arena, at);
        assert!(arena.retire(first));
        assert!(!arena.retire(first));
        assert_eq!((arena.retired(), freed.get()), (1, 0), "it stays until it is freed");
        arena.free_retired(usize::MAX);
        assert!(!arena.retire(first));
        arena.free_retired(usize::MAX);
        assert_eq!(freed.get(), 1);
    }

    #[test]
    fn an_old_name_does_not_name_the_next_value_of_the_slot() {
        let freed = Cell::new(0);
        let mut arena = Arena::new();
        let at = arena.insert(|id| Counted(id, &freed));
        let old = id(&mut arena, at);
        arena.retire(old);
        let at = arena.insert(|id| Counted(id, &freed));
        let new = id(&mut arena, at);
        assert_eq!(new.slot, old.slot);
        assert!(arena.get(old).is_none() && !arena.retire(old));
        assert_eq!(arena.get(new), Some(at));
        assert!(arena.get(Id::NONE).is_none());
    }

    #[test]
    fn the_end_of_the_arena_frees_everything() {
        let freed = Cell::new(0);
        let mut arena = Arena::new();
        for n in 0..5 {
            let at = arena.insert(|id| Counted(id, &freed));
            let id = id(&mut arena, at);
            if n % 2 == 0 {
                arena.retire(id);
            }
        }
        drop(arena);
        assert_eq!(freed.get(), 5);
    }
}
