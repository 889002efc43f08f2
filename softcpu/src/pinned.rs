//! A value that does not move, and whose address others keep.

use std::ptr::NonNull;

/// Owns a value, as a `Box` does, and frees it when it is dropped. A `Box` claims, whenever it is moved, that no pointer
/// to its value is in use; this claims nothing, so pointers from [`at`](Self::at) stay good until it is dropped. It can
/// be moved and not copied: no value is freed twice.
pub(crate) struct Pinned<T>(NonNull<T>);

impl<T> Pinned<T> {
    pub fn new(value: T) -> Pinned<T> {
        Pinned(NonNull::from(Box::leak(Box::new(value))))
    }

    /// Where the value is, for as long as this lives.
    pub fn at(&self) -> NonNull<T> {
        self.0
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` leaked a box for this pointer, and nothing else makes one of it again: the field is private,
        // and the type can be moved but not copied.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

// SAFETY: it owns its value, and gives no access to it but by pointers, whose users answer for what they do.
unsafe impl<T: Send> Send for Pinned<T> {}
