//! Values that were changed, and must be written back before they may go.

use std::hash::Hash;

use crate::error::Result;

use super::flight::Duty;
use super::pinned::Held;
use super::slots::{HIDDEN, Place};
use super::{Cache, Pinned};

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// Makes the value of a pin one that must be written back before it may go. `false` when it cannot be: the cache does not
    /// keep it, or all was forgotten since, and another value may be there under its key.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn mark_dirty(&self, pinned: &Pinned<K, V, &Self>) -> bool {
        let Held::Slot(Place { slot, .. }) = pinned.held else { return false };
        let mut state = self.state.lock();
        if self.slots.word(slot).has(HIDDEN) {
            return false;
        }
        state.park(slot, &self.slots);
        self.slots.dirty(slot);
        true
    }

    /// Writes every dirty value back with `write`, which runs without a lock. One whose write fails stays dirty; the
    /// others are written all the same, and the first error is returned.
    ///
    /// # Errors
    ///
    /// The first that `write` returned.
    #[cfg_attr(not(test), expect(dead_code, reason = "datasets are read only so far"))]
    pub(crate) fn flush(&self, mut write: impl FnMut(&K, &V) -> Result<()>) -> Result<()> {
        let n_slots = self.state.lock().n_slots();
        let mut failure = Ok(());
        for slot in 0..n_slots {
            let key = {
                let state = self.state.lock();
                if !self.slots.begin_writing(slot) {
                    continue;
                }
                self.slots.pin_again(slot);
                let key = self.slots.key(slot);
                drop(state);
                key
            };
            let pinned = Pinned::new(self, Held::Slot(self.slots.place(slot)));
            let written = key.map_or(Ok(()), |key| {
                // A write that panics has failed, and the value is dirty still.
                let rollback = Duty::new(|_| self.slots.end_writing(slot, false));
                let written = write(&key, &pinned);
                rollback.done();
                written
            });
            let state = self.state.lock();
            self.slots.end_writing(slot, written.is_ok());
            drop(state);
            drop(pinned);
            if failure.is_ok() {
                failure = written;
            }
        }
        failure
    }
}
